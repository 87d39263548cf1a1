"""EfficientNet-Lite2: pictures -> probabilities of the 1000 ImageNet classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from seehear.encoders.onnx_graph import Graph

SIDE_PX = 260
_STRIDE_2_BLOCKS = (1, 4, 7, 15)
_BATCH_NORM_EPS = 1e-3


def build_graph(state: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the network as ONNX from its published state dict, with batch norms folded in.

    Input `pictures` [picture 3 260 260], output class probabilities [picture 1000].

    Source: EfficientNet (Tan and Le, 2019) in its Lite form: no squeeze-excitation, ReLU6, stem
    and head not scaled; depth 1.2, width 1.1. Padding is TensorFlow's SAME.
    """
    graph = Graph()

    def conv(x: str, name: str, norm: str, *, stride: int = 1, clip: bool = True) -> str:
        kernel = state[f"{name}.weight"]
        gain = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPS)
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
        is_depthwise = kernel.shape[1] == 1
        y = graph.add(
            "Conv",
            x,
            (kernel * gain[:, None, None, None]).astype(np.float32),
            bias.astype(np.float32),
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
            group=len(kernel) if is_depthwise else 1,
        )
        return graph.add("Clip", y, np.float32(0), np.float32(6)) if clip else y

    x = conv("pictures", "_conv_stem", "_bn0", stride=2)
    blocks = sum(name.endswith("_project_conv.weight") for name in state)
    for block in range(blocks):
        at, stride = f"_blocks.{block}.", 2 if block in _STRIDE_2_BLOCKS else 1
        y = x
        if f"{at}_expand_conv.weight" in state:
            y = conv(y, f"{at}_expand_conv", f"{at}_bn0")
        y = conv(y, f"{at}_depthwise_conv", f"{at}_bn1", stride=stride)
        y = conv(y, f"{at}_project_conv", f"{at}_bn2", clip=False)
        first = "_expand_conv" if f"{at}_expand_conv.weight" in state else "_depthwise_conv"
        channels_in = state[f"{at}{first}.weight"].shape[first == "_expand_conv"]
        is_residual = stride == 1 and channels_in == len(state[f"{at}_project_conv.weight"])
        x = graph.add("Add", x, y) if is_residual else y
    x = conv(x, "_conv_head", "_bn1")
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = graph.add("Gemm", x, state["_fc.weight"], state["_fc.bias"], transB=1)
    x = graph.add("Softmax", x, axis=-1)
    graph.save(path, {"pictures": (np.float32, ["picture", 3, SIDE_PX, SIDE_PX])}, [x])


def preprocess(
    frames: UInt8[np.ndarray, "frame height width 3"],
) -> Float32[np.ndarray, "frame 3 260 260"]:
    """Crop the centre of frames whose shorter side is 260 px, and scale: (x - 127) / 128."""
    top = (frames.shape[1] - SIDE_PX) // 2
    left = (frames.shape[2] - SIDE_PX) // 2
    crop = frames[:, top : top + SIDE_PX, left : left + SIDE_PX]
    return np.ascontiguousarray(((crop.astype(np.float32) - 127.0) / 128.0).transpose(0, 3, 1, 2))
