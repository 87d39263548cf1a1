"""`seehear-lab match` on real files and random towers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.test_clip_ast import make_folder
from media.media_clips import tone, write_clip
from seehear import Library
from seehear.errors import ModelError, UsageError
from seehear.types import Filter
from seehear_lab.experiments.match import install, train_matcher

COLOURS = [(230, 20, 20), (20, 230, 20), (20, 20, 230), (230, 230, 20), (230, 20, 230)]
CLIPS = 70


@pytest.fixture(scope="module")
def library_root(tmp_path_factory: pytest.TempPathFactory):
    """Films whose colour determines the length of their tone, a silent one and a mismatched one."""
    root = tmp_path_factory.mktemp("match")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEHEAR_CACHE", str(root / "cache"))
        (root / "films").mkdir()
        rng = np.random.default_rng(0)
        for number in range(CLIPS):
            kind = number % len(COLOURS)
            film(root, f"film{number}", kind, kind, rng)
        (root / "later").mkdir()
        film(root, "../later/wrong", 0, 4, rng)
        write_clip(root / "films" / "silent.mp4", seconds=1, shots=[(0, COLOURS[0])])
        models = make_folder(root / "models", sound_tokens="time")
        with Library.create(root / "library", models=models) as library:
            library.add([root / "films"], workers=1)
        yield root


def film(root: Path, name: str, kind: int, tones: int, rng: np.random.Generator) -> None:
    shade = tuple(int(np.clip(value + rng.integers(-15, 15), 0, 255)) for value in COLOURS[kind])
    path = root / "films" / f"{name}.mp4"
    sound = tone(1, (0, 0.15 + 0.2 * tones), hz=rng.uniform(400, 500))
    write_clip(path, seconds=1, shots=[(0, shade)], sounds=[sound])


@pytest.mark.slow
def test_moments_say_whether_their_sound_fits(library_root: Path) -> None:
    library = library_root / "library"
    with Library.open(library) as opened:
        assert all(hit.av_correspondence is None for hit in opened.search("a dog", limit=5).hits)
        with pytest.raises(UsageError, match="cannot detect whether sound belongs"):
            opened.search("a dog", where=Filter(av_correspondence=True))
        scores = {hit.item_id: hit.score for hit in opened.search("a dog", limit=100).hits}
    result, folder = train_matcher(library, steps=200)
    assert folder == library_root / "models"
    assert result.accuracy > 75
    assert result.own > result.exchanged
    install(result, folder)
    with Library.open(library) as opened:
        opened.add([library_root / "later"], workers=1)
        found = opened.search("a dog", limit=100).hits
        fits = {Path(hit.path).stem: hit.av_correspondence for hit in found}
        now = {hit.item_id: hit.score for hit in found}
        same = pytest.approx(scores, abs=1e-6)  # never a silent penalty
        assert {item: now[item] for item in scores} == same
        assert fits["silent"] is None
        assert fits["wrong"] is False
        assert sum(fit is True for fit in fits.values()) > 0.6 * CLIPS
        for wanted in (True, False):
            kept = opened.search("a dog", limit=100, where=Filter(av_correspondence=wanted)).hits
            assert {Path(h.path).stem for h in kept} == {n for n, f in fits.items() if f is wanted}
    settings = json.loads((folder / "match.json").read_text())
    (folder / "match.json").write_text(json.dumps(settings | {"settings": {"dim": 8}}))
    with Library.open(library) as opened, pytest.raises(ModelError, match="are inconsistent"):
        opened.search("a dog")


@pytest.mark.slow
def test_too_few_moments_are_refused(library_root: Path, tmp_path: Path) -> None:
    with Library.create(tmp_path / "few", models=make_folder(tmp_path / "models")) as library:
        library.add([library_root / "films" / "film0.mp4"], workers=1)
    with pytest.raises(UsageError, match="have both frames and sound: 1, at least 40"):
        train_matcher(tmp_path / "few")
