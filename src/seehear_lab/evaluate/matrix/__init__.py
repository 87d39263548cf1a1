"""Scores of many queries with many items, exactly: Gram matrices, and their form in torch."""

from seehear_lab.evaluate.matrix.prepared import PreparedItems, prepare
from seehear_lab.evaluate.matrix.scores import rescore_top, score_matrix
from seehear_lab.evaluate.matrix.torch_form import score_in_torch

__all__ = ["PreparedItems", "prepare", "rescore_top", "score_in_torch", "score_matrix"]
