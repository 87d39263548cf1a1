"""Forward and backward pass of one batch: towers, scores, loss; optionally in chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seehear.errors import SeeHearError, counted
from seehear.models.base import RetrievalModel
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.batches import Batch, chunks, concat_items
from seehear_lab.losses import (
    avma_loss,
    camoe_dsl,
    hardest_negative_hinge,
    symmetric_infonce,
)
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.distributed import World, gather

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
    """A loss or a gradient is not finite."""


@dataclass(frozen=True, kw_only=True)
class BatchGradients:
    """Computes the gradients of a batch over all processes."""

    config: TrainConfig
    world: World
    device: torch.device

    def backward(self, model: RetrievalModel, batch: Batch) -> float:
        """Add the gradients of one batch to the model's; return the loss over all processes.

        Raises: TrainingError if the loss is not finite, naming the pairs at fault.
        """
        is_chunked = 0 < self.config.chunk < len(batch.names)
        loss = self._chunked(model, batch) if is_chunked else self._plain(model, batch)
        if not torch.isfinite(loss):
            raise TrainingError(_explain_nan(model, batch))
        return float(loss.detach())

    def _autocast(self) -> torch.autocast:
        is_bf16 = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16)

    def _encode(self, model: RetrievalModel, batch: Batch) -> tuple[Tensor, TokenBatch]:
        with self._autocast():
            return model.encode_query(batch.query), model.encode_items(batch.media)

    def _plain(self, model: RetrievalModel, batch: Batch) -> Tensor:
        loss = self._loss(model, *self._encode(model, batch))
        self._backward(loss)
        return loss

    def _backward(self, loss: Tensor) -> None:
        if torch.isfinite(loss):
            (loss / self.config.accumulate).backward()

    def _chunked(self, model: RetrievalModel, batch: Batch) -> Tensor:
        """Gradient caching: encode without gradients, back-propagate the loss, then each chunk.

        Gives the gradients of the full batch. The towers run forward twice, with the same dropout.

        Source: Gao et al., "Scaling deep contrastive learning batch size under memory limited
        setup", 2021.
        """
        parts = [batch.rows(rows) for rows in chunks(len(batch.names), self.config.chunk)]
        states, encoded = [], []
        for part in parts:
            states.append(rng_state(self.device))
            with torch.no_grad():
                encoded.append(self._encode(model, part))
        query = _leaf(torch.cat([query for query, _ in encoded]))
        items = _leaf(concat_items([items for _, items in encoded]))
        loss = self._loss(model, query, items)
        self._backward(loss)
        after = rng_state(self.device)
        if torch.isfinite(loss):
            self._backward_chunks(model, parts, states, (query, items))
        set_rng_state(after, self.device)
        return loss

    def _backward_chunks(
        self,
        model: RetrievalModel,
        parts: list[Batch],
        states: list[dict[str, Tensor]],
        leaves: tuple[Tensor, TokenBatch],
    ) -> None:
        start = 0
        for part, state in zip(parts, states, strict=True):
            rows = slice(start, start + len(part.names))
            set_rng_state(state, self.device)
            query, items = self._encode(model, part)
            encoded = [
                (query, leaves[0]),
                (items.frames, leaves[1].frames),
                (items.audio, leaves[1].audio),
            ]
            pairs = [
                (new, old.grad[rows, *(slice(n) for n in new.shape[1:])])
                for new, old in encoded
                if old.grad is not None and new.requires_grad
            ]
            torch.autograd.backward(*map(list, zip(*pairs, strict=True)))
            start = rows.stop

    def _loss(self, model: RetrievalModel, query: Tensor, items: TokenBatch) -> Tensor:
        """The loss over the pairs of all processes; each process scores its own queries."""
        all_items = gather(items, self.world)
        size = self.config.score_rows or len(query)
        with self._autocast():
            if size < len(query):
                blocks = [
                    checkpoint(model.logits, query[rows], all_items, use_reentrant=False)
                    for rows in chunks(len(query), size)
                ]
                logits = torch.cat(blocks)
            else:
                logits = model.logits(query, all_items)
        all_logits = gather(logits.float(), self.world)
        return LOSSES[self.config.loss](model, all_items, all_logits, self.config)


def _leaf(values: Any) -> Any:
    if isinstance(values, Tensor):
        values = values.detach()
        return values.requires_grad_() if values.is_floating_point() else values
    return type(values)(**{name: _leaf(value) for name, value in vars(values).items()})


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """Random states of the CPU and, for a GPU, of the device."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_rng_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Restore what `rng_state` returned; missing states are left unchanged."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@torch.no_grad()
def _explain_nan(model: RetrievalModel, batch: Batch) -> str:
    """An error message that names the pairs whose encoding is not finite."""
    model.eval()  # without dropout
    bad = []
    for row, name in enumerate(batch.names):
        pair = batch.rows(slice(row, row + 1))
        items = model.encode_items(pair.media)
        tokens = items.frames[items.frame_mask], items.audio[items.audio_mask]
        values = [model.encode_query(pair.query), *tokens]
        if not all(torch.isfinite(value).all() for value in values):
            bad.append(name)
    if bad:
        return (
            f"the loss is not finite because of {', '.join(bad[:5])} ({len(bad)} of "
            f"{counted(len(batch.names), 'pair')} of the batch); check the file or leave it out"
        )
    return (
        "the loss is not finite although encoding gave only finite values for the "
        f"{counted(len(batch.names), 'pair')} of this process; lower train.lr or train.logit_scale"
    )
