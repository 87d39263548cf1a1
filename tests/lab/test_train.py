"""The training loop: learning, exact resume, several processes, early stop, errors."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lab import toy
from seehear.errors import ModelError, UsageError
from seehear_lab.datasets.batches import chunks, concat_items, epoch_batches
from seehear_lab.train.config import GroupConfig
from seehear_lab.train.distributed import World
from seehear_lab.train.loop import BEST, LOG, fit
from seehear_lab.train.optim import clip_gradients, lr_factor, new_optimizer
from seehear_lab.train.step import LOSSES, BatchGradients, TrainingError
from waiting import LIMIT_S

CPU = torch.device("cpu")


def rows(folder: Path) -> list[dict[str, float]]:
    lines = (folder / LOG).read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


def losses(folder: Path) -> list[tuple[float, float]]:
    return [(row["step"], row["loss"]) for row in rows(folder)]


def command(folder: Path, *words: str) -> list[str]:
    return [*words, str(Path(toy.__file__)), str(folder)]


def environment() -> dict[str, str]:
    here = Path(toy.__file__).parents[1]
    path = os.pathsep.join([str(here), *filter(None, sys.path)])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def test_it_learns(tmp_path: Path) -> None:
    config = toy.toy_config(steps=120, lr=1e-2, weight_decay=0.0)
    fit(toy.toy_model(), toy.ToyPairs(), config, tmp_path)
    found = [loss for _, loss in losses(tmp_path)]
    assert len(found) == 120
    assert sum(found[-10:]) < 0.3 * sum(found[:10])


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_losses_to_the_bit(tmp_path: Path) -> None:
    words = ["tefal.xpool", "300", "0.1"]  # with dropout: random states matter
    subprocess.run(command(tmp_path / "a", sys.executable) + words, env=environment(), check=True)
    killed = command(tmp_path / "b", sys.executable) + words
    wanted = random.randint(10, 200)
    process = subprocess.Popen(killed, env=environment())
    log, deadline = tmp_path / "b" / LOG, time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if log.is_file() and log.read_bytes().count(b"\n") >= wanted:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it finished before it could be killed"
    assert len(losses(tmp_path / "b")) < 300
    subprocess.run(killed, env=environment(), check=True)
    assert losses(tmp_path / "b") == losses(tmp_path / "a")
    first, second = (load_file(tmp_path / name / BEST) for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_two_processes_equal_one_with_the_full_batch(tmp_path: Path) -> None:
    words = ["tefal", "30", "0.0"]
    one = command(tmp_path / "one", sys.executable) + words
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(one, env=environment(), check=True)
    two = command(tmp_path / "two", *launch) + words
    done = subprocess.run(two, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (_, a), (_, b) in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    first, second = (load_file(tmp_path / name / BEST) for name in ("one", "two"))
    for key in first:
        assert torch.allclose(first[key], second[key], atol=1e-5), key


def two_processes(folder: Path, *faults: str) -> subprocess.CompletedProcess[str]:
    """Twelve steps in two processes, with a timeout in case one waits for ever."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [*command(folder, *launch), "xpool", "12", "0.0", *faults]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "sentence"), [("unread=7", "pair7 cannot be read"), ("bad=7", "because of pair7")]
)
def test_a_bad_pair_of_one_process_ends_both(tmp_path: Path, fault: str, sentence: str) -> None:
    done = two_processes(tmp_path, fault)
    assert done.returncode == 1
    assert sentence in done.stderr


@pytest.mark.slow
def test_processes_with_different_metrics_stop_together_and_one_writes(tmp_path: Path) -> None:
    done = two_processes(tmp_path, "disagree")
    assert done.returncode == 0, done.stderr
    lines = [f"{step} {what}" for step in range(1, 13) for what in ("loss", "metric")]
    wanted = [line for line in lines if "loss" in line or int(line.split()[0]) % 2 == 0]
    assert done.stdout.split("\n")[:-1] == wanted
    logged = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row["metric"] for row in logged if "metric" in row] == [0, 1, 2, 3, 4, 5]
    assert len(logged) == len(wanted)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_chunked_gradients_equal_those_of_the_full_batch_with_dropout() -> None:
    config, batch = toy.toy_config(chunk=3), toy.ToyPairs().batch(range(8), range(8))
    chunked, full = toy.toy_model("tefal", dropout=0.5), toy.toy_model("tefal", dropout=0.5)
    torch.manual_seed(0)
    BatchGradients(config=config, world=World(), device=CPU).backward(chunked, batch)
    torch.manual_seed(0)
    parts = [batch.rows(piece) for piece in chunks(8, 3)]
    encoded = [(full.encode_query(p.query), full.encode_items(p.media)) for p in parts]
    items = concat_items([i for _, i in encoded])
    logits = full.logits(torch.cat([q for q, _ in encoded]), items)
    LOSSES[config.loss](full, items, logits, config).backward()
    expected, got = gradients(full), gradients(chunked)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert torch.allclose(got[name], value, atol=1e-4), name


def test_blocks_of_the_score_give_the_same_gradients() -> None:
    batch = toy.ToyPairs().batch(range(8), range(8))
    found = []
    for score_rows in (0, 3):
        model = toy.toy_model("tefal", dropout=0.0)
        config = toy.toy_config(score_rows=score_rows)
        BatchGradients(config=config, world=World(), device=CPU).backward(model, batch)
        found.append(gradients(model))
    for name, value in found[0].items():
        assert torch.allclose(found[1][name], value, atol=1e-4), name


def test_accumulated_batches_are_averaged(tmp_path: Path) -> None:
    batches = [toy.ToyPairs().batch(rows, rows) for rows in (range(8), range(8, 16))]
    both, found = toy.toy_model("tefal", dropout=0.0), []
    for batch in batches:
        alone = toy.toy_model("tefal", dropout=0.0)
        BatchGradients(config=toy.toy_config(), world=World(), device=CPU).backward(alone, batch)
        found.append(gradients(alone))
        accumulating = toy.toy_config(accumulate=2)
        BatchGradients(config=accumulating, world=World(), device=CPU).backward(both, batch)
    for name, value in gradients(both).items():
        assert torch.allclose(value, (found[0][name] + found[1][name]) / 2, atol=1e-4), name
    config = toy.toy_config(steps=4, accumulate=2)
    fit(toy.toy_model(), toy.ToyPairs(), config, tmp_path)
    assert len(losses(tmp_path)) == 4


def test_gradients_are_clipped_together() -> None:
    model = toy.toy_model()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert clip_gradients(model.parameters(), 1.0) == pytest.approx(count**0.5)
    assert torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt() <= 1


def test_bf16_stays_near_float32(tmp_path: Path) -> None:
    for precision in ("float32", "bf16"):
        config = toy.toy_config(steps=20, precision=precision)
        fit(toy.toy_model(dropout=0.0), toy.ToyPairs(), config, tmp_path / precision)
    pairs = zip(losses(tmp_path / "float32"), losses(tmp_path / "bf16"), strict=True)
    distances = [abs(a - b) for (_, a), (_, b) in pairs]
    assert 0 < max(distances) < 0.1


def test_a_pair_that_is_nan_is_named_and_stops_the_run(tmp_path: Path) -> None:
    pairs = toy.ToyPairs(bad=7)
    with pytest.raises(TrainingError, match=r"because of pair7 \(1 of 8 pairs"):
        fit(toy.toy_model(), pairs, toy.toy_config(), tmp_path)
    assert all(row["loss"] == row["loss"] for row in rows(tmp_path))


def test_early_stop_and_the_best_weights(tmp_path: Path) -> None:
    metrics = iter([1.0, 3.0, 2.0, 2.5, 9.0])
    kept: list[torch.Tensor] = []

    def metric_fn(model: torch.nn.Module) -> float:
        kept.append(model.encoder.text.weight.detach().clone())
        return next(metrics)

    config = toy.toy_config(evaluate_every=5, patience=2)
    progress = fit(toy.toy_model(), toy.ToyPairs(), config, tmp_path, metric_fn=metric_fn)
    assert (progress.step, progress.best, progress.best_step) == (20, 3.0, 10)
    assert torch.equal(load_file(tmp_path / BEST)["encoder.text.weight"], kept[1])
    again = fit(toy.toy_model(), toy.ToyPairs(), config, tmp_path, metric_fn=metric_fn)
    assert again.step == 20 and len(kept) == 4  # a finished run is not continued


def test_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(toy.toy_model("tefal"), toy.ToyPairs(), toy.toy_config(steps=2), tmp_path)
    with pytest.raises(ModelError, match="has the weights of another model"):
        fit(toy.toy_model("xpool"), toy.ToyPairs(), toy.toy_config(steps=4), tmp_path)


def test_groups_by_name_and_schedule() -> None:
    groups = (GroupConfig(name="encoder.text", lr=1e-6), GroupConfig(name="encoder", lr=1e-5))
    optimizer = new_optimizer(toy.toy_model(), toy.toy_config(groups=groups))
    found = [(len(g["params"]), g["base_lr"]) for g in optimizer.param_groups]
    assert [lr for _, lr in found] == [1e-3, 1e-6, 1e-5]
    assert [count for count, _ in found][1:] == [2, 4]
    with pytest.raises(UsageError, match="contains 'clip'"):
        new_optimizer(toy.toy_model(), toy.toy_config(groups=(GroupConfig(name="clip"),)))
    factors = [lr_factor(step, total=100, warmup=0.1) for step in (0, 5, 10, 55, 100)]
    assert factors == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_an_epoch_visits_every_pair_once() -> None:
    batches = epoch_batches(17, batch_size=4, seed=1, epoch=0)
    assert batches.shape == (4, 4) and len(set(batches.ravel().tolist())) == 16
    assert not (batches == epoch_batches(17, batch_size=4, seed=1, epoch=1)).all()
    with pytest.raises(UsageError, match="too few pairs"):
        epoch_batches(3, batch_size=4, seed=1, epoch=0)
