"""Perturbed top-k with given noise: indicator and gradient against loops and finite differences."""

from __future__ import annotations

import pytest
import torch

from seehear.nn.token_selection import PerturbedTopK, TokenSelection, top_k_ascending

SIGMA = 0.5


def smoothed(scores: torch.Tensor, noise: torch.Tensor, k: int) -> torch.Tensor:
    """Mean one-hot choice, in loops."""
    rows, samples, patches = noise.shape
    indicator = torch.zeros(rows, k, patches, dtype=scores.dtype)
    for row in range(rows):
        for sample in range(samples):
            noisy = scores[row] + SIGMA * noise[row, sample]
            best = sorted(sorted(range(patches), key=lambda at: -float(noisy[at]))[:k])
            for slot, index in enumerate(best):
                indicator[row, slot, index] += 1 / samples
    return indicator


@pytest.mark.parametrize("full", [True, False])
def test_indicator_and_backward_in_loops(full: bool) -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 40, 6, dtype=torch.float64)
    upstream = torch.randn(2, 3, 6, dtype=torch.float64)
    indicator = PerturbedTopK.apply(scores, noise, 3, SIGMA, full)
    torch.testing.assert_close(indicator, smoothed(scores.detach(), noise, 3))
    indicator.backward(upstream)
    expected = torch.zeros_like(scores)
    for row in range(2):
        for sample in range(40):
            noisy = scores[row].detach() + SIGMA * noise[row, sample]
            for slot, place in enumerate(top_k_ascending(noisy, 3).tolist()):
                for score in range(6) if full else [place]:
                    pull = upstream[row, slot, place] / (40 * SIGMA)
                    expected[row, score] += pull * noise[row, sample, score]
    torch.testing.assert_close(scores.grad, expected)


@pytest.mark.parametrize("full", [True, False])
def test_backward_agrees_with_finite_differences_of_the_expectation(full: bool) -> None:
    """The mean of the estimator is the gradient of the smoothed choice, to its standard error."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.tensor([[0.1, 0.4, -0.2, 0.3]], dtype=torch.float64)
    upstream = torch.randn(1, 2, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(1, 400_000, 4, generator=generator, dtype=torch.float64)
    leaf = scores.clone().requires_grad_()
    (PerturbedTopK.apply(leaf, noise, 2, SIGMA, full) * upstream).sum().backward()
    for place in range(4):
        step = torch.zeros_like(scores)
        step[0, place] = 0.05
        up, down = (
            PerturbedTopK.apply(scores + sign * step, noise, 2, SIGMA, full) for sign in (1, -1)
        )
        pull = (up - down) * upstream / 0.1
        difference = pull.sum() if full else pull[..., place].sum()
        assert abs(float(difference - leaf.grad[0, place])) < 0.02


def test_evaluation_is_hard_by_default_or_repeats_with_its_generator() -> None:
    torch.manual_seed(2)
    tokens = torch.randn(5, 9, 8)
    settings = {"keep": 2, "samples": 20, "sigma": 0.05, "full_gradient": False}
    hard = TokenSelection(8, eval_mode="hard", **settings).eval()
    assert torch.equal(hard(tokens), hard(tokens))
    chosen = top_k_ascending(hard.scorer(tokens)[:, 1:], 2)
    for row in range(5):
        assert torch.equal(hard(tokens)[row], tokens[row][[0, *(chosen[row] + 1).tolist()]])
    soft = TokenSelection(8, eval_mode="perturbed", **settings).eval()
    soft.load_state_dict(hard.state_dict())
    assert not torch.equal(soft(tokens), soft(tokens))
    soft.generator = torch.Generator().manual_seed(3)
    first = soft(tokens)
    soft.generator.manual_seed(3)
    assert torch.equal(soft(tokens), first)


def test_scorer_has_the_size_of_the_paper() -> None:
    selection = TokenSelection(
        512, keep=3, samples=500, sigma=0.05, eval_mode="hard", full_gradient=True
    )
    assert sum(weight.numel() for weight in selection.parameters()) == 263_424
