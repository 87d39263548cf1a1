"""Checkpoints generated in the published layouts, against forwards written from those layouts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from seehear.errors import ModelError
from seehear.models import build_model
from seehear.nn.temporal import PositionedTransformer, ResidualBlock
from seehear.nn.tokens import TokenBatch
from seehear_lab.convert.clip import clip_from_openai, temporal_from_clip
from seehear_lab.convert.clip4clip import convert_clip4clip
from seehear_lab.convert.xpool import convert_xpool

DIM = 64
State = dict[str, Tensor]


def shapes(**named: tuple[int, ...]) -> State:
    return {name: 0.2 * torch.randn(shape) for name, shape in named.items()}


def affine(name: str, rows: int, columns: int | None = None) -> State:
    weight = torch.randn(rows, columns) / math.sqrt(columns) if columns else torch.randn(rows)
    return {f"{name}.weight": weight, f"{name}.bias": 0.1 * torch.randn(rows)}


def openai_block(name: str, dim: int) -> State:
    packed = {
        f"{name}.attn.in_proj_weight": torch.randn(3 * dim, dim) / math.sqrt(dim),
        f"{name}.attn.in_proj_bias": 0.1 * torch.randn(3 * dim),
    }
    parts = [affine(f"{name}.attn.out_proj", dim, dim), affine(f"{name}.ln_1", dim)]
    parts += [affine(f"{name}.mlp.c_fc", 4 * dim, dim), affine(f"{name}.mlp.c_proj", dim, 4 * dim)]
    for part in (*parts, affine(f"{name}.ln_2", dim)):
        packed |= part
    return packed


def openai_clip(*, vision: int = 48, text: int = DIM) -> State:
    """A CLIP of two vision layers and five text layers, in OpenAI's layout."""
    state = shapes(
        **{"visual.conv1.weight": (vision, 3, 8, 8), "visual.class_embedding": (vision,)},
        **{"visual.positional_embedding": (5, vision), "visual.proj": (vision, DIM)},
        **{"token_embedding.weight": (30, text), "positional_embedding": (9, text)},
        **{"text_projection": (text, DIM)},
    )
    state |= affine("visual.ln_pre", vision) | affine("visual.ln_post", vision)
    state |= affine("ln_final", text) | {"logit_scale": torch.tensor(2.5)}
    for layer in range(2):
        state |= openai_block(f"visual.transformer.resblocks.{layer}", vision)
    for layer in range(5):
        state |= openai_block(f"transformer.resblocks.{layer}", text)
    return state


def hf_clip(state: State, *, heads: tuple[int, int] = (1, 1)) -> CLIPModel:
    """An empty CLIPModel of the sizes of an OpenAI-style state; `heads` of vision and text."""

    def tower(prefix: str, width: int, head: int) -> dict[str, Any]:
        layers = {key.split("resblocks.")[1].split(".")[0] for key in state if prefix in key[:29]}
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": len(layers),
            "num_attention_heads": head,
        }

    conv, words = state["visual.conv1.weight"], state["token_embedding.weight"]
    side = math.isqrt(len(state["visual.positional_embedding"]) - 1) * conv.shape[-1]
    textual = {key: value for key, value in state.items() if not key.startswith("visual")}
    text_layers = {key.split(".")[2] for key in textual if key.startswith("transformer.")}
    vision = tower("visual.transformer.resblocks", len(conv), heads[0])
    text = {
        "hidden_size": words.shape[1],
        "intermediate_size": 4 * words.shape[1],
        "num_hidden_layers": len(text_layers),
        "num_attention_heads": heads[1],
        "vocab_size": len(words),
        "max_position_embeddings": len(state["positional_embedding"]),
        "eos_token_id": 2,  # the sentence is read where the id is highest
    }
    size = {"image_size": side, "patch_size": conv.shape[-1]}
    config = CLIPConfig(
        vision_config=vision | size,
        text_config=text,
        projection_dim=state["visual.proj"].shape[1],
    )
    return CLIPModel(config).eval()


def batch(frames: Tensor, mask: Tensor) -> TokenBatch:
    nothing = torch.zeros(len(frames), 0, 4)
    return TokenBatch(
        frames=frames, frame_mask=mask, audio=nothing, audio_mask=torch.zeros(len(frames), 0) > 0
    )


QUERY_ITEMS = (
    torch.randn(3, DIM, generator=torch.Generator().manual_seed(5)),
    batch(
        torch.randn(2, 4, DIM, generator=torch.Generator().manual_seed(6)),
        torch.tensor([[True, True, True, True], [True, True, False, False]]),
    ),
)


def xpool_checkpoint() -> dict[str, Any]:
    torch.manual_seed(0)
    clip = hf_clip(openai_clip()).state_dict()
    state = {f"clip.{name}": value for name, value in clip.items()}
    for tower in ("text", "vision"):  # buffers of older versions of transformers
        state[f"clip.{tower}_model.embeddings.position_ids"] = torch.arange(9)[None]
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        state |= affine(f"pool_frames.cross_attn.{name}", DIM, DIM)
    state |= affine("pool_frames.linear_proj", DIM, DIM)
    for number in (1, 2, 3):
        state |= affine(f"pool_frames.layer_norm{number}", DIM)
    return {"epoch": 3, "state_dict": state, "optimizer": {}}


def xpool_from_its_layout(state: State, text: Tensor, frames: Tensor) -> Tensor:
    """cos(t, out[v, t]) by the published names, without masks."""
    w = {key.removeprefix("pool_frames."): value for key, value in state.items()}

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(number: int, x: Tensor) -> Tensor:
        name = f"layer_norm{number}"
        return F.layer_norm(x, (DIM,), w[f"{name}.weight"], w[f"{name}.bias"])

    q = linear("cross_attn.q_proj", norm(1, text))
    k = linear("cross_attn.k_proj", norm(1, frames))
    v = linear("cross_attn.v_proj", norm(1, frames))
    attention = (k @ q.T / math.sqrt(DIM)).softmax(dim=1)  # [video frame text]
    o = norm(2, linear("cross_attn.out_proj", attention.transpose(1, 2) @ v))
    pooled = norm(3, o + linear("linear_proj", o))
    return F.cosine_similarity(text[None], pooled, dim=-1).T


def test_an_xpool_checkpoint_scores_as_its_layout_says() -> None:
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


def clip4clip_checkpoint(variant: str) -> State:
    torch.manual_seed(1)
    state = {f"clip.{name}": value.half() for name, value in openai_clip().items()}
    state |= {f"clip.{name}": torch.tensor(9) for name in ("input_resolution", "context_length")}
    state["clip.vocab_size"] = torch.tensor(30)
    if variant == "seqlstm":
        state |= shapes(
            **{"lstm_visual.weight_ih_l0": (4 * DIM, DIM), "lstm_visual.bias_ih_l0": (4 * DIM,)},
            **{"lstm_visual.weight_hh_l0": (4 * DIM, DIM), "lstm_visual.bias_hh_l0": (4 * DIM,)},
        )
    if variant in ("seqlstm", "seqtransf"):
        state["frame_position_embeddings.weight"] = torch.randn(9, DIM)
    if variant == "tighttransf":
        state["cross.embeddings.position_embeddings.weight"] = torch.randn(9, DIM)
        state |= affine("cross.pooler.ln_pool", DIM) | affine("cross.pooler.dense", DIM, DIM)
        state |= affine("similarity_dense", 1, DIM)
    stem = {"seqtransf": "transformerClip", "tighttransf": "cross.transformer"}.get(variant)
    for layer in range(3 if stem else 0):
        state |= openai_block(f"{stem}.resblocks.{layer}", DIM)
    return state


def blocks_from_their_layout(state: State, stem: str, x: Tensor, mask: Tensor) -> Tensor:
    """Pre-norm blocks through torch's own multi-head attention; x is [item token dim]."""
    for layer in range(3):
        w = {key.removeprefix(f"{stem}.resblocks.{layer}."): value for key, value in state.items()}
        normal = F.layer_norm(x, (DIM,), w["ln_1.weight"], w["ln_1.bias"], 1e-12).transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            *(normal, normal, normal, DIM, DIM // 64, w["attn.in_proj_weight"]),
            *(w["attn.in_proj_bias"], None, None, False, 0.0, w["attn.out_proj.weight"]),
            w["attn.out_proj.bias"],
            key_padding_mask=~mask,
        )
        x = x + attended.transpose(0, 1)
        normal = F.layer_norm(x, (DIM,), w["ln_2.weight"], w["ln_2.bias"], 1e-12)
        wide = normal @ w["mlp.c_fc.weight"].T + w["mlp.c_fc.bias"]
        wide = wide * torch.sigmoid(1.702 * wide)
        x = x + wide @ w["mlp.c_proj.weight"].T + w["mlp.c_proj.bias"]
    return x


def mean_cosine(text: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
    unit = frames / frames.norm(dim=-1, keepdim=True) * mask[..., None]
    return F.cosine_similarity(text[:, None], unit.sum(1) / mask.sum(1, keepdim=True), dim=-1)


def clip4clip_from_layout(state: State, variant: str, text: Tensor, items: TokenBatch) -> Tensor:
    frames, mask = items.frames, items.frame_mask
    if variant == "seqlstm":
        lstm = torch.nn.LSTM(DIM, DIM, batch_first=True)
        names = {key: key.removeprefix("lstm_visual.") for key in state if "lstm" in key}
        lstm.load_state_dict({new: state[old] for old, new in names.items()})
        packed = torch.nn.utils.rnn.pack_padded_sequence(frames, mask.sum(1), batch_first=True)
        frames = frames + torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], True)[0]
    if variant == "seqtransf":
        placed = frames + state["frame_position_embeddings.weight"][: frames.shape[1]]
        frames = frames + blocks_from_their_layout(state, "transformerClip", placed, mask)
    if variant != "tighttransf":
        return mean_cosine(text, frames, mask)
    rows: list[Tensor] = []
    positions = state["cross.embeddings.position_embeddings.weight"]
    for one in text:
        sequence = torch.cat([one.expand(len(frames), 1, -1), frames], dim=1)
        sequence = sequence + positions[: sequence.shape[1]]
        present = torch.cat([torch.ones(len(mask), 1) > 0, mask], dim=1)
        first = blocks_from_their_layout(state, "cross.transformer", sequence, present)[:, 0]
        pool = {key.removeprefix("cross.pooler."): value for key, value in state.items()}
        normal = F.layer_norm(first, (DIM,), pool["ln_pool.weight"], pool["ln_pool.bias"], 1e-12)
        dense = normal @ pool["dense.weight"].T + pool["dense.bias"]
        dense = dense * torch.sigmoid(1.702 * dense)
        score = dense @ state["similarity_dense.weight"].T + state["similarity_dense.bias"]
        rows.append(score[:, 0])
    return torch.stack(rows)


@pytest.mark.parametrize("variant", ["meanp", "seqlstm", "seqtransf", "tighttransf"])
def test_a_clip4clip_checkpoint_scores_as_its_layout_says(variant: str) -> None:
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


def test_what_is_missing_and_unused_is_named() -> None:
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


def test_blocks_copied_from_a_text_tower_do_what_it_does() -> None:
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
