"""The commands on libraries of `clip-ast`: a head that hears, a deaf one, a silent file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.test_clip_ast import make_folder
from media.media_clips import tone, write_clip

BLUE, GREEN, RED = (0, 0, 200), (0, 200, 0), (200, 0, 0)


@pytest.fixture(scope="module", params=["tefal.xpool", "xpool"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Three films, the blue one without sound, indexed with random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    films, models = folder / "films", make_folder(folder / "models", request.param)
    films.mkdir()
    write_clip(films / "red.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2))])
    write_clip(films / "green.mp4", shots=[(0, GREEN)], sounds=[tone(4, (0, 3))])
    write_clip(films / "blue.mp4", shots=[(0, BLUE)])
    made = seehear(folder, "index", "films", "--models", str(models))
    assert made.returncode == 0, made.stderr
    return folder


def seehear(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seehear", *words, "--library", "lib"],
        cwd=folder,
        env=os.environ | {"SEEHEAR_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("--mode", "seen"), ("--mode", "heard"), ("--exact",)])
def test_hits_are_told_whatever_their_scores(folder: Path, options: tuple[str, ...]) -> None:
    found = seehear(folder, "search", "a red thing", *options)
    if "heard" in options and folder.name.startswith("xpool"):
        assert found.returncode == 2
        assert "do not hear; leave --mode heard out" in found.stderr
        return
    assert found.returncode == 0, found.stderr
    named = re.findall(r"(red|green|blue)\.mp4", found.stdout)
    assert sorted(named) == sorted(["green", "red"] + ["blue"] * ("heard" not in options))
    assert "average" not in found.stdout  # what is silent adds 0 here
    mode = options if "--mode" in options else ()
    report = seehear(folder, "report", "a red thing", "--output", "page.html", *mode)
    assert report.returncode == 0, report.stderr


def test_exact_and_default_find_the_same_in_each_mode(folder: Path) -> None:
    for mode in ("seen", "heard", "both"):
        found = [
            seehear(folder, "search", "a bell", "--mode", mode, *exact).stdout
            for exact in ((), ("--exact",))
        ]
        assert found[0] == found[1]


def test_a_reason_says_when(folder: Path) -> None:
    told = seehear(folder, "search", "a red thing", "--mode", "seen").stdout
    bars = re.findall(r"seen (\S+) heard", told)
    assert ("seen best at 0:0" in told) == any("█" in bar for bar in bars)
