"""Fine-tuning a library's head: stored tokens stay unchanged, summaries are new."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.test_clip_ast import make_folder
from media.media_clips import tone, write_clip
from seehear import Library
from seehear.errors import ModelError, UsageError
from seehear.store import Store
from seehear_lab.experiments.finetune import TRAINING, finetune, install
from seehear_lab.train.config import TrainConfig
from tiny_towers import make_ast_folder

COLOURS = {"red": (220, 20, 20), "dog": (20, 200, 20), "cat": (20, 20, 220), "car": (200, 200, 20)}
QUICK = TrainConfig(batch_size=8, steps=4, lr=1e-3, loss="infonce_sum")


@pytest.fixture(scope="module")
def library_root(tmp_path_factory: pytest.TempPathFactory):
    """A library of 12 videos and captions of each; with its own cache."""
    root = tmp_path_factory.mktemp("finetune")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEHEAR_CACHE", str(root / "cache"))
        (root / "films").mkdir()
        lines = []
        for number in range(12):
            word, rgb = list(COLOURS.items())[number % 4]
            path = root / "films" / f"film{number}.mp4"
            shade = tuple(min(value + 3 * number, 255) for value in rgb)
            sounds = [tone(2, (0, 1), hz=200 + 100 * number)] if number % 3 else []
            write_clip(path, seconds=2, shots=[(0, shade)], sounds=sounds)
            lines.append({"video": str(path), "caption": f"a {word} on the drum"})
        lines.append({"video": "elsewhere.mp4", "caption": "a song"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (root / "captions.jsonl").write_text(text)
        models = make_folder(root / "models", sound_tokens="time")
        with Library.create(root / "library", models=models) as library:
            library.add([root / "films"], workers=1)
        yield root


def token_bytes(library: Path) -> list[bytes]:
    with Store.open(library) as store:
        ids = [item.id for item in store.items()]
        tokens = [store.tokens([item]) for item in ids]
        return [t.frames.tobytes() + t.audio.tobytes() for t in tokens]


@pytest.mark.slow
def test_the_new_head_serves_the_library_without_new_tokens(library_root: Path) -> None:
    library, output = library_root / "library", library_root / "tuned"
    result = finetune(library, library_root / "captions.jsonl", output, config=QUICK)
    assert result.skipped == ("elsewhere.mp4: is not in the library",)
    assert result.trained_pairs == 10
    assert result.before.gallery == result.after.gallery == 2
    assert not list(library_root.glob("*.training"))
    before = token_bytes(library)
    with Store.open(library) as store:
        old = np.stack([item.seen for item in store.items()])
    with Library.open(library) as opened:
        old_score = opened.search("a dog on the drum").hits[0].score
    install(library, output)
    assert token_bytes(library) == before
    with Store.open(library) as store:
        new = np.stack([item.seen for item in store.items()])
        assert store.model["folder"] == str(output)
    assert np.abs(new - old).max() > 1e-4
    with Library.open(library) as opened:
        answer = opened.search("a dog on the drum")
        assert opened.status().videos == 12
        assert answer.hits[0].score != old_score
    with Library.create(library_root / "fresh", models=output) as fresh:
        fresh.add([library_root / "films" / "film1.mp4"], workers=1)
        expected = {Path(hit.path).name: hit.score for hit in fresh.search("a cat").hits}
    with Library.open(library) as opened:
        got = {Path(hit.path).name: hit.score for hit in opened.search("a cat", limit=12).hits}
    assert got["film1.mp4"] == pytest.approx(expected["film1.mp4"], abs=2e-3)


def test_what_cannot_be_fine_tuned_is_refused(library_root: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"video": "film0.mp4", "caption": "a dog"}\n')
    with pytest.raises(UsageError, match="have a caption: 1, at least 10 needed"):
        finetune(library_root / "library", few, tmp_path / "out")
    with pytest.raises(UsageError, match="already exists"):
        finetune(library_root / "library", few, tmp_path)
    other = make_folder(tmp_path / "models", sound_tokens="time")
    make_ast_folder(other / "ast", seed=5)
    with pytest.raises(ModelError, match=r"ast/model\.safetensors differs"):
        install(library_root / "library", other)
    assert TRAINING.steps == 0
