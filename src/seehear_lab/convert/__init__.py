"""Published checkpoints -> the state dicts of our models and of Hugging Face's CLIP."""
