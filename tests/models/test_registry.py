"""Registry of models: unique names, the settings of the papers, errors with suggestions."""

from __future__ import annotations

import pytest
from torch import nn

from models.samples import product_models
from seehear.models import build_model
from seehear.models.registry import register
from seehear.models.xpool import XPool, XPoolConfig


def test_models_are_listed_by_name() -> None:
    assert product_models() == (
        "avigate",
        "avma",
        "centerclip",
        "clip4clip.meanp",
        "clip4clip.seqlstm",
        "clip4clip.seqtransf",
        "clip4clip.tighttransf",
        "dstc",
        "dstc.query",
        "eclipse",
        "tefal",
        "tefal.xpool",
        "ts2net",
        "xclip",
        "xpool",
        "xpool.attention",
        "xpool.topk",
    )


def test_registering_a_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'xpool' is registered already"):
        register("xpool", XPoolConfig)(XPool)
    assert isinstance(build_model("xpool", dim=8), XPool)


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(
        ValueError, match=r"no model named 'tefel'; did you mean 'tefal'\? Known: .*xpool"
    ):
        build_model("tefel")
    with pytest.raises(ValueError, match=r"no model named 'q'; Known: avigate, "):
        build_model("q")


def test_unknown_setting_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"'tefal' has no setting 'dims'; did you mean 'dim'\?"):
        build_model("tefal", dims=8)
    with pytest.raises(ValueError, match="no setting 'layers'"):
        build_model("clip4clip.meanp", layers=2)


def test_defaults_are_the_values_of_the_papers() -> None:
    tefal = build_model("tefal")
    assert isinstance(tefal, nn.Module)
    assert tuple(tefal.get_parameter("project.weight").shape) == (512, 768)
    seqtransf = build_model("clip4clip.seqtransf")
    assert tuple(seqtransf.get_parameter("temporal.transformer.position.weight").shape) == (77, 512)
    assert len(seqtransf.get_submodule("temporal.transformer.blocks")._modules) == 4
