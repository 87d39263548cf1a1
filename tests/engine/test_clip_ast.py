"""The clip-ast engine on tiny random towers: equality, masks, refusals; never meaning."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from media.media_clips import BLUE, RED, tone, write_clip
from seehear import Library
from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTowers, preprocess
from seehear.engine import create_engine, load_engine
from seehear.engine.clip_ast import ClipAstEngine
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.errors import ModelError
from seehear.media import read_picture
from seehear.models import build_model
from seehear.nn.tokens import TokenBatch
from seehear.store.tables.codec import pack, pad, unpack
from seehear.types import Clip
from tiny_towers import configure, cut, make_ast_folder, make_clip_folder, without


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Graphs of tiny towers do not belong into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEHEAR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


AS_STORED = 5e-5


def make_folder(folder: Path, model: str = "tefal.xpool", **extra: object) -> Path:
    make_clip_folder(folder / "clip", dim=32)
    make_ast_folder(folder / "ast")
    settings: dict[str, object] = {"dim": 32}
    if model != "xpool":
        settings["sound_dim"] = 48
    torch.manual_seed(1)
    head = build_model(model, **settings)
    for parameter in head.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    save_file(head.state_dict(), folder / "head.safetensors")
    (folder / "head.json").write_text(json.dumps({"model": model, "settings": settings, **extra}))
    return folder


@pytest.fixture(scope="module", params=["tefal.xpool", "tefal", "xpool"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return create_engine(models=make_folder(tmp_path_factory.mktemp("models"), request.param))


def made_clip(seed: int, *, sound: str = "sound") -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        path="made",
        start_s=10.0,
        end_s=13.0,
        frames=rng.integers(0, 255, (3, 64, 90, 3), dtype=np.uint8),
        frame_times_s=np.array([10.5, 11.5, 12.5]),
        waveform=rng.normal(size=48000).astype(np.float32) * 0.1,
        sample_rate_hz=16000,
        sound=sound,  # type: ignore[arg-type]
    )


def test_parts_add_up_to_the_models_own_score(engine: ClipAstEngine) -> None:
    """Standardised float16 tokens give what the head gives for the towers' own output."""
    clip, query = made_clip(0), engine.encode_text("a dog barks")
    parts = engine.score(query, engine.encode_clip(clip))
    folder = engine._files.folder
    frames = torch.from_numpy(ClipTowers(folder / "clip").encode_frames(clip.frames))[None]
    audio = torch.zeros(1, 0, 32)
    if engine.hears:
        patches = torch.from_numpy(AstTower(folder / "ast").encode_waveform(clip.waveform)[0])
        audio = engine._head.project(patches)[None]
    batch = TokenBatch(
        frames=frames,
        frame_mask=torch.ones(frames.shape[:2], dtype=torch.bool),
        audio=audio,
        audio_mask=torch.ones(audio.shape[:2], dtype=torch.bool),
    )
    with torch.inference_mode():
        expected = engine._head.score(torch.from_numpy(query.seen), batch).numpy()
    np.testing.assert_allclose(parts.seen + parts.heard, expected, atol=1e-3)


def test_a_silent_item_scores_by_sight_alone(engine: ClipAstEngine) -> None:
    query = engine.encode_text("a red car")
    for sound in ("none", "silent"):
        parts = engine.score(query, engine.encode_clip(made_clip(1, sound=sound)))
        assert (parts.heard == 0).all()
        assert -1 <= parts.seen[0, 0] <= 1
        assert parts.seen[0, 0] != 0


def test_times_of_sound_tokens_are_in_file_time(engine: ClipAstEngine) -> None:
    tokens = engine.encode_clip(made_clip(0))
    if not engine.hears:
        assert tokens.audio.shape == (1, 0, 32)
        return
    assert tokens.audio.shape == (1, 1212, 32)
    assert tokens.audio_times_s.min() > 10
    assert tokens.audio_times_s.max() < 13.1
    why = engine.explain(engine.encode_text("a song"), tokens)
    assert why.sound_weights.reshape(12, 101).std(0).max() < 1e-6  # one weight a second
    assert why.sound_weights.max() == pytest.approx(1.0)


def test_summaries_can_be_the_papers_means(tmp_path: Path) -> None:
    engine = create_engine(models=make_folder(tmp_path, summaries="mean"))
    tokens = engine.encode_clip(made_clip(0))
    mean = tokens.frames[0].astype(np.float32).mean(0)
    assert engine.summary(tokens).frames[0, 0] == pytest.approx(mean / np.linalg.norm(mean))


def test_summaries_are_unit_vectors_and_zero_where_nothing_is(engine: ClipAstEngine) -> None:
    summary = engine.summary(engine.encode_clip(made_clip(2, sound="none")))
    assert np.linalg.norm(summary.frames[0, 0]) == pytest.approx(1, abs=1e-5)
    assert (summary.audio == 0).all()


def test_an_example_is_most_like_itself(engine: ClipAstEngine) -> None:
    clips = [made_clip(seed) for seed in range(3)]
    for clip in clips:
        query = engine.encode_example(clip)
        scores = [engine.score(query, engine.encode_clip(other)).seen[0, 0] for other in clips]
        itself = engine.score(query, engine.encode_clip(clip)).seen[0, 0]
        assert itself == max(scores)


def test_int8_towers_stay_close(tmp_path: Path) -> None:
    exact = create_engine(models=make_folder(tmp_path / "a"))
    small = create_engine(models=make_folder(tmp_path / "b", towers="int8"))
    assert exact.manifest["fingerprint"] != small.manifest["fingerprint"]
    a, b = (engine.encode_clip(made_clip(0)).frames[0].astype(float) for engine in (exact, small))
    assert ((a * b).sum(1) / 32).min() > 0.98


def test_fast_scores_equal_the_heads_own(engine: ClipAstEngine) -> None:
    """One query and many, with a silent item, by each modality and by both.

    The head normalises tokens again; stored in float16 they are that far from it already.
    """
    clips = [made_clip(0), made_clip(1, sound="none"), made_clip(2)]
    tokens = pad([unpack(pack(engine.encode_clip(clip), "x"), "x") for clip in clips])
    texts = engine._query(engine._towers.encode_texts([f"a photo of {n}" for n in range(20)]))
    batch = TokenBatch.from_tokens(tokens)
    for query in (texts.seen, texts.seen[:1]):
        for by in ((True, True), (True, False), (False, True)):
            found = engine._scores.modalities(query, tokens, by=by)
            expected = engine._scores._in_torch(query, tokens, by[0], by[1] and engine.hears)
            np.testing.assert_allclose(found.seen, expected[0], atol=AS_STORED)
            np.testing.assert_allclose(found.heard, expected[1], atol=AS_STORED)
        with torch.inference_mode():
            whole = engine._head.score(torch.from_numpy(query), batch).numpy()
        found = engine._scores.modalities(query, tokens, by=(True, True))
        np.testing.assert_allclose(found.seen + found.heard, whole, atol=AS_STORED)


def test_a_head_of_several_attention_heads_scores_too(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    settings = {"dim": 32, "sound_dim": 48, "heads": 2}
    (folder / "head.json").write_text(json.dumps({"model": "tefal.xpool", "settings": settings}))
    engine = create_engine(models=folder)
    query, tokens = engine.encode_text("a dog"), engine.encode_clip(made_clip(0))
    with torch.inference_mode():
        text, batch = torch.from_numpy(query.seen), TokenBatch.from_tokens(tokens)
        expected = engine._head.score(text, batch).numpy()
    split = engine.score(query, tokens)
    np.testing.assert_allclose(split.seen + split.heard, expected, atol=2e-6)


@pytest.mark.parametrize(("layout", "count"), [("time", 101), ("merged", 64)])
def test_fewer_sound_tokens_are_means_in_order_of_time(
    tmp_path: Path, layout: str, count: int
) -> None:
    full = create_engine(models=make_folder(tmp_path / "full")).encode_clip(made_clip(0))
    fewer = create_engine(models=make_folder(tmp_path / "few", sound_tokens=layout))
    tokens = fewer.encode_clip(made_clip(0))
    assert tokens.audio.shape == (1, count, 32)
    assert (np.diff(tokens.audio_times_s[0]) > 0).all()
    assert tokens.audio_times_s.mean() == pytest.approx(full.audio_times_s.mean(), abs=1e-2)
    why = fewer.explain(fewer.encode_text("a song"), tokens)
    assert why.sound_weights.shape == (count,)


def test_int8_tokens_take_half_the_room_and_score_alike(tmp_path: Path) -> None:
    half = create_engine(models=make_folder(tmp_path / "half"))
    small = create_engine(models=make_folder(tmp_path / "small", tokens="int8"))
    assert half.manifest["fingerprint"] != small.manifest["fingerprint"]
    clip = made_clip(0)
    a, b = half.encode_clip(clip), small.encode_clip(clip)
    assert len(pack(b, "x")) < 0.6 * len(pack(a, "x"))
    query = half.encode_text("a dog barks")
    one, two = half.score(query, a), small.score(query, b)
    np.testing.assert_allclose(one.seen, two.seen, atol=5e-3)
    np.testing.assert_allclose(one.heard, two.heard, atol=5e-3)


def test_index_and_search_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index, search, explain, refuse: on files, through the store."""
    films = tmp_path / "films"
    films.mkdir()
    write_clip(films / "red.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2))])
    write_clip(films / "blue.mp4", shots=[(0, BLUE)])
    models = make_folder(tmp_path / "models")
    with Library.create(tmp_path / "library", models=models) as library:
        assert library.status().engine == "clip-ast"
        library.add([films])
        hits = library.search("a dog barks").hits
        assert len(hits) == 2
        assert all(hit.seen + hit.heard == pytest.approx(hit.score) for hit in hits)
        silent = next(hit for hit in hits if hit.path.endswith("blue.mp4"))
        assert silent.heard == 0
        assert library.search(like=films / "red.mp4").hits[0].path.endswith("red.mp4")
        assert library.search("a song", mode="heard").hits[0].path.endswith("red.mp4")
    (models / "ast" / "model.safetensors").unlink()
    with (
        Library.open(tmp_path / "library") as library,
        pytest.raises(ModelError, match="ast/model"),
    ):
        library.search("a dog barks")


def test_partial_or_foreign_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="name it with --models DIR"):
        create_engine("clip-ast")
    with pytest.raises(ModelError, match=r"no head\.json"):
        create_engine(models=tmp_path)
    folder = make_folder(tmp_path / "models")
    (folder / "clip" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"incomplete \(clip/tokenizer\.json missing\)"):
        create_engine(models=folder)


def head(**values: object) -> Callable[[Path], object]:
    """A folder's head.json with other values."""
    settings = {"dim": 32, "sound_dim": 48}
    text = json.dumps({"model": "tefal.xpool", "settings": settings, **values})
    return lambda folder: (folder / "head.json").write_text(text)


def match_settings(folder: Path) -> Path:
    """match.json of a matcher whose weights are not there."""
    path = folder / "match.json"
    path.write_text('{"settings": {}, "threshold": 0.5}')
    return path


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (
            lambda f: (f / "head.json").write_text("[]"),
            r"head\.json is not a JSON object but a list",
        ),
        (lambda f: cut(f / "head.json"), r"head\.json is not JSON: "),
        (head(model="bert"), "names the model 'bert'"),
        (head(settings=[1]), "settings is an object such as"),
        (head(settings={"dim": "x"}), r"does not fit .* 'dim' .* is 'x'; expected an integer"),
        (head(settings={"dim": 32, "heads": 2.0}), r"is 2\.0; expected an integer"),
        (head(settings={"depth": 1}), "has no setting 'depth'.* Known: dim, dropout"),
        (head(settings={"dim": 16, "sound_dim": 48}), r"does not fit its head\.json: .* mismatch"),
        (head(sound_token="time"), "unknown key 'sound_token'; known: .*sound_tokens, tokens"),
        (head(tokens=["int8"]), "tokens is one of float16, int8"),
        (lambda f: cut(f / "head.safetensors"), r"head\.safetensors is damaged"),
        (lambda f: cut(f / "clip/config.json"), r"config\.json.? is no.* JSON"),
        (lambda f: configure(f / "clip", image_size=[]), "has no valid image_size"),
        (lambda f: cut(f / "clip/model.safetensors"), "CLIP weights .* are damaged"),
        (lambda f: cut(f / "clip/tokenizer.json"), r"tokenizer\.json is damaged"),
        (lambda f: cut(f / "ast/config.json"), r"config\.json.? is no.* JSON"),
        (lambda f: cut(f / "ast/model.safetensors"), "AST weights .* are damaged"),
        (lambda f: without(f / "clip", "layernorm.weight"), "CLIP weights .* missing"),
        (lambda f: without(f / "ast", "layernorm.weight"), "AST weights .* missing"),
        (lambda f: match_settings(f).write_text("{}"), "are inconsistent"),
        (lambda f: match_settings(f).with_suffix(".safetensors").touch(), "are inconsistent"),
        (lambda f: make_clip_folder(f / "clip", dim=40), "projection_dim is 40, .* need 32"),
        (lambda f: make_ast_folder(f / "ast", rows=512), "max_length is 512, .* need 1024"),
    ],
)
def test_damaged_and_unfitting_weights_are_one_sentence_before_anything_is_indexed(
    tmp_path: Path, break_it: Callable[[Path], object], sentence: str
) -> None:
    break_it(make_folder(tmp_path / "models"))
    with pytest.raises(ModelError, match=sentence) as caught:
        Library.create(tmp_path / "library", models=tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "library").exists()


def test_weights_are_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEHEAR_CACHE", str(tmp_path / "cache"))
    folder, checks = make_folder(tmp_path / "models"), list[ClipAstFiles]()
    monkeypatch.setattr(ClipAstFiles, "verify", lambda files: checks.append(files))
    for _ in range(2):
        create_engine(models=folder)
    assert len(checks) == 1
    without(folder / "ast", "layernorm.weight")
    create_engine(models=folder)
    assert len(checks) == 2


def test_other_weights_than_the_librarys_are_refused(tmp_path: Path) -> None:
    manifest = create_engine(models=make_folder(tmp_path / "a")).manifest
    assert load_engine(manifest).name == "clip-ast"
    head = tmp_path / "a" / "head.safetensors"
    data = bytearray(head.read_bytes())
    data[-1] ^= 1
    head.write_bytes(data)
    with pytest.raises(
        ModelError,
        match=r"other weights of engine 'clip-ast'.*SEEHEAR_MODELS.*'seehear reindex --models DIR",
    ):
        load_engine(manifest)


def test_libraries_whose_pictures_were_prepared_otherwise_are_refused(tmp_path: Path) -> None:
    manifest = create_engine(models=make_folder(tmp_path)).manifest
    weights = json.dumps(manifest["weights"], sort_keys=True).encode()
    before = manifest | {"fingerprint": hashlib.sha256(weights).hexdigest()}  # swscale's bicubic
    with pytest.raises(
        ModelError, match=r"or by another version of it .* 'seehear reindex --models DIR'"
    ):
        load_engine(before)


@pytest.mark.parametrize("size", [(640, 360), (720, 1280), (80, 60)])
def test_pictures_reach_clip_as_transformers_prepares_them(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(tmp_path / "a.jpg")
    with av.open(str(tmp_path / "a.jpg")) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    media = create_engine(models=make_folder(tmp_path)).media
    found = preprocess(read_picture(tmp_path / "a.jpg", media)[None], side_px=media.side_px)[0]
    process = CLIPImageProcessorPil(size={"shortest_edge": media.side_px}, crop_size=media.side_px)
    wanted = process(decoded, input_data_format="channels_last").pixel_values[0]
    assert np.abs(found.numpy() - wanted).max() * 255 * 0.27 < 1.1  # swscale: 63 and more
