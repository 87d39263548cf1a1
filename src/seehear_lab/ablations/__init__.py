"""Variants of TEFAL for the ablation tables of its paper; importing this registers its models."""

from seehear_lab.ablations import tefal_fusions, tefal_modalities, tefal_sound

__all__ = ["tefal_fusions", "tefal_modalities", "tefal_sound"]
