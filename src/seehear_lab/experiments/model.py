"""The model of a recipe, on pre-trained towers."""

from __future__ import annotations

from pathlib import Path

import torch

from seehear.errors import UsageError
from seehear.models import RetrievalModel, build_model
from seehear_lab import ablations
from seehear_lab.ablations.tefal_sound import freeze
from seehear_lab.datasets.towers import build_towers
from seehear_lab.experiments.recipe import Recipe
from seehear_lab.train.temporal_init import init_temporal

assert ablations  # imported for the models it registers


def new_model(recipe: Recipe, towers: Path) -> RetrievalModel:
    """Build the model of a recipe on the towers in a folder, before training.

    Raises: UsageError if the sizes do not match; ValueError for an unknown model or setting.
    """
    ast = towers / "ast" if recipe.towers.ast else None
    encoder = build_towers(recipe.model.name, towers / "clip", ast)
    settings = recipe.model.settings
    for key, size in (("dim", encoder.dim), ("sound_dim", encoder.sound_dim)):
        if settings.get(key, size) != size:
            raise UsageError(
                f"the towers in {towers} have {key} {size}, the recipe has {settings[key]}; "
                f"use {recipe.towers.clip}, or --set model.settings.{key}={size}"
            )
    for name in recipe.towers.frozen:
        freeze(encoder.clip_model if name == "clip" else encoder.ast)
    if recipe.train.recompute:
        encoder.recompute()
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe.model.name, encoder=encoder, **settings)
    init_temporal(model, encoder.clip_model.state_dict())
    return model
