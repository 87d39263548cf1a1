"""Complete outputs, exit codes and JSON schemas of the command line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command import seehear
from engine.test_clip_ast import make_folder
from media.media_clips import BLUE, GREEN, RED, tone, write_clip
from seehear.engine.tags import TagsEngine
from tiny_towers import cut

SNAPSHOTS = Path(__file__).parent / "snapshots"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `seehear` in a new folder, with a library next to the films."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        plain = {"SEEHEAR_LIBRARY": "library", "COLUMNS": "100", "NO_COLOR": "1"}
        return seehear(tmp_path, *words, **plain | environment)

    return run


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_clip(folder / "red, beeping.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2), hz=1000)])
    write_clip(folder / "green.mp4", shots=[(0, GREEN)])
    write_clip(folder / "blue.mkv", shots=[(0, BLUE)], sounds=[np.zeros((2, 192000), np.float32)])
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def compare(name: str, text: str) -> None:
    """Against the stored text; figures that depend on the machine are masked.

    A missing snapshot is written and fails once, so that a person looks at it.
    """
    masked = re.sub(r"\d+(\.\d+)?x real time \(.*\)", "Nx real time (...)", text)
    masked = re.sub(r"[\d.]+ (B|kB|MB|GB)\b", "N MB", masked)
    path = SNAPSHOTS / f"{name}.txt"
    if not path.exists():
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(masked, encoding="utf-8")
        pytest.fail(f"wrote {path}; read it and run again")
    assert masked == path.read_text(encoding="utf-8")


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys, seehear.cli\n"
        "sys.argv = ['seehear', '--help']\n"
        "try: seehear.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'lance', 'av', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Find moments in videos" in done.stdout


def test_first_session(run: Run, films: Path, tags_engine: TagsEngine) -> None:
    """index, index again, search, status, remove, verify: outputs as stored."""
    steps = [
        ("index", "films"),
        ("index", "films"),
        ("search", "a loud beep", "--mode", "heard"),
        ("search", "a red square", "-n", "2", "--has-sound"),
        ("status",),
        ("remove", "films/green.mp4"),
        ("verify", "--full"),
    ]
    outputs = []
    for words in steps:
        done = run(*words)
        outputs.append(
            f"$ seehear {' '.join(words)}\n{done.stdout}{done.stderr}[{done.returncode}]\n"
        )
    compare("first_session", "\n".join(outputs))


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ("search", "dog"),
            4,
            "there is no library at 'library'; index a folder of videos into it",
        ),
        (("index", "nowhere"), 2, "'nowhere' does not exist; check the path"),
        (
            ("index", "films", "--engine", "clip"),
            3,
            "no engine named 'clip'; known: auto, clip-ast, tags",
        ),
        (("status",), 4, "there is no library at 'library'"),
        (
            ("status", "-l", "films"),
            4,
            "contains other files",
        ),
        (("search", "dog", "--added-since", "soon"), 2, "'soon' is neither a date nor an age"),
        (("models", "import", "tags", "nowhere"), 2, "'nowhere' is not a folder"),
        (
            ("models", "import", "clip-ast", "films"),
            2,
            "needs no import: check it with 'seehear models",
        ),
        (("models", "verify", "films"), 3, "there is no head.json in"),
        (("models", "import", "tags", "films"), 3, "seehear models import tags FOLDER"),
    ],
)
def test_bad_input_gets_one_sentence_and_its_code(
    run: Run, films: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_bad_questions_to_a_real_library(run: Run, films: Path, tags_engine: TagsEngine) -> None:
    assert run("index", "films").returncode == 0
    for words, code, sentence in (
        (("search",), 2, "give a text or an example"),
        (("search", "x", "--like", "films/green.mp4"), 2, "an example, not both"),
        (("search", "--like", "films/nowhere.mp4"), 5, "nowhere.mp4"),
        (("search", "--like", "films/broken.mp4"), 5, "broken.mp4"),
        (("search", "--like", "films/green.mp4", "--mode", "heard"), 2, "has no sound"),
        (("report", "x", "-o", "nowhere/page.html"), 2, "cannot be written"),
        (("remove", "elsewhere"), 6, "nothing indexed at"),
        (("reindex",), 6, "already indexed with engine 'tags'"),
        (("index", "films", "--fail-on-error"), 5, "1 file could not be indexed"),
        (("index", "films/broken.mp4"), 6, "no video or sound that can be indexed"),
    ):
        done = run(*words)
        assert done.returncode == code, (words, done.stderr)
        assert sentence in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_every_json_answer_names_its_schema_and_engine(
    run: Run, films: Path, tags_engine: TagsEngine
) -> None:
    for words, kind in (
        (("index", "films", "--dry-run"), "plan"),
        (("index", "films"), "index"),
        (("search", "red"), "search"),
        (("report", "red"), "report"),
        (("status",), "status"),
        (("verify",), "verify"),
        (("remove", "films/green.mp4"), "remove"),
        (("doctor",), "doctor"),
        (("models", "list"), "models"),
    ):
        done = run(*words, "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["schema"] == f"seehear.{kind}/1"
        if kind not in ("doctor", "models"):
            assert answer["engine"] == "tags", words
    hits = json.loads(run("search", "red", "--json").stdout)["hits"]
    assert {"path", "start_s", "end_s", "score", "confidence", "seen", "heard", "seen_tags"} <= set(
        hits[0]
    )


def test_a_dry_run_changes_nothing(run: Run, films: Path, tags_engine: TagsEngine) -> None:
    done = run("index", "films", "--dry-run")
    assert "plan: 3 new files" in done.stderr
    assert run("status").returncode == 4


def test_doctor_pushes_a_real_second_through_the_engine(
    run: Run, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert re.search(r"ok  engine +tags: \d+ pictures, 1 s of sound and a sentence in", done.stdout)
    missing = run("doctor", SEEHEAR_CACHE=str(tmp_path / "empty"))
    assert missing.returncode == 3
    assert "seehear models pull tags" in missing.stdout
    assert "checks failed: engine" in missing.stderr


def test_a_library_whose_weights_are_gone_is_refused_not_swapped(
    run: Run, films: Path, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    run("index", "films")
    done = run("search", "red", SEEHEAR_CACHE=str(tmp_path / "empty"))
    assert done.returncode == 3
    assert "the weights of engine 'tags' were not found in" in done.stderr
    assert json.loads(run("status", "--json").stdout)["videos"] == 3


def test_the_report_is_one_page_without_a_network(
    run: Run, films: Path, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    run("index", "films")
    assert run("report", 'a <red> "square"', "-o", "hits.html").returncode == 0
    page = (tmp_path / "hits.html").read_text()
    assert "a &lt;red&gt; &quot;square&quot;" in page
    assert page.count("<article") == 3
    assert page.count("data:image/") == 3
    assert page.count('class="modality heard"') == 3
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "<script" not in page


def test_models_verify_and_list(run: Run, tags_engine: TagsEngine) -> None:
    assert "files of engine 'tags' checked: none has changed" in run("models", "verify").stdout
    listed = run("models", "list").stdout
    assert "none declared by the package" in listed
    assert "tags  ready" in listed
    assert "clip-ast  your own folder of weights, used with --models DIR" in listed


def test_a_folder_of_clip_ast_is_verified_used_and_refused(
    run: Run, films: Path, tmp_path: Path
) -> None:
    weights, cache = make_folder(tmp_path / "weights"), str(tmp_path / "cache")
    done = run("models", "verify", "weights", SEEHEAR_CACHE=cache)
    assert "the weights of 'tefal.xpool' in weights are complete and consistent" in done.stdout
    index = ("index", "films", "--models", "weights")
    assert run(*index, SEEHEAR_CACHE=cache).returncode == 0
    done = run("doctor", SEEHEAR_CACHE=cache)  # the weights of 'tags' are not in this cache
    assert done.returncode == 0, done.stdout
    assert re.search(r"ok  engine +clip-ast: \d+ pictures, 1 s of sound", done.stdout)
    cut(weights / "ast/model.safetensors")
    for words in (
        ("models", "verify", "weights"),
        ("search", "red"),
        (*index, "--library", "another"),
    ):
        done = run(*words, SEEHEAR_CACHE=cache)
        assert done.returncode == 3, done.stderr
        assert "seehear: the AST weights in" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "another").exists()
    answer = json.loads(run("models", "verify", "weights", "--json", SEEHEAR_CACHE=cache).stdout)
    assert "are damaged" in answer["clip-ast"]["problems"][0]
