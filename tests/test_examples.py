"""Every example runs and prints what its first line says."""

import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_every_example_is_tested() -> None:
    assert [path.name for path in sorted(EXAMPLES.glob("*.py"))] == ["own_tensors.py"]


def test_own_tensors_are_scored(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    names = runpy.run_path(str(EXAMPLES / "own_tensors.py"))
    scores, clips, model = names["scores"], names["clips"], names["model"]
    assert scores.shape == (3, 5)
    assert capsys.readouterr().out == f"{scores}\n"
    with torch.inference_mode():
        seen = model.see(names["texts"], clips.frames, clips.frame_mask)
    by_sight = torch.cosine_similarity(names["texts"][:, None], seen, dim=-1)
    torch.testing.assert_close(scores[:, 4], by_sight[:, 4])  # the silent one
    assert (scores[:, :4] - by_sight[:, :4]).abs().min() > 1e-6
