"""Variants that only a table of a paper needs; importing this registers those that are models."""

from seehear_lab.ablations import tefal_fusions, tefal_senses, tefal_sound

__all__ = ["tefal_fusions", "tefal_senses", "tefal_sound"]
