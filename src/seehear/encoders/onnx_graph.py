"""Build inference graphs from numpy arrays, and run them with onnxruntime."""

from __future__ import annotations

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
