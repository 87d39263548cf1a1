"""YAMNet: waveform -> presence of the 521 AudioSet classes, every 0.48 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from seehear.encoders.filterbank import mel_filters

SAMPLE_RATE_HZ = 16000
PATCH_S, PATCH_SHIFT_S = 0.96, 0.48
_WINDOW, _SHIFT, _FFT, _MELS = 400, 160, 512, 64
_PATCH_FRAMES, _PATCH_SHIFT_FRAMES = 96, 48
_LOG_OFFSET = 0.001


def build_graph(quantised: Path, path: Path) -> None:
    """Rewrite the published w8a8 graph in float32 with a free batch axis.

    The published file has float32 weights and quantises inside the graph. Without these steps
    logits are finer than the published steps of 0.757, and patches can be batched.
    Input `patches` [patch 1 96 64], output logits [patch 521].
    """
    import onnx

    model = onnx.load(str(quantised))
    graph = model.graph
    source = {graph.input[0].name: "patches"}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            source[node.output[0]] = source.get(node.input[0], node.input[0])
        elif node.op_type == "Reshape":
            pooled = source.get(node.input[0], node.input[0])
            kept.append(onnx.helper.make_node("Flatten", [pooled], list(node.output)))
        else:
            inputs = [source.get(name, name) for name in node.input]
            del node.input[:]
            node.input.extend(inputs)
            kept.append(node)
    used = {name for node in kept for name in node.input}
    rewritten = onnx.helper.make_graph(
        kept,
        "yamnet",
        [onnx.helper.make_tensor_value_info("patches", 1, ["patch", 1, _PATCH_FRAMES, _MELS])],
        [onnx.helper.make_tensor_value_info(kept[-1].output[0], 1, ["patch", 521])],
        [weight for weight in graph.initializer if weight.name in used],
    )
    onnx.save(
        onnx.helper.make_model(rewritten, opset_imports=model.opset_import, ir_version=10),
        str(path),
    )


def log_mel_patches(
    waveform: Float32[np.ndarray, " sample"],
) -> Float32[np.ndarray, "patch 1 96 64"]:
    """ln(mel + 0.001) of the magnitude spectrum in patches of 0.96 s, one every 0.48 s.

    Periodic Hann window of 25 ms every 10 ms. Sound shorter than one patch is padded with zeros;
    a remainder shorter than 0.48 s is dropped.

    Note: the offset is 0.001 (the network was quantised with -ln 0.001 as its zero), not 1e-6.
    """
    shortest = _WINDOW + (_PATCH_FRAMES - 1) * _SHIFT
    samples = np.pad(waveform, (0, max(0, shortest - len(waveform))))
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_SHIFT]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)
    magnitude = np.abs(np.fft.rfft(windows * hann, _FFT, axis=1))
    filters = mel_filters(
        _MELS, sample_rate_hz=SAMPLE_RATE_HZ, fft=_FFT, low_hz=125.0, high_hz=7500.0
    )
    log_mel = np.log(magnitude @ filters + _LOG_OFFSET).astype(np.float32)
    starts = range(0, len(log_mel) - _PATCH_FRAMES + 1, _PATCH_SHIFT_FRAMES)
    return np.stack([log_mel[s : s + _PATCH_FRAMES] for s in starts])[:, None]
