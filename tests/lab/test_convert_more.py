"""Checkpoints of the papers after CLIP4Clip: strictly into a model on a tower of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lab.layouts import (
    DIM,
    State,
    eclipse_checkpoint,
    hf_clip,
    openai_clip,
    ts2net_checkpoint,
    xclip_checkpoint,
)
from seehear.encoders.clip_frames import ClipEncoder
from seehear.errors import ModelError
from seehear.models import RetrievalModel, build_model
from seehear.models.eclipse import ListeningEncoder
from seehear.models.ts2net import ShiftingEncoder
from seehear.models.xclip import WordsEncoder
from seehear_lab.convert.eclipse import convert_eclipse
from seehear_lab.convert.keys import Converted
from seehear_lab.convert.ts2net import convert_ts2net
from seehear_lab.convert.xclip import convert_xclip

SIZES = ("clip.context_length", "clip.input_resolution", "clip.vocab_size")
Case = tuple[Callable[[], State], Callable[[State], Converted], type[ClipEncoder], str]
CASES: dict[str, Case] = {
    "ts2net": (
        ts2net_checkpoint,
        convert_ts2net,
        ShiftingEncoder,
        "visual_token_selector.score_predictor.out_conv.2.weight",
    ),
    "eclipse": (
        eclipse_checkpoint,
        convert_eclipse,
        ListeningEncoder,
        "clip.visual.transformer.resblocks.1.vis_audio_fc.bias",
    ),
    "xclip": (xclip_checkpoint, convert_xclip, WordsEncoder, "frame_mat_weight2"),
}
every_paper = pytest.mark.parametrize("paper", list(CASES))


def loaded(converted: Converted, encoder: type[ClipEncoder]) -> RetrievalModel:
    """The whole model, tower included, every key used."""
    model = build_model(
        converted.name, encoder=encoder(hf_clip(openai_clip())), **converted.settings
    )
    tower = {f"encoder.clip.{name}": value for name, value in converted.clip.items()}
    model.load_state_dict(converted.head | tower)
    return model.eval()


@every_paper
def test_every_key_has_its_place(paper: str) -> None:
    checkpoint, convert, encoder, _ = CASES[paper]
    converted = convert(checkpoint())
    assert converted.name == paper
    model = loaded(converted, encoder)
    values = {key: value.float() for key, value in checkpoint().items()}
    kept = [value for key, value in values.items() if key not in converted.ignored]
    assert sum(value.numel() for value in kept) + 1 == sum(  # the scale is ours and CLIP's
        value.numel() for value in model.state_dict().values()
    )
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@every_paper
def test_what_is_missing_and_unused_is_named(paper: str) -> None:
    checkpoint, convert, _, key = CASES[paper]
    broken = checkpoint()
    broken["something.else"] = broken.pop(key)
    with pytest.raises(ModelError, match=rf"1 key \({key}\) missing and 1 key \(something.else\)"):
        convert(broken)


def test_ts2net_leaves_out_what_is_never_called_and_can_keep_the_mask_bug() -> None:
    converted = convert_ts2net(ts2net_checkpoint())
    assert converted.ignored == (
        *SIZES,
        "text_token_selector.score_predictor.in_conv.0.weight",
        "visual_prompt_encoder.embedding.weight",
    )
    settings: dict[str, Any] = {"dim": DIM, "patches": 4, "layers": 3, "heads": 1, "positions": 77}
    assert converted.settings == settings
    wrong = convert_ts2net(ts2net_checkpoint(), compat_mask_bug=True)
    assert wrong.name == "ts2net.tiledmask"
    build_model(wrong.name, **wrong.settings).load_state_dict(wrong.head)
