"""The ablation models, removed from the registry so that other tests do not see them."""

from __future__ import annotations

from typing import Any

from models.samples import DIM, SOUND_DIM
from seehear.models import registry
from seehear_lab import ablations

assert ablations  # imported for the models it registers
FUSIONS = ("tefal.late", "tefal.concat", "tefal.cross", "tefal.stack")
MODALITIES = ("tefal.heard", "tefal.meanp")
SETTINGS: dict[str, dict[str, Any]] = {
    key: {"dim": DIM, "sound_dim": SOUND_DIM, "heads": 2} for key in FUSIONS
}
SETTINGS |= {key: {"dim": DIM, "sound_dim": SOUND_DIM} for key in MODALITIES}
ENTRIES = {name: registry._ENTRIES.pop(name) for name in SETTINGS}
