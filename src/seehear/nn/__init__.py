"""Torch layers shared by the models: token batches, pooling, attention, temporal models."""
