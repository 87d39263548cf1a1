"""Fine-tuning the towers of a library on its files: colours, tones and tiny random towers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.test_clip_ast import make_folder
from lab.test_cli import run
from media.media_clips import tone, write_clip
from seehear import Library
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.errors import ModelError
from seehear.store import Store
from seehear_lab.datasets.clips import ClipGallery
from seehear_lab.datasets.spec import Pair
from seehear_lab.evaluate.protocol import encode, score_all
from seehear_lab.experiments.finetune import install
from seehear_lab.experiments.finetune_towers import finetune_towers, load_model, new_reader
from seehear_lab.experiments.library_data import load_clip_ast
from seehear_lab.train.config import TrainConfig
from tiny_towers import make_ast_folder

COLOURS = {"red": (220, 20, 20), "dog": (20, 200, 20), "cat": (20, 20, 220), "car": (200, 200, 20)}
TONES_HZ = {"song": 300, "drum": 1500, "barks": 5000}
FILMS = 36
LEARNING = TrainConfig(batch_size=16, steps=30, lr=1e-3, weight_decay=0.0, loss="infonce_sum")


@pytest.fixture(scope="module")
def library_root(tmp_path_factory: pytest.TempPathFactory):
    """Films with a colour, a tone and a caption with a word for each; one has no frames."""
    root = tmp_path_factory.mktemp("towers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEHEAR_CACHE", str(root / "cache"))
        (root / "films").mkdir()
        rng, lines = np.random.default_rng(0), []
        for number in range(FILMS):
            (word, rgb), (noise, hz) = (
                list(kinds.items())[number % len(kinds)] for kinds in (COLOURS, TONES_HZ)
            )
            shade = tuple(int(np.clip(value + rng.integers(-15, 15), 0, 255)) for value in rgb)
            path = root / "films" / f"film{number}.mp4"
            sound = tone(1, (0, 1), hz=hz * rng.uniform(0.95, 1.05))
            write_clip(path, seconds=1, shots=[(0, shade)], sounds=[sound])
            lines.append({"video": str(path), "caption": f"the {word} {noise}"})
        heard = write_clip(root / "films/heard.mka", seconds=1, fps=0, sounds=[tone(1, (0, 1))])
        lines.append({"video": str(heard), "caption": "the song"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (root / "captions.jsonl").write_text(text)
        models = make_folder(root / "models", sound_tokens="time")
        make_ast_folder(models / "ast", stride=40)  # 78 patches: fast
        with Library.create(root / "library", models=models) as library:
            library.add([root / "films"], workers=1)
        yield root


def scores_of_the_lab(library_root: Path, models: Path) -> dict[str, float]:
    """Scores of the model in `models` for each film, read by the lab."""
    with Library.create(library_root / f"empty-{models.name}", models=models):
        pass
    with Store.open(library_root / f"empty-{models.name}") as store:
        engine = load_clip_ast(store, library_root)
    model = load_model(engine, ClipAstFiles(models))
    paths = sorted((library_root / "films").glob("*.mp4"))
    pairs = [Pair(name=path.stem, path=path, caption="the red drum") for path in paths]
    gallery = ClipGallery(pairs, new_reader(engine, model.encoder))
    return dict(zip(gallery.item_ids, score_all(model, encode(model, gallery))[0], strict=True))


def scores_of_the_library(library: Path) -> dict[str, float]:
    with Library.open(library) as opened:
        hits = opened.search("the red drum", limit=100).hits
    return {Path(hit.path).stem: hit.score for hit in hits if hit.path.endswith(".mp4")}


@pytest.mark.slow
def test_towers_train_and_a_reindexed_library_uses_them(library_root: Path) -> None:
    library, output = library_root / "library", library_root / "tuned"
    assert scores_of_the_library(library) == pytest.approx(
        scores_of_the_lab(library_root, library_root / "models"), abs=2e-3
    )
    result = finetune_towers(library, library_root / "captions.jsonl", output, config=LEARNING)
    assert result.skipped == (f"{library_root / 'films/heard.mka'}: has no frames",)
    before, after = result.before.metrics, result.after.metrics
    assert after.map > before.map + 15  # of seven clips; threads round sums otherwise each time
    assert not list(library_root.glob("*.training"))
    with pytest.raises(ModelError, match=r"differs from that of the library"):
        install(library, output)
    with Library.open(library) as opened:
        opened.reindex("clip-ast", models=output, workers=1)
    learned = scores_of_the_lab(library_root, output)
    assert scores_of_the_library(library) == pytest.approx(learned, abs=2e-3)


@pytest.mark.parametrize(
    ("model", "layout"), [("xpool", "full"), ("tefal", "full"), ("tefal", "merged")]
)
def test_the_lab_scores_files_as_a_library_scores_them(
    library_root: Path, tmp_path: Path, model: str, layout: str
) -> None:
    models = make_folder(tmp_path / "models", model, sound_tokens=layout)
    make_ast_folder(models / "ast", stride=40)
    (tmp_path / "films").mkdir()
    for number in range(3):
        name = f"films/film{number}.mp4"
        (tmp_path / name).hardlink_to(library_root / name)
    with Library.create(tmp_path / "library", models=models) as library:
        library.add([tmp_path / "films"], workers=1)
    expected = scores_of_the_library(tmp_path / "library")
    assert scores_of_the_lab(tmp_path, models) == pytest.approx(expected, abs=2e-3)
    assert len(set(expected.values())) == 3


def test_new_towers_need_reindexing(
    library_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "finetune",
        library_root / "library",
        library_root / "captions.jsonl",
        "-o",
        library_root / "x",
        "--all",
    )
    assert run(monkeypatch, *words, "--install") == 2
    assert "run: seehear reindex --models" in capsys.readouterr().err
    assert run(monkeypatch, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("after: R@1") for line in lines)
    assert (
        lines[-1]
        == f"seehear reindex --library {library_root / 'library'} --models {library_root / 'x'}"
    )
    assert (library_root / "x/ast/model.safetensors").is_file()
