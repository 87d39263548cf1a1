"""Build inference graphs from numpy arrays, and run them with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seehear.errors import ModelError, shorten


class Graph:
    """An ONNX graph under construction: `add` appends an operator and returns its output name."""

    def __init__(self, opset: int = 20) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, array: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def add(self, op: str, *inputs: str | np.ndarray | np.generic, **attributes: Any) -> str:
        from onnx import helper

        names = [x if isinstance(x, str) else self.weight(x) for x in inputs]
        output = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [output], **attributes))
        return output

    def save(
        self, path: Path, inputs: dict[str, tuple[type, list[str | int]]], outputs: list[str]
    ) -> None:
        """Write the graph; `inputs` maps names to (numpy type, shape with names for free axes)."""
        import onnx
        from onnx import helper

        graph = helper.make_graph(
            self.nodes,
            "seehear",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape
                )
                for name, (kind, shape) in inputs.items()
            ],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10
        )
        onnx.save(model, str(path))


class TransformerGraph(Graph):
    """A graph with the layers of a transformer, whose weights come from a state dict."""

    def __init__(self, state: Mapping[str, np.ndarray], *, heads: int, eps: float) -> None:
        super().__init__()
        self.state, self.heads, self.eps = state, heads, eps

    def linear(self, x: str, name: str) -> str:
        product = self.add("MatMul", x, self.state[f"{name}.weight"].T)
        bias = self.state.get(f"{name}.bias")
        return product if bias is None else self.add("Add", product, bias)

    def norm(self, x: str, name: str) -> str:
        gain, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return self.add("LayerNormalization", x, gain, bias, axis=-1, epsilon=float(self.eps))

    def split_heads(self, x: str, width: int, perm: list[int]) -> str:
        shape = np.array([0, 0, self.heads, width // self.heads])
        return self.add("Transpose", self.add("Reshape", x, shape), perm=perm)


def session(path: Path, *, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU, with one thread by default: callers run in parallel.

    Raises: ModelError if the file is damaged.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelError(f"{path} is damaged ({shorten(error)}); fetch it again") from error
