"""Layers that the models are made of, on torch: token batches, pooling, temporal models."""
