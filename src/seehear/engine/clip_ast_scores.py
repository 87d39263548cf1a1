"""Scores of the `clip-ast` head on stored tokens, split into seen and heard."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Num
from torch import nn
from torch.nn import functional as F

from seehear.engine.scoring import (
    Affine,
    BlockWeights,
    FoldedBlock,
    fold_queries,
    fold_weights,
    modality_scores,
    pack_stored,
)
from seehear.nn.tokens import TokenBatch
from seehear.types import ModalityScores, Tokens

Modalities = tuple[bool, bool]  # score sight, score sound


class Scores:
    """s = t . E_seen / |t||E| + t . E_heard / |t||E|, with E their sum and t the query.

    The head's blocks are folded once; a head with several attention heads has no `blocks` and
    stays in torch.
    """

    def __init__(self, head: Any) -> None:
        self._pools = [head.see, head.hear] if hasattr(head, "hear") else [head.see]
        one_head = all(getattr(pool, "pool", pool).heads == 1 for pool in self._pools)
        self.blocks = (
            [fold_weights(block_weights(pool)) for pool in self._pools] if one_head else []
        )

    @property
    def sight(self) -> FoldedBlock | None:
        """The folded block over frames; None if the blocks do not fold."""
        return self.blocks[0] if self.blocks else None

    def modalities(
        self, text: Float32[np.ndarray, "query dim"], tokens: Tokens, *, by: Modalities
    ) -> ModalityScores:
        """Contribution of each modality to each pair; 0 for one that is switched off."""
        wanted = [by[0], by[1] and len(self._pools) > 1]
        both = np.zeros((2, len(text), len(tokens.frames)), np.float32)
        if not self.blocks:
            both = self._in_torch(text, tokens, *wanted)
        elif any(wanted):
            arrays = (tokens.frames, tokens.frame_mask), (tokens.audio, tokens.audio_mask)
            chosen = np.flatnonzero(wanted)
            packed = [pack_stored(*arrays[at]) for at in chosen]
            both[chosen] = modality_scores(text, [self.blocks[at] for at in chosen], packed)
        return ModalityScores(seen=both[0], heard=both[1])

    def attention(
        self,
        modality: int,
        text: Float32[np.ndarray, "1 dim"],
        tokens: Num[np.ndarray, "1 token dim"],
        mask: Bool[np.ndarray, "1 token"],
    ) -> Float32[np.ndarray, " token"]:
        """Attention of one text over the tokens of one item; sums to 1."""
        if not self.blocks:
            pool = getattr(self._pools[modality], "pool", self._pools[modality])
            wide = torch.tensor(tokens, dtype=torch.float32)
            with torch.inference_mode():
                weights = pool.weights(torch.from_numpy(text), wide, torch.from_numpy(mask))
            return weights[0, 0].mean(0).numpy()
        kept = pack_stored(tokens, mask)
        logits = kept.rows(0, 1) @ fold_queries(self.blocks[modality], text).probe[0]
        weights = np.exp(logits - logits.max(initial=-np.inf))
        return weights / max(float(weights.sum()), 1e-12)

    def _in_torch(
        self, text: Float32[np.ndarray, "query dim"], tokens: Tokens, sees: bool, hears: bool
    ) -> Float32[np.ndarray, "two query item"]:
        batch, queries = TokenBatch.from_tokens(tokens), torch.from_numpy(text)
        with torch.inference_mode():
            seen = self._pools[0](queries, batch.frames, batch.frame_mask) * float(sees)
            heard = torch.zeros_like(seen)
            if hears:
                heard = self._pools[1](queries, batch.audio, batch.audio_mask)
            length = torch.linalg.vector_norm(seen + heard, dim=-1).clamp(min=1e-8)
            unit = F.normalize(queries, dim=-1)[:, None]
            return torch.stack([(unit * part).sum(-1) / length for part in (seen, heard)]).numpy()


def block_weights(pool: Any) -> BlockWeights:
    """A block of nn.conditioning as arrays."""
    inner = getattr(pool, "pool", pool)
    residual = inner is not pool
    return BlockWeights(
        norm_in=_affine(inner.norm_in),
        query=_affine(inner.query),
        key=_affine(inner.key),
        value=_affine(inner.value),
        out=_affine(inner.out),
        norm_out=_affine(inner.norm_out),
        linear=_affine(pool.linear) if residual else None,
        norm_last=_affine(pool.norm_out) if residual else None,
        eps=inner.norm_in.eps,
    )


def _affine(layer: nn.Linear | nn.LayerNorm) -> Affine:
    return Affine(
        weight=layer.weight.detach().cpu().numpy(), bias=layer.bias.detach().cpu().numpy()
    )
