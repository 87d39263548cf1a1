"""Temporal models over frames, and a transformer over a text and frames.

Padding never affects real frames: keys are masked, and the LSTM runs forward only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.errors import counted
from seehear.nn.conditioning import head_width

EPS = 1e-12  # of every layer norm here; CLIP itself has 1e-5


def quick_gelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x * sigmoid(1.702 x), the activation of CLIP."""
    return x * torch.sigmoid(1.702 * x)


def init_like_bert(module: nn.Module) -> None:
    """Initialise a layer: normal(0, 0.02) weights, biases 0; for `Module.apply`."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
        nn.init.zeros_(module.bias)


class SelfAttention(nn.Module):
    """Attention half of a block of CLIP's transformers.  x + Attention(LN1(x))."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_width(dim, heads)
        self.ln_1 = nn.LayerNorm(dim, eps=EPS)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def attend(
        self, x: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
    ) -> Float[Tensor, "item token dim"]:
        """Each token attends to all unmasked tokens of its item."""
        qkv = self.qkv(self.ln_1(x)).unflatten(-1, (3, self.heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # three of [item head token width]
        lowest = torch.finfo(x.dtype).min  # -inf would give NaN for an item without frames
        bias = torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, lowest)
        pooled = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None, None])
        return x + self.out(pooled.transpose(1, 2).flatten(-2))


class ResidualBlock(SelfAttention):
    """A block of CLIP's transformers, without the causal mask.

    x <- x + Attention(LN1(x));  x <- x + W_2 quick_gelu(W_1 LN2(x)).
    """

    def __init__(self, dim: int, *, heads: int, wide: int | None = None) -> None:
        super().__init__(dim, heads=heads)
        wide = wide or 4 * dim
        self.ln_2 = nn.LayerNorm(dim, eps=EPS)
        self.widen = nn.Linear(dim, wide)
        self.narrow = nn.Linear(wide, dim)

    def forward(
        self, x: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
    ) -> Float[Tensor, "item token dim"]:
        """Apply attention, then the feed-forward layer."""
        return self.feed_forward(self.attend(x, mask))

    def feed_forward(self, x: Float[Tensor, "item token dim"]) -> Float[Tensor, "item token dim"]:
        """x + W_2 quick_gelu(W_1 LN2(x))."""
        return x + self.narrow(quick_gelu(self.widen(self.ln_2(x))))


class Positions(nn.Embedding):
    """Learned position embeddings P."""

    def add_to(self, x: Float[Tensor, "item token dim"]) -> Float[Tensor, "item token dim"]:
        """x + P[0 .. length - 1].

        Raises: ValueError if a sequence is longer than the table.
        """
        length, most = x.shape[1], self.num_embeddings
        if length > most:
            raise ValueError(
                f"a sequence of {counted(length, 'token')} is longer than "
                f"{counted(most, 'position')}; "
                f"sample fewer frames or build the model with positions={length}"
            )
        return x + self.weight[:length]


class PositionedTransformer(nn.Module):
    """Learned positions followed by a stack of residual blocks."""

    def __init__(self, dim: int, *, layers: int, heads: int, positions: int, dropout: float = 0.0):
        super().__init__()
        self.position = Positions(positions, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(ResidualBlock(dim, heads=heads) for _ in range(layers))
        self.apply(init_like_bert)

    def forward(
        self, x: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
    ) -> Float[Tensor, "item token dim"]:
        """blocks(x + P[0 .. length - 1])."""
        x = self.dropout(self.position.add_to(x))
        for block in self.blocks:
            x = block(x, mask)
        return x


class Unchanged(nn.Module):
    """Temporal model that returns the frames unchanged."""

    def forward(
        self, frames: Float[Tensor, "item frame dim"], mask: Bool[Tensor, "item frame"]
    ) -> Float[Tensor, "item frame dim"]:
        """The frames."""
        return frames


class TemporalLSTM(nn.Module):
    """Forward LSTM with a residual connection.  v + LSTM(v)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, batch_first=True)

    def forward(
        self, frames: Float[Tensor, "item frame dim"], mask: Bool[Tensor, "item frame"]
    ) -> Float[Tensor, "item frame dim"]:
        """Frames plus the LSTM output; padding comes last, so it cannot affect real frames."""
        return frames + self.lstm(frames)[0]


class TemporalTransformer(nn.Module):
    """Transformer over frames with a residual connection without positions.  v + blocks(v + P)."""

    def __init__(self, dim: int, *, layers: int, heads: int, positions: int) -> None:
        super().__init__()
        self.transformer = PositionedTransformer(
            dim, layers=layers, heads=heads, positions=positions
        )

    def forward(
        self, frames: Float[Tensor, "item frame dim"], mask: Bool[Tensor, "item frame"]
    ) -> Float[Tensor, "item frame dim"]:
        """Frames plus the transformer output."""
        return frames + self.transformer(frames, mask)


class CrossTransformer(nn.Module):
    """Transformer that scores a text and the frames of an item as one sequence.

    x = blocks(Dropout([t; v_1 .. v_F] + P));  s = w . quick_gelu(W LN(x_0) + b) + c.
    """

    def __init__(self, dim: int, *, layers: int, heads: int, positions: int, dropout: float):
        super().__init__()
        self.transformer = PositionedTransformer(
            dim, layers=layers, heads=heads, positions=positions, dropout=dropout
        )
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.dense = nn.Linear(dim, dim)
        self.similarity = nn.Linear(dim, 1)
        self.apply(init_like_bert)

    def pooled(
        self,
        query: Float[Tensor, "query dim"],
        frames: Float[Tensor, "item frame dim"],
        mask: Bool[Tensor, "item frame"],
    ) -> Float[Tensor, "query item dim"]:
        """Pooled vector of every pair, quick_gelu(W LN(x_0) + b)."""
        queries, items = len(query), len(frames)
        text = query[:, None, None].expand(-1, items, -1, -1)
        video = frames[None].expand(queries, -1, -1, -1)
        present = F.pad(mask, (1, 0), value=True).repeat(queries, 1)  # the text is never masked
        first = self.transformer(torch.cat([text, video], dim=2).flatten(0, 1), present)[:, 0]
        return quick_gelu(self.dense(self.norm(first))).unflatten(0, (queries, items))

    def forward(
        self,
        query: Float[Tensor, "query dim"],
        frames: Float[Tensor, "item frame dim"],
        mask: Bool[Tensor, "item frame"],
    ) -> Float[Tensor, "query item"]:
        """s of every pair."""
        return self.similarity(self.pooled(query, frames, mask)).squeeze(-1)
