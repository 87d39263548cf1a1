"""Ingest on a Ray cluster that others use, too, and on workers that lack the weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.test_clip_ast import make_folder
from media.media_clips import write_clip
from seehear import Library
from seehear.cluster import on_ray
from seehear.errors import ModelError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two cores here, one of them taken for as long as the test lasts."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'seehear[cluster]'")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    others = ray.util.placement_group([{"CPU": 1}])
    ray.get(others.ready())
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_what_others_hold_is_not_waited_for_and_missing_weights_are_said(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "films").mkdir()
    for number in range(6):
        shots = [(0, (40 * number, 90, 30))]
        write_clip(tmp_path / "films" / f"{number}.mp4", seconds=1, shots=shots)
    models = make_folder(tmp_path / "models", "xpool")
    with Library.create(tmp_path / "library", models=models) as library:
        report = library.add([tmp_path / "films"], work=on_ray("auto"))
        assert (report.indexed, report.problems) == (6, [])
        write_clip(tmp_path / "films" / "late.mp4", seconds=1, shots=[(0, (5, 5, 250))])
        models.rename(tmp_path / "elsewhere")
        with pytest.raises(ModelError, match="a worker of the cluster cannot load the engine"):
            library.add([tmp_path / "films"], work=on_ray("auto"))
        (tmp_path / "elsewhere").rename(models)
        assert library.add([tmp_path / "films"], workers=1).indexed == 1  # it is not to blame
