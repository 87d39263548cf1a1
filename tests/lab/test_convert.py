"""Converted checkpoints of X-Pool and CLIP4Clip against forward passes of the published layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lab.layouts import (
    DIM,
    QUERY_ITEMS,
    batch,
    clip4clip_checkpoint,
    clip4clip_from_layout,
    hf_clip,
    openai_clip,
    xpool_checkpoint,
    xpool_from_its_layout,
)
from seehear.errors import ModelError
from seehear.models import build_model
from seehear.nn.temporal import PositionedTransformer, ResidualBlock
from seehear_lab.convert.clip import clip_from_openai, temporal_from_clip
from seehear_lab.convert.clip4clip import convert_clip4clip
from seehear_lab.convert.xpool import convert_xpool


def test_converted_xpool_gives_the_scores_of_its_layout() -> None:
    checkpoint = xpool_checkpoint()
    converted = convert_xpool(checkpoint)
    assert converted.ignored == (
        "clip.text_model.embeddings.position_ids",
        "clip.vision_model.embeddings.position_ids",
    )
    model = build_model(converted.name, **converted.settings).eval()
    model.load_state_dict(converted.head)
    query, items = QUERY_ITEMS
    whole = batch(items.frames, torch.ones_like(items.frame_mask))
    expected = xpool_from_its_layout(checkpoint["state_dict"], query, items.frames)
    torch.testing.assert_close(model.score(query, whole), expected, atol=1e-6, rtol=0)
    clip = hf_clip(openai_clip())
    clip.load_state_dict(converted.clip)
    torch.testing.assert_close(clip.logit_scale, model.logit_scale)
    assert convert_xpool(checkpoint["state_dict"]).settings == {"dim": DIM, "heads": 1}


@pytest.mark.parametrize("variant", ["meanp", "seqlstm", "seqtransf", "tighttransf"])
def test_converted_clip4clip_gives_the_scores_of_its_layout(variant: str) -> None:
    state = clip4clip_checkpoint(variant)
    converted = convert_clip4clip(state)
    assert converted.name == f"clip4clip.{variant}"
    unused = ("frame_position_embeddings.weight",) if variant == "seqlstm" else ()
    sizes = ("clip.context_length", "clip.input_resolution", "clip.vocab_size")
    assert converted.ignored == (*sizes, *unused)
    model = build_model(converted.name, **converted.settings).eval()
    model.load_state_dict(converted.head)
    query, items = QUERY_ITEMS
    expected = clip4clip_from_layout(state, variant, query, items)
    torch.testing.assert_close(model.score(query, items), expected, atol=5e-6, rtol=0)
    hf_clip(openai_clip()).load_state_dict(converted.clip)
    assert {value.dtype for value in converted.clip.values()} == {torch.float32}


def test_missing_and_unused_keys_are_named() -> None:
    checkpoint = xpool_checkpoint()
    state = checkpoint["state_dict"]
    state["pool_frames.layer_norm9.bias"] = state.pop("pool_frames.layer_norm3.bias")
    with pytest.raises(
        ModelError,
        match=r"not a checkpoint of X-Pool: 1 key \(pool_frames.layer_norm3.bias\) missing and "
        r"1 key \(pool_frames.layer_norm9.bias\) unused",
    ):
        convert_xpool(checkpoint)
    broken = clip4clip_checkpoint("seqtransf")
    del broken["transformerClip.resblocks.1.ln_2.weight"]
    with pytest.raises(ModelError, match=r"clip4clip.seqtransf: 1 key .*ln_2.weight\) missing"):
        convert_clip4clip(broken)
    broken = clip4clip_checkpoint("meanp")
    del broken["clip.visual.proj"]
    with pytest.raises(ModelError, match=r"checkpoint of CLIP: 1 key \(visual.proj\) missing"):
        convert_clip4clip(broken)
    with pytest.raises(ModelError, match=r"14 keys .* and 9 more\) missing"):
        convert_clip4clip({})


def test_openai_names_give_the_same_clip(shared_data: Path) -> None:
    path = shared_data / "parity" / "clip_openai.npz"
    if not path.is_file():
        pytest.skip(f"no golden vectors in {path}; set SEEHEAR_TEST_DATA to their folder")
    with np.load(path) as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    state = {key.removeprefix("w/"): value for key, value in arrays.items() if key[:2] == "w/"}
    model = hf_clip(state, heads=(1, 4))
    model.load_state_dict(clip_from_openai(state))
    with torch.no_grad():
        text = model.get_text_features(arrays["in/input_ids"]).pooler_output
        image = model.get_image_features(arrays["in/pixel_values"]).pooler_output
    torch.testing.assert_close(text, arrays["out/text_features"], atol=1e-5, rtol=0)
    torch.testing.assert_close(image, arrays["out/image_features"], atol=1e-5, rtol=0)


def test_blocks_copied_from_a_text_tower_equal_it() -> None:
    torch.manual_seed(2)
    clip = hf_clip(openai_clip(), heads=(1, 4))
    clip.load_state_dict(clip_from_openai(openai_clip()))
    transformer = PositionedTransformer(DIM, layers=4, heads=4, positions=9)
    transformer.load_state_dict(temporal_from_clip(clip.state_dict()))
    assert isinstance(transformer.blocks[0], ResidualBlock)
    x, everything = torch.randn(2, 6, DIM), torch.ones(2, 6, dtype=torch.bool)
    ours = transformer(x, everything)
    theirs = x + clip.text_model.embeddings.position_embedding.weight[:6]
    for layer in clip.text_model.encoder.layers[:4]:
        theirs = layer(theirs, None)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
