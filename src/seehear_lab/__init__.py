"""The research half of seehear: training, evaluation and comparison of retrieval models."""
