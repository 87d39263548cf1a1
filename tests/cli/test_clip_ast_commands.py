"""The commands on libraries of `clip-ast`: a head that hears, a deaf one, a silent file."""

import re
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from command import seehear
from engine.test_clip_ast import make_folder
from media.media_clips import tone, write_clip
from seehear import Hit, Library
from seehear.cli.search import reasons

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
    made = run(folder, "index", "films", "--models", str(models))
    assert made.returncode == 0, made.stderr
    return folder


def run(folder: Path, *words: str) -> CompletedProcess[str]:
    cache = str(folder / "cache")
    return seehear(folder, *words, SEEHEAR_LIBRARY="lib", SEEHEAR_CACHE=cache)


@pytest.mark.parametrize("options", [(), ("--mode", "seen"), ("--mode", "heard"), ("--exact",)])
def test_hits_are_explained_even_when_scores_are_zero(
    folder: Path, options: tuple[str, ...]
) -> None:
    found = run(folder, "search", "a red thing", *options)
    if "heard" in options and folder.name.startswith("xpool"):
        assert found.returncode == 2
        assert "do not use sound" in found.stderr
        return
    assert found.returncode == 0, found.stderr
    named = re.findall(r"(red|green|blue)\.mp4", found.stdout)
    assert sorted(named) == sorted(["green", "red"] + ["blue"] * ("heard" not in options))
    assert "average" not in found.stdout  # what is silent adds 0 here
    mode = options if "--mode" in options else ()
    report = run(folder, "report", "a red thing", "--output", "page.html", *mode)
    assert report.returncode == 0, report.stderr


def test_exact_and_default_find_the_same_in_each_mode(folder: Path) -> None:
    for mode in ("seen", "heard", "both"):
        found = [
            run(folder, "search", "a bell", "--mode", mode, *exact).stdout
            for exact in ((), ("--exact",))
        ]
        assert found[0] == found[1]


def test_what_does_not_hear_is_never_asked_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slider, and an example that sounds, count for nothing under X-Pool."""
    monkeypatch.setenv("SEEHEAR_CACHE", str(folder / "cache"))
    share = 0.0 if folder.name.startswith("xpool") else 0.5
    with Library.open(folder / "lib") as library:
        red = next(item for item in library.items() if item.sound == "sound")
        assert library.search(like=red).audio_weight == share
        moved = library.search("a red thing", audio_weight=1.0)
        assert moved.audio_weight == 2 * share
        assert all(hit.score != 0 for hit in moved.hits)


def test_reasons_say_when_where_there_are_no_names() -> None:
    hit = Hit(
        rank=1, item_id="a", video_id="a", path="a.mp4", aliases=(), start_s=0, end_s=4,
        score=0.3, confidence="fair", seen=0.3, heard=0.0, sound="none",
        frame_times_s=(1.0, 2.0, 2.01, 3.0), frame_weights=(0.4, 1.0, 0.9, 0.6),
        sound_times_s=(1.0,), sound_weights=(1.0,),
    )  # fmt: skip
    assert reasons(hit) == ["seen best at 0:02.0, 0:03.0", "no sound: found by sight"]
    against = replace(hit, seen=-0.1, score=-0.1, heard=0.0, sound="sound")
    assert reasons(against) == []
