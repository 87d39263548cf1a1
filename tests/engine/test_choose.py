"""The engine is chosen once; absent, partial, changed or foreign weights are refused."""

import shutil
from pathlib import Path

import pytest

from seehear.engine import create_engine, load_engine, tags_files
from seehear.engine.tags import TagsEngine
from seehear.errors import ModelError


@pytest.fixture
def copied(tags_engine: TagsEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache that a test may damage; big files are hard links."""
    folder = tmp_path / "models" / "tags"
    source = tags_engine._files.folder
    shutil.copytree(source, folder, copy_function=lambda a, b: Path(b).hardlink_to(a))
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path))
    return folder


def test_auto_is_tags_when_its_weights_are_here(copied: Path) -> None:
    assert create_engine("auto").name == "tags"


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no engine named 'clip'; known: auto, clip-ast, tags"):
        create_engine("clip")


def test_absent_weights_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="seehear models pull tags") as caught:
        create_engine("auto")
    assert caught.value.exit_code == 3


def test_partial_weights_are_an_error_never_a_fallback(copied: Path) -> None:
    (copied / "sound.onnx").unlink()
    with pytest.raises(ModelError, match=r"incomplete: .*sound\.onnx is missing"):
        create_engine("auto")


def test_changed_bytes_are_found_on_loading(copied: Path) -> None:
    path = copied / "names.npz"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"{path} has changed since it was installed"):
        tags_files.TagsFiles(copied)


def test_a_library_of_other_weights_is_refused(tags_engine: TagsEngine) -> None:
    other = tags_engine.manifest | {"fingerprint": "f" * 64}
    with pytest.raises(ModelError, match=r"built with other weights.*seehear reindex"):
        load_engine(other)


def test_the_librarys_own_engine_is_loaded(tags_engine: TagsEngine) -> None:
    assert load_engine(tags_engine.manifest).manifest == tags_engine.manifest
