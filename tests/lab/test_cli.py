"""`seehear-lab convert`: from a published layout to a folder that the engine takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from lab.later_layouts import (
    ast_checkpoint,
    avigate_checkpoint,
    eclipse_checkpoint,
    ts2net_checkpoint,
    xclip_checkpoint,
)
from lab.layouts import (
    DIM,
    clip4clip_checkpoint,
    hf_clip,
    openai_clip,
    xpool_checkpoint,
    xpool_from_its_layout,
)
from seehear.encoders.clip import preprocess
from seehear.engine import create_engine
from seehear.engine.clip_ast import ClipAstEngine
from seehear.models import build_model
from seehear.types import Clip
from seehear_lab.cli import main

WORDS = ("<unk>", "a", "dog", "barks")


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run the command in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["seehear-lab", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def xpool(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    checkpoint, path = xpool_checkpoint(), tmp_path / "model_best.pth"
    torch.save(checkpoint, path)
    return checkpoint, path


def add_config_and_tokenizer(folder: Path) -> Path:
    """Write config.json and tokenizer.json, as the hub has them."""
    hf_clip(openai_clip()).config.save_pretrained(folder)
    ids = {word: number for number, word in enumerate(WORDS)} | {"<s>": 28, "</s>": 29}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 28), ("</s>", 29)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_an_engine_scores_as_the_checkpoint_it_was_converted_from(
    xpool: tuple[dict[str, Any], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The engine's scores equal a forward pass written from the published layout."""
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "cache"))
    checkpoint, path = xpool
    folder = tmp_path / "weights"
    assert run(monkeypatch, "convert", "xpool", path, "-o", folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"wrote 'xpool' and its CLIP to {folder}",
        "left out, not needed: clip.text_model.embeddings.position_ids, "
        "clip.vision_model.embeddings.position_ids",
        "copy config.json and tokenizer.json of the CLIP that it was trained from to "
        f"{folder / 'clip'}",
        f"then run: seehear index PATHS --models {folder}",
    ]
    add_config_and_tokenizer(folder / "clip")
    engine = create_engine(models=folder)
    assert isinstance(engine, ClipAstEngine)
    pictures = np.random.default_rng(0).integers(0, 255, (3, 16, 20, 3), dtype=np.uint8)
    clip = Clip(
        path="made",
        start_s=0,
        end_s=3,
        frames=pictures,
        frame_times_s=np.arange(3) + 0.5,
        waveform=np.zeros(0, np.float32),
        sample_rate_hz=16000,
        sound="none",
    )
    query = engine.encode_text("a dog barks")
    parts = engine.score(query, engine.encode_clip(clip))
    theirs = hf_clip(openai_clip()).eval()
    names = theirs.state_dict()
    state = checkpoint["state_dict"]
    theirs.load_state_dict({name: state[f"clip.{name}"] for name in names})
    with torch.no_grad():
        ids = torch.tensor([[28, 1, 2, 3, 29]])
        text = theirs.get_text_features(ids).pooler_output
        frames = theirs.get_image_features(preprocess(pictures, side_px=16)).pooler_output
        head = {key: value for key, value in state.items() if key.startswith("pool_frames.")}
        expected = xpool_from_its_layout(head, text, frames[None])
    np.testing.assert_allclose(query.seen, text, atol=1e-5)
    np.testing.assert_allclose(parts.seen + parts.heard, expected, atol=1e-3)  # float16 tokens


@pytest.mark.parametrize("variant", ["meanp", "seqlstm", "seqtransf", "tighttransf"])
def test_a_clip4clip_head_loads_in_python(
    variant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, folder = tmp_path / "pytorch_model.safetensors", tmp_path / "weights"
    save_file(clip4clip_checkpoint(variant), path)
    if variant == "meanp":
        add_config_and_tokenizer(folder / "clip")
    assert run(monkeypatch, "convert", "clip4clip", path, "--output", folder) == 0
    printed = capsys.readouterr().out
    assert "use this model from Python; 'seehear index' does not support it" in printed
    assert ("copy config.json" in printed) == (variant != "meanp")
    description = json.loads((folder / "head.json").read_text())
    assert description["model"] == f"clip4clip.{variant}"
    assert description["settings"]["dim"] == DIM
    model = build_model(description["model"], **description["settings"])
    model.load_state_dict(load_file(folder / "head.safetensors"))
    hf_clip(openai_clip()).load_state_dict(load_file(folder / "clip/model.safetensors"))


@pytest.mark.parametrize("kind", ["centerclip", "eclipse", "ts2net", "xclip"])
def test_a_model_with_its_own_tower_is_for_python(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = {
        "centerclip": lambda: clip4clip_checkpoint("meanp"),
        "eclipse": eclipse_checkpoint,
        "ts2net": ts2net_checkpoint,
        "xclip": xclip_checkpoint,
    }
    path, folder = tmp_path / "pytorch_model.safetensors", tmp_path / "weights"
    save_file(made[kind](), path)
    assert run(monkeypatch, "convert", kind, path, "-o", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"wrote '{kind}' and its CLIP to {folder}"
    assert lines[-1].startswith("use this model from Python")
    assert json.loads((folder / "head.json").read_text())["model"] == kind
    assert (folder / "clip/model.safetensors").is_file()
    assert not (folder / "ast").exists()


def test_avigate_and_ast_have_a_sound_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = "config.json of MIT/ast-finetuned-audioset-10-10-0.4593"
    for kind, made in (("avigate", avigate_checkpoint), ("ast", ast_checkpoint)):
        path, folder = tmp_path / f"{kind}.safetensors", tmp_path / kind
        save_file(made(), path)
        assert run(monkeypatch, "convert", kind, path, "-o", folder) == 0
        printed = capsys.readouterr().out
        assert f"copy {origin} to {folder / 'ast'}" in printed
        assert len(load_file(folder / "ast/model.safetensors")) == 39
        assert (folder / "head.json").exists() == (kind == "avigate")
    assert printed.startswith(f"wrote AST to {folder}\n")
    assert "CLIP" not in printed


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path
) -> tuple[int, str]:
    """Exit code and error of a run that prints nothing else."""
    code = run(monkeypatch, "convert", *words)
    printed = capsys.readouterr()
    assert printed.out == ""
    return code, printed.err


def test_files_that_are_not_checkpoints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"

    def ends(path: Path, kind: str = "xpool") -> tuple[int, str]:
        return refused(monkeypatch, capsys, kind, path, "-o", folder)

    absent = tmp_path / "gone.pth"
    assert ends(absent) == (
        2,
        f"seehear-lab: there is no file '{absent}'; pass the checkpoint that you downloaded\n",
    )
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not a checkpoint")
        code, error = ends(tmp_path / name)
        assert (code, error.count("\n")) == (3, 1)
        assert error.startswith(f"seehear-lab: '{tmp_path / name}' cannot be read as weights (")
        assert error.endswith("of tensors and plain values; download it again\n")
    for odd in ([torch.zeros(1)], {"epoch": 3}, {"state_dict": 5}):
        torch.save(odd, tmp_path / "odd.pth")
        assert ends(tmp_path / "odd.pth") == (
            3,
            f"seehear-lab: '{tmp_path / 'odd.pth'}' has no state dict; expected named tensors, at "
            "the top level or under 'state_dict'\n",
        )
    for shape, reason in (((3, 3), "is 3 x 3 instead of 64 x 64"), ((), "wrong names or shapes")):
        state = xpool_checkpoint()["state_dict"]
        for kind in ("weight", "bias") if not shape else ("weight",):
            state[f"pool_frames.linear_proj.{kind}"] = torch.zeros(shape)
        torch.save(state, tmp_path / "odd.pth")
        code, error = ends(tmp_path / "odd.pth")
        assert (code, error.count("\n")) == (3, 1)
        assert error.startswith("seehear-lab: this is not a checkpoint of xpool: ")
        assert reason in error
    torch.save(clip4clip_checkpoint("meanp"), tmp_path / "other.pth")
    code, error = ends(tmp_path / "other.pth")
    assert code == 3
    assert error.startswith("seehear-lab: this is not a checkpoint of X-Pool: ")
    assert not folder.exists()


class Planted:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_checkpoint_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": Planted(tmp_path / "mark")}, path)
    assert refused(monkeypatch, capsys, "xpool", path, "-o", tmp_path / "weights")[0] == 3
    assert not (tmp_path / "mark").exists()


def test_existing_weights_are_kept(
    xpool: tuple[dict[str, Any], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    head = tmp_path / "weights/head.safetensors"
    head.parent.mkdir()
    head.write_bytes(b"mine")
    assert refused(monkeypatch, capsys, "xpool", xpool[1], "-o", head.parent) == (
        2,
        f"seehear-lab: '{head}' already exists; choose another folder or delete it\n",
    )
    assert head.read_bytes() == b"mine"


def test_python_m_runs_the_command_and_help_imports_no_torch() -> None:
    code = "import sys, seehear_lab.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    shown = subprocess.run(
        [sys.executable, "-m", "seehear_lab", "convert", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "clip4clip" in shown
