"""Hashes of weights are cached per state of a file; changed bytes are always noticed."""

import hashlib
import os
from pathlib import Path

import pytest

from seehear.encoders import hashes
from seehear.encoders.hashes import known_hashes


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights.bin"
    path.write_bytes(b"one")
    return path


def sha(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_an_unchanged_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_hashes([file]) == {file: sha(b"one")}
    monkeypatch.setattr(hashes, "sha256_of", lambda path: pytest.fail(f"read {path} again"))
    assert known_hashes([file]) == {file: sha(b"one")}


def test_a_change_of_equal_size_and_time_is_noticed(file: Path) -> None:
    before = file.stat()
    known_hashes([file])
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known_hashes([file]) == {file: sha(b"two")}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": ["x"]}', "\x00"])
def test_a_damaged_cache_is_ignored(file: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hashes.json").write_text(content)
    assert known_hashes([file]) == {file: sha(b"one")}
