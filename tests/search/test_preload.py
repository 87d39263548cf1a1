"""Sight scanned exactly: the best seen moments of a library, whatever their summaries say."""

from pathlib import Path

import numpy as np
import pytest

from engine.test_clip_ast import make_folder
from media.media_clips import write_clip
from seehear import Library
from seehear.search import preload
from seehear.search.stage1 import stage1_candidates
from seehear.server import Settings
from seehear.types import Filter
from server.conftest import free_port, serving
from waiting import wait_until

ROUNDED = 3e-3  # of a score: held frames are int8


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Twelve films of many colours each, under an X-Pool head that looks sharply."""
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(preload, "BATCH", 5)
    films(tmp_path / "films", range(12))
    with Library.create(
        tmp_path / "library", models=make_folder(tmp_path / "models", "xpool")
    ) as own:
        own.add([tmp_path / "films"], workers=1)
        yield own


def films(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        colours = np.random.default_rng(number).integers(0, 255, (4, 3)).tolist()
        shots = [(at, tuple(colour)) for at, colour in enumerate(colours)]
        write_clip(folder / f"{number}.mp4", seconds=4, fps=5, shots=shots)


def best_seen(library: Library, *, k: int, where: Filter | None = None) -> tuple[str, ...]:
    engine, store = library.engine, library._store
    query = engine.encode_text("a red thing")
    (found,) = stage1_candidates(engine, store, query, where, k, "union")
    return found.ids


def exact(library: Library) -> dict[str, float]:
    ids = [item.id for item in library.items()]
    query = library.engine.encode_text("a red thing")
    return dict(zip(ids, library.engine.score(query, library.tokens(ids)).seen[0], strict=True))


def disorder(library: Library, found: tuple[str, ...]) -> float:
    """How much better than one before it an item of a list is at most."""
    scores = np.array([exact(library)[each] for each in found])
    return float((scores - np.minimum.accumulate(scores)).max())


def test_all_preloaded_frames_are_scored(library: Library) -> None:
    assert disorder(library, best_seen(library, k=12)) > 10 * ROUNDED  # by summaries
    assert library.preload_frames() == 12
    found = best_seen(library, k=12)
    assert set(found) == set(exact(library))
    assert disorder(library, found) < ROUNDED
    assert best_seen(library, k=3) == found[:3]


def test_added_and_removed_items_are_followed(library: Library, tmp_path: Path) -> None:
    library.preload_frames()
    gone = library.video(library.item(best_seen(library, k=1)[0]).video_id)
    library.remove([gone.path])
    films(tmp_path / "films", range(12, 16))
    library.add([tmp_path / "films" / f"{number}.mp4" for number in range(12, 16)], workers=1)
    assert len(best_seen(library, k=99)) == 15  # not preloaded yet
    assert library.preload_frames() == 15
    found = best_seen(library, k=99)
    assert set(found) == set(exact(library))
    assert disorder(library, found) < ROUNDED
    one = Filter(folder=str(tmp_path / "films" / "13.mp4"))
    assert len(best_seen(library, k=99, where=one)) == 1


def test_small_additions_do_not_make_many_batches(library: Library, tmp_path: Path) -> None:
    for number in range(12, 16):
        films(tmp_path / "films", range(number, number + 1))
        library.add([tmp_path / "films" / f"{number}.mp4"], workers=1)
        library.preload_frames()
    known = preload._preloaded[library.engine]
    assert len(known.ids) == 16
    assert len(known.scan._indexes) == 4  # of five, five, five and one
    assert disorder(library, best_seen(library, k=99)) < ROUNDED
    library.remove([tmp_path / "films" / f"{number}.mp4" for number in range(12)])
    assert library.preload_frames() == 4
    assert len(preload._preloaded[library.engine].ids) == 4
    assert len(best_seen(library, k=99)) == 4


def test_too_many_items_are_not_preloaded(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.preload_frames()
    monkeypatch.setattr(preload, "MAX_ITEMS", 11)
    assert library.preload_frames() == 0
    assert len(best_seen(library, k=99)) == 12


def test_a_service_holds_what_it_serves(library: Library, tmp_path: Path) -> None:
    with serving(library, Settings(port=free_port(), cache=tmp_path / "proxies")):
        wait_until(lambda: library.engine in preload._preloaded, "the preloaded frames")
        assert list(preload._preloaded[library.engine].summaries.ids) == [
            item.id for item in library.items()
        ]
