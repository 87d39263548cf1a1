"""The towers of clip-ast on this processor: torch, onnxruntime float32, onnxruntime int8.

CLIP ViT-B/32 on 12 frames, its text tower on a sentence of 12 tokens, AST-base on 1024 x 128;
random weights of the published sizes, so cosines say how close the arithmetic is and nothing about
quality. Interleaved, one thread, best of the rounds; torch eager is the baseline.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import ASTConfig, ASTModel, CLIPConfig, CLIPModel

from _report import arguments, report
from seehear.encoders import onnx_towers
from seehear.encoders.onnx_graph import session


def towers(layers: int) -> dict[str, tuple[torch.nn.Module, Callable, Callable, str, np.ndarray]]:
    """Name -> (module, torch call, graph builder, input name, input)."""
    torch.manual_seed(0)
    clip = CLIPModel(
        CLIPConfig(
            vision_config={"num_hidden_layers": layers, "hidden_act": "quick_gelu"},
            text_config={"num_hidden_layers": layers, "hidden_act": "quick_gelu"},
            projection_dim=512,
        )
    ).eval()
    ast = ASTModel(ASTConfig(num_hidden_layers=layers)).eval()
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(12, 3, 224, 224)).astype(np.float32)
    ids = np.array([[49406, *rng.integers(0, 49000, 10), 49407]])
    banks = rng.normal(size=(1, 1024, 128)).astype(np.float32)

    def text(x: torch.Tensor) -> torch.Tensor:
        return clip.get_text_features(input_ids=x).pooler_output

    return {
        "pictures": (
            clip,
            lambda x: clip.get_image_features(pixel_values=x).pooler_output,
            onnx_towers.build_picture_tower,
            "pixels",
            pixels,
        ),
        "text": (clip, text, onnx_towers.build_text_tower, "ids", ids),
        "sound": (
            ast,
            lambda x: ast(input_values=x).last_hidden_state[:, 2:],
            onnx_towers.build_sound_tower,
            "banks",
            banks,
        ),
    }


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def main() -> int:
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    layers, rounds = (3, 2) if options.quick else (12, 3)
    rows: list[tuple[str, float, str]] = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for name, (module, call, build, key, value) in towers(layers).items():
            state = {k: v.detach().numpy() for k, v in module.state_dict().items()}
            paths = [Path(folder) / f"{name}{kind}.onnx" for kind in ("", "-int8")]
            build(state, module.config, paths[0])
            onnx_towers.quantise(*paths)
            runs = {"torch": lambda call=call, value=value: call(torch.from_numpy(value)).numpy()}
            for label, path in zip(("float32", "int8"), paths, strict=True):
                opened = session(path)
                runs[label] = lambda s=opened, k=key, v=value: s.run(None, {k: v})[0]
            best, out = dict.fromkeys(runs, np.inf), {}
            for _ in range(rounds + 1):  # the first round warms up
                for label, run in runs.items():
                    begun = time.perf_counter()
                    out[label] = run()
                    best[label] = min(best[label], time.perf_counter() - begun)
            rows.append((f"{name}, torch", 1000 * best["torch"], "ms"))
            for label in ("float32", "int8"):
                rows.append((f"{name}, onnxruntime {label}", 1000 * best[label], "ms"))
                rows.append((f"{name}, torch / {label}", best["torch"] / best[label], "x"))
                away = 1e6 * (1 - cosine(out["torch"], out[label]))
                rows.append((f"{name}, {label}, 1 - least cosine", away, "millionths"))
    rows.append(("layers", float(layers), ""))
    report(rows, packages=["torch", "onnxruntime", "transformers"], to=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
