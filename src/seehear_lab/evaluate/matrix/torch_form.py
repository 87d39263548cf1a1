"""The same scores in torch, for tokens on a GPU: exact, in tiles, no vector per pair for sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from seehear.engine.scoring.folded_weights import FoldedBlock, FoldedQueries, fold_queries
from seehear.nn.tokens import TokenBatch

TILE_BYTES = 256 * 2**20  # of the largest array: tokens, logits or pooled sound


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """A folded block and queries on a device."""

    block: dict[str, Tensor]
    residual: tuple[Tensor, Tensor] | None  # B, d
    eps: float
    probe: Float[Tensor, "query dim"]
    value: Float[Tensor, "query dim"]
    constants: Float[Tensor, "three query"]


@torch.inference_mode()
def score_in_torch(
    query: Float[Tensor, "query dim"],
    items: TokenBatch,
    blocks: Sequence[FoldedBlock],
    *,
    tile_bytes: int = TILE_BYTES,
) -> Float[Tensor, "query item"]:
    """As `score_matrix`, on the device of the inputs: Gram matrices for sight, pooled sound.

    `blocks` are those over frames and, where sound is heard, over sound. An item that is silent in
    one modality is scored by the other; one without tokens scores 0.
    """
    see, *hear = [_side(block, query) for block in blocks]
    unit, found = F.normalize(query.float(), dim=-1), []
    count, dim = max(len(query), 1), query.shape[1]
    longest = max(items.frames.shape[1], items.audio.shape[1])
    wide = max(tile_bytes // (4 * max(count * dim, count * longest, longest * dim)), 1)
    for first in range(0, len(items.frames), wide):
        columns = slice(first, first + wide)
        frames, mask = items.frames[columns], items.frame_mask[columns]
        z = _normalised(see, frames, mask)
        dot, norm2, rest = _through_gram(see, z, mask)
        for side in hear:
            mask = items.audio_mask[columns]
            vectors = _pooled(side, _normalised(side, items.audio[columns], mask), mask)
            dot = dot + torch.einsum("qd,vqd->vq", unit, vectors)
            norm2 = norm2 + vectors.square().sum(-1) + 2 * _crossed(see, z, rest, vectors)
        found.append((dot * torch.maximum(norm2, dot.square() + 1e-20).rsqrt()).T)
    return torch.cat(found, 1) if found else query.new_zeros(len(query), 0)


def _side(block: FoldedBlock, query: Tensor) -> _Side:
    def there(x: np.ndarray) -> Tensor:
        return torch.tensor(x, dtype=torch.float32, device=query.device)

    folded: FoldedQueries = fold_queries(block, query.float().cpu().numpy())
    closing, weights = block.residual, block.weights
    last = weights.norm_out if weights.norm_last is None else weights.norm_last
    arrays = {name: getattr(block, name) for name in ("A", "a0", "H", "h0", "e", "b")}
    return _Side(
        block={name: there(x) for name, x in (arrays | {"gain": last.weight}).items()},
        residual=(there(closing.B), there(closing.d)) if closing else None,
        eps=weights.eps,
        probe=there(folded.probe),
        value=there(folded.value),
        constants=there(folded.constants),
    )


def _normalised(
    side: _Side, tokens: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "item token dim"]:
    """Layer norm without affine; zeros where the mask is False, NaN padding included."""
    kept = tokens.float().masked_fill(~mask[..., None], 0)
    return F.layer_norm(kept, kept.shape[-1:], eps=side.eps)


def _attention(side: _Side, z: Tensor, mask: Tensor) -> Tensor:
    """[item query token]; zeros for items without tokens."""
    logits = torch.einsum("qd,vfd->vqf", side.probe, z)
    return logits.masked_fill(~mask[:, None], -torch.inf).softmax(-1).nan_to_num(0)


def _through_gram(
    side: _Side, z: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """t . E and |E|^2 [item query] from a^T G a and its like; and attention, alpha, beta."""
    block, dim = side.block, z.shape[-1]
    a = _attention(side, z, mask)

    def quadratic(x: Tensor) -> Tensor:
        return ((a @ (x @ x.mT)) * a).sum(-1)

    w, h = z @ block["A"].T + block["a0"], z @ block["H"].T + block["h0"]
    alpha, beta = (quadratic(w) / dim + side.eps).rsqrt(), torch.zeros_like(a[..., 0])
    if side.residual:
        m, d = w @ side.residual[0].T, side.residual[1]
        mean = torch.einsum("vqf,vf->vq", a, m @ d) * (2 / dim)
        spread = alpha * (alpha * quadratic(m) / dim + mean) + d.square().mean()
        beta = (spread + side.eps).rsqrt()
        alpha = alpha * beta
    e, b = block["e"], block["b"]
    along = torch.einsum("vqf,vfk->kvq", a, h @ torch.stack([e, b], 1))
    norm2 = alpha * (alpha * quadratic(h) + 2 * (beta * along[0] + along[1]))
    norm2 = norm2 + beta * (beta * (e @ e) + 2 * (e @ b)) + b @ b
    value_dot = (a * torch.einsum("qd,vfd->vqf", side.value, z)).sum(-1)
    dot = alpha * (value_dot + side.constants[0]) + beta * side.constants[1] + side.constants[2]
    is_there = mask.any(1)[:, None]
    return dot * is_there, norm2 * is_there, (a, alpha * is_there, beta * is_there, is_there)


def _pooled(side: _Side, z: Tensor, mask: Tensor) -> Tensor:
    """E [item query dim] of a tile, from pooled tokens; zeros for items without tokens."""
    block = side.block
    w = _unit_variance(_attention(side, z, mask) @ z @ block["A"].T + block["a0"], side.eps)
    if side.residual:
        w = _unit_variance(w @ side.residual[0].T + side.residual[1], side.eps)
    return (w * block["gain"] + block["b"]) * mask.any(1)[:, None, None]


def _unit_variance(w: Tensor, eps: float) -> Tensor:
    """Variance one; the mean is 0 already."""
    return w * (w.square().mean(-1, keepdim=True) + eps).rsqrt()


def _crossed(side: _Side, z: Tensor, rest: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
    """E_seen . E_heard: sum_f a_f z_f . (H^T E_heard), and what is constant over frames."""
    a, alpha, beta, is_there = rest
    block = side.block
    dot = (a * ((vectors @ block["H"]) @ z.mT)).sum(-1)
    constant = vectors @ torch.stack([block["h0"], block["e"], block["b"]], 1)
    return alpha * (dot + constant[..., 0]) + beta * constant[..., 1] + is_there * constant[..., 2]
