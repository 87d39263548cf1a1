"""The tags engine: its equations against loops, and the contract every engine keeps."""

import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seehear.engine import tags
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder, picture_tags
from seehear.errors import ModelError
from seehear.types import Clip, EncodedQuery, Tokens


def made_clip(seed: int, *, sound: str = "sound", frames: int = 3, start_s: float = 0.0) -> Clip:
    rng = np.random.default_rng(seed)
    waveform = rng.normal(size=48000).astype(np.float32) * (0.1 if sound == "sound" else 0)
    return Clip(
        path="made",
        start_s=start_s,
        end_s=start_s + 3,
        frames=rng.integers(0, 255, (frames, 260, 300, 3), dtype=np.uint8),
        frame_times_s=start_s + np.arange(frames) + 0.5,
        waveform=waveform if sound != "none" else np.zeros(0, np.float32),
        sample_rate_hz=16000,
        sound=sound,  # type: ignore[arg-type]
    )


def made_tokens(rng: np.random.Generator, frames: int, sounds: int) -> Tokens:
    return Tokens(
        frames=rng.dirichlet(np.full(1000, 0.01), (1, frames)).astype(np.float16),
        frame_mask=np.ones((1, frames), bool),
        frame_times_s=np.arange(frames)[None].astype(float),
        audio=rng.random((1, sounds, 521)).astype(np.float16),
        audio_mask=np.ones((1, sounds), bool),
        audio_times_s=np.arange(sounds)[None].astype(float),
    )


def padded(tokens: Tokens, frames: int, sounds: int) -> Tokens:
    """The same tokens with garbage behind their masks."""
    return Tokens(
        frames=np.pad(tokens.frames, ((0, 0), (0, frames), (0, 0)), constant_values=9),
        frame_mask=np.pad(tokens.frame_mask, ((0, 0), (0, frames))),
        frame_times_s=np.pad(tokens.frame_times_s, ((0, 0), (0, frames))),
        audio=np.pad(tokens.audio, ((0, 0), (0, sounds), (0, 0)), constant_values=9),
        audio_mask=np.pad(tokens.audio_mask, ((0, 0), (0, sounds))),
        audio_times_s=np.pad(tokens.audio_times_s, ((0, 0), (0, sounds))),
    )


def naive_score(query: EncodedQuery, tokens: Tokens) -> tuple[float, float]:
    """The class docstring, term by term, for one query and one item."""
    frames, audio = tokens.frames[0].astype(float), tokens.audio[0].astype(float)
    seen = heard = 0.0
    for c in range(1000):
        seen += query.seen[0, c] * sum(frame[c] for frame in frames) / len(frames)
    for d in range(521):
        heard += query.heard[0, d] * max(patch[d] for patch in audio)
    w = query.audio_weight[0]
    return (1 - w) * math.log(1 + seen / 1e-4), w * math.log(1 + heard / 2e-2)


def test_score_equals_the_equations(tags_engine: TagsEngine) -> None:
    tokens = made_tokens(np.random.default_rng(0), 3, 4)
    query = tags_engine.encode_text("a dog barking at a train")
    parts = tags_engine.score(query, tokens)
    seen, heard = naive_score(query, tokens)
    assert parts.seen[0, 0] == pytest.approx(seen, rel=1e-4)
    assert parts.heard[0, 0] == pytest.approx(heard, rel=1e-4)


def test_gate_and_attention_equal_the_equations(tags_engine: TagsEngine) -> None:
    text = tags_engine._text.encode(["thunder rolls over the valley"])[0]
    names = tags_engine._names
    sight = [float(name @ text) for name in names["sight"]]
    sound = [float(name @ text) for name in names["sound"]]
    query = tags_engine.encode_text("thunder rolls over the valley")
    total = sum(math.exp(s / tags.SIGHT_TEMPERATURE) for s in sight)
    for c in (0, 500, 999):
        expected = math.exp(sight[c] / tags.SIGHT_TEMPERATURE) / total
        assert query.seen[0, c] == pytest.approx(expected, rel=1e-3, abs=1e-9)
    gate = 1 / (1 + math.exp(-(max(sound) - max(sight) - 0.11) / 0.18))
    assert query.audio_weight[0] == pytest.approx(gate, rel=1e-4)


@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
def test_padding_never_changes_a_score(frames: int, sounds: int, pad_f: int, pad_s: int) -> None:
    engine = TagsEngine.__new__(TagsEngine)
    tokens = made_tokens(np.random.default_rng(frames), frames, sounds)
    query = EncodedQuery(
        seen=np.full((1, 1000), 1e-3, np.float32),
        heard=np.full((1, 521), 1 / 521, np.float32),
        audio_weight=np.array([0.4], np.float32),
    )
    plain, wide = engine.score(query, tokens), engine.score(query, padded(tokens, pad_f, pad_s))
    np.testing.assert_allclose(plain.seen, wide.seen, rtol=1e-6)
    np.testing.assert_allclose(plain.heard, wide.heard, rtol=1e-6)
    assert np.isnan(plain.heard[0, 0]) == (sounds == 0)


def test_a_silent_item_has_no_sound_part_instead_of_a_bad_one(tags_engine: TagsEngine) -> None:
    query = tags_engine.encode_text("a dog barking")
    for sound in ("none", "silent"):
        tokens = tags_engine.encode_clip(made_clip(0, sound=sound))
        parts = tags_engine.score(query, tokens)
        assert tokens.audio.shape == (1, 0, 521)
        assert np.isnan(parts.heard).all()
        assert np.isfinite(parts.seen).all()


def test_scoring_summaries_equals_scoring_tokens(tags_engine: TagsEngine) -> None:
    """A summary is a token sequence of length one: both stages rank a modality alike."""
    tokens = tags_engine.encode_clip(made_clip(1))
    query = tags_engine.encode_text("a waterfall")
    full = tags_engine.score(query, tokens)
    short = tags_engine.score(query, tags_engine.summary(tokens))
    np.testing.assert_allclose(full.seen, short.seen, rtol=1e-5)
    np.testing.assert_allclose(full.heard, short.heard, rtol=1e-5)


def test_times_of_sound_tokens_are_middles_in_file_time(tags_engine: TagsEngine) -> None:
    tokens = tags_engine.encode_clip(made_clip(0, start_s=100.0))
    np.testing.assert_allclose(tokens.audio_times_s[0], 100.48 + 0.48 * np.arange(5))
    np.testing.assert_allclose(tokens.frame_times_s[0], [100.5, 101.5, 102.5])


def test_an_example_finds_itself_before_others(tags_engine: TagsEngine) -> None:
    clips = [made_clip(seed) for seed in range(4)]
    for clip in clips:
        query = tags_engine.encode_example(clip)
        parts = [tags_engine.score(query, tags_engine.encode_clip(other)) for other in clips]
        itself = tags_engine.score(query, tags_engine.encode_clip(clip))
        assert itself.seen[0, 0] == max(part.seen[0, 0] for part in parts)
        assert itself.heard[0, 0] == max(part.heard[0, 0] for part in parts)
        assert query.audio_weight[0] == 0.5
    assert tags_engine.encode_example(made_clip(0, sound="none")).audio_weight[0] == 0.0
    assert tags_engine.encode_example(made_clip(0, frames=0)).audio_weight[0] == 1.0


def test_explanation_points_at_the_frame_that_matched(tags_engine: TagsEngine) -> None:
    frames = np.full((1, 3, 1000), 1e-4, np.float16)
    cat = [name for name, _ in picture_tags()].index("tabby")
    frames[0, 1, cat] = 0.9
    tokens = Tokens(
        frames=frames,
        frame_mask=np.ones((1, 3), bool),
        frame_times_s=np.arange(3.0)[None],
        audio=np.zeros((1, 0, 521), np.float16),
        audio_mask=np.zeros((1, 0), bool),
        audio_times_s=np.zeros((1, 0)),
    )
    why = tags_engine.explain(tags_engine.encode_text("a tabby cat"), tokens)
    assert why.frame_weights.argmax() == 1
    assert why.frame_weights.max() == 1.0
    assert why.seen_tags[0][0] == "tabby"
    assert why.heard_tags == ()
    assert why.sound_weights.shape == (0,)


def test_text_about_sound_leans_on_sound(tags_engine: TagsEngine) -> None:
    share = {
        text: float(tags_engine.encode_text(text).audio_weight[0])
        for text in ("thunder", "people clapping", "a strawberry", "a red pickup truck")
    }
    assert min(share["thunder"], share["people clapping"]) > max(
        share["a strawberry"], share["a red pickup truck"]
    )


def test_the_bank_names_every_tag(tags_engine: TagsEngine) -> None:
    bank = tags_engine.calibration_queries()
    assert bank.seen.shape == (1521, 1000)
    assert bank.heard.shape == (1521, 521)
    np.testing.assert_allclose(bank.seen.sum(1), 1, rtol=1e-4)


def test_picture_tags_are_the_thousand_classes_in_order() -> None:
    names = picture_tags()
    assert len(names) == 1000
    spots = {
        0: "tench",
        207: "golden retriever",
        281: "tabby",
        866: "tractor",
        999: "toilet tissue",
    }
    assert {i: names[i][0] for i in spots} == spots
    assert names[207][1] == "dog"


def test_manifest_records_weights_and_preprocessing(tags_engine: TagsEngine) -> None:
    manifest = tags_engine.manifest
    assert manifest["engine"] == "tags"
    assert len(manifest["fingerprint"]) == 64
    assert len(manifest["weights"]) >= 6
    assert "0.001" in manifest["preprocessing"]["sound"]
    assert len(manifest["tag_names_sha256"]) == 64


@pytest.mark.parametrize("name", ["sight.onnx", "names.npz", "minilm/tokenizer.json"])
def test_altered_weights_never_answer(tags_engine: TagsEngine, tmp_path: Path, name: str) -> None:
    """One flipped bit, with size and modification time as before."""
    folder = tmp_path / "tags"
    assert tags_engine  # weights are installed
    shutil.copytree(default_folder(), folder)
    TagsFiles(folder)
    path = folder / name
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ModelError, match=f"{name} has changed since it was installed"):
        TagsFiles(folder)
