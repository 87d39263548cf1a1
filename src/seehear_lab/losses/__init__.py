"""What training minimises: pure functions on score matrices, row i belongs to column i."""

from seehear_lab.losses.infonce import camoe_dsl, symmetric_infonce
from seehear_lab.losses.ranking import hardest_negative_hinge

__all__ = ["camoe_dsl", "hardest_negative_hinge", "symmetric_infonce"]
