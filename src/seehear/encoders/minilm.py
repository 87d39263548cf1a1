"""all-MiniLM-L6-v2: sentences -> unit vectors of 384 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from seehear.encoders.onnx_graph import Graph, session

DIM, _LAYERS, _HEADS, _MAX_TOKENS = 384, 6, 12, 64


def build_graph(weights: Path, path: Path) -> None:
    """Write the encoder as ONNX from its safetensors file.

    Inputs `ids` and `mask` [text token], output hidden states [text token 384].

    Source: BERT (Devlin et al., 2019) as post-norm transformer, exact GELU, LayerNorm eps 1e-12.
    """
    from safetensors.numpy import load_file

    state = load_file(weights)
    graph = Graph()

    def linear(x: str, name: str) -> str:
        product = graph.add("MatMul", x, state[f"{name}.weight"].T)
        return graph.add("Add", product, state[f"{name}.bias"])

    def norm(x: str, name: str) -> str:
        gain, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return graph.add("LayerNormalization", x, gain, bias, axis=-1, epsilon=1e-12)

    def heads(x: str, *, perm: list[int]) -> str:
        split = graph.add("Reshape", x, np.array([0, 0, _HEADS, DIM // _HEADS]))
        return graph.add("Transpose", split, perm=perm)

    words = graph.add("Gather", state["embeddings.word_embeddings.weight"], "ids")
    length = graph.add("Slice", graph.add("Shape", "ids"), np.array([1]), np.array([2]))
    places = graph.add(
        "Slice", state["embeddings.position_embeddings.weight"], np.array([0]), length
    )
    x = graph.add("Add", words, places)
    x = graph.add("Add", x, state["embeddings.token_type_embeddings.weight"][0])
    x = norm(x, "embeddings.LayerNorm")
    absent = graph.add("Sub", np.float32(1), graph.add("Cast", "mask", to=1))
    absent = graph.add("Unsqueeze", absent, np.array([1, 2]))
    bias = graph.add("Mul", absent, np.float32(-1e9))
    for layer in range(_LAYERS):
        at = f"encoder.layer.{layer}."
        query = heads(linear(x, f"{at}attention.self.query"), perm=[0, 2, 1, 3])
        key = heads(linear(x, f"{at}attention.self.key"), perm=[0, 2, 3, 1])
        value = heads(linear(x, f"{at}attention.self.value"), perm=[0, 2, 1, 3])
        logits = graph.add("MatMul", query, key)
        logits = graph.add("Div", logits, np.float32(np.sqrt(DIM // _HEADS)))
        weights_ = graph.add("Softmax", graph.add("Add", logits, bias), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", weights_, value), perm=[0, 2, 1, 3])
        mixed = linear(
            graph.add("Reshape", mixed, np.array([0, 0, DIM])), f"{at}attention.output.dense"
        )
        x = norm(graph.add("Add", x, mixed), f"{at}attention.output.LayerNorm")
        inner = graph.add("Gelu", linear(x, f"{at}intermediate.dense"))
        x = norm(graph.add("Add", x, linear(inner, f"{at}output.dense")), f"{at}output.LayerNorm")
    free: list[str | int] = ["text", "token"]
    graph.save(path, {"ids": (np.int64, free), "mask": (np.int64, free)}, [x])


class SentenceEncoder:
    """Mean of the hidden states over the mask, unit length; at most 64 tokens are read."""

    def __init__(self, graph: Path, tokenizer: Path) -> None:
        from tokenizers import Tokenizer

        self._session = session(graph)
        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def encode(self, texts: Sequence[str], *, batch: int = 64) -> Float32[np.ndarray, "text 384"]:
        """One unit vector a text."""
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
