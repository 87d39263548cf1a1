"""Pixels, waveforms and words -> vectors: the frozen networks, each with its own preprocessing."""
