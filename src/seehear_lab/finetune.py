"""Fine-tune the head of a library on its owner's captions; its tokens stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seehear.engine import load_engine
from seehear.engine.clip_ast import ClipAstEngine
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.engine.clip_ast_match import SETTINGS as MATCH_SETTINGS
from seehear.engine.clip_ast_match import WEIGHTS as MATCH_WEIGHTS
from seehear.errors import ModelError, UsageError
from seehear.models.base import RetrievalModel
from seehear.nn.tokens import TokenBatch
from seehear.store import Store
from seehear.types import Item, Video
from seehear_lab.ablations.tefal_sound import freeze
from seehear_lab.datasets.batches import Batch, Gallery, Pairs
from seehear_lab.datasets.captions import jsonl
from seehear_lab.evaluate.metrics import Comparison, compare, rank
from seehear_lab.evaluate.protocol import encode, score_all
from seehear_lab.evaluate.report import Result, judge
from seehear_lab.train.checkpoint import load_weights, save_weights
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.loop import BEST, fit

HELD_OUT = 0.2  # of the captioned items
FEWEST = 10  # captioned items
Matched = list[tuple[str, str]]  # (caption, item id)
TRAINING = TrainConfig(batch_size=32, epochs=10, lr=1e-4, weight_decay=0.2, loss="infonce_sum")


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What fine-tuning brought on captions that it did not see."""

    before: Result
    after: Result
    comparison: Comparison  # after against before, R@1
    trained_pairs: int
    weights: Path = Path()  # a folder that the engine clip-ast takes
    skipped: tuple[str, ...] = ()  # captions that could not be used, with the reason


class StoredHead(RetrievalModel):
    """A head over tokens as a store keeps them: already projected, already standardised."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head
        if hasattr(head, "project"):
            freeze(head.project)  # stored tokens have passed it

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """The head's own score."""
        return self.head.score(query, items)


class Captioned:
    """Captions and the items they belong to, as training pairs and as a gallery."""

    def __init__(
        self, store: Store, vectors: Float[Tensor, "query dim"], items: Sequence[str]
    ) -> None:
        self._store, self._vectors, self._items = store, vectors, items
        self.item_ids = tuple(dict.fromkeys(items))
        self.query_ids = tuple(f"caption{at}" for at in range(len(items)))
        number = {item: at for at, item in enumerate(self.item_ids)}
        self.own: Int[np.ndarray, " query"] = np.array([number[item] for item in items])
        self.has_sound: Bool[np.ndarray, " item"] = np.array(
            [store.item(item).sound == "sound" for item in self.item_ids]
        )

    def __len__(self) -> int:
        return len(self._items)

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        """Some captions with the tokens of their items."""
        names = tuple(self._items[index] for index in indices)
        return Batch(query=self._vectors[list(indices)], media=self._tokens(names), names=names)

    def queries(self, rows: slice) -> Float[Tensor, "query dim"]:
        """Some captions, encoded before."""
        return self._vectors[rows]

    def media(self, rows: slice) -> TokenBatch:
        """Tokens of some items."""
        return self._tokens(self.item_ids[rows])

    def _tokens(self, ids: Sequence[str]) -> TokenBatch:
        return TokenBatch.from_tokens(self._store.tokens(ids))


def finetune(
    library: Path,
    captions: Path,
    output: Path,
    *,
    config: TrainConfig = TRAINING,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Tuned:
    """Train the library's head on captions, judge it on a fifth of the items, write new weights.

    Raises: UsageError for captions that cannot be used; ModelError for a library without a head.
    """
    if output.exists():
        raise UsageError(f"'{output}' is there already; choose another folder or delete it")
    with Store.open(library) as store:
        engine = opened_engine(store, library)
        pairs, skipped = matched(store, jsonl(captions, {}))
        parts = split(pairs)
        folder = Path(str(engine.manifest["folder"]))
        model = StoredHead(ClipAstFiles(folder).head())
        train, held_out = (_captioned(store, engine, part) for part in parts)
        tuned = trained(model, train, held_out, config, run_folder(output, parts), tell=tell)
    write_weights(model.head, folder, output)
    return replace(tuned, weights=output, skipped=tuple(skipped))


def run_folder(output: Path, parts: tuple[Matched, Matched]) -> Path:
    """Where a run is kept until it is over: one that was stopped goes on with equal captions only.

    With others, what was trained on might be held out now.
    """
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
    return output.with_name(f"{output.name}.{key}.training")


def opened_engine(store: Store, library: Path) -> ClipAstEngine:
    """The engine of a library. Raises: ModelError if it has no head."""
    engine = load_engine(store.model)
    if isinstance(engine, ClipAstEngine):
        return engine
    raise ModelError(
        f"the library '{library}' was made by the engine {engine.name!r}, which has no "
        "head to train; make one with 'seehear index --models DIR'"
    )


def trained(
    model: RetrievalModel,
    train: Pairs,
    held_out: Gallery,
    config: TrainConfig,
    run: Path,
    *,
    tell: Callable[[dict[str, Any]], None],
) -> Tuned:
    """Train `model` in the folder `run`, judged before and after on what is held out."""
    config = replace(config, batch_size=min(config.batch_size, len(train)))
    before = score_all(model, encode(model, held_out, batch=8))
    fit(model, train, config, run, tell=tell)
    load_weights(model, run / BEST)
    shutil.rmtree(run)
    after = score_all(model, encode(model, held_out, batch=8))
    ranks = [rank(scores, held_out.own, "t2v") for scores in (after, before)]
    results = [
        judge(name, scores, held_out, selected_on="last step")
        for name, scores in (("before", before), ("after", after))
    ]
    return Tuned(
        before=results[0],
        after=results[1],
        comparison=compare(ranks[0], ranks[1], groups=held_out.own),
        trained_pairs=len(train),
    )


def install(library: Path, weights: Path) -> None:
    """Make a library use another head of the same towers: new summaries of its stored tokens.

    No file is decoded and no tower runs. Searches answer with the old head until it is done; if it
    is interrupted, run it again.
    """
    engine = ClipAstEngine(ClipAstFiles(weights))
    with Store.open(library, write=True) as store:
        _refuse_other_towers(store.model, engine)
        store.begin_model(engine.manifest, seen_dim=engine.seen_dim, heard_dim=engine.heard_dim)
        by_video: dict[str, list[Item]] = {}
        for item in store.items():
            by_video.setdefault(item.video_id, []).append(item)
        for video in store.to_fill():
            store.fill([(video, [_summed_up(store, engine, i) for i in by_video[video.id]])])
        store.activate()


def _summed_up(store: Store, engine: ClipAstEngine, item: Item) -> Item:
    tokens = store.tokens([item.id])
    summary = engine.summary(tokens)
    return replace(item, tokens=tokens, seen=summary.frames[0, 0], heard=summary.audio[0, 0])


def _refuse_other_towers(model: Any, engine: ClipAstEngine) -> None:
    """Stored tokens are those of one pair of towers and one projection."""
    old, new = model.get("weights", {}), engine.manifest["weights"]
    for name in old.keys() | new.keys():
        if not name.startswith("head.") and old.get(name) != new.get(name):
            raise ModelError(
                f"{name} differs from that of the library; only the head can be changed without "
                "indexing again: see 'seehear reindex --models DIR'"
            )


def write_weights(head: Any, source: Path, output: Path) -> None:
    """A folder of weights with a new head; the towers are linked, or copied across disks."""
    output.mkdir(parents=True)
    for tower in ("clip", "ast"):
        if (source / tower).is_dir():
            shutil.copytree(source / tower, output / tower, copy_function=link)
    for name in (MATCH_SETTINGS, MATCH_WEIGHTS):  # it reads tokens, which stay as they are
        if (source / name).exists():
            link(str(source / name), str(output / name))
    description = json.loads((source / "head.json").read_text(encoding="utf-8"))
    (output / "head.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    save_weights(head, output / "head.safetensors")


def link(source: str, target: str) -> None:
    """The same file in another place; a copy where disks differ."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def matched(store: Store, captions: Sequence[tuple[str, str]]) -> tuple[Matched, list[str]]:
    """Captions with the item of the video they name; a video cut into several items has none."""
    by_path: dict[str, Video] = {}
    for video in store.videos():
        for path in (video.path, *video.aliases):
            by_path[path] = video
            by_path.setdefault(Path(path).name, video)
    items: dict[str, list[str]] = {}
    for item in store.items():
        items.setdefault(item.video_id, []).append(item.id)
    matched, skipped = [], []
    for path, caption in captions:
        video = by_path.get(str(Path(path).expanduser().absolute())) or by_path.get(path)
        own = items[video.id] if video else []
        if len(own) == 1:
            matched.append((caption, own[0]))
        else:
            why = f"was cut into {len(own)} items" if own else "is not in the library"
            skipped.append(f"{path}: {why}")
    return matched, skipped


def split(pairs: Matched) -> tuple[Matched, Matched]:
    """Training and held-out pairs; no item is in both."""
    items = sorted({item for _, item in pairs})
    if len(items) < FEWEST:
        raise UsageError(
            f"{len(items)} items of the library have a caption; at least {FEWEST} are needed"
        )
    order = np.random.default_rng(0).permutation(len(items))
    held_out = {items[at] for at in order[: max(round(HELD_OUT * len(items)), 2)]}
    return ([p for p in pairs if p[1] not in held_out], [p for p in pairs if p[1] in held_out])


def _captioned(store: Store, engine: ClipAstEngine, pairs: Matched) -> Captioned:
    vectors = np.concatenate([engine.encode_text(caption).seen for caption, _ in pairs])
    return Captioned(store, torch.from_numpy(vectors), [item for _, item in pairs])
