"""Training losses: pure functions on score matrices in which row i belongs to column i."""

from seehear_lab.losses.association import associative_loss, avma_loss
from seehear_lab.losses.infonce import camoe_dsl, symmetric_infonce
from seehear_lab.losses.ranking import adaptive_margin, hardest_negative_hinge

__all__ = [
    "adaptive_margin",
    "associative_loss",
    "avma_loss",
    "camoe_dsl",
    "hardest_negative_hinge",
    "symmetric_infonce",
]
