"""Score a gallery with a model, in chunks: never more than a budget of bytes at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor
from torch.nn import functional as F

from seehear.models.base import RetrievalModel
from seehear.nn.tokens import TokenBatch
from seehear.rank import dual_softmax, inverted_softmax, qb_norm
from seehear.rank.hubness import LABELS
from seehear_lab.datasets.batches import Gallery, chunks, joined, taken, to_device
from seehear_lab.evaluate.folded import folded

BUDGET_BYTES = 256 * 2**20  # of what `score` needs for one block
Method = Literal["none", "dual_softmax", "inverted_softmax", "qb_norm", "dual_softmax_qb_norm"]
BANKED = ("qb_norm", "dual_softmax_qb_norm")  # need the scores of other captions


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """A gallery after its towers: what every score is made of."""

    query: Float[Tensor, "query *token dim"]
    items: TokenBatch


@torch.inference_mode()
def encode(model: RetrievalModel, gallery: Gallery, *, batch: int = 64) -> Encoded:
    """All captions and items through the towers, `batch` at a time, on the model's device."""
    model.eval()
    device = model.logit_scale.device
    captions = (gallery.queries(rows) for rows in chunks(len(gallery.query_ids), batch))
    items = [
        model.encode_items(to_device(gallery.media(rows), device))
        for rows in chunks(len(gallery.item_ids), batch)
    ]
    return Encoded(query=encode_captions(model, captions), items=joined(items))


@torch.inference_mode()
def encode_captions(
    model: RetrievalModel, batches: Iterable[Any]
) -> Float[Tensor, "query *token dim"]:
    """Batches of captions through the text tower, on the model's device; zeros where words end."""
    device = model.logit_scale.device
    encoded = [model.encode_query(to_device(batch, device)) for batch in batches]
    if encoded[0].ndim == 3:
        longest = max(each.shape[1] for each in encoded)
        encoded = [F.pad(each, (0, 0, 0, longest - each.shape[1])) for each in encoded]
    return torch.cat(encoded)


@torch.inference_mode()
def score_all(
    model: RetrievalModel, encoded: Encoded, *, budget_bytes: int = BUDGET_BYTES
) -> Float32[np.ndarray, "query item"]:
    """scores[query, item] of the whole gallery, block by block.

    Blocks are as high as they can be, so that what a model computes of an item alone is computed
    once. Items may be kept in half precision. Models that fold are scored folded.

    Note: a block is sized as if a model kept four vectors and two weights a token for every pair
    (nothing where it folds), and six vectors for every token of an item.
    """
    query, items = encoded.query, encoded.items
    tokens = items.frames.shape[1] + items.audio.shape[1]
    words, dim = query[0].numel() // query.shape[-1], query.shape[-1]
    pairs = max(budget_bytes // (4 * words * (4 * dim + 2 * tokens)), 1)
    fast = folded(model)
    score = fast or model.score
    high = len(query) if fast else min(len(query), pairs)
    per_item = 4 * 6 * tokens * dim
    wide = budget_bytes // per_item if fast else min(pairs // high, budget_bytes // per_item)
    scores = np.empty((len(query), len(items.frames)), np.float32)
    for columns in chunks(scores.shape[1], max(wide, 1)):
        block = taken(items, columns)
        block = replace(
            block, frames=block.frames.to(query.dtype), audio=block.audio.to(query.dtype)
        )
        for rows in chunks(len(query), high):
            scores[rows, columns] = score(query[rows], block).float().cpu().numpy()
    return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoStage:
    """Scores whose order is the order of two stages; and of stage 1, with its recall in percent."""

    scores: Float64[np.ndarray, "query item"]
    stage1: Float64[np.ndarray, "query item"]
    stage1_recall: float


@torch.inference_mode()
def score_two_stage(
    model: RetrievalModel,
    encoded: Encoded,
    own: Int[np.ndarray, " query"],
    *,
    keep: int,
    stage1: Literal["seen", "union"] = "seen",
) -> TwoStage:
    """Only `keep` items of each query get the model's score; the rest stay below, as in stage 1.

    "seen" keeps the items with the nearest summaries, as the papers do; "union" takes half of them
    by sight and half by sound, each under uniform attention, as a search of a library does.

    Source: TEFAL, Table 9.
    Raises: ValueError if `keep` is not within 1 .. the number of items, or nothing is heard.
    """
    query, items = encoded.query, encoded.items
    if not 1 <= keep <= len(items.frames):
        raise ValueError(f"keep={keep} of {len(items.frames)} items; choose from 1 to that")
    is_union = stage1 == "union"
    first = _union(query, model, items) if is_union else _nearness(query, model.summary(items))
    kept, score = first.topk(keep, dim=1).indices, folded(model) or model.score
    scores = first.clone()
    for row, candidates in enumerate(kept):
        second = score(query[row : row + 1], taken(items, candidates))[0].double()
        scores[row, candidates] = second - second.min() + first[row].max() + 1
    found = (kept.cpu() == torch.from_numpy(own)[:, None]).any(1)
    recall = 100 * float(found.double().mean())
    return TwoStage(scores=scores.cpu().numpy(), stage1=first.cpu().numpy(), stage1_recall=recall)


def _nearness(
    query: Float[Tensor, "query dim"], summary: Float[Tensor, "item dim"]
) -> Float[Tensor, "query item"]:
    return (F.normalize(query, dim=-1) @ F.normalize(summary, dim=-1).T).double()


def _union(
    query: Float[Tensor, "query dim"], model: RetrievalModel, items: TokenBatch
) -> Float[Tensor, "query item"]:
    """Minus the better of an item's two places: by sight, and by sound."""
    see, hear = getattr(model, "see", None), getattr(model, "hear", None)
    if see is None or hear is None:
        raise ValueError("the model has no blocks for sight and sound; use stage1='seen'")
    lists = (
        _nearness(query, see.uniform(items.frames, items.frame_mask)),
        _nearness(query, hear.uniform(items.audio, items.audio_mask)),
    )
    places = [each.argsort(1, descending=True).argsort(1).double() for each in lists]
    return -torch.minimum(places[0], places[1] + 0.5)  # no two items tie


def corrected(
    scores: Float[np.ndarray, "query item"],
    method: Method,
    *,
    bank_scores: Float[np.ndarray, "bank item"] | None = None,
) -> tuple[Float[np.ndarray, "query item"], str]:
    """Scores after a hubness correction, and how the row is to be labelled in a table.

    "transductive" rows look at all test queries at once, "inductive" ones at a bank of others. Both
    corrections at once are QB-Norm on what dual softmax makes of scores and bank.

    Source: for both at once TEFAL, Table 3, which does not say in which order.
    Raises: ValueError if QB-Norm gets no bank.
    """
    if method == "none":
        return scores, "plain"
    if method == "dual_softmax":
        return dual_softmax(scores), LABELS[method]
    if method == "inverted_softmax":
        return inverted_softmax(scores, beta=100.0), LABELS[method]
    if bank_scores is None:
        raise ValueError("qb_norm needs the scores of a bank of other captions, e.g. of training")
    if method == "qb_norm":
        return qb_norm(scores, bank_scores), LABELS[method]
    return qb_norm(dual_softmax(scores), dual_softmax(bank_scores)), LABELS["dual_softmax"]
