"""Experiments: train and evaluate a recipe (`run.py`), or fine-tune a library's own model."""
