"""Retrieval models, one file per paper; build one by name with `build_model("tefal")`."""

from seehear.models import (
    avigate,
    avma,
    centerclip,
    clip4clip,
    dstc,
    eclipse,
    tefal,
    ts2net,
    xclip,
    xpool,
)
from seehear.models.base import Encoder, RetrievalModel
from seehear.models.registry import build_model, list_models

__all__ = [
    "Encoder",
    "RetrievalModel",
    "avigate",
    "avma",
    "build_model",
    "centerclip",
    "clip4clip",
    "dstc",
    "eclipse",
    "list_models",
    "tefal",
    "ts2net",
    "xclip",
    "xpool",
]
