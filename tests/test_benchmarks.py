"""Benchmarks go with the code: each can be imported, and reports and fails in the agreed way."""

import importlib
import sys
from pathlib import Path

import pytest

from seehear import Library
from seehear.engine.tags import TagsEngine

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_has_its_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        script.main()
    options = capsys.readouterr().out
    assert "--json" in options
    assert "--quick" in options


def test_the_parts_of_a_search_are_timed(tmp_path: Path, tags_engine: TagsEngine) -> None:
    query = importlib.import_module("query")
    assert query.fill(tmp_path / "library", tags_engine, query.BATCH) > 0
    with Library.open(tmp_path / "library") as library:
        taken = query.search_all(library, ["a dog"] * (query.WARM_UP + 1))
    assert all(min(taken[part]) > 0 for part in (*query.PARTS, "total"))
