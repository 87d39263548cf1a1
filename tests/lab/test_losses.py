"""Losses on matrices worked by hand and against loops over the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seehear_lab.losses import camoe_dsl, hardest_negative_hinge, symmetric_infonce

TWO = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64)


def test_infonce_by_hand() -> None:
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    columns = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2))) / 2
    assert symmetric_infonce(TWO).item() == pytest.approx(rows + columns)
    assert symmetric_infonce(TWO, reduction="mean").item() == pytest.approx((rows + columns) / 2)
    assert symmetric_infonce(torch.zeros(5, 5)).item() == pytest.approx(2 * math.log(5))


def camoe_in_loops(s: Tensor, temperature: float) -> float:
    size, total = len(s), 0.0
    for matrix in (s, s.T):
        for i in range(size):
            row = [
                float(matrix[i, j])
                * size
                * math.exp(matrix[i, j] / temperature)
                / sum(math.exp(matrix[k, j] / temperature) for k in range(size))
                for j in range(size)
            ]
            total -= row[i] - math.log(sum(math.exp(value) for value in row))
    return total / size / 2


@pytest.mark.parametrize("temperature", [1000.0, 1.0])
def test_camoe_in_loops(temperature: float) -> None:
    s = 5 * torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = camoe_in_loops(s, temperature)
    assert camoe_dsl(s, temperature=temperature).item() == pytest.approx(expected)


def test_camoe_at_infinite_temperature_is_infonce() -> None:
    assert camoe_dsl(TWO, temperature=1e9).item() == pytest.approx(
        symmetric_infonce(TWO, reduction="mean").item()
    )


def test_hinge_by_hand_with_a_tie() -> None:
    s = torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.5, 0.5], [0.0, 0.4, 0.6]])
    rows = (0.2 - 0.9 + 0.8) + 0.2 + 0.0  # the third is right by exactly the margin
    columns = 0.0 + (0.2 - 0.5 + 0.8) + (0.2 - 0.6 + 0.5)
    assert hardest_negative_hinge(s).item() == pytest.approx((rows + columns) / 3)
    assert hardest_negative_hinge(s, margin=0.0).item() == pytest.approx(0.3 / 3)
    assert hardest_negative_hinge(torch.tensor([[0.3]])).item() == 0.0


@pytest.mark.parametrize("loss", [symmetric_infonce, camoe_dsl, hardest_negative_hinge])
def test_gradients_pull_pairs_together_and_inputs_are_unchanged(loss) -> None:
    s = torch.tensor([[0.3, 0.4], [0.5, 0.2]], requires_grad=True)
    before = s.detach().clone()
    loss(s).backward()
    assert (s.grad.diagonal() < 0).all()
    assert (s.grad.sum() - s.grad.diagonal().sum()) > 0
    assert torch.equal(s.detach(), before)
