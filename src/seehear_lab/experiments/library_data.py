"""A library's items and a user's captions as training pairs and as a gallery."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seehear.engine import load_engine
from seehear.engine.clip_ast import ClipAstEngine
from seehear.errors import ModelError, UsageError
from seehear.nn.tokens import TokenBatch
from seehear.store import Store
from seehear.types import Video
from seehear_lab.datasets.batches import Batch

HELD_OUT = 0.2  # of the captioned items
FEWEST = 10  # captioned items
CaptionedItem = tuple[str, str]  # (caption, item id)


def load_clip_ast(store: Store, library: Path) -> ClipAstEngine:
    """The engine of a library. Raises: ModelError if it is not clip-ast."""
    engine = load_engine(store.model)
    if isinstance(engine, ClipAstEngine):
        return engine
    raise ModelError(
        f"the library '{library}' uses the engine {engine.name!r}, which cannot be trained; make "
        "one with 'seehear index --models DIR'"
    )


def match_captions(
    store: Store, captions: Sequence[tuple[str, str]]
) -> tuple[list[CaptionedItem], list[str]]:
    """The item of each caption (path, text), and the captions that cannot be used, with the reason.

    A path is absolute, relative to the current folder, or a file name. A caption is not used if
    its video is not in the library or has several items.
    """
    by_path: dict[str, Video] = {}
    for video in store.videos():
        for path in (video.path, *video.aliases):
            by_path[path] = video
            by_path.setdefault(Path(path).name, video)
    items: dict[str, list[str]] = {}
    for item in store.items():
        items.setdefault(item.video_id, []).append(item.id)
    found, skipped = [], []
    for path, caption in captions:
        video = by_path.get(str(Path(path).expanduser().absolute())) or by_path.get(path)
        own = items[video.id] if video else []
        if len(own) == 1:
            found.append((caption, own[0]))
        else:
            several = f"has {len(own)} items, so a caption cannot name one"
            reason = several if own else "is not in the library"
            skipped.append(f"{path}: {reason}")
    return found, skipped


def split_by_item(
    pairs: Sequence[CaptionedItem],
) -> tuple[list[CaptionedItem], list[CaptionedItem]]:
    """Training pairs and held-out pairs (a fifth of the items); no item is in both.

    Raises: UsageError if too few items have a caption.
    """
    items = sorted({item for _, item in pairs})
    if len(items) < FEWEST:
        raise UsageError(
            f"too few items of the library have a caption: {len(items)}, at least {FEWEST} needed"
        )
    order = np.random.default_rng(0).permutation(len(items))
    held_out = {items[at] for at in order[: max(round(HELD_OUT * len(items)), 2)]}
    return ([p for p in pairs if p[1] not in held_out], [p for p in pairs if p[1] in held_out])


def run_folder(output: Path, parts: Sequence[Sequence[CaptionedItem]]) -> Path:
    """Folder of an unfinished run; its name depends on the captions.

    A run resumes only if the captions are unchanged: otherwise items that were trained on could be
    held out now.
    """
    key = hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:8]
    return output.with_name(f"{output.name}.{key}.training")


class StoredItems:
    """Encoded captions and the stored tokens of their items; both `Pairs` and `Gallery`."""

    def __init__(
        self, store: Store, vectors: Float[Tensor, "query dim"], items: Sequence[str]
    ) -> None:
        self._store, self._vectors, self._items = store, vectors, items
        self.item_ids = tuple(dict.fromkeys(items))
        self.query_ids = tuple(f"caption{at}" for at in range(len(items)))
        number = {item: at for at, item in enumerate(self.item_ids)}
        self.target: Int[np.ndarray, " query"] = np.array([number[item] for item in items])
        self.has_sound: Bool[np.ndarray, " item"] = np.array(
            [store.item(item).sound == "sound" for item in self.item_ids]
        )

    @classmethod
    def encode(
        cls, store: Store, engine: ClipAstEngine, pairs: Sequence[CaptionedItem]
    ) -> StoredItems:
        """Encode the captions of some pairs."""
        vectors = np.concatenate([engine.encode_text(caption).seen for caption, _ in pairs])
        return cls(store, torch.from_numpy(vectors), [item for _, item in pairs])

    def __len__(self) -> int:
        return len(self._items)

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        """Some captions with the tokens of their items."""
        names = tuple(self._items[index] for index in indices)
        return Batch(query=self._vectors[list(indices)], media=self._tokens(names), names=names)

    def queries(self, rows: slice) -> Float[Tensor, "query dim"]:
        """Some encoded captions."""
        return self._vectors[rows]

    def media(self, rows: slice) -> TokenBatch:
        """The tokens of some items."""
        return self._tokens(self.item_ids[rows])

    def _tokens(self, ids: Sequence[str]) -> TokenBatch:
        return TokenBatch.from_tokens(self._store.tokens(ids))
