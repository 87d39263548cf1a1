"""Token selection: keep the patches of each frame that a learned scorer ranks highest."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class PatchScorer(nn.Module):
    """Scores the relevance of each patch of a frame, given its class token.

    x = GELU(W_1 LN(v));  score_i = tanh(w . GELU(W_2 [x_i; x_0])), without biases.

    Source: TS2-Net, section 3.3, and its public code.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.narrow = nn.Linear(dim, dim // 2, bias=False)
        self.join = nn.Linear(dim // 2 * 2, dim // 2, bias=False)
        self.out = nn.Linear(dim // 2, 1, bias=False)

    def forward(self, tokens: Float[Tensor, "row token dim"]) -> Float[Tensor, "row token"]:
        """A score in (-1, 1) for every token, the class token (0) included."""
        x = F.gelu(self.narrow(self.norm(tokens)))
        joined = torch.cat([x, x[:, :1].expand_as(x)], dim=-1)
        return self.out(F.gelu(self.join(joined))).squeeze(-1).tanh()


def top_k_ascending(scores: Float[Tensor, "*row patch"], k: int) -> Int[Tensor, "*row k"]:
    """Indices of the k highest scores, in ascending order."""
    return scores.topk(k, dim=-1).indices.sort(dim=-1).values


class PerturbedTopK(torch.autograd.Function):
    """Mean one-hot choice of the top k patches under noise, with the gradient of that mean.

    Y = 1/n sum_n onehot(top_k(s + sigma Z_n));  dY_p/ds_q = 1/(n sigma) sum_n onehot_np Z_nq.

    Source: Berthet et al., "Learning with differentiable perturbed optimizers"; TS2-Net.
    Differs: TS2-Net's public code omits the terms with p != q, as `full_gradient` = False does.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float, full_gradient: bool
    ) -> Tensor:
        """[row patch], [row sample patch] -> [row k patch]; slot 0 has the lowest index."""
        chosen = top_k_ascending(scores[:, None] + sigma * noise, k).transpose(1, 2)
        ctx.save_for_backward(chosen, noise)
        ctx.sigma, ctx.full_gradient = sigma, full_gradient
        counts = torch.zeros(
            len(scores), k, scores.shape[1], dtype=torch.long, device=scores.device
        )
        counts.scatter_add_(2, chosen, torch.ones_like(chosen))
        return counts.to(scores.dtype) / noise.shape[1]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """sum_k upstream_kp dY_kp / ds_q, over all p or for p = q alone."""
        chosen, noise = ctx.saved_tensors
        along = upstream.gather(2, chosen)  # [row k sample]
        if ctx.full_gradient:
            grad = torch.einsum("rkn,rnp->rp", along, noise)
        else:
            own = along * noise.gather(2, chosen.mT).mT
            grad = torch.zeros_like(noise[:, 0]).scatter_add(1, chosen.flatten(1), own.flatten(1))
        return grad / (noise.shape[1] * ctx.sigma), None, None, None, None


class TokenSelection(nn.Module):
    """Keeps the class token and the k highest-scoring patches of each frame.

    Training adds noise and keeps soft mixtures of patches; evaluation takes the top k unchanged
    ("hard"), or mixtures too ("perturbed": set `generator` to repeat them).

    Source: TS2-Net, section 3.3; k = 3, 500 samples, sigma 0.05 of its public code.
    Differs: evaluation is "hard" by default (the code adds noise, so its scores vary by run).
    """

    def __init__(
        self,
        dim: int,
        *,
        keep: int,
        samples: int,
        sigma: float,
        eval_mode: Literal["hard", "perturbed"],
        full_gradient: bool,
    ) -> None:
        super().__init__()
        self.scorer = PatchScorer(dim)
        self.keep, self.samples, self.sigma = keep, samples, sigma
        self.eval_mode, self.full_gradient = eval_mode, full_gradient
        self.generator: torch.Generator | None = None

    def forward(self, tokens: Float[Tensor, "row token dim"]) -> Float[Tensor, "row kept dim"]:
        """[class; patches] of each frame -> [class; k chosen]."""
        patches = tokens[:, 1:]
        if not self.training and self.eval_mode == "hard":
            chosen = top_k_ascending(self.scorer(tokens)[:, 1:], self.keep)
            selected = patches.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[2]))
        else:
            scores = self.scorer(tokens)[:, 1:]
            indicator: Tensor = PerturbedTopK.apply(
                scores, self.noise(scores), self.keep, self.sigma, self.full_gradient
            )
            selected = indicator @ patches
        return torch.cat([tokens[:, :1], selected], dim=1)

    def noise(self, scores: Float[Tensor, "row patch"]) -> Float[Tensor, "row sample patch"]:
        """Standard normal noise for every sample."""
        rows, patches = scores.shape
        return torch.randn(
            (rows, self.samples, patches),
            generator=self.generator,
            dtype=scores.dtype,
            device=scores.device,
        )
