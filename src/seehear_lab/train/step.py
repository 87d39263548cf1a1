"""One batch forward and backward: towers, score, loss; in pieces where memory asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seehear.errors import SeeHearError
from seehear.models.base import RetrievalModel
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.batches import Batch, chunks, joined
from seehear_lab.losses import (
    avma_loss,
    camoe_dsl,
    hardest_negative_hinge,
    symmetric_infonce,
)
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.world import World, gather

Loss = Callable[
    [RetrievalModel, TokenBatch, Float[Tensor, "batch batch"], TrainConfig], Float[Tensor, ""]
]
LOSSES: dict[str, Loss] = {
    "infonce_sum": lambda model, items, logits, config: symmetric_infonce(logits, reduction="sum"),
    "infonce_mean": lambda model, items, logits, config: symmetric_infonce(
        logits, reduction="mean"
    ),
    "camoe_dsl": lambda model, items, logits, config: camoe_dsl(logits),
    "hinge": lambda model, items, logits, config: hardest_negative_hinge(
        logits / model.logit_scale.detach().exp(), margin=config.margin
    ),
    "avma": lambda model, items, logits, config: avma_loss(
        model, items, logits, margin=config.margin, temperature=config.association_temperature
    ),
}


class TrainingError(SeeHearError):
    """Training cannot go on: a loss or a gradient is not finite."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """How a batch becomes gradients."""

    config: TrainConfig
    world: World
    device: torch.device

    def backward(self, model: RetrievalModel, batch: Batch) -> float:
        """Add the gradients of one batch to the model's; its loss over all processes.

        Raises: TrainingError if the loss is not finite, naming the pairs at fault.
        """
        whole = 0 < self.config.chunk < len(batch.names)
        loss = self._cached(model, batch) if whole else self._plain(model, batch)
        if not torch.isfinite(loss):
            raise TrainingError(_blame(model, batch))
        return float(loss.detach())

    def _autocast(self) -> torch.autocast:
        is_bf16 = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16)

    def _encode(self, model: RetrievalModel, batch: Batch) -> tuple[Tensor, TokenBatch]:
        with self._autocast():
            return model.encode_query(batch.query), model.encode_items(batch.media)

    def _plain(self, model: RetrievalModel, batch: Batch) -> Tensor:
        loss = self._loss(model, *self._encode(model, batch))
        self._back(loss)
        return loss

    def _back(self, loss: Tensor) -> None:
        if torch.isfinite(loss):
            (loss / self.config.accumulate).backward()

    def _cached(self, model: RetrievalModel, batch: Batch) -> Tensor:
        """Gradient caching: towers without memory, then the loss, then towers piece by piece.

        The gradients are those of the whole batch; the towers run forward twice, with the same
        dropout.

        Source: Gao et al., "Scaling deep contrastive learning batch size under memory limited
        setup", 2021.
        """
        pieces = [batch.rows(rows) for rows in chunks(len(batch.names), self.config.chunk)]
        states, encoded = [], []
        for piece in pieces:
            states.append(_rng_state(self.device))
            with torch.no_grad():
                encoded.append(self._encode(model, piece))
        query = _leaf(torch.cat([part for part, _ in encoded]))
        items = _leaf(joined([part for _, part in encoded]))
        loss = self._loss(model, query, items)
        self._back(loss)
        after = _rng_state(self.device)
        if torch.isfinite(loss):
            self._second_pass(model, pieces, states, (query, items))
        _set_rng_state(after, self.device)
        return loss

    def _second_pass(
        self,
        model: RetrievalModel,
        pieces: list[Batch],
        states: list[list[Tensor]],
        leaves: tuple[Tensor, TokenBatch],
    ) -> None:
        start = 0
        for piece, state in zip(pieces, states, strict=True):
            rows = slice(start, start + len(piece.names))
            _set_rng_state(state, self.device)
            query, items = self._encode(model, piece)
            made = [
                (query, leaves[0]),
                (items.frames, leaves[1].frames),
                (items.audio, leaves[1].audio),
            ]
            pairs = [
                (new, old.grad[rows, *(slice(n) for n in new.shape[1:])])
                for new, old in made
                if old.grad is not None and new.requires_grad
            ]
            torch.autograd.backward(*map(list, zip(*pairs, strict=True)))
            start = rows.stop

    def _loss(self, model: RetrievalModel, query: Tensor, items: TokenBatch) -> Tensor:
        """The loss over the pairs of all processes; each scores its own queries."""
        everything = gather(items, self.world)
        size = self.config.score_rows or len(query)
        with self._autocast():
            if size < len(query):
                blocks = [
                    checkpoint(model.logits, query[rows], everything, use_reentrant=False)
                    for rows in chunks(len(query), size)
                ]
                logits = torch.cat(blocks)
            else:
                logits = model.logits(query, everything)
        every = gather(logits.float(), self.world)
        return LOSSES[self.config.loss](model, everything, every, self.config)


def _leaf(values: Any) -> Any:
    if isinstance(values, Tensor):
        values = values.detach()
        return values.requires_grad_() if values.is_floating_point() else values
    return type(values)(**{name: _leaf(value) for name, value in vars(values).items()})


def _rng_state(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_rng_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


@torch.no_grad()
def _blame(model: RetrievalModel, batch: Batch) -> str:
    """Which pairs a loss that is not finite comes from, in one sentence."""
    model.eval()  # without dropout, pair by pair
    bad = []
    for row, name in enumerate(batch.names):
        one = batch.rows(slice(row, row + 1))
        values = [model.encode_query(one.query), *_present(model.encode_items(one.media))]
        if not all(torch.isfinite(value).all() for value in values):
            bad.append(name)
    if bad:
        return (
            f"the loss is not finite because of {', '.join(bad[:5])} ({len(bad)} of "
            f"{len(batch.names)} pairs of the batch); look at that file or leave it out"
        )
    return (
        f"the loss is not finite although each of the {len(batch.names)} pairs of this process is; "
        "lower train.lr or train.logit_scale"
    )


def _present(items: TokenBatch) -> tuple[Tensor, Tensor]:
    return items.frames[items.frame_mask], items.audio[items.audio_mask]
