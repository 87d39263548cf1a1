"""Fine-tune towers and head of a library on its own files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seehear.engine.clip_ast import ClipAstEngine
from seehear.engine.clip_ast_files import ClipAstFiles
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
)
from seehear_lab.datasets.spec import Pair
from seehear_lab.datasets.towers import ClipAst
from seehear_lab.experiments.finetune import (
    FinetuneResult,
    link,
    refuse_existing,
    train_and_compare,
)
from seehear_lab.experiments.library_data import (
    load_clip_ast,
    match_captions,
    run_folder,
    split_by_item,
)
from seehear_lab.train.checkpoint import save_weights
from seehear_lab.train.config import GroupConfig, TrainConfig
from seehear_lab.train.loop import OnLog

TRAINING = TrainConfig(
    batch_size=32,
    chunk=4,  # clips in the towers at a time
    epochs=5,
    lr=1e-4,
    loss="infonce_sum",
    groups=(GroupConfig(name="encoder.clip", lr=1e-6), GroupConfig(name="encoder.ast", lr=1e-5)),
)


class StoredLayout(ClipAst):
    """CLIP and AST, with sound tokens averaged as the library stores them."""

    def __init__(self, clip: Path, ast: Path | None, layout: Float[Tensor, "stored token"]) -> None:
        super().__init__(clip, ast)
        self.register_buffer("layout", layout, persistent=False)

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """Frame tokens, and sound tokens as means of patches (`layout`)."""
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
    on_log: OnLog = lambda row: None,
) -> FinetuneResult:
    """Train towers and head on captions, evaluate on a fifth of the items, write new weights.

    Files are read as indexing reads them. The library is not changed: its tokens come from the old
    towers, so reindex it with the new weights.

    Raises: UsageError for captions that cannot be used; ModelError for a library without a head.
    """
    refuse_existing(output)
    with Store.open(library) as store:
        engine = load_clip_ast(store, library)
        pairs, skipped = match_captions(store, jsonl(captions, {}))
        without_frames = sorted({item for _, item in pairs if not store.item(item).has_frames})
        paths = {item: Path(store.video(store.item(item).video_id).path) for _, item in pairs}
    skipped += [f"{paths[item]}: has no frames" for item in without_frames]
    files = ClipAstFiles(Path(str(engine.manifest["folder"])))
    model = load_model(engine, files).to(device)
    reader = new_reader(engine, model.encoder)
    parts = split_by_item([pair for pair in pairs if pair[1] not in without_frames])
    train, held_out = (
        [Pair(name=paths[item].name, path=paths[item], caption=caption) for caption, item in part]
        for part in parts
    )
    groups = tuple(group for group in config.groups if _has_parameter(model, group.name))
    result = train_and_compare(
        model,
        ClipPairs(train, reader),
        ClipGallery(held_out, reader),
        replace(config, groups=groups),
        run_folder(output, parts),
        on_log=on_log,
    )
    write_model(model, files, output)
    return replace(result, weights=output, skipped=tuple(skipped))


def load_model(engine: ClipAstEngine, files: ClipAstFiles) -> RetrievalModel:
    """The library's model with its weights, on trainable towers."""
    head = files.head()
    ast = files.tower("ast") if hasattr(head, "hear") else None
    encoder = StoredLayout(files.tower("clip"), ast, torch.empty(0, 0))
    if encoder.ast and files.sound_tokens != "full":
        grid = encoder.ast.grid
        each = np.eye(grid.rows * grid.columns, dtype=np.float32)
        encoder.layout = torch.from_numpy(engine.reduce_sound(each, grid.times_s(160))[0])
    description = files.description
    model = build_model(description["model"], encoder=encoder, **description.get("settings", {}))
    model.load_state_dict(head.state_dict() | _encoder_state(model))
    return model


def write_model(model: Any, files: ClipAstFiles, output: Path) -> None:
    """Write a model with its towers as a folder for `seehear index --models`."""
    towers = {"clip": model.encoder.clip.model}
    if model.encoder.ast:
        towers["ast"] = model.encoder.ast.model
    for name, tower in towers.items():
        old = shutil.ignore_patterns("model.safetensors")
        shutil.copytree(files.tower(name), output / name, copy_function=link, ignore=old)
        save_weights(tower, output / name / "model.safetensors")
    description = {key: value for key, value in files.description.items() if key not in towers}
    (output / "head.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    head = files.head()
    state = model.state_dict()
    head.load_state_dict({name: state[name].cpu() for name in head.state_dict()})
    save_weights(head, output / "head.safetensors")


def new_reader(engine: ClipAstEngine, encoder: Any) -> ClipReader:
    """A reader that reads files as indexing with the engine does."""
    config = ClipConfig(frames=engine.media.max_frames, sampler="per_second")
    return ClipReader(config, tokenizer=encoder.tokenizer, side_px=encoder.side_px)


def _encoder_state(model: RetrievalModel) -> dict[str, Tensor]:
    return {k: v for k, v in model.state_dict().items() if k.startswith("encoder.")}


def _has_parameter(model: RetrievalModel, name: str) -> bool:
    return any(name in key for key, _ in model.named_parameters())
