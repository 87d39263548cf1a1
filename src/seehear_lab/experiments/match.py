"""Train AVMA's memory on stored tokens to find out which sounds belong to which frames."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seehear.engine.clip_ast_match import SETTINGS, WEIGHTS, Matcher, batch
from seehear.errors import ModelError, UsageError
from seehear.models import build_model
from seehear.nn.tokens import TokenBatch
from seehear.store import Store
from seehear_lab.datasets.batches import select_rows
from seehear_lab.experiments.library_data import load_clip_ast
from seehear_lab.losses import associative_loss
from seehear_lab.train.checkpoint import save_weights
from seehear_lab.train.loop import OnLog

SIZES = {"hidden": 128, "wide": 256, "layers": 2, "heads": 4, "slots": 50, "projection": 64}
FEWEST = 40  # items with frames and sound
EXCHANGES = 5  # sounds of other items that the frames of each item are tested with
BATCH, EVALUATE_EVERY = 128, 20  # items, steps
MIN_ACCURACY = 75.0  # balanced accuracy in percent below which a matcher is not installed


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """A matcher, and how well it recognises own sounds among exchanged ones on held-out items."""

    matcher: Matcher
    settings: dict[str, int]  # of its model
    accuracy: float  # balanced, in percent: 50 is chance
    own: float  # mean degree of match with the item's own sound
    exchanged: float  # mean degree of match with sounds of other items
    items: int  # held out for this


def train_matcher(
    library: Path, *, steps: int = 300, seed: int = 0, on_log: OnLog = lambda row: None
) -> tuple[MatchResult, Path]:
    """Train on three fifths of the videos, select step and threshold on one, evaluate on one.

    Returns the folder of the library's weights too.

    Raises: ModelError for another engine; UsageError for too few items with frames and sound.
    """
    with Store.open(library) as store:
        engine = load_clip_ast(store, library)
        tokens, videos = _read_items(store)
    torch.manual_seed(seed)
    settings = SIZES | {"dim": tokens.frames.shape[2], "sound_dim": tokens.audio.shape[2]}
    model = build_model("avma", **settings)
    order = np.random.default_rng(seed).permutation(videos.max() + 1)
    part = torch.from_numpy(order[videos] % 5)
    train = select_rows(tokens, part < 3)
    _standardise_inputs(model.look, train.frames[train.frame_mask])
    _standardise_inputs(model.listen, train.audio[train.audio_mask])
    threshold = _train(model, train, select_rows(tokens, part == 3), steps, on_log)
    matcher = Matcher(model, threshold)
    own, exchanged = _degrees(model, select_rows(tokens, part == 4))
    result = MatchResult(
        matcher=matcher,
        settings=settings,
        accuracy=_accuracy(own, exchanged, threshold),
        own=float(own.mean()),
        exchanged=float(exchanged.mean()),
        items=len(own),
    )
    return result, Path(str(engine.manifest["folder"]))


def install(result: MatchResult, folder: Path) -> None:
    """Write a matcher into the folder of a library's weights; used from the next opening on.

    Raises: ModelError if its accuracy is too low.
    """
    if result.accuracy < MIN_ACCURACY:
        raise ModelError(
            f"not installed: the matcher is right in {result.accuracy:.0f} % of held-out cases; "
            f"{MIN_ACCURACY:.0f} % are needed, 50 % are chance"
        )
    save_weights(result.matcher.model, folder / WEIGHTS)
    settings = {"settings": result.settings, "threshold": result.matcher.threshold}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _read_items(store: Store) -> tuple[TokenBatch, Int[np.ndarray, " item"]]:
    """Tokens of the items with frames and sound, and the number of each item's video."""
    items = [item for item in store.items() if item.has_frames and item.sound == "sound"]
    if len(items) < FEWEST:
        raise UsageError(
            f"too few moments of the library have both frames and sound: {len(items)}, at least "
            f"{FEWEST} needed"
        )
    _, videos = np.unique([item.video_id for item in items], return_inverse=True)
    return batch(store.tokens([item.id for item in items])), videos


def _standardise_inputs(layer: nn.Linear, tokens: Float[Tensor, "token dim"]) -> None:
    """Fold the mean and deviation of tokens, which are much alike, into a first layer."""
    mean, deviation = tokens.mean(0), tokens.std(0).clamp(min=1e-3)
    with torch.no_grad():
        layer.weight /= deviation
        layer.bias -= layer.weight @ mean


def _train(model: Any, items: TokenBatch, held_out: TokenBatch, steps: int, on_log: OnLog) -> float:
    """Train with half of the tokens hidden in each step; keep the weights best on `held_out`.

    Returns the threshold of those weights.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    best, threshold, kept = -1.0, 0.0, deepcopy(model.state_dict())
    for step in range(1, steps + 1):
        picked = select_rows(items, torch.randperm(len(items.frames))[:BATCH].sort().values)
        hidden = replace(
            picked, frame_mask=_hide(picked.frame_mask), audio_mask=_hide(picked.audio_mask)
        )
        loss = associative_loss(model, hidden)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % EVALUATE_EVERY == 0 or step == steps:
            own, exchanged = _degrees(model, held_out)
            found = _best_threshold(own, exchanged)
            accuracy = _accuracy(own, exchanged, found)
            if accuracy > best:
                best, threshold, kept = accuracy, found, deepcopy(model.state_dict())
            on_log({"step": step, "loss": loss.item(), "accuracy": accuracy})
    model.load_state_dict(kept)
    return threshold


def _hide(mask: Tensor) -> Tensor:
    """Hide half of the tokens of each item at random, never the first one."""
    return mask & ((torch.rand(mask.shape) < 0.5) | (mask.cumsum(1) == 1))


def _degrees(
    model: Any, items: TokenBatch
) -> tuple[Float[np.ndarray, " item"], Float[np.ndarray, " pair"]]:
    """Degrees of match of the items with their own sound, and with sounds of other items."""
    found: list[np.ndarray] = []
    with torch.inference_mode():
        for shift in range(EXCHANGES + 1):
            order = torch.arange(len(items.frames)).roll(shift)
            mixed = replace(items, audio=items.audio[order], audio_mask=items.audio_mask[order])
            found.append(model.match(mixed).numpy())
    return found[0], np.concatenate(found[1:])


def _best_threshold(
    own: Float[np.ndarray, " item"], exchanged: Float[np.ndarray, " pair"]
) -> float:
    tries = np.unique(np.concatenate([own, exchanged]))
    return float(max(tries, key=lambda at: _accuracy(own, exchanged, at)))


def _accuracy(
    own: Float[np.ndarray, " item"], exchanged: Float[np.ndarray, " pair"], threshold: float
) -> float:
    """Balanced accuracy in percent: own and exchanged sounds have the same weight."""
    return 50 * float((own >= threshold).mean() + (exchanged < threshold).mean())
