"""Score all queries and items of a gallery with a model, in chunks of bounded memory."""

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
from seehear_lab.datasets.batches import Gallery, chunks, concat_items, select_rows, to_device
from seehear_lab.evaluate.folded import folded

BUDGET_BYTES = 256 * 2**20  # memory that `score` may need for one block
Method = Literal["none", "dual_softmax", "inverted_softmax", "qb_norm", "dual_softmax_qb_norm"]
NEED_BANK = ("qb_norm", "dual_softmax_qb_norm")  # need the scores of other captions


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """The encoded captions and items of a gallery."""

    query: Float[Tensor, "query *token dim"]
    items: TokenBatch


@torch.inference_mode()
def encode(model: RetrievalModel, gallery: Gallery, *, batch: int = 64) -> Encoded:
    """Encode all captions and items, `batch` at a time, on the model's device."""
    model.eval()
    device = model.logit_scale.device
    captions = (gallery.queries(rows) for rows in chunks(len(gallery.query_ids), batch))
    items = [
        model.encode_items(to_device(gallery.media(rows), device))
        for rows in chunks(len(gallery.item_ids), batch)
    ]
    return Encoded(query=encode_captions(model, captions), items=concat_items(items))


@torch.inference_mode()
def encode_captions(
    model: RetrievalModel, batches: Iterable[Any]
) -> Float[Tensor, "query *token dim"]:
    """Encode batches of captions on the model's device; words are padded with zeros."""
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
    """scores[query, item] of a gallery, block by block.

    A block has as many queries as fit the budget, so that work that depends on an item alone runs
    once. Items may be stored in half precision. X-Pool and TEFAL run in their folded form.

    Note: the estimate of memory is four vectors and two weights per token for every pair (none in
    folded form), and six vectors for every token of an item.
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
        block = select_rows(items, columns)
        block = replace(
            block, frames=block.frames.to(query.dtype), audio=block.audio.to(query.dtype)
        )
        for rows in chunks(len(query), high):
            scores[rows, columns] = score(query[rows], block).float().cpu().numpy()
    return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoStage:
    """Scores of a two-stage search, the scores of stage 1 alone, and its recall in percent."""

    scores: Float64[np.ndarray, "query item"]
    stage1: Float64[np.ndarray, "query item"]
    stage1_recall: float


@torch.inference_mode()
def score_two_stage(
    model: RetrievalModel,
    encoded: Encoded,
    target: Int[np.ndarray, " query"],
    *,
    keep: int,
    stage1: Literal["seen", "union"] = "seen",
) -> TwoStage:
    """Re-rank the best `keep` items of each query; the others follow in the order of stage 1.

    "seen" keeps the items with the nearest summaries, as in the papers. "union" keeps half of them
    by sight and half by sound, each pooled with uniform attention, as a search of a library does.
    `target` is the right item of each query, for the recall of stage 1.

    Source: TEFAL, Table 9.
    Raises: ValueError if `keep` is not within 1 .. the number of items, or if the model has no
    sound and `stage1` is "union".
    """
    query, items = encoded.query, encoded.items
    if not 1 <= keep <= len(items.frames):
        raise ValueError(f"keep={keep} must be within 1 .. {len(items.frames)}, the gallery's size")
    is_union = stage1 == "union"
    first = _union(query, model, items) if is_union else _nearness(query, model.summary(items))
    kept, score = first.topk(keep, dim=1).indices, folded(model) or model.score
    scores = first.clone()
    for row, candidates in enumerate(kept):
        second = score(query[row : row + 1], select_rows(items, candidates))[0].double()
        scores[row, candidates] = second - second.min() + first[row].max() + 1
    found = (kept.cpu() == torch.from_numpy(target)[:, None]).any(1)
    recall = 100 * float(found.double().mean())
    return TwoStage(scores=scores.cpu().numpy(), stage1=first.cpu().numpy(), stage1_recall=recall)


def _nearness(
    query: Float[Tensor, "query dim"], summary: Float[Tensor, "item dim"]
) -> Float[Tensor, "query item"]:
    return (F.normalize(query, dim=-1) @ F.normalize(summary, dim=-1).T).double()


def _union(
    query: Float[Tensor, "query dim"], model: RetrievalModel, items: TokenBatch
) -> Float[Tensor, "query item"]:
    """Minus the better of an item's two ranks: by sight and by sound."""
    see, hear = getattr(model, "see", None), getattr(model, "hear", None)
    if see is None or hear is None:
        raise ValueError("the model does not pool sight and sound separately; use stage1='seen'")
    lists = (
        _nearness(query, see.pool_uniformly(items.frames, items.frame_mask)),
        _nearness(query, hear.pool_uniformly(items.audio, items.audio_mask)),
    )
    ranks = [each.argsort(1, descending=True).argsort(1).double() for each in lists]
    return -torch.minimum(ranks[0], ranks[1] + 0.5)  # 0.5: no two items tie


def correct_hubness(
    scores: Float[np.ndarray, "query item"],
    method: Method,
    *,
    bank_scores: Float[np.ndarray, "bank item"] | None = None,
) -> tuple[Float[np.ndarray, "query item"], str]:
    """Scores after a hubness correction, and the label of the row in a table.

    "transductive" corrections use all test queries at once, "inductive" ones a bank of other
    queries. "dual_softmax_qb_norm" applies dual softmax to scores and bank, then QB-Norm.

    Source: TEFAL, Table 3, for both at once; the order is ours, as the paper does not give it.
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
