"""Convert published checkpoints to state dicts of our models and of Hugging Face's CLIP, AST."""
