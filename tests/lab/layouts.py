"""Checkpoints of X-Pool and CLIP4Clip with random weights, and forward passes of their layouts."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from seehear.nn.tokens import TokenBatch

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
