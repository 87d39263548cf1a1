"""CLIP and AST against stored references and transformers, and folders that do not load."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTowers, preprocess
from seehear.errors import ModelError
from tiny_towers import configure, cut, make_ast_folder, make_clip_folder, without


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipTowers:
    return ClipTowers(make_clip_folder(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> AstTower:
    return AstTower(make_ast_folder(tmp_path_factory.mktemp("ast")))


def weights(file: Path) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    state = {k[2:]: torch.from_numpy(np.array(v)) for k, v in arrays.items() if k.startswith("w/")}
    return arrays, state


def test_clip_equals_the_stored_reference(shared_data: Path, tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    arrays, state = weights(shared_data / "parity" / "clip_hf.npz")
    width = state["vision_model.pre_layrnorm.weight"].shape[0]
    text = state["text_model.final_layer_norm.weight"].shape[0]
    patch = state["vision_model.embeddings.patch_embedding.weight"].shape[-1]
    layers = 1 + max(int(k.split(".")[3]) for k in state if "vision_model.encoder.layers" in k)
    config = CLIPConfig(
        text_config={
            "vocab_size": state["text_model.embeddings.token_embedding.weight"].shape[0],
            "hidden_size": text,
            "intermediate_size": state["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "max_position_embeddings": arrays["in/input_ids"].shape[1],
            "bos_token_id": 118,
            "eos_token_id": 119,
            "pad_token_id": 0,
            "hidden_act": "quick_gelu",
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": state["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "image_size": arrays["in/pixel_values"].shape[-1],
            "patch_size": patch,
            "hidden_act": "quick_gelu",
        },
        projection_dim=state["visual_projection.weight"].shape[0],
    )
    model = CLIPModel(config)
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    make_clip_folder(tmp_path)  # for a tokenizer
    model.save_pretrained(tmp_path, safe_serialization=True)
    towers = ClipTowers(tmp_path)
    with torch.inference_mode():
        found = towers.encode_pixels(torch.from_numpy(arrays["in/pixel_values"])).numpy()
        text_found = [
            towers.model.get_text_features(
                input_ids=torch.from_numpy(ids[None, : int(np.argmax(ids == 119)) + 1])
            ).pooler_output.numpy()[0]
            for ids in arrays["in/input_ids"]
        ]
    np.testing.assert_allclose(found, arrays["out/image_features"], atol=1e-5)
    np.testing.assert_allclose(np.stack(text_found), arrays["out/text_features"], atol=1e-5)


def test_ast_equals_the_stored_reference(shared_data: Path, tmp_path: Path) -> None:
    from transformers import ASTConfig, ASTModel

    arrays, state = weights(shared_data / "parity" / "ast_hf.npz")
    config = ASTConfig(
        hidden_size=state["layernorm.weight"].shape[0],
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=state["layers.0.mlp.fc1.weight"].shape[0],
        max_length=arrays["in/input_values"].shape[1],
        num_mel_bins=128,
        layer_norm_eps=1e-6,
    )
    model = ASTModel(config)
    model.load_state_dict(state)
    model.save_pretrained(tmp_path, safe_serialization=True)
    tower = AstTower(tmp_path)
    with torch.inference_mode():
        found = tower.encode_banks(torch.from_numpy(arrays["in/input_values"])).numpy()
    np.testing.assert_allclose(found, arrays["out/patch_tokens"], atol=1e-5)
    assert [tower.grid.rows, tower.grid.columns] == arrays["out/n_freq_time"].tolist()


def test_sentences_one_by_one_equal_a_padded_batch(clip: ClipTowers) -> None:
    texts = ["a dog barks", "the red car", "a song on the drum of the cat"]
    ids = [clip.tokenizer.ids(text)[0].tolist() for text in texts]
    longest = max(map(len, ids))
    batch = torch.tensor([row + [119] * (longest - len(row)) for row in ids])
    with torch.inference_mode():
        together = clip.model.get_text_features(input_ids=batch).pooler_output.numpy()
    np.testing.assert_allclose(clip.encode_texts(texts), together, atol=1e-5)


def test_long_sentence_is_truncated_before_its_end_token(clip: ClipTowers) -> None:
    ids = clip.tokenizer.ids("dog " * 50)[0]
    assert len(ids) == 20
    assert ids[-1] == 119
    assert np.isfinite(clip.encode_texts(["dog " * 50])).all()


def test_preprocessing_is_close_to_pil_bicubic() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    frame = np.asarray(Image.fromarray(small).resize((300, 200), Image.Resampling.BICUBIC))
    wanted = Image.fromarray(frame).resize((96, 64), Image.Resampling.BICUBIC).crop((16, 0, 80, 64))
    found = preprocess(frame[None], side_px=64)[0].permute(1, 2, 0).numpy()
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    assert np.abs((found * std + mean) * 255 - np.asarray(wanted)).mean() < 0.6


@pytest.mark.parametrize("side_px", [224, 336])
@pytest.mark.parametrize(
    ("height", "width"),
    [
        (640, 1440),
        (640, 720),
        (320, 720),
        (720, 640),
        (360, 640),
        (480, 854),
        (333, 500),
        (100, 30),
    ],
)
def test_pictures_are_cropped_as_in_transformers(height: int, width: int, side_px: int) -> None:
    """A longer side that is off by one pixel moves the crop, a difference of 16 of 255 or more."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    down, across = np.mgrid[:height, :width]
    waves = 127.5 + 100 * np.sin(down * (37 / min(height, width)) + across * (41 / height))
    frame = np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2)
    process = CLIPImageProcessorPil(size={"shortest_edge": side_px}, crop_size=side_px)
    wanted = process(frame, input_data_format="channels_last").pixel_values[0]
    found = preprocess(frame[None], side_px=side_px)[0].numpy()
    levels = 255 * np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    assert (np.abs(found - wanted) * levels).max() < 3


def test_frames_one_by_one_equal_a_batch(clip: ClipTowers) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 72, 96, 3), dtype=np.uint8)
    alone = np.concatenate([clip.encode_frames(frame[None]) for frame in frames])
    np.testing.assert_allclose(clip.encode_frames(frames), alone, atol=1e-5)
    assert alone.shape == (3, clip.dim)


def test_sound_tokens_form_a_grid_of_12_by_101(ast: AstTower) -> None:
    tokens, times = ast.encode_waveform(
        np.random.default_rng(0).normal(size=160000).astype(np.float32)
    )
    assert (ast.grid.rows, ast.grid.columns) == (12, 101)
    assert tokens.shape == (1212, 48)
    assert times.shape == (1212,)
    # 10 s: shift 156 samples; a token covers 16 rows from row 10 t on
    np.testing.assert_allclose(times[:3], (10 * np.arange(3) + 8) * 156 / 16000)
    np.testing.assert_allclose(times[:101], times[101:202])


def test_incomplete_folder_is_refused(tmp_path: Path) -> None:
    folder = make_clip_folder(tmp_path / "clip")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"not a complete CLIP folder: model\.safetensors missing"):
        ClipTowers(folder)
    with pytest.raises(ModelError, match="not a complete AST folder"):
        AstTower(tmp_path / "nowhere")


@pytest.mark.parametrize("of_ast", [False, True], ids=["clip", "ast"])
@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda f: without(f, "layernorm.weight"), r"fit .*layernorm\.weight missing"),
        (lambda f: configure(f, num_hidden_layers=3), r"fit .*layers\.2\..* 13 more missing"),
        (lambda f: configure(f, num_hidden_layers=1), r"fit .*layers\.1\..* more than it names"),
        (lambda f: configure(f, patch_size=8), r"fit .*position_embedding.* of another shape"),
        (lambda f: cut(f / "model.safetensors"), "damaged or of another kind"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged or of another kind"),
        (lambda f: cut(f / "config.json"), r"config\.json' is not a valid JSON"),
        (lambda f: configure(f, hidden_size="wide"), "damaged or of another kind"),
    ],
    ids=["keys", "deeper", "shallower", "shape", "cut", "empty", "config", "type"],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    of_ast: bool,
    break_it: Callable[[Path], None],
    sentence: str,
) -> None:
    folder = (make_ast_folder if of_ast else make_clip_folder)(tmp_path)
    capfd.readouterr()
    break_it(folder)
    with pytest.raises(ModelError, match=sentence) as caught:
        (AstTower if of_ast else ClipTowers)(folder)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_classifier_and_old_buffers_are_ignored(tmp_path: Path) -> None:
    for make, tower, name in (
        (make_clip_folder, ClipTowers, "text_model.embeddings.position_ids"),
        (make_ast_folder, AstTower, "classifier.dense.weight"),
    ):
        path = make(tmp_path / name) / "model.safetensors"
        save_file(load_file(path) | {name: torch.zeros(1, 4)}, path, metadata={"format": "pt"})
        tower(path.parent)


def test_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    cut(make_clip_folder(tmp_path) / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json is damaged \(.*fetch it again"):
        ClipTowers(tmp_path)
