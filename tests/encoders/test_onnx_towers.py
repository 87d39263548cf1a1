"""CLIP and AST in onnxruntime give the same results as in torch."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seehear.encoders import onnx_towers
from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTowers
from seehear.encoders.onnx_graph import session
from seehear.errors import ModelError
from tiny_towers import make_ast_folder, make_clip_folder


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipTowers:
    return ClipTowers(make_clip_folder(tmp_path_factory.mktemp("clip"), seed=3))


def test_picture_tower_equals_torch(clip: ClipTowers, tmp_path: Path) -> None:
    onnx_towers.build_picture_tower(arrays(clip.model), clip.model.config, tmp_path / "p.onnx")
    pixels = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        expected = clip.encode_pixels(pixels).numpy()
    (found,) = session(tmp_path / "p.onnx").run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_text_tower_equals_torch_at_every_length(clip: ClipTowers, tmp_path: Path) -> None:
    onnx_towers.build_text_tower(arrays(clip.model), clip.model.config, tmp_path / "t.onnx")
    run = session(tmp_path / "t.onnx")
    for text in ("dog", "a dog barks at the red car", "dog " * 40):
        (found,) = run.run(None, {"ids": clip.tokenizer.ids(text)})
        np.testing.assert_allclose(found, clip.encode_texts([text]), atol=1e-5)


@pytest.mark.parametrize("end", [119, 2])  # 2: old configs, read at the largest id
@pytest.mark.parametrize("ids", [[118, 3, 119, 4, 119], [118, 3, 119, 0, 0], [118, 2, 3], [118, 3]])
def test_text_tower_reads_at_the_same_token_as_transformers(
    clip: ClipTowers, tmp_path: Path, ids: list[int], end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip.model.config.text_config, "eos_token_id", end)
    monkeypatch.setattr(clip.model.text_model, "eos_token_id", end)
    onnx_towers.build_text_tower(arrays(clip.model), clip.model.config, tmp_path / "t.onnx")
    with torch.inference_mode():
        wanted = clip.model.get_text_features(input_ids=torch.tensor([ids])).pooler_output.numpy()
    (found,) = session(tmp_path / "t.onnx").run(None, {"ids": np.array([ids])})
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("tower", ["picture", "text", "sound"])
def test_unknown_activation_is_refused(clip: ClipTowers, tmp_path: Path, tower: str) -> None:
    part = SimpleNamespace(hidden_act="gelu_new", hidden_size=48, image_size=64, patch_size=16)
    config = part if tower == "sound" else SimpleNamespace(vision_config=part, text_config=part)
    build = getattr(onnx_towers, f"build_{tower}_tower")
    with pytest.raises(ModelError, match=r"'gelu_new' .* only gelu and quick_gelu are supported$"):
        build(arrays(clip.model), config, tmp_path / "t.onnx")
    assert not list(tmp_path.iterdir())


def test_sound_tower_equals_torch(tmp_path: Path) -> None:
    ast = AstTower(make_ast_folder(tmp_path / "ast", rows=204, seed=3))
    onnx_towers.build_sound_tower(arrays(ast.model), ast.model.config, tmp_path / "s.onnx")
    banks = torch.randn(2, 204, 128)
    with torch.inference_mode():
        expected = ast.encode_banks(banks).numpy()
    (found,) = session(tmp_path / "s.onnx").run(None, {"banks": banks.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_int8_stays_close(clip: ClipTowers, tmp_path: Path) -> None:
    onnx_towers.build_picture_tower(arrays(clip.model), clip.model.config, tmp_path / "p.onnx")
    onnx_towers.quantise(tmp_path / "p.onnx", tmp_path / "p8.onnx")
    pixels = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    exact, small = (
        session(tmp_path / name).run(None, {"pixels": pixels})[0] for name in ("p.onnx", "p8.onnx")
    )
    cosine = (exact * small).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(small, axis=1)
    assert cosine.min() > 0.99
