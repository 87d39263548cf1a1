"""Teach a library which sounds belong to its pictures: AVMA's memory, from stored tokens alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seehear.engine import load_engine
from seehear.engine.clip_ast import ClipAstEngine
from seehear.engine.clip_ast_match import SETTINGS, WEIGHTS, Matcher, batch
from seehear.errors import ModelError, UsageError
from seehear.models import build_model
from seehear.nn.tokens import TokenBatch
from seehear.store import Store
from seehear_lab.losses import associative_loss
from seehear_lab.train.checkpoint import save_weights

SIZES = {"hidden": 128, "wide": 256, "layers": 2, "heads": 4, "slots": 50, "projection": 64}
FEWEST, EXCHANGES = 40, 5  # items with both modalities; other sounds that each picture meets
CHECK = 20  # steps between looks at held-out items
GOOD_ENOUGH = 75.0  # balanced accuracy on held-out items, in percent, from which it is of use


@dataclass(frozen=True, kw_only=True)
class Taught:
    """Held-out items with their own sound against the same pictures with another one's."""

    matcher: Matcher
    settings: dict[str, int]  # of its model
    accuracy: float  # balanced: 50 is chance
    own: float  # mean degree of match
    exchanged: float
    items: int  # held out for this


def teach(
    library: Path,
    *,
    steps: int = 300,
    seed: int = 0,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> tuple[Taught, Path]:
    """Learn from three fifths of the items, choose steps and threshold on one, judge on the last.

    Items are divided by video. Returns the folder of the library's weights too.

    Raises: ModelError for another engine; UsageError for too few items with both modalities.
    """
    with Store.open(library) as store:
        engine = load_engine(store.model)
        if not isinstance(engine, ClipAstEngine):
            raise ModelError(f"'{library}' was made by {engine.name!r}; this needs clip-ast")
        tokens, videos = _both_senses(store)
    torch.manual_seed(seed)
    sizes = {"dim": tokens.frames.shape[2], "sound_dim": tokens.audio.shape[2]}
    settings = SIZES | sizes
    model = build_model("avma", **settings)
    part = np.random.default_rng(seed).permutation(videos.max() + 1)[videos] % 5
    seen_first = _taken(tokens, part < 3)
    _centre(model.look, seen_first.frames[seen_first.frame_mask])
    _centre(model.listen, seen_first.audio[seen_first.audio_mask])
    threshold = _train(model, seen_first, _taken(tokens, part == 3), steps, tell)
    matcher = Matcher(model, threshold)
    own, other = _degrees(model, _taken(tokens, part == 4))
    return (
        Taught(
            matcher=matcher,
            settings=settings,
            accuracy=_accuracy(own, other, threshold),
            own=float(own.mean()),
            exchanged=float(other.mean()),
            items=len(own),
        ),
        Path(str(engine.manifest["folder"])),
    )


def install(taught: Taught, folder: Path) -> None:
    """Put a matcher among the weights of a library; it counts from the next opening on.

    Raises: ModelError for one that is too often wrong.
    """
    if taught.accuracy < GOOD_ENOUGH:
        raise ModelError(
            f"not installed: it tells own from other sounds in {taught.accuracy:.0f} % of "
            f"held-out cases, {GOOD_ENOUGH:.0f} % are needed and 50 % are chance"
        )
    save_weights(taught.matcher.model, folder / WEIGHTS)
    told = {"settings": taught.settings, "threshold": taught.matcher.threshold}
    (folder / SETTINGS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _both_senses(store: Store) -> tuple[TokenBatch, Int[np.ndarray, " item"]]:
    items = [item for item in store.items() if item.has_frames and item.sound == "sound"]
    if len(items) < FEWEST:
        raise UsageError(
            f"{len(items)} moments of the library have pictures and sound; at least {FEWEST} are "
            "needed to learn what belongs together"
        )
    _, videos = np.unique([item.video_id for item in items], return_inverse=True)
    return batch(store.tokens([item.id for item in items])), videos


def _taken(tokens: TokenBatch, chosen: Bool[np.ndarray, " item"]) -> TokenBatch:
    rows = torch.from_numpy(np.flatnonzero(chosen))
    return TokenBatch(**{name: values[rows] for name, values in vars(tokens).items()})


def _centre(layer: nn.Linear, tokens: Float[Tensor, "token dim"]) -> None:
    """Fold the mean and deviation of tokens into a first layer: they lie in a narrow cone."""
    mean, deviation = tokens.mean(0), tokens.std(0).clamp(min=1e-3)
    with torch.no_grad():
        layer.weight /= deviation
        layer.bias -= layer.weight @ mean


def _train(
    model: Any,
    items: TokenBatch,
    held_out: TokenBatch,
    steps: int,
    tell: Callable[[dict[str, Any]], None],
) -> float:
    """Which sound belongs to which sight; half of the tokens hidden each time.

    The weights that tell held-out items best are kept; returns their threshold.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    best, threshold, kept = -1.0, 0.0, deepcopy(model.state_dict())
    for step in range(1, steps + 1):
        some = _taken(items, np.isin(np.arange(len(items.frames)), _drawn(len(items.frames))))
        hidden = replace(some, frame_mask=_some(some.frame_mask), audio_mask=_some(some.audio_mask))
        loss = associative_loss(model, hidden)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % CHECK == 0 or step == steps:
            own, other = _degrees(model, held_out)
            found = _threshold(own, other)
            figure = _accuracy(own, other, found)
            if figure > best:
                best, threshold, kept = figure, found, deepcopy(model.state_dict())
            tell({"step": step, "loss": loss.item(), "accuracy": figure})
    model.load_state_dict(kept)
    return threshold


def _drawn(count: int, most: int = 128) -> Int[np.ndarray, " chosen"]:
    return torch.randperm(count)[:most].numpy()


def _some(mask: Tensor) -> Tensor:
    """Half of the tokens of each item, the first one always."""
    return mask & ((torch.rand(mask.shape) < 0.5) | (mask.cumsum(1) == 1))


def _degrees(
    model: Any, items: TokenBatch
) -> tuple[Float[np.ndarray, " item"], Float[np.ndarray, " pair"]]:
    """Degrees of match of items with their own sound, and with those of others."""
    found: list[np.ndarray] = []
    with torch.inference_mode():
        for shift in range(EXCHANGES + 1):
            order = torch.arange(len(items.frames)).roll(shift)
            mixed = replace(items, audio=items.audio[order], audio_mask=items.audio_mask[order])
            found.append(model.match(mixed).numpy())
    return found[0], np.concatenate(found[1:])


def _threshold(own: Float[np.ndarray, " item"], other: Float[np.ndarray, " pair"]) -> float:
    """Where own and exchanged sounds are told apart best."""
    tries = np.unique(np.concatenate([own, other]))
    return float(max(tries, key=lambda at: _accuracy(own, other, at)))


def _accuracy(
    own: Float[np.ndarray, " item"], other: Float[np.ndarray, " pair"], threshold: float
) -> float:
    """Balanced: own and exchanged sounds count alike; in percent."""
    return 50 * float((own >= threshold).mean() + (other < threshold).mean())
