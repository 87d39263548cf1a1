"""The towers of `clip-ast` as onnxruntime graphs, cached per set of weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from seehear.encoders import onnx_towers
from seehear.encoders.ast import AstTower, Grid
from seehear.encoders.clip import ClipTokenizer, ClipTowers, preprocess
from seehear.encoders.filterbank import filter_bank
from seehear.encoders.onnx_graph import session
from seehear.encoders.weights import cache_folder
from seehear.engine.clip_ast_files import ClipAstFiles

FRAMES_AT_ONCE = 4


class Towers:
    """CLIP and AST for inference: equal to torch to 1e-5, about twice as fast on a CPU.

    `"towers": "int8"` in head.json is faster still and less exact.

    Note: weights are checked completely once; a file "checked" next to the graphs records it.
    Raises: ModelError for weights that are damaged or inconsistent.
    """

    def __init__(self, files: ClipAstFiles) -> None:
        self._files = files
        self._folder = cache_folder() / "towers" / files.manifest["fingerprint"][:12]
        mark = self._folder / "checked"
        if not mark.exists():
            files.verify()
            with suppress(OSError):  # read-only cache: check again next time
                self._folder.mkdir(parents=True, exist_ok=True)
                mark.touch()

    def encode_frames(
        self, frames: UInt8[np.ndarray, "frame height width 3"]
    ) -> Float32[np.ndarray, "frame dim"]:
        """CLIP picture features, not normalised."""
        pixels = preprocess(frames, side_px=self._files.side_px).numpy()
        parts = [
            self._pictures.run(None, {"pixels": pixels[at : at + FRAMES_AT_ONCE]})[0]
            for at in range(0, len(pixels), FRAMES_AT_ONCE)
        ]
        return np.concatenate(parts)

    def encode_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """CLIP sentence features, not normalised."""
        run = self._text.run
        return np.concatenate([run(None, {"ids": self._tokenizer.ids(text)})[0] for text in texts])

    def encode_waveform(
        self, waveform: Float32[np.ndarray, " sample"]
    ) -> tuple[Float32[np.ndarray, "token dim"], Float[np.ndarray, " token"]]:
        """AST patch tokens, and the middle of each in seconds."""
        bank, shift = filter_bank(waveform)
        return self._sound.run(None, {"banks": bank[None]})[0][0], self.grid.times_s(shift)

    @cached_property
    def grid(self) -> Grid:
        from transformers import ASTConfig

        folder = self._files.tower("ast")
        return Grid(ASTConfig.from_pretrained(folder, local_files_only=True))

    @cached_property
    def _tokenizer(self) -> ClipTokenizer:
        from transformers import CLIPConfig

        folder = self._files.tower("clip")
        config = CLIPConfig.from_pretrained(folder, local_files_only=True)
        return ClipTokenizer(folder, config.text_config)

    @cached_property
    def _pictures(self) -> Any:
        return self._session("pictures", onnx_towers.build_picture_tower)

    @cached_property
    def _text(self) -> Any:
        return self._session("text", onnx_towers.build_text_tower)

    @cached_property
    def _sound(self) -> Any:
        return self._session("sound", onnx_towers.build_sound_tower)

    def _session(self, name: str, build: Any) -> Any:
        """The cached graph; written atomically first if it is missing."""
        path = self._folder / f"{name}.onnx"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            find = self._files.tower
            tower = AstTower(find("ast")) if name == "sound" else ClipTowers(find("clip"))
            state = {key: value.detach().numpy() for key, value in tower.model.state_dict().items()}
            partial = path.with_suffix(f".{os.getpid()}.partial")
            build(state, tower.model.config, partial)
            if self._files.precision == "int8":
                small = Path(f"{partial}8")
                onnx_towers.quantise(partial, small)
                small.replace(partial)
            partial.replace(path)
        return session(path)
