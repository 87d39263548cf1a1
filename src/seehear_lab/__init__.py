"""The lab: train, evaluate and compare the retrieval models of seehear."""
