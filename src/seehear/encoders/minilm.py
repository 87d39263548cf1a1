"""all-MiniLM-L6-v2: sentences -> unit vectors of 384 dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from seehear.encoders.onnx_graph import TransformerGraph, session

DIM, _LAYERS, _HEADS, _MAX_TOKENS = 384, 6, 12, 64


def build_graph(weights: Path, path: Path) -> None:
    """Write the encoder as ONNX from its safetensors file.

    Inputs `ids` and `mask` [text token], output hidden states [text token 384].

    Source: BERT (Devlin et al., 2019) as post-norm transformer, exact GELU, LayerNorm eps 1e-12.
    """
    from safetensors.numpy import load_file

    bert = _Bert(load_file(weights), heads=_HEADS, eps=1e-12)
    x, bias = bert.embed(), bert.attention_bias()
    for layer in range(_LAYERS):
        x = bert.encode(x, bias, f"encoder.layer.{layer}.")
    free: list[str | int] = ["text", "token"]
    bert.save(path, {"ids": (np.int64, free), "mask": (np.int64, free)}, [x])


class _Bert(TransformerGraph):
    """Builder of a post-norm transformer: LN(x + MHA(x)), then LN(x + MLP(x))."""

    def embed(self) -> str:
        add, state = self.add, self.state
        words = add("Gather", state["embeddings.word_embeddings.weight"], "ids")
        length = add("Slice", add("Shape", "ids"), np.array([1]), np.array([2]))
        table = state["embeddings.position_embeddings.weight"]
        x = add("Add", words, add("Slice", table, np.array([0]), length))
        x = add("Add", x, state["embeddings.token_type_embeddings.weight"][0])
        return self.norm(x, "embeddings.LayerNorm")

    def attention_bias(self) -> str:
        add = self.add
        absent = add("Sub", np.float32(1), add("Cast", "mask", to=1))
        return add("Mul", add("Unsqueeze", absent, np.array([1, 2])), np.float32(-1e9))

    def encode(self, x: str, bias: str, layer: str) -> str:
        add, mixed = self.add, self._attend(x, bias, f"{layer}attention.")
        x = self.norm(add("Add", x, mixed), f"{layer}attention.output.LayerNorm")
        inner = add("Gelu", self.linear(x, f"{layer}intermediate.dense"))
        inner = self.linear(inner, f"{layer}output.dense")
        return self.norm(add("Add", x, inner), f"{layer}output.LayerNorm")

    def _attend(self, x: str, bias: str, part: str) -> str:
        add = self.add
        query = self.split_heads(self.linear(x, f"{part}self.query"), DIM, [0, 2, 1, 3])
        key = self.split_heads(self.linear(x, f"{part}self.key"), DIM, [0, 2, 3, 1])
        value = self.split_heads(self.linear(x, f"{part}self.value"), DIM, [0, 2, 1, 3])
        logits = add("Div", add("MatMul", query, key), np.float32(np.sqrt(DIM // _HEADS)))
        weights = add("Softmax", add("Add", logits, bias), axis=-1)
        mixed = add("Transpose", add("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.linear(add("Reshape", mixed, np.array([0, 0, DIM])), f"{part}output.dense")


class SentenceEncoder:
    """Encodes sentences as the unit-length mean of their hidden states, from 64 tokens at most."""

    def __init__(self, graph: Path, tokenizer: Path) -> None:
        from tokenizers import Tokenizer

        self._session = session(graph)
        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def encode(self, texts: Sequence[str], *, batch: int = 64) -> Float32[np.ndarray, "text 384"]:
        """One unit vector per text."""
        return np.concatenate(
            [self._encode(texts[at : at + batch]) for at in range(0, len(texts), batch)]
        )

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        ids = np.array([e.ids for e in encoded], np.int64)
        hidden = self._session.run(None, {"ids": ids, "mask": mask})[0]
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
