"""Pretrained networks that turn pixels, waveforms and text into vectors, with preprocessing."""
