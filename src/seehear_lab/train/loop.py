"""The training loop: any registered model, any source of pairs, one process or several."""

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
from seehear_lab.train.optim import clip_gradients, lr_share, new_optimizer, set_lr
from seehear_lab.train.step import Step, TrainingError
from seehear_lab.train.world import World, as_first, average_gradients, broadcast_from_first

Judge = Callable[[RetrievalModel], float]  # higher is better, e.g. R@1 on validation
LOG, BEST = "log.jsonl", "best.safetensors"


def fit(
    model: RetrievalModel,
    pairs: Pairs,
    config: TrainConfig,
    folder: Path,
    *,
    judge: Judge | None = None,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
    world: World = World(),  # noqa: B008  frozen
) -> Progress:
    """Train, going on from the newest checkpoint in `folder` if there is one.

    Writes log.jsonl (a line a step), checkpoints, and best.safetensors: the weights with the
    highest `judge`, or the last ones without a judge. `tell` gets the same lines and the number of
    all steps as `of`, in the first process alone. A run that was killed goes on exactly: weights,
    optimiser, random states and the place in the epoch are restored.

    Raises: TrainingError if a loss or gradient is not finite, naming the pairs at fault.
    """
    run = _Run(model, pairs, config, folder, world=world, judge=judge, tell=tell)
    run.start()
    for batches in run.remaining():
        run.advance(batches)
    return run.finish()


@dataclass
class _Run:
    model: RetrievalModel
    pairs: Pairs
    config: TrainConfig
    folder: Path
    world: World
    judge: Judge | None
    tell: Callable[[dict[str, Any]], None]
    progress: Progress = field(default_factory=Progress)

    def start(self) -> None:
        config, size = self.config, self.world.size
        if config.batch_size % size:
            raise ValueError(f"a batch of {config.batch_size} cannot be shared by {size} processes")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = self.model.logit_scale.device
        self.step = Step(config=config, world=self.world, device=self.device)
        torch.manual_seed(config.seed + self.world.rank)
        self.model.logit_scale.data.fill_(math.log(config.logit_scale))
        broadcast_from_first(self.model, self.world)
        self.optimizer = new_optimizer(self.model, config)
        newest = checkpoint.latest(self.folder)
        if newest:
            self.progress, rng = checkpoint.load(
                newest, self.model, self.optimizer, rank=self.world.rank
            )
            _set_rng(rng, self.device)
        if self.world.is_first:
            _cut_log(self.folder / LOG, self.progress.step)

    @property
    def steps_an_epoch(self) -> int:
        return max(len(self.pairs) // self.config.batch_size // self.config.accumulate, 1)

    @property
    def total(self) -> int:
        return self.config.steps or self.config.epochs * self.steps_an_epoch

    def remaining(self) -> Iterator[list[Batch]]:
        """The batches of each step still to do; the next ones are read while one is trained on."""
        with ThreadPoolExecutor(1) as reader:
            ahead = None
            for step in range(self.progress.step, self.total):
                if self.is_over_early():  # also of a run that was over when it was taken up again
                    return
                now = ahead or reader.submit(self._read, step)
                ahead = reader.submit(self._read, step + 1) if step + 1 < self.total else None
                yield now.result()

    def _read(self, step: int) -> list[Batch]:
        """This process's share of the batches of one step: a function of the step alone."""
        config, share = self.config, self.config.batch_size // self.world.size
        epoch, within = divmod(step, self.steps_an_epoch)
        batches = epoch_batches(
            len(self.pairs), batch_size=config.batch_size, seed=config.seed, epoch=epoch
        )
        read = []
        for turn in range(config.accumulate):
            row = batches[(within * config.accumulate + turn) % len(batches)]
            mine = row[self.world.rank * share : (self.world.rank + 1) * share].tolist()
            read.append(self.pairs.batch(mine, pair_seeds(mine, seed=config.seed, epoch=epoch)))
        return read

    def advance(self, batches: list[Batch]) -> None:
        """One optimiser step, then what falls due after it."""
        begun = time.perf_counter()
        share = lr_share(self.progress.step, total=self.total, warmup=self.config.warmup)
        set_lr(self.optimizer, share)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = [self.step.backward(self.model, self._here(batch)) for batch in batches]
        parameters = list(self.model.parameters())
        average_gradients(parameters, self.world)
        norm = clip_gradients(parameters, self.config.clip_norm)
        if not math.isfinite(norm):
            names = ", ".join(batches[0].names[:5])
            raise TrainingError(
                f"a gradient is not finite at step {self.progress.step + 1} (batch of {names}, "
                "...) although the loss is; lower train.lr"
            )
        self.optimizer.step()
        self.model.clamp_logit_scale()
        self.progress.step += 1
        self._log(
            {
                "step": self.progress.step,
                "loss": sum(losses) / len(losses),
                "lr": share * self.config.lr,
                "norm": norm,
                "scale": float(self.model.logit_scale.detach().exp()),
                "seconds": time.perf_counter() - begun,
            }
        )
        self._after_step()

    def _here(self, batch: Batch) -> Batch:
        query, media = (to_device(part, self.device) for part in (batch.query, batch.media))
        return Batch(query=query, media=media, names=batch.names)

    def _after_step(self) -> None:
        step, config = self.progress.step, self.config
        is_last = step == self.total
        if self.judge and (is_last or step % (config.evaluate_every or self.steps_an_epoch) == 0):
            self._evaluate()
        if (
            is_last
            or self.is_over_early()
            or step % (config.save_every or self.steps_an_epoch) == 0
        ):
            rng = self._all_rng()
            if self.world.is_first:
                checkpoint.save(self.folder, self.model, self.optimizer, self.progress, rng)

    def _evaluate(self) -> None:
        assert self.judge
        self.model.eval()
        rng = _rng(self.device)
        figure = self.judge(self.model)  # every process, so that none waits for another
        figure = as_first(figure, self.world)  # equal figures but for a GPU's rounding
        _set_rng(rng, self.device)
        self._log({"step": self.progress.step, "figure": figure})
        self.progress.without_gain += 1
        if figure > self.progress.best:
            self.progress.best, self.progress.best_step = figure, self.progress.step
            self.progress.without_gain = 0
            if self.world.is_first:
                checkpoint.save_weights(self.model, self.folder / BEST)

    def is_over_early(self) -> bool:
        """True once `patience` evaluations in a row brought nothing."""
        return 0 < self.config.patience <= self.progress.without_gain

    def finish(self) -> Progress:
        if self.world.is_first and not self.judge:
            checkpoint.save_weights(self.model, self.folder / BEST)
        if self.world.size > 1:
            dist.barrier()  # the others may want to read it
        return self.progress

    def _log(self, row: dict[str, Any]) -> None:
        if self.world.is_first:
            with (self.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            self.tell(row | {"of": self.total})

    def _all_rng(self) -> dict[str, Tensor]:
        """Random states of all processes, by rank."""
        mine = {name: value.cpu() for name, value in _rng(self.device).items()}
        every: list[Any] = [mine]
        if self.world.size > 1:
            every = [None] * self.world.size
            dist.all_gather_object(every, mine)
        return {f"{rank}.{k}": v for rank, states in enumerate(every) for k, v in states.items()}


def _rng(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def _set_rng(states: dict[str, Tensor], device: torch.device) -> None:
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _cut_log(path: Path, step: int) -> None:
    """Drop the lines of steps that a kill undid, and a torn last line."""
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
