"""Fine-tune the head of a library on captions of its items; stored tokens stay unchanged."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seehear.engine.clip_ast import ClipAstEngine
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.engine.clip_ast_match import SETTINGS as MATCH_SETTINGS
from seehear.engine.clip_ast_match import WEIGHTS as MATCH_WEIGHTS
from seehear.errors import ModelError, UsageError
from seehear.models.base import RetrievalModel
from seehear.nn.tokens import TokenBatch
from seehear.store import Store
from seehear.types import Item
from seehear_lab.ablations.tefal_sound import freeze
from seehear_lab.datasets.batches import Gallery, Pairs
from seehear_lab.datasets.captions import jsonl
from seehear_lab.evaluate.metrics import Comparison, compare, rank
from seehear_lab.evaluate.protocol import encode, score_all
from seehear_lab.evaluate.report import Result, evaluate_scores
from seehear_lab.experiments.library_data import (
    StoredItems,
    load_clip_ast,
    match_captions,
    run_folder,
    split_by_item,
)
from seehear_lab.train.checkpoint import load_weights, save_weights
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.loop import BEST, OnLog, fit

TRAINING = TrainConfig(batch_size=32, epochs=10, lr=1e-4, weight_decay=0.2, loss="infonce_sum")


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """Metrics on held-out captions before and after fine-tuning, and the new weights."""

    before: Result
    after: Result
    comparison: Comparison  # after minus before, R@1
    trained_pairs: int
    weights: Path = Path()  # a folder for the engine clip-ast
    skipped: tuple[str, ...] = ()  # captions that could not be used, with the reason


class StoredHead(RetrievalModel):
    """A head on stored tokens, which are already projected and normalised."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head
        if hasattr(head, "project"):
            freeze(head.project)  # stored tokens are already projected

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """The score of the head."""
        return self.head.score(query, items)


def finetune(
    library: Path,
    captions: Path,
    output: Path,
    *,
    config: TrainConfig = TRAINING,
    on_log: OnLog = lambda row: None,
) -> FinetuneResult:
    """Train the library's head on captions, evaluate on a fifth of the items, write new weights.

    Raises: UsageError for captions that cannot be used; ModelError for a library without a head.
    """
    refuse_existing(output)
    with Store.open(library) as store:
        engine = load_clip_ast(store, library)
        pairs, skipped = match_captions(store, jsonl(captions, {}))
        parts = split_by_item(pairs)
        folder = Path(str(engine.manifest["folder"]))
        model = StoredHead(ClipAstFiles(folder).head())
        train, held_out = (StoredItems.encode(store, engine, part) for part in parts)
        result = train_and_compare(
            model, train, held_out, config, run_folder(output, parts), on_log=on_log
        )
    write_weights(model.head, folder, output)
    return replace(result, weights=output, skipped=tuple(skipped))


def train_and_compare(
    model: RetrievalModel,
    train: Pairs,
    held_out: Gallery,
    config: TrainConfig,
    run: Path,
    *,
    on_log: OnLog,
) -> FinetuneResult:
    """Train `model` in the folder `run`; evaluate before and after on held-out captions."""
    config = replace(config, batch_size=min(config.batch_size, len(train)))
    before = score_all(model, encode(model, held_out, batch=8))
    fit(model, train, config, run, on_log=on_log)
    load_weights(model, run / BEST)
    shutil.rmtree(run)
    after = score_all(model, encode(model, held_out, batch=8))
    ranks = [rank(scores, held_out.target, "t2v") for scores in (after, before)]
    results = [
        evaluate_scores(name, scores, held_out, selected_on="last step")
        for name, scores in (("before", before), ("after", after))
    ]
    return FinetuneResult(
        before=results[0],
        after=results[1],
        comparison=compare(ranks[0], ranks[1], groups=held_out.target),
        trained_pairs=len(train),
    )


def install(library: Path, weights: Path) -> None:
    """Make a library use another head with the same towers; recompute summaries from its tokens.

    No file is decoded and no tower runs. Searches use the old head until it is done. If it is
    interrupted, run it again.

    Raises: ModelError if the towers differ.
    """
    engine = ClipAstEngine(ClipAstFiles(weights))
    with Store.open(library, write=True) as store:
        _refuse_other_towers(store.model, engine)
        writer = store.writer
        writer.begin_reindex(engine.manifest, engine.seen_dim, engine.heard_dim)
        by_video: dict[str, list[Item]] = {}
        for item in store.items():
            by_video.setdefault(item.video_id, []).append(item)
        for video in writer.videos_to_reindex():
            items = [_summarise(store, engine, item) for item in by_video[video.id]]
            writer.put_reindexed([(video, items)])
        writer.finish_reindex()


def _summarise(store: Store, engine: ClipAstEngine, item: Item) -> Item:
    tokens = store.tokens([item.id])
    summary = engine.summary(tokens)
    return replace(item, tokens=tokens, seen=summary.frames[0, 0], heard=summary.audio[0, 0])


def _refuse_other_towers(model: Any, engine: ClipAstEngine) -> None:
    """Refuse weights with other towers or another projection: stored tokens depend on both."""
    old, new = model.get("weights", {}), engine.manifest["weights"]
    for name in old.keys() | new.keys():
        if not name.startswith("head.") and old.get(name) != new.get(name):
            raise ModelError(
                f"{name} differs from that of the library; only the head can be replaced without "
                "indexing again: see 'seehear reindex --models DIR'"
            )


def refuse_existing(output: Path) -> None:
    """Refuse to overwrite an output folder. Raises: UsageError if `output` exists."""
    if output.exists():
        raise UsageError(f"'{output}' already exists; choose another folder or delete it")


def write_weights(head: Any, source: Path, output: Path) -> None:
    """Write a folder of weights with a new head; other files are links to those in `source`."""
    output.mkdir(parents=True)
    for tower in ("clip", "ast"):
        if (source / tower).is_dir():
            shutil.copytree(source / tower, output / tower, copy_function=link)
    for name in (MATCH_SETTINGS, MATCH_WEIGHTS):  # depends on tokens only, not on the head
        if (source / name).exists():
            link(str(source / name), str(output / name))
    description = json.loads((source / "head.json").read_text(encoding="utf-8"))
    (output / "head.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    save_weights(head, output / "head.safetensors")


def link(source: str, target: str) -> None:
    """Hard-link a file, or copy it to another disk."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
