"""Search quality on real clips, from files to explained hits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seehear import Library
from seehear.engine.tags import TagsEngine
from seehear.errors import MediaError, UsageError

pytestmark = pytest.mark.slow  # indexes 60 films


@pytest.fixture(scope="module")
def library(
    tags_engine: TagsEngine, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    with Library.create(tmp_path_factory.mktemp("real") / "library") as made:
        made.add([shared_data / "media"])
        yield made


def first(library: Library, text: str, **options: object) -> str:
    return Path(library.search(text, **options).hits[0].path).name  # type: ignore[arg-type]


def test_sight_finds_the_tractor_and_says_why(library: Library) -> None:
    hit = library.search("a tractor in a field").hits[0]
    assert Path(hit.path).name == "tractor.webm"
    assert hit.confidence == "strong"
    assert hit.seen > 10 * hit.heard
    assert "tractor" in dict(hit.seen_tags)
    assert max(hit.frame_weights) == 1.0
    assert len(hit.frame_times_s) == len(hit.frame_weights) > 3


def test_sound_finds_the_battle_at_the_right_stretch(library: Library) -> None:
    hit = library.search("loud explosions and gunfire").hits[0]
    assert Path(hit.path).name == "tears_of_steel_battle.webm"
    assert hit.heard > hit.seen
    assert {"Gunshot, gunfire", "Explosion"} <= set(dict(hit.heard_tags))
    assert all(hit.start_s <= time <= hit.end_s + 1 for time in hit.sound_times_s)


def test_sound_distinguishes_clips_with_the_same_photograph(library: Library) -> None:
    dogs = [
        Path(h.path).name
        for h in library.search("a dog barking", limit=60).hits
        if Path(h.path).name.startswith(("dog__", "farm_dog"))
    ]
    assert dogs[0] == "farm_dog.mp4"
    assert dogs.index("farm_dog.mp4") < dogs.index("dog__music.mp4")


def test_nothing_here_matches_is_said_in_words(library: Library) -> None:
    answer = library.search("penalty shoot-out in a football stadium")
    assert answer.verdict.startswith("nothing here matches well")
    assert {hit.confidence for hit in answer.hits} == {"weak"}
    assert library.search("a tractor in a field").verdict == ""


def test_a_sound_finds_its_like(library: Library, shared_data: Path) -> None:
    barks = sorted((shared_data / "data/esc10").glob("001*/*.ogg"))
    found = [first(library, "", like=bark) for bark in barks[:3]]
    assert sum("dog" in name or name == "horse__wrong.mp4" for name in found) >= 2


def test_a_clip_finds_itself_by_sight_and_by_sound(library: Library, shared_data: Path) -> None:
    clip = shared_data / "media/pairs/stamp_zebra.mp4"
    for mode in ("both", "seen", "heard"):
        assert first(library, "", like=clip, mode=mode) == "stamp_zebra.mp4"


def test_a_question_that_cannot_be_meant_is_refused(library: Library, shared_data: Path) -> None:
    with pytest.raises(UsageError, match="give a text or an example"):
        library.search("")
    with pytest.raises(UsageError, match="give either a text or an example, not both"):
        library.search("dog", like=shared_data / "media/pairs/stamp_zebra.mp4")
    with pytest.raises(UsageError, match="no sound, needed by the mode"):
        library.search(like=shared_data / "media/contrast/dog__noaudio.mp4", mode="heard")
    with pytest.raises(MediaError):
        library.search(like=shared_data / "media/captions.jsonl")


def test_the_same_search_twice_gives_the_same_answer(library: Library) -> None:
    assert library.search("a cow") == library.search("a cow")


def test_long_clips_answer_with_the_moment(library: Library) -> None:
    parts = [h for h in library.search("people", limit=68).hits if "tears_of_steel" in h.path]
    assert len(parts) > 1
    assert len({(h.start_s, h.end_s) for h in parts}) == len(parts)
