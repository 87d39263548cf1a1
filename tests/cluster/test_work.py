"""Ingest on a Ray cluster that others use, too; workers that lack the weights, or die."""

from pathlib import Path
from typing import Any

import pytest

from cluster.made import versions_by_batch
from cluster.unlucky import Unlucky
from engine.test_clip_ast import make_folder
from media.media_clips import write_clip
from seehear import Library
from seehear.cluster import on_ray, work
from seehear.engine.tags import TagsEngine
from seehear.errors import ModelError
from seehear.store import Store
from waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:lance is not fork-safe"),  # Ray starts programs, no forks
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray Data, due to its settings
]


@pytest.fixture
def held(cluster: Any) -> Any:
    """One of two cores is taken for as long as the test lasts."""
    others = cluster.util.placement_group([{"CPU": 1}])
    cluster.get(others.ready())
    return cluster


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(6):
        write_clip(folder / f"{number}.mp4", seconds=1, shots=[(0, (40 * number, 90, 30))])
    return folder


def test_what_others_hold_is_not_waited_for_and_missing_weights_are_said(
    held: Any, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "cache"))
    models = make_folder(tmp_path / "models", "xpool")
    with Library.create(tmp_path / "library", models=models) as library:
        report = library.add([films], indexer=on_ray("auto"))
        assert (report.indexed, report.problems) == (6, [])
        assert "write" not in report.spent_s  # no worker can write into a folder of this machine
        write_clip(films / "late.mp4", seconds=1, shots=[(0, (5, 5, 250))])
        models.rename(tmp_path / "elsewhere")
        with pytest.raises(ModelError, match="a worker of the cluster cannot load the engine"):
            library.add([films], indexer=on_ray("auto"))
        (tmp_path / "elsewhere").rename(models)
        assert library.add([films], workers=1).indexed == 1  # it is not to blame


def test_what_a_dead_worker_wrote_is_never_seen_and_cleared_away(
    address: str,
    films: Path,
    tmp_path: Path,
    tags_engine: TagsEngine,
    held: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "IndexFiles", Unlucky)
    with Library.create(address, engine="tags") as library:
        report = library.add([films], indexer=on_ray("auto"))
        assert (tmp_path / "killed").exists()
        assert report.indexed == 5
        ((path, reason),) = report.problems
        assert path.endswith("3.mp4") and "the decoder crashed" in reason
        assert report.spent_s["write"] > 0
        assert set(versions_by_batch(address).values()) == {report.commits}
        assert (library.status().videos, library.status().items) == (5, 5)
        assert library.verify(full=True) == []
        assert "1 unused file" in " ".join(orphans(address))
        library.maintain()
        assert orphans(address) == []
        assert library.verify(full=True) == []
        assert stopped_after_the_first(library, films, held)
        assert library.add([films], indexer=on_ray("auto")).indexed == 2
        assert library.status().videos == 8


def orphans(address: str) -> list[str]:
    with Store.open(address) as store:
        return store.verify()


def stopped_after_the_first(library: Library, films: Path, ray: Any) -> bool:
    """Ctrl-C at the first of some more files: it stays, and the workers go."""

    def progress(stage: str, done: float, total: float) -> None:
        raise KeyboardInterrupt

    for name in ("late.mp4", "later.mp4", "latest.mp4"):
        write_clip(films / name, seconds=1, shots=[(0, (5, len(name), 250))])
    report = library.add([films], indexer=on_ray("auto"), progress=progress)
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 1.0, "the end of the workers")
    return (report.is_interrupted, report.indexed) == (True, 1)
