"""The folder of weights of the `clip-ast` engine: completeness, hashes, settings."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from seehear.encoders.filterbank import MEL_BINS, ROWS
from seehear.encoders.hashes import known_hashes
from seehear.encoders.hub import snapshot
from seehear.errors import ModelError, shorten

HEADS = ("tefal", "tefal.xpool", "xpool")
CHOICES = {  # of head.json, defaults first
    "summaries": ("block", "mean"),
    "sound_tokens": ("full", "time", "merged"),
    "tokens": ("float16", "int8"),
    "towers": ("float32", "int8"),
}
KEYS = ("model", "settings", "clip", "ast", *CHOICES)
LAYOUT = """it needs
  clip/             config.json, model.safetensors, tokenizer.json  (a Hugging Face CLIPModel)
  ast/              config.json, model.safetensors                  (an ASTModel; not for xpool)
  head.json         {"model": "tefal.xpool", "settings": {"dim": 512}}
  head.safetensors  the trained head, e.g. from 'seehear-lab convert xpool CHECKPOINT'
or, in place of clip/ and ast/, "clip" and "ast" in head.json: a hub repository at one commit
(owner/name@commit), fetched by 'seehear models pull FOLDER'"""


class ClipAstFiles:
    """`folder`/clip, `folder`/ast and the head. A missing file is an error, never a fallback.

    A tower that is not in the folder comes from the hub's cache, and with `download` from the hub.
    """

    def __init__(self, folder: Path, *, download: bool = False) -> None:
        self.folder = folder.expanduser().absolute()
        self.description = self._read_description()
        wanted = ["clip/config.json", "clip/model.safetensors", "clip/tokenizer.json"]
        towers = ["clip"]
        if self.description["model"] != "xpool":
            wanted += ["ast/config.json", "ast/model.safetensors"]
            towers.append("ast")
        self._wanted = [*wanted, "head.json", "head.safetensors"]
        self._towers = {name: self._find(name, download) for name in towers}
        missing = [name for name in self._wanted if not self.path(name).is_file()]
        if missing:
            raise ModelError(
                f"the weights in {self.folder} are incomplete ({', '.join(missing)} missing); "
                f"{LAYOUT}"
            )

    def _find(self, tower: str, download: bool) -> Path:
        here, named = self.folder / tower, self.description.get(tower)
        if here.exists() or not named:
            return here
        try:
            return snapshot(str(named), download=download)
        except ModelError as error:
            if download:
                raise
            raise ModelError(f"{error}; run: seehear models pull {self.folder}") from error

    def tower(self, name: str) -> Path:
        """Folder of "clip" or "ast"."""
        return self._towers[name]

    def path(self, name: str) -> Path:
        """Path of a file of the layout."""
        tower, _, file = name.partition("/")
        return self._towers[tower] / file if file else self.folder / name

    def _read_description(self) -> dict[str, Any]:
        path = self.folder / "head.json"
        if not path.is_file():
            raise ModelError(f"there is no head.json in {self.folder}; {LAYOUT}")
        description = read_object(path)
        unknown = sorted(description.keys() - set(KEYS))
        if unknown:
            raise ModelError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(KEYS)}")
        if description.get("model") not in HEADS:
            raise ModelError(
                f"{path} names the model {description.get('model')!r}; this engine takes "
                f"{', '.join(HEADS)}"
            )
        if not isinstance(description.get("settings", {}), dict):
            raise ModelError(f'{path}: settings is an object such as {{"dim": 512}}')
        for name, values in CHOICES.items():
            if description.get(name, values[0]) not in values:
                raise ModelError(f"{path}: {name} is one of {', '.join(values)}")
        return description

    @property
    def side_px(self) -> int:
        """Picture size of the CLIP tower from its config; 224 if the config has none."""
        path = self.path("clip/config.json")
        try:
            return int(read_object(path).get("vision_config", {}).get("image_size", 224))
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"{path} has no valid image_size: {shorten(error)}") from error

    @property
    def summaries(self) -> str:
        """Stage-1 vectors: "block" (the head under uniform attention) or "mean" (of tokens)."""
        return self._choice("summaries")

    @property
    def sound_tokens(self) -> str:
        """Sound tokens kept: "full" (1,212 patches), "time" (101 means) or "merged" (64 means)."""
        return self._choice("sound_tokens")

    @property
    def token_type(self) -> str:
        """Type of stored tokens: "float16", or "int8" at half the size."""
        return self._choice("tokens")

    @property
    def precision(self) -> str:
        """Type of the towers' weights: "float32" or "int8"."""
        return self._choice("towers")

    def _choice(self, name: str) -> str:
        return str(self.description.get(name, CHOICES[name][0]))

    def head(self) -> Any:
        """The trained head, strictly loaded.

        Raises: ModelError if head.safetensors does not fit head.json.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from seehear.models import build_model

        try:
            model = build_model(self.description["model"], **self.description.get("settings", {}))
            model.load_state_dict(load_file(self.folder / "head.safetensors"))
        except SafetensorError as error:
            raise ModelError(
                f"{self.folder / 'head.safetensors'} is damaged ({shorten(error)}); copy it again"
            ) from error
        except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"head.safetensors in {self.folder} does not fit its head.json: {shorten(error)}"
            ) from error
        return model.eval()

    def verify(self) -> None:
        """Load head, matcher, towers and tokenizer, and compare their sizes.

        Raises: ModelError if a file is damaged or two are inconsistent.
        """
        from seehear.encoders.ast import AstTower
        from seehear.encoders.clip import ClipTowers
        from seehear.engine.clip_ast_match import Matcher

        Matcher.load(self.folder)
        head, clip = self.head(), ClipTowers(self.tower("clip"))
        sizes = [("clip", "projection_dim", clip.dim, int(head.see.norm_out.normalized_shape[0]))]
        if "ast" in self._towers:
            ast = AstTower(self.tower("ast")).model.config
            sizes += [
                ("ast", "hidden_size", ast.hidden_size, head.project.in_features),
                ("ast", "max_length", ast.max_length, ROWS),
                ("ast", "num_mel_bins", ast.num_mel_bins, MEL_BINS),
            ]
        for tower, name, found, needed in sizes:
            if found != needed:
                raise ModelError(
                    f"{self.path(f'{tower}/config.json')}: {name} is {found}, but head and "
                    f"filter bank need {needed}; use the tower that the head was trained with"
                )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Manifest stored in a library; it includes the head, which shapes the sound tokens."""
        found = known_hashes(self.path(name) for name in self._wanted)
        hashes = {name: found[self.path(name)] for name in self._wanted}
        preprocessing = {
            "pictures": f"RGB, shorter side {self.side_px} by Pillow's bicubic, centre crop",
            "sound": "16 kHz mono, Kaldi filter bank 1024 x 128, shift adapted to the length",
            "tokens": f"layer norm, {self.token_type}, sound: {self.sound_tokens}",
        }
        shaping = {"weights": hashes, "preprocessing": preprocessing}
        text = json.dumps(shaping, sort_keys=True)
        return {
            "engine": "clip-ast",
            "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
            "folder": str(self.folder),
            "model": self.description["model"],
            "weights": hashes,
            "preprocessing": preprocessing,
        }


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises: ModelError if it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {shorten(error)}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is not a JSON object but a {type(found).__name__}")
    return found
