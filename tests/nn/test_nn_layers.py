"""Initial weights of layers, refused arguments, and top-k pooling."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seehear.nn.conditioning import ResidualTextConditionedPool, TextConditionedPool
from seehear.nn.pooling import top_k_sum
from seehear.nn.temporal import CrossTransformer, PositionedTransformer, TemporalLSTM

MASK = torch.ones(3, 5, dtype=torch.bool)


def test_pools_start_as_the_identity() -> None:
    block = ResidualTextConditionedPool(8)
    for name, layer in block.named_modules():
        if isinstance(layer, nn.Linear):
            assert torch.equal(layer.weight, torch.eye(8)), name
            assert torch.equal(layer.bias, torch.zeros(8)), name
    assert (
        sum(weight.numel() for weight in ResidualTextConditionedPool(512).parameters()) == 1316352
    )


def test_single_token_is_pooled_for_every_query() -> None:
    torch.manual_seed(0)
    token = torch.randn(3, 1, 8)
    pooled = TextConditionedPool(8)(torch.randn(4, 8), token, MASK[:, :1])
    normal = nn.functional.layer_norm(token[:, 0], (8,))
    expected = nn.functional.layer_norm(normal, (8,))
    torch.testing.assert_close(pooled, expected.expand(4, 3, 8))


def test_dropout_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    block, query, tokens = ResidualTextConditionedPool(8), torch.randn(2, 8), torch.randn(3, 5, 8)
    assert block.dropout.p == 0.3
    assert not torch.equal(block(query, tokens, MASK), block(query, tokens, MASK))
    block.eval()
    assert torch.equal(block(query, tokens, MASK), block(query, tokens, MASK))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="a width of 8 cannot be shared by 3 heads"):
        TextConditionedPool(8, heads=3)
    with pytest.raises(ValueError, match="by 0 heads"):
        PositionedTransformer(8, layers=1, heads=0, positions=5)


def test_sequence_longer_than_its_positions_is_refused() -> None:
    transformer = PositionedTransformer(8, layers=1, heads=2, positions=4)
    with pytest.raises(ValueError, match=r"5 tokens is longer than 4 positions; .*positions=5"):
        transformer(torch.zeros(3, 5, 8), MASK)


def test_transformers_start_small_and_without_bias() -> None:
    torch.manual_seed(0)
    cross = CrossTransformer(64, layers=2, heads=1, positions=9, dropout=0.1)
    for name, layer in cross.named_modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.3), name
        if isinstance(layer, nn.Linear):
            assert not layer.bias.any(), name
        if isinstance(layer, nn.LayerNorm):
            assert layer.eps == 1e-12


def test_lstm_runs_forward_only() -> None:
    torch.manual_seed(0)
    lstm, frames = TemporalLSTM(8), torch.randn(3, 5, 8)
    changed = frames.clone()
    changed[:, 3:] = 9.0
    before, after = lstm(frames, MASK), lstm(changed, MASK)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_top_k_sums_the_nearest_tokens_or_all_if_fewer() -> None:
    tokens = torch.tensor([[[1.0, 0], [0, 1], [2, 0]], [[0.0, 3], [9, 9], [9, 9]]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    pooled = top_k_sum(torch.tensor([[1.0, 0.0]]), tokens, mask, k=2)
    assert pooled.tolist() == [[[3, 0], [0, 3]]]
    assert top_k_sum(torch.tensor([[1.0, 0.0]]), tokens, mask, k=7).tolist() == [[[3, 1], [0, 3]]]
