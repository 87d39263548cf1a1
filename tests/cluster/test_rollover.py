"""Switching heads: shards keep answering and never mix heads."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.test_shards import ask, same
from engine.test_clip_ast import make_folder
from media.media_clips import tone, write_clip
from seehear import Library
from seehear.cluster import Shard, Shards
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.types import Query
from seehear_lab.experiments.finetune import install, write_weights

CASE: dict[str, Any] = {"query": Query(text="a dog on the drum"), "limit": 12}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve clips in a library of a tiny head."""
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "graphs"))
    (tmp_path / "films").mkdir()
    for number in range(12):
        sounds = [tone(2, (0, 1), hz=200 + 100 * number)] if number % 3 else []
        shots = [(0, (20 * number, 200, 20))]
        write_clip(tmp_path / "films" / f"{number}.mp4", seconds=2, shots=shots, sounds=sounds)
    models = make_folder(tmp_path / "models", sound_tokens="time")
    with Library.create(tmp_path / "library", models=models) as library:
        library.add([tmp_path / "films"], workers=1)
    return tmp_path / "library"


@pytest.mark.slow
def test_a_new_head_is_rolled_out_over_the_shards(root: Path, tmp_path: Path):
    parts = [Shard(root, number, 2, tmp_path / "cache") for number in range(2)]
    divided = Shards(root, of=2, call=lambda n, method, *words: getattr(parts[n], method)(*words))
    with Library.open(root) as library:
        before = ask(library, **CASE)
    same(divided.search(**CASE), before)
    _install_another_head(root, tmp_path / "tuned")
    parts[0].prepare()
    same(divided.search(**CASE), before)  # from the replicas: the library has changed already
    parts[0].switch()
    half = divided.search(**CASE)
    share = len(parts[1].ids()) / 12
    assert half.verdict.startswith(f"only {share:.0%} of the library was searched")
    scores = {hit.item_id: hit.score for hit in before.hits}
    assert {hit.item_id for hit in half.hits} == set(parts[1].ids())
    for hit in half.hits:
        assert hit.score == pytest.approx(scores[hit.item_id], abs=1e-6)
    divided.refresh()
    with Library.open(root) as library:
        after = ask(library, **CASE)
    same(divided.search(**CASE), after)
    assert max(abs(a.score - b.score) for a, b in zip(after.hits, before.hits, strict=True)) > 1e-4


def _install_another_head(root: Path, weights: Path) -> None:
    """The head as a training would leave it: all but the projection has moved."""
    source = root.parent / "models"
    head = ClipAstFiles(source).head()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in head.named_parameters():
            if not name.startswith("project"):
                value += 0.1 * torch.randn(value.shape, generator=generator)
    write_weights(head, source, weights)
    install(root, weights)
