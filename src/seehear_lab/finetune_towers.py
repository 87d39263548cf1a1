"""Fine-tune a whole library model, towers included, on the library's own files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seehear.engine.clip_ast import ClipAstEngine
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.errors import UsageError
from seehear.models import RetrievalModel, build_model
from seehear.nn.tokens import TokenBatch
from seehear.store import Store
from seehear_lab.datasets.captions import jsonl
from seehear_lab.datasets.clips import (
    ClipConfig,
    ClipGallery,
    ClipMedia,
    ClipPairs,
    ClipReader,
    Pair,
)
from seehear_lab.datasets.towers import ClipAst
from seehear_lab.finetune import (
    Tuned,
    link,
    matched,
    opened_engine,
    run_folder,
    split,
    trained,
)
from seehear_lab.train.checkpoint import save_weights
from seehear_lab.train.config import GroupConfig, TrainConfig

TRAINING = TrainConfig(
    batch_size=32,
    chunk=4,  # clips in the towers at a time
    epochs=5,
    lr=1e-4,
    loss="infonce_sum",
    groups=(GroupConfig(name="encoder.clip", lr=1e-6), GroupConfig(name="encoder.ast", lr=1e-5)),
)


class LaidOut(ClipAst):
    """CLIP and AST, with sound tokens laid out as the library keeps them."""

    def __init__(self, clip: Path, ast: Path | None, layout: Float[Tensor, "kept token"]) -> None:
        super().__init__(clip, ast)
        self.register_buffer("layout", layout, persistent=False)

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """Frames, and means of the sound's patches."""
        tokens = super().encode_items(media)
        if not self.layout.numel():
            return tokens
        audio = self.layout @ tokens.audio
        has_sound = media.has_sound[:, None].expand(audio.shape[:2])
        return replace(tokens, audio=audio, audio_mask=has_sound)


def finetune_towers(
    library: Path,
    captions: Path,
    output: Path,
    *,
    config: TrainConfig = TRAINING,
    device: torch.device = torch.device("cpu"),  # noqa: B008  immutable
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Tuned:
    """Train towers and head on captions, judge both on a fifth of the items, write new weights.

    Files are read as indexing reads them. The library stays as it is: its tokens are of the old
    towers, and are made again by indexing with the new weights.

    Raises: UsageError for captions that cannot be used; ModelError for a library without a head.
    """
    if output.exists():
        raise UsageError(f"'{output}' is there already; choose another folder or delete it")
    with Store.open(library) as store:
        engine = opened_engine(store, library)
        pairs, skipped = matched(store, jsonl(captions, {}))
        deaf = sorted({item for _, item in pairs if not store.item(item).has_frames})
        paths = {item: Path(store.video(store.item(item).video_id).path) for _, item in pairs}
    skipped += [f"{paths[item]}: has no picture" for item in deaf]
    files = ClipAstFiles(Path(str(engine.manifest["folder"])))
    model = whole_model(engine, files).to(device)
    reader = reader_of(engine, model.encoder)
    parts = split([pair for pair in pairs if pair[1] not in deaf])
    train, held_out = (
        [Pair(name=paths[item].name, path=paths[item], caption=caption) for caption, item in part]
        for part in parts
    )
    named = tuple(group for group in config.groups if _has(model, group.name))
    tuned = trained(
        model,
        ClipPairs(train, reader),
        ClipGallery(held_out, reader),
        replace(config, groups=named),
        run_folder(output, parts),
        tell=tell,
    )
    write_model(model, files, output)
    return replace(tuned, weights=output, skipped=tuple(skipped))


def whole_model(engine: ClipAstEngine, files: ClipAstFiles) -> RetrievalModel:
    """The library's model on towers that learn, with the weights that it has."""
    head = files.head()
    hears = hasattr(head, "hear")
    encoder = LaidOut(files.tower("clip"), files.tower("ast") if hears else None, torch.empty(0, 0))
    if encoder.ast and files.sound_tokens != "full":
        grid = encoder.ast.grid
        each = np.eye(grid.rows * grid.columns, dtype=np.float32)
        encoder.layout = torch.from_numpy(engine.reduce_sound(each, grid.times_s(160))[0])
    description = files.description
    model = build_model(description["model"], encoder=encoder, **description.get("settings", {}))
    model.load_state_dict(head.state_dict() | _encoder_state(model))
    return model


def write_model(model: Any, files: ClipAstFiles, output: Path) -> None:
    """A folder for `seehear index --models` of a model with its towers."""
    towers = {"clip": model.encoder.clip.model}
    if model.encoder.ast:
        towers["ast"] = model.encoder.ast.model
    for name, tower in towers.items():
        old = shutil.ignore_patterns("model.safetensors")
        shutil.copytree(files.tower(name), output / name, copy_function=link, ignore=old)
        save_weights(tower, output / name / "model.safetensors")
    own = {key: value for key, value in files.description.items() if key not in towers}
    (output / "head.json").write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
    head = files.head()
    state = model.state_dict()
    head.load_state_dict({name: state[name].cpu() for name in head.state_dict()})
    save_weights(head, output / "head.safetensors")


def _encoder_state(model: RetrievalModel) -> dict[str, Tensor]:
    return {k: v for k, v in model.state_dict().items() if k.startswith("encoder.")}


def reader_of(engine: ClipAstEngine, encoder: Any) -> ClipReader:
    """Reads files as indexing with the engine does."""
    config = ClipConfig(frames=engine.media.max_frames, sampler="per_second")
    return ClipReader(config, words=encoder.words, side_px=encoder.side_px)


def _has(model: RetrievalModel, name: str) -> bool:
    return any(name in key for key, _ in model.named_parameters())
