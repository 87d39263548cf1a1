"""CLIP and AST as onnxruntime graphs built from their weights, in float32 or int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seehear.encoders.onnx_graph import Graph, TransformerGraph
from seehear.errors import ModelError

ACTIVATIONS = ("gelu", "quick_gelu")  # of config.json's hidden_act
State = Mapping[str, np.ndarray]
_INT32 = 6  # of onnx.TensorProto


@dataclass(frozen=True)
class _Names:
    """Names of the parts of a transformer block in a state dict."""

    norm_1: str
    norm_2: str
    attention: str
    out: str


_CLIP = _Names("layer_norm1", "layer_norm2", "self_attn", "out_proj")
_AST = _Names("layernorm_before", "layernorm_after", "attention", "o_proj")


class _Tower(TransformerGraph):
    """Builder of a pre-norm transformer: x + MHA(LN x), then x + MLP(LN x)."""

    def __init__(self, state: State, *, heads: int, eps: float, names: _Names, quick: bool) -> None:
        super().__init__(state, heads=heads, eps=eps)
        self.names = names
        self.quick = quick  # QuickGELU, x * sigmoid(1.702 x), instead of GELU

    def blocks(self, x: str, prefix: str, width: int, *, bias: str | None = None) -> str:
        layers = 1 + max(
            int(name[len(prefix) :].split(".")[0]) for name in self.state if name.startswith(prefix)
        )
        for layer in range(layers):
            at = f"{prefix}{layer}."
            y = self._attend(self.norm(x, at + self.names.norm_1), at, width, bias)
            x = self.add("Add", x, y)
            y = self.linear(self.norm(x, at + self.names.norm_2), f"{at}mlp.fc1")
            x = self.add("Add", x, self.linear(self._activate(y), f"{at}mlp.fc2"))
        return x

    def _activate(self, x: str) -> str:
        if not self.quick:
            return self.add("Gelu", x)
        gate = self.add("Sigmoid", self.add("Mul", x, np.float32(1.702)))
        return self.add("Mul", x, gate)

    def _attend(self, x: str, at: str, width: int, bias: str | None) -> str:
        part = f"{at}{self.names.attention}."
        query = self.split_heads(self.linear(x, f"{part}q_proj"), width, [0, 2, 1, 3])
        key = self.split_heads(self.linear(x, f"{part}k_proj"), width, [0, 2, 3, 1])
        value = self.split_heads(self.linear(x, f"{part}v_proj"), width, [0, 2, 1, 3])
        scale = np.float32((width // self.heads) ** -0.5)
        logits = self.add("Mul", self.add("MatMul", query, key), scale)
        if bias:
            logits = self.add("Add", logits, bias)
        mixed = self.add("MatMul", self.add("Softmax", logits, axis=-1), value)
        mixed = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = self.add("Reshape", mixed, np.array([0, 0, width]))
        return self.linear(mixed, f"{part}{self.names.out}")

    def patches(self, x: str, name: str, strides: list[int], first: list[np.ndarray]) -> str:
        """Convolve to patch tokens, and put learned tokens before them."""
        bias = self.state.get(f"{name}.bias")
        kernel = self.state[f"{name}.weight"]
        inputs = [x, kernel] if bias is None else [x, kernel, bias]
        y = self.add("Conv", *inputs, strides=strides)
        y = self.add("Reshape", y, np.array([0, kernel.shape[0], -1]))
        y = self.add("Transpose", y, perm=[0, 2, 1])
        batch = self.add("Slice", self.add("Shape", y), np.array([0]), np.array([1]))
        width = np.array([1, kernel.shape[0]])
        shape = self.add("Concat", batch, self.weight(width), axis=0)
        learned = [self.add("Expand", token, shape) for token in first]
        return self.add("Concat", *learned, y, axis=1)


def build_picture_tower(state: State, config: Any, path: Path) -> None:
    """Write CLIP's picture tower: `pixels` [picture 3 side side] -> class tokens [picture dim]."""
    vision = config.vision_config
    width, side, patch = vision.hidden_size, vision.image_size, vision.patch_size
    tower = _tower(state, vision, _CLIP)
    at = "vision_model.embeddings."
    token = state[f"{at}class_embedding"].reshape(1, 1, width)
    x = tower.patches("pixels", f"{at}patch_embedding", [patch, patch], [token])
    x = tower.add("Add", x, state[f"{at}position_embedding.weight"])
    x = tower.norm(x, "vision_model.pre_layrnorm")
    x = tower.blocks(x, "vision_model.encoder.layers.", width)
    x = tower.add("Gather", x, np.array(0), axis=1)
    x = tower.linear(tower.norm(x, "vision_model.post_layernorm"), "visual_projection")
    tower.save(path, {"pixels": (np.float32, ["picture", 3, side, side])}, [x])


def build_text_tower(state: State, config: Any, path: Path) -> None:
    """Write CLIP's text tower: `ids` [1 token] -> [1 dim], read at the first end token."""
    text = config.text_config
    tower = _tower(state, text, _CLIP)
    add, at = tower.add, "text_model.embeddings."
    length = add("Slice", add("Shape", "ids"), np.array([1]), np.array([2]))
    places = add("Slice", state[f"{at}position_embedding.weight"], np.array([0]), length)
    x = add("Add", add("Gather", state[f"{at}token_embedding.weight"], "ids"), places)
    context = text.max_position_embeddings
    later = np.triu(np.full((context, context), -1e9, np.float32), 1)
    both = add("Concat", length, length, axis=0)
    bias = add("Slice", later, np.array([0, 0]), both)
    x = tower.blocks(x, "text_model.encoder.layers.", text.hidden_size, bias=bias)
    end = _first_end(tower, text.eos_token_id)
    x = add("Gather", tower.norm(x, "text_model.final_layer_norm"), end, axis=1)
    x = tower.linear(x, "text_projection")
    tower.save(path, {"ids": (np.int64, [1, "token"])}, [x])


def _first_end(graph: Graph, end: int) -> str:
    """Index at which CLIP reads a sentence: the first end token, or the largest id if `end` is 2.

    Old configs state 2 for every vocabulary; transformers reads them in the same way.
    """
    is_end = "ids" if end == 2 else graph.add("Equal", "ids", np.array(end))
    marks = graph.add("Cast", is_end, to=_INT32)
    return graph.add("Squeeze", graph.add("ArgMax", marks, axis=1))


def build_sound_tower(state: State, config: Any, path: Path) -> None:
    """Write AST: `banks` [sound row mel] -> patch tokens [sound token dim], no class token."""
    tower = _tower(state, config, _AST)
    x = tower.add("Unsqueeze", tower.add("Transpose", "banks", perm=[0, 2, 1]), np.array([1]))
    first = [state["embeddings.cls_token"], state["embeddings.distillation_token"]]
    strides = [config.frequency_stride, config.time_stride]
    x = tower.patches(x, "embeddings.patch_embeddings.projection", strides, first)
    x = tower.add("Add", x, state["embeddings.position_embeddings"])
    x = tower.norm(tower.blocks(x, "layers.", config.hidden_size), "layernorm")
    x = tower.add("Slice", x, np.array([2]), np.array([2**31 - 1]), np.array([1]))
    shape = ["sound", config.max_length, config.num_mel_bins]
    tower.save(path, {"banks": (np.float32, shape)}, [x])


def quantise(path: Path, to: Path) -> None:
    """Write a copy of a graph with int8 matrix products; activations are quantised on the fly.

    Note: benchmarks/towers.py prints the cosines to float32; check quality on trained weights.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(path, to, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])


def _tower(state: State, config: Any, names: _Names) -> _Tower:
    """Start a tower. Raises: ModelError for an activation that graphs do not support."""
    if config.hidden_act not in ACTIVATIONS:
        raise ModelError(
            f"the weights were trained with the activation {config.hidden_act!r} (hidden_act in "
            f"their config.json), but only {' and '.join(ACTIVATIONS)} are supported"
        )
    quick = config.hidden_act == "quick_gelu"
    heads, eps = config.num_attention_heads, config.layer_norm_eps
    return _Tower(state, heads=heads, eps=eps, names=names, quick=quick)
