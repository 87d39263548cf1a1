"""The networks of `tags` in onnxruntime give the same results as their published weights."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seehear.encoders import efficientnet_lite
from seehear.encoders.efficientnet_lite import preprocess
from seehear.encoders.minilm import SentenceEncoder
from seehear.encoders.onnx_graph import Graph, session
from seehear.engine.tags import TagsEngine


def naive_lite2(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite2 layer by layer, from the paper's table, batch normalisation unfolded."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-3)

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = state[f"{name}.weight"]
        size = kernel.shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        before, after = total // 2, total - total // 2
        x = F.pad(x, (before, after, before, after))
        groups = x.shape[1] if kernel.shape[1] == 1 else 1
        return F.conv2d(x, kernel, stride=stride, groups=groups)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    block = 0
    for stage, (repeats, stride) in enumerate(
        ((1, 1), (3, 2), (3, 2), (4, 2), (4, 1), (5, 2), (1, 1))
    ):
        for repeat in range(repeats):
            at, y = f"_blocks.{block}.", x
            if stage > 0:
                y = F.relu6(norm(conv(y, f"{at}_expand_conv"), f"{at}_bn0"))
            y = conv(y, f"{at}_depthwise_conv", stride if repeat == 0 else 1)
            y = F.relu6(norm(y, f"{at}_bn1"))
            y = norm(conv(y, f"{at}_project_conv"), f"{at}_bn2")
            x = x + y if x.shape == y.shape else y
            block += 1
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return F.linear(x, state["_fc.weight"], state["_fc.bias"]).softmax(1)


def test_picture_network_equals_torch(tags_engine: TagsEngine) -> None:
    folder = tags_engine._files.folder
    state = torch.load(folder / "lite2.pth", weights_only=True)
    pictures = np.random.default_rng(0).normal(size=(2, 3, 260, 260)).astype(np.float32)
    expected = naive_lite2(state, torch.from_numpy(pictures)).numpy()
    (found,) = session(folder / "sight.onnx").run(None, {"pictures": pictures})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_text_network_equals_transformers(
    tags_engine: TagsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    folder = tags_engine._files.folder
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    model.load_state_dict(load_file(folder / "minilm/model.safetensors"), strict=False)
    tokenizer = Tokenizer.from_file(str(folder / "minilm/tokenizer.json"))
    texts = ["a dog barks", "the quick brown fox jumps over the lazy dog", "naïve café 東京"]
    found = SentenceEncoder(folder / "text.onnx", folder / "minilm/tokenizer.json").encode(texts)
    tokenizer.no_padding()
    for text, vector in zip(texts, found, strict=True):
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            mean = model(ids).last_hidden_state.mean(1)
        np.testing.assert_allclose(vector, F.normalize(mean)[0].numpy(), atol=1e-5)


def test_text_longer_than_64_tokens_is_truncated(tags_engine: TagsEngine) -> None:
    encoder, long = tags_engine._text, "dog " * 62
    np.testing.assert_allclose(encoder.encode([long])[0], encoder.encode([long + "cat"])[0], atol=0)


def test_batching_texts_does_not_change_vectors(tags_engine: TagsEngine) -> None:
    texts = ["rain", "a very long sentence about a train that passes a station at night"]
    together = tags_engine._text.encode(texts)
    alone = np.concatenate([tags_engine._text.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_sound_network_correlates_with_the_published_int8_graph(
    tags_engine: TagsEngine,
) -> None:
    """The float32 form of the published int8 graph has the same outputs with finer steps."""
    import onnxruntime

    rng = np.random.default_rng(0)
    patches = np.log(rng.gamma(2, 0.05, (6, 1, 96, 64)) + 0.001).astype(np.float32)
    folder = tags_engine._files.folder
    published = onnxruntime.InferenceSession(
        str(folder / "yamnet/model.onnx"), providers=["CPUExecutionProvider"]
    )
    quantised = np.clip(np.round(patches / 0.04794 + 144), 0, 255).astype(np.uint8)
    expected = np.concatenate(
        [published.run(None, {"audio": patch[None]})[0] for patch in quantised]
    )
    (found,) = session(folder / "sound.onnx").run(None, {"patches": patches})
    assert np.corrcoef(found.ravel(), expected.astype(float).ravel())[0, 1] > 0.9


def test_preprocessing_crops_the_centre_and_scales() -> None:
    frame = np.zeros((1, 260, 300, 3), np.uint8)
    frame[:, :, :20] = 255  # cut off by the crop
    frame[:, 130, 150] = (127, 255, 0)
    found = preprocess(frame)
    assert found.shape == (1, 3, 260, 260)
    np.testing.assert_allclose(found[0, :, 130, 130], [0, 1, -127 / 128])
    assert (found[0, :, :, 0] == -127 / 128).all()


def test_written_graph_runs(tmp_path) -> None:
    graph = Graph()
    graph.save(
        tmp_path / "add.onnx",
        {"x": (np.float32, ["n", 2])},
        [graph.add("Add", graph.add("MatMul", "x", np.eye(2, dtype=np.float32)), np.float32(1))],
    )
    (found,) = session(tmp_path / "add.onnx").run(None, {"x": np.zeros((3, 2), np.float32)})
    np.testing.assert_array_equal(found, np.ones((3, 2)))


def test_input_side_is_the_published_one() -> None:
    assert efficientnet_lite.SIDE_PX == 260
