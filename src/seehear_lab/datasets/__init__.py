"""Data sets as TOML specs, and videos and captions as batches."""
