"""The same algebra in torch, for a GPU: exact scores in tiles, never a whole [query, item, dim]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torch.nn import functional as F

from seehear.engine.scoring.fold import Block, Folded, fold_queries
from seehear.engine.scoring.tokens import PackedTokens

TILE_BYTES = 256 * 2**20  # of pooled sound, the widest thing that is made
Sense = tuple[Block, PackedTokens]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """A folded block and queries on a device."""

    block: dict[str, Tensor]
    residual: tuple[Tensor, Tensor] | None  # B, d
    eps: float
    probe: Float[Tensor, "query dim"]
    read: Float[Tensor, "query dim"]
    constants: Float[Tensor, "three query"]


def score_on(
    device: str | torch.device,
    query: Float[np.ndarray, "query dim"],
    seen: Sense,
    heard: Sense | None = None,
    *,
    tile_bytes: int = TILE_BYTES,
) -> Float32[np.ndarray, "query item"]:
    """cos(t, E_seen + E_heard) as `score` gives it; sight by its forms, sound pooled in tiles.

    An item that is silent in one sense is scored by the other; one without tokens scores 0.
    Raises: ValueError if the senses have other numbers of items.
    """
    if heard and len(heard[1]) != len(seen[1]):
        raise ValueError(f"{len(seen[1])} items seen but {len(heard[1])} heard; pair them")
    sides = [_side(sense[0], query, device) for sense in (seen, heard) if sense]
    unit = F.normalize(torch.tensor(query, dtype=torch.float32, device=device), dim=-1)
    scores = np.zeros((len(query), len(seen[1])), np.float32)
    wide = max(tile_bytes // (4 * max(query.size, 1)), 1)
    with torch.inference_mode():
        for first in range(0, len(seen[1]), wide):
            last = min(first + wide, len(seen[1]))
            frames = _padded(seen[1], first, last, device)
            dot, norm2, rest = _by_forms(sides[0], *frames)
            if heard:
                vectors = _pooled(sides[1], *_padded(heard[1], first, last, device))
                dot = dot + torch.einsum("qd,vqd->vq", unit, vectors)
                norm2 = norm2 + vectors.square().sum(-1)
                norm2 = norm2 + 2 * _crossed(sides[0], frames[0], rest, vectors)
            found = dot * norm2.clamp(min=1e-20).rsqrt()
            scores[:, first:last] = found.T.cpu().numpy()
    return scores


def _side(block: Block, query: np.ndarray, device: str | torch.device) -> _Side:
    def there(x: np.ndarray) -> Tensor:
        return torch.tensor(x, dtype=torch.float32, device=device)

    folded: Folded = fold_queries(block, query)
    closing, weights = block.residual, block.weights
    last = weights.norm_out if weights.norm_last is None else weights.norm_last
    arrays = {name: getattr(block, name) for name in ("A", "a0", "H", "h0", "e", "b")}
    return _Side(
        block={name: there(x) for name, x in (arrays | {"gain": last.weight}).items()},
        residual=(there(closing.B), there(closing.d)) if closing else None,
        eps=weights.eps,
        probe=there(folded.both[0]),
        read=there(folded.both[1]),
        constants=there(folded.constants),
    )


def _padded(
    tokens: PackedTokens, first: int, last: int, device: str | torch.device
) -> tuple[
    Float[Tensor, "item token dim"], Bool[Tensor, "item token"], Float[Tensor, "item token"]
]:
    """Items [first, last): tokens, which are there, and the logarithms of what they stand for."""
    lengths = np.diff(tokens.offsets[first : last + 1])
    mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
    values, count = (
        np.zeros((*mask.shape, tokens.dim), np.float32),
        np.zeros(mask.shape, np.float32),
    )
    values[mask] = tokens.rows(first, last)
    count[mask] = tokens.log_count[tokens.offsets[first] : tokens.offsets[last]]
    return tuple(torch.tensor(x, device=device) for x in (values, mask, count))  # type: ignore[return-value]


def _attention(side: _Side, z: Tensor, mask: Tensor, log_count: Tensor) -> Tensor:
    """[item query token]; zeros for items without tokens."""
    logits = torch.einsum("qd,vfd->vqf", side.probe, z) + log_count[:, None]
    return logits.masked_fill(~mask[:, None], -torch.inf).softmax(-1).nan_to_num(0)


def _by_forms(
    side: _Side, z: Tensor, mask: Tensor, log_count: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """t . E and |E|^2 [item query] from a^T G a and its like; and attention, alpha, beta."""
    block, dim = side.block, z.shape[-1]
    a = _attention(side, z, mask, log_count)

    def form(x: Tensor) -> Tensor:
        return ((a @ (x @ x.mT)) * a).sum(-1)

    w, h = z @ block["A"].T + block["a0"], z @ block["H"].T + block["h0"]
    alpha, beta = (form(w) / dim + side.eps).rsqrt(), torch.zeros_like(a[..., 0])
    if side.residual:
        m, d = w @ side.residual[0].T, side.residual[1]
        mean = torch.einsum("vqf,vf->vq", a, m @ d) * (2 / dim)
        spread = alpha * (alpha * form(m) / dim + mean) + d.square().mean()
        beta = (spread + side.eps).rsqrt()
        alpha = alpha * beta
    e, b = block["e"], block["b"]
    along = torch.einsum("vqf,vfk->kvq", a, h @ torch.stack([e, b], 1))
    norm2 = alpha * (alpha * form(h) + 2 * (beta * along[0] + along[1]))
    norm2 = norm2 + beta * (beta * (e @ e) + 2 * (e @ b)) + b @ b
    read = (a * torch.einsum("qd,vfd->vqf", side.read, z)).sum(-1)
    dot = alpha * (read + side.constants[0]) + beta * side.constants[1] + side.constants[2]
    is_there = mask.any(1)[:, None]
    return dot * is_there, norm2 * is_there, (a, alpha * is_there, beta * is_there, is_there)


def _pooled(side: _Side, z: Tensor, mask: Tensor, log_count: Tensor) -> Tensor:
    """E [item query dim] of a tile, from pooled tokens; zeros for items without tokens."""
    block = side.block
    w = _unit(_attention(side, z, mask, log_count) @ z @ block["A"].T + block["a0"], side.eps)
    if side.residual:
        w = _unit(w @ side.residual[0].T + side.residual[1], side.eps)
    return (w * block["gain"] + block["b"]) * mask.any(1)[:, None, None]


def _unit(w: Tensor, eps: float) -> Tensor:
    """Variance one; the mean is 0 already."""
    return w * (w.square().mean(-1, keepdim=True) + eps).rsqrt()


def _crossed(side: _Side, z: Tensor, rest: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
    """E_seen . E_heard: sum_f a_f z_f . (H^T E_heard), and what is constant over frames."""
    a, alpha, beta, is_there = rest
    block = side.block
    read = (a * ((vectors @ block["H"]) @ z.mT)).sum(-1)
    constant = vectors @ torch.stack([block["h0"], block["e"], block["b"]], 1)
    return alpha * (read + constant[..., 0]) + beta * constant[..., 1] + is_there * constant[..., 2]
