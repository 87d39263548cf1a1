"""The training loop for any registered model and any source of pairs, in one process or several."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from seehear.models.base import RetrievalModel
from seehear_lab.datasets.batches import Batch, Pairs, epoch_batches, pair_seeds, to_device
from seehear_lab.train import checkpoint
from seehear_lab.train.checkpoint import Progress
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.distributed import (
    World,
    average_gradients,
    broadcast_value,
    broadcast_weights,
    gather_objects,
)
from seehear_lab.train.optim import clip_gradients, lr_factor, new_optimizer, set_lr
from seehear_lab.train.step import BatchGradients, TrainingError, rng_state, set_rng_state

MetricFn = Callable[[RetrievalModel], float]  # higher is better, e.g. R@1 on validation
OnLog = Callable[[dict[str, Any]], None]  # receives the rows of log.jsonl
LOG, BEST = "log.jsonl", "best.safetensors"


def fit(
    model: RetrievalModel,
    pairs: Pairs,
    config: TrainConfig,
    folder: Path,
    *,
    metric_fn: MetricFn | None = None,
    on_log: OnLog = lambda row: None,
    world: World = World(),  # noqa: B008  frozen
) -> Progress:
    """Train a model, resuming from the newest checkpoint in `folder` if there is one.

    Writes log.jsonl (a line per step), checkpoints, and best.safetensors: the weights with the
    highest `metric_fn`, or the last ones without it. `on_log` receives the same rows plus the
    total number of steps (`of`), in the first process only. A resumed run is exact: weights,
    optimiser, random states and the position in the epoch are restored.

    Raises: TrainingError if a loss or gradient is not finite, naming the pairs at fault.
    """
    run = _Run(model, pairs, config, folder, world=world, metric_fn=metric_fn, on_log=on_log)
    run.start()
    for batches in run.remaining():
        run.train_step(batches)
    return run.finish()


@dataclass
class _Run:
    model: RetrievalModel
    pairs: Pairs
    config: TrainConfig
    folder: Path
    world: World
    metric_fn: MetricFn | None
    on_log: OnLog
    progress: Progress = field(default_factory=Progress)

    def start(self) -> None:
        config, size = self.config, self.world.size
        if config.batch_size % size:
            raise ValueError(
                f"batch_size {config.batch_size} is not a multiple of the number of processes, "
                f"{size}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = self.model.logit_scale.device
        self.gradients = BatchGradients(config=config, world=self.world, device=self.device)
        torch.manual_seed(config.seed + self.world.rank)
        self.model.logit_scale.data.fill_(math.log(config.logit_scale))
        broadcast_weights(self.model, self.world)
        self.optimizer = new_optimizer(self.model, config)
        newest = checkpoint.latest(self.folder)
        if newest:
            self.progress, rng = checkpoint.load(
                newest, self.model, self.optimizer, rank=self.world.rank
            )
            set_rng_state(rng, self.device)
        if self.world.is_first:
            _truncate_log(self.folder / LOG, self.progress.step)

    @property
    def steps_per_epoch(self) -> int:
        return max(len(self.pairs) // self.config.batch_size // self.config.accumulate, 1)

    @property
    def total(self) -> int:
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    def remaining(self) -> Iterator[list[Batch]]:
        """The batches of each remaining step; those of the next step are read ahead."""
        with ThreadPoolExecutor(1) as reader:
            ahead = None
            for step in range(self.progress.step, self.total):
                if self.is_stopped_early():  # also a resumed run that had stopped before
                    return
                now = ahead or reader.submit(self._read, step)
                ahead = reader.submit(self._read, step + 1) if step + 1 < self.total else None
                yield now.result()

    def _read(self, step: int) -> list[Batch]:
        """This process's part of the batches of a step; depends on the step only."""
        config, share = self.config, self.config.batch_size // self.world.size
        epoch, within = divmod(step, self.steps_per_epoch)
        rows = epoch_batches(
            len(self.pairs), batch_size=config.batch_size, seed=config.seed, epoch=epoch
        )
        batches = []
        for number in range(config.accumulate):
            row = rows[(within * config.accumulate + number) % len(rows)]
            own = row[self.world.rank * share : (self.world.rank + 1) * share].tolist()
            batches.append(self.pairs.batch(own, pair_seeds(own, seed=config.seed, epoch=epoch)))
        return batches

    def train_step(self, batches: list[Batch]) -> None:
        """One optimiser step, then evaluation and checkpoint where they are due."""
        begun = time.perf_counter()
        factor = lr_factor(self.progress.step, total=self.total, warmup=self.config.warmup)
        set_lr(self.optimizer, factor)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = [self.gradients.backward(self.model, self._to_device(batch)) for batch in batches]
        parameters = list(self.model.parameters())
        average_gradients(parameters, self.world)
        norm = clip_gradients(parameters, self.config.clip_norm)
        if not math.isfinite(norm):
            names = ", ".join(batches[0].names[:5])
            raise TrainingError(
                f"a gradient is not finite at step {self.progress.step + 1} (batch of {names}, "
                "...) although the loss is finite; lower train.lr"
            )
        self.optimizer.step()
        self.model.clamp_logit_scale()
        self.progress.step += 1
        self._log(
            {
                "step": self.progress.step,
                "loss": sum(losses) / len(losses),
                "lr": factor * self.config.lr,
                "norm": norm,
                "scale": float(self.model.logit_scale.detach().exp()),
                "seconds": time.perf_counter() - begun,
            }
        )
        self._after_step()

    def _to_device(self, batch: Batch) -> Batch:
        query, media = (to_device(part, self.device) for part in (batch.query, batch.media))
        return Batch(query=query, media=media, names=batch.names)

    def _after_step(self) -> None:
        step, config = self.progress.step, self.config
        is_last, epoch = step == self.total, self.steps_per_epoch
        if self.metric_fn and (is_last or step % (config.evaluate_every or epoch) == 0):
            self._evaluate(self.metric_fn)
        if is_last or self.is_stopped_early() or step % (config.save_every or epoch) == 0:
            rng = self._rng_of_all()
            if self.world.is_first:
                checkpoint.save(self.folder, self.model, self.optimizer, self.progress, rng)

    def _evaluate(self, metric_fn: MetricFn) -> None:
        self.model.eval()
        rng = rng_state(self.device)
        metric = metric_fn(self.model)  # in every process, so that none waits for another
        metric = broadcast_value(metric, self.world)  # GPUs may round differently
        set_rng_state(rng, self.device)
        self._log({"step": self.progress.step, "metric": metric})
        self.progress.without_gain += 1
        if metric > self.progress.best:
            self.progress.best, self.progress.best_step = metric, self.progress.step
            self.progress.without_gain = 0
            if self.world.is_first:
                checkpoint.save_weights(self.model, self.folder / BEST)

    def is_stopped_early(self) -> bool:
        """True after `patience` evaluations in a row without a gain."""
        return 0 < self.config.patience <= self.progress.without_gain

    def finish(self) -> Progress:
        if self.world.is_first and not self.metric_fn:
            checkpoint.save_weights(self.model, self.folder / BEST)
        if self.world.size > 1:
            dist.barrier()  # the other processes read the file
        return self.progress

    def _log(self, row: dict[str, Any]) -> None:
        if self.world.is_first:
            with (self.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            self.on_log(row | {"of": self.total})

    def _rng_of_all(self) -> dict[str, Tensor]:
        """Random states of all processes; keys start with the rank."""
        own = {name: value.cpu() for name, value in rng_state(self.device).items()}
        every = enumerate(gather_objects(own, self.world))
        return {f"{rank}.{k}": v for rank, states in every for k, v in states.items()}


def _truncate_log(path: Path, step: int) -> None:
    """Drop the lines after the checkpoint's step, and an incomplete last line."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            is_kept = json.loads(line)["step"] <= step
        except (ValueError, KeyError):
            is_kept = False
        if is_kept:
            kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")
