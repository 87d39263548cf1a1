"""Quadratic forms of an item's tokens: with them a pair's score needs no vector of the pair.

Per item with F tokens 3 F (F + 3) / 2 floats (lower triangles of matrices, diagonal by diagonal,
the main one first, the others doubled):

    G = w w^T / D    M = m m^T / D    N = h h^T    2 m . d / D    2 h . e    2 h . b

with m_f = B w_f. Without residual M and the vectors with d and e are zero. Sixteen items lie side
by side, number by number, so that one query meets them in the lanes of a vector; an item shorter
than the longest of its block has zeros in the rest. Beside int8 tokens forms are int16, each of the
six with a step of its own: half as much to read, at an error far below that of the tokens. Only
where weighted tokens cancel almost wholly forms are worse than pooling (by 1e-2; int8: useless).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64, Num

from seehear.engine.scoring.fold import Block
from seehear.engine.scoring.threads import run_tiles
from seehear.engine.scoring.tokens import PackedTokens

MOST_TOKENS = 128  # beyond it, pooling costs less than the forms
BLOCK = 16  # items side by side
_ROWS = 768


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """The tokens of one modality, folded with its block; `forms` is None for long token sets."""

    block: Block
    tokens: PackedTokens
    forms: Num[np.ndarray, " number"] | None  # [number, BLOCK] of each block, in one row
    steps: Float32[np.ndarray, "block six lane"]  # what the numbers of a form are multiples of
    starts: Int64[np.ndarray, " block_and_one"]  # forms[starts[k]:starts[k + 1]] is block k
    longest: Int64[np.ndarray, " block"]  # tokens of the longest item of a block
    model: Float32[np.ndarray, " six"]  # |d|^2 / D, |e|^2, 2 e . b, |b|^2, eps, has residual


@dataclass(frozen=True, kw_only=True, eq=False)
class Cross:
    """E_seen . E_heard from weights alone: per item h h'^T, then h . e', h . b', h' . e, h' . b."""

    numbers: Float32[np.ndarray, " number"]
    starts: Int64[np.ndarray, " item_and_one"]
    model: Float32[np.ndarray, " four"]  # e . e', e . b', b . e', b . b'


def branch(
    block: Block,
    tokens: PackedTokens,
    *,
    most_tokens: int = MOST_TOKENS,
    threads: int | None = None,
) -> Branch:
    """Tokens with their forms, made from the very tokens that are kept (after quantisation).

    Raises: ValueError if the tokens have another width than the block.
    """
    if tokens.dim != len(block.b):
        raise ValueError(f"tokens are {tokens.dim} wide, the block {len(block.b)}; use its tokens")
    longest = _longest(np.diff(tokens.offsets))
    sizes = BLOCK * 3 * longest * (longest + 3) // 2
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    d = 0.0 if block.residual is None else float(np.square(block.residual.d).mean())
    e, b = block.e, block.b
    model = [d, e @ e, 2 * e @ b, b @ b, block.weights.eps, float(block.residual is not None)]
    is_whole, has_forms = tokens.values.dtype == np.int8, tokens.longest <= most_tokens
    forms = np.zeros(starts[-1], np.int16 if is_whole else np.float32) if has_forms else None
    steps = np.ones((len(longest), 6, BLOCK), np.float32)

    def work(items: np.ndarray) -> None:
        assert forms is not None
        made = _forms(block, tokens.take(items).rows(0, len(items)), len(items))
        count = int(tokens.offsets[items[0] + 1] - tokens.offsets[items[0]])
        if is_whole:
            made, steps[items // BLOCK, :, items % BLOCK] = _rounded(made, count)
        rows = _numbers(count, longest[items // BLOCK])
        forms[starts[items // BLOCK][:, None] + BLOCK * rows + items[:, None] % BLOCK] = made

    if forms is not None:
        run_tiles(work, _by_length(tokens), threads=threads)
    return Branch(
        block=block,
        tokens=tokens,
        forms=forms,
        steps=steps,
        starts=starts,
        longest=longest,
        model=np.array(model, np.float32),
    )


def cross(seen: Branch, heard: Branch, *, threads: int | None = None) -> Cross:
    """What the fusion of two branches with forms needs besides them."""
    a, b = seen.block, heard.block
    one, two = np.diff(seen.tokens.offsets), np.diff(heard.tokens.offsets)
    starts = np.concatenate([[0], np.cumsum(one * two + 2 * one + 2 * two)]).astype(np.int64)
    numbers = np.empty(starts[-1], np.float32)
    # h . h' = h H' z' + h . h0': frames are projected to the sound's side once, sound never
    own, other = np.stack([a.e, a.b]), np.stack([b.e, b.b])
    back, back0 = own @ b.H, own @ b.h0

    def work(item: int) -> None:
        h = seen.tokens.rows(item, item + 1) @ a.H.T + a.h0
        y = heard.tokens.rows(item, item + 1).T
        pieces = (h @ b.H) @ y + (h @ b.h0)[:, None], other @ h.T, back @ y + back0[:, None]
        numbers[starts[item] : starts[item + 1]] = np.concatenate([x.ravel() for x in pieces])

    run_tiles(work, range(len(one)), threads=threads)
    model = np.array([a.e @ b.e, a.e @ b.b, a.b @ b.e, a.b @ b.b], np.float32)
    return Cross(numbers=numbers, starts=starts, model=model)


def branches(
    blocks: Sequence[Block], tokens: Sequence[PackedTokens], *, queries: int
) -> tuple[Branch, Branch | None, Cross | None]:
    """One modality or two as `score` takes them, with forms where so many queries make them pay."""
    most = min(2 * queries // 3, MOST_TOKENS)
    if tokens[0].longest > most:
        most = -1  # sound with forms needs sight with forms
    seen, *others = [
        branch(block, each, most_tokens=most) for block, each in zip(blocks, tokens, strict=True)
    ]
    heard = others[0] if others else None
    return seen, heard, cross(seen, heard) if heard and heard.forms is not None else None


def uniform(branch: Branch) -> Float[np.ndarray, "item dim"]:
    """The block's output under uniform attention: one vector per item for stage 1 (u_v, u_a).

    Each token weighs as many tokens as it stands for. An item without tokens gets zeros.
    """
    tokens, block = branch.tokens, branch.block
    vectors = np.zeros((len(tokens), tokens.dim), np.float32)
    for item in range(len(tokens)):
        counts = np.exp(tokens.log_count[tokens.offsets[item] : tokens.offsets[item + 1]])
        if len(counts):
            vectors[item] = counts / counts.sum() @ tokens.rows(item, item + 1)
    heard = np.diff(tokens.offsets) > 0
    vectors[heard] = output(block, vectors[heard])
    return vectors


def output(
    block: Block, pooled: Float32[np.ndarray, "pair dim"]
) -> Float32[np.ndarray, "pair dim"]:
    """E of pooled tokens sum_f a_f z_f: the part of the block behind the attention."""
    w = _unit_variance(pooled @ block.A.T + block.a0, block)
    if block.residual is None:
        gain = block.weights.norm_out.weight
    else:
        w = _unit_variance(w @ block.residual.B.T + block.residual.d, block)
        assert block.weights.norm_last is not None
        gain = block.weights.norm_last.weight
    w *= gain.astype(np.float32)
    w += block.b
    return w


def _unit_variance(w: np.ndarray, block: Block) -> np.ndarray:
    """In place; the mean is 0 already."""
    w /= np.sqrt(np.einsum("pd,pd->p", w, w) / w.shape[1] + block.weights.eps)[:, None]
    return w


def _longest(lengths: np.ndarray) -> np.ndarray:
    padded = np.pad(lengths, (0, -len(lengths) % BLOCK))
    return padded.reshape(-1, BLOCK).max(1).astype(np.int64)


def _triangle(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a lower triangle, diagonal by diagonal."""
    row, column = np.tril_indices(count)
    order = np.lexsort((column, row - column))
    return row[order], column[order]


def _numbers(count: int, longest: np.ndarray) -> Int64[np.ndarray, "item number"]:
    """Where the forms of items with `count` tokens lie in blocks of `longest` tokens."""
    row, column = _triangle(count)
    apart, wide, three = row - column, longest[:, None], np.arange(3)[:, None]
    half, triangle = wide * (wide + 1) // 2, apart * wide - apart * (apart - 1) // 2 + column
    matrices = half[:, None] * three + triangle[:, None]
    vectors = 3 * half[:, None] + wide[:, None] * three + np.arange(count)
    return np.concatenate([x.reshape(len(longest), -1) for x in (matrices, vectors)], 1)


def _by_length(tokens: PackedTokens) -> Iterator[np.ndarray]:
    """Items of one length, a few at a time."""
    lengths = np.diff(tokens.offsets)
    for length in np.unique(lengths[lengths > 0]).tolist():
        items = np.flatnonzero(lengths == length)
        step = max(1, _ROWS // length)
        yield from (items[first : first + step] for first in range(0, len(items), step))


def _forms(block: Block, z: Float32[np.ndarray, "token dim"], items: int) -> np.ndarray:
    width, half = z.shape[1], _triangle(len(z) // items)
    twice = np.where(half[0] == half[1], 1, 2).astype(np.float32)

    def gram(x: np.ndarray) -> np.ndarray:
        x = x.reshape(items, -1, width)
        return (x @ x.swapaxes(1, 2))[:, half[0], half[1]] * twice

    w, h = z @ block.A.T + block.a0, z @ block.H.T + block.h0
    m_gram, with_d = np.zeros((items, len(twice)), np.float32), np.zeros(len(z), np.float32)
    if block.residual is not None:
        m = w @ block.residual.B.T
        m_gram, with_d = gram(m) / width, m @ (2 / width * block.residual.d)
    vectors = (x.reshape(items, -1) for x in (with_d, h @ (2 * block.e), h @ (2 * block.b)))
    return np.concatenate([gram(w) / width, m_gram, gram(h), *vectors], 1)


def _rounded(made: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Forms in int16, and the steps of their six parts [item, six]."""
    half = count * (count + 1) // 2
    begins = np.cumsum([0, half, half, half, count, count])
    step = np.maximum(np.maximum.reduceat(np.abs(made), begins, axis=1) / 32767, 1e-30)
    lengths = np.diff([*begins, made.shape[1]])
    return np.rint(made / np.repeat(step, lengths, axis=1)).astype(np.int16), step
