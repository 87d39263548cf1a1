"""Each benchmark can be imported and has the common options."""

import os
import subprocess
import sys
from pathlib import Path

from seehear.engine.tags import TagsEngine

FOLDER = Path(__file__).parents[1] / "benchmarks"
ALL_HELP = """
import contextlib, importlib, io, sys
for name in sys.argv[1:]:
    script, sys.argv, said = importlib.import_module(name), [name, "--help"], io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        script.main()
    assert "--json" in said.getvalue() and "--quick" in said.getvalue(), name
"""
TIMED = """
import sys
import query
from seehear import Library
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder
query.fill(sys.argv[1], TagsEngine(TagsFiles(default_folder())), query.BATCH)
with Library.open(sys.argv[1]) as library:
    taken = query.search_all(library, ["a dog"] * (query.WARM_UP + 1))
assert all(min(taken[part]) > 0 for part in (*query.PARTS, "total")), taken
"""


def run(code: str, *arguments: str) -> None:
    """Run in a separate process: some scripts have the names of tests."""
    path = os.pathsep.join([str(FOLDER), str(FOLDER / "lab"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_has_its_options() -> None:
    scripts = sorted(path.stem for path in FOLDER.rglob("[a-z]*.py"))
    assert len(scripts) > 10
    run(ALL_HELP, *scripts)


def test_the_parts_of_a_search_are_timed(tmp_path: Path, tags_engine: TagsEngine) -> None:
    assert tags_engine  # weights are here
    run(TIMED, str(tmp_path / "library"))
