"""Towers of the recipes: the papers' own vision towers, and plain CLIP and AST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lab.variants import ENTRIES
from seehear.errors import UsageError
from seehear.models import build_model, registry
from seehear.models.base import RetrievalModel
from seehear_lab import datasets
from seehear_lab.datasets.clips import ClipMedia, WordIds
from seehear_lab.datasets.towers import PaperTowers, build_towers
from seehear_lab.evaluate.protocol import encode_captions
from seehear_lab.losses import associative_loss, avma_loss, hardest_negative_hinge
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.step import LOSSES
from tiny_towers import make_ast_folder, make_clip_folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers")
    make_clip_folder(folder / "clip")
    make_ast_folder(folder / "ast")
    return folder


def media() -> ClipMedia:
    """Two clips of three frames, the second one frame short; only the first has sound."""
    generator = torch.Generator().manual_seed(0)
    return ClipMedia(
        pixels=torch.randn(2, 3, 3, 64, 64, generator=generator),
        frame_mask=torch.tensor([[True, True, True], [True, True, False]]),
        banks=torch.randn(2, 1024, 128, generator=generator),
        has_sound=torch.tensor([True, False]),
    )


def test_frames_of_eclipse_get_the_sound_around_them(weights: Path) -> None:
    towers = build_towers("eclipse", weights / "clip", weights / "ast")
    assert isinstance(towers, PaperTowers)
    without = towers.encode_items(media()).frames
    for block in towers.tower.blocks:
        torch.nn.init.eye_(block.to_see.weight)
    heard = towers.encode_items(media()).frames
    assert not torch.allclose(without[0], heard[0])
    assert torch.allclose(without[1, :2], heard[1, :2])  # a clip without sound
    louder = media()
    louder.banks[0, 900:] += 1  # AST mixes over time, so all frames change, the last one most
    changed = (towers.encode_items(louder).frames - heard)[0].norm(dim=-1)
    assert changed.argmax() == 2


def test_captions_of_any_length_are_padded(weights: Path) -> None:
    model = build_model("xclip", encoder=build_towers("xclip", weights / "clip", None), dim=32)
    short = torch.tensor([[118, 2, 119]])
    longer = torch.tensor([[118, 2, 3, 5, 119]])
    batches = [WordIds(ids=ids, mask=torch.ones_like(ids)) for ids in (short, longer)]
    query = encode_captions(model, batches)
    assert query.shape == (2, 6, 32)  # the sentence and five words
    assert not query[0, 4:].any() and query[1, 5].any()
    torch.testing.assert_close(query[:1, :4], model.encode_query(batches[0]))


def test_the_loss_of_avma_is_hinge_plus_association(weights: Path) -> None:
    torch.manual_seed(0)
    encoder = build_towers("avma", weights / "clip", weights / "ast")
    model = build_model("avma", encoder=encoder, dim=32, sound_dim=48, hidden=32, wide=64)
    items = model.encode_items(media())
    query = torch.randn(2, 32)
    both = avma_loss(model, items, model.logits(query, items))
    hinge = hardest_negative_hinge(model.score(query, items))
    torch.testing.assert_close(both, hinge + associative_loss(model, items))
    config = TrainConfig(margin=0.4, association_temperature=0.5)
    other = LOSSES["avma"](model, items, model.logits(query, items), config)
    hinge = hardest_negative_hinge(model.score(query, items), margin=0.4)
    torch.testing.assert_close(other, hinge + associative_loss(model, items, temperature=0.5))
    assert (other - both).abs() > 1e-3
    both.backward()
    assert model.memory.sights.grad is not None and model.memory.sights.grad.any()


def test_activation_checkpointing_gives_the_same_gradients(weights: Path) -> None:
    kept, again = (build_towers("tefal", weights / "clip", weights / "ast") for _ in range(2))
    again.recompute()
    runs = {id(kept): 0, id(again): 0}
    gradients = []
    for towers in (kept, again):

        def count(*_: object, of: int = id(towers)) -> None:
            runs[of] += 1

        for layers in (towers.clip.model.vision_model.encoder.layers, towers.ast.model.layers):
            layers[0].mlp.register_forward_pre_hook(count)
        towers.train()
        ids = torch.tensor([[118, 2, 119], [118, 3, 119]])
        query = towers.encode_query(WordIds(ids=ids, mask=torch.ones_like(ids)))
        items = towers.encode_items(media())
        ((query @ items.frames.mean(1).T).sum() + items.audio.square().mean()).backward()
        gradients.append({n: p.grad for n, p in towers.named_parameters() if p.grad is not None})
    assert runs == {id(kept): 2, id(again): 4}  # forward, and once more backward
    assert gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["tefal.late", "tefal.stack"])
def test_pooled_sound_is_the_mean_of_class_and_distillation_token(
    weights: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(registry._ENTRIES, name, ENTRIES[name])
    towers = build_towers(name, weights / "clip", weights / "ast")
    model = build_model(name, encoder=towers, dim=32, sound_dim=48)
    items = model.encode_items(media())
    tokens = towers.ast.model(input_values=media().banks[:1]).last_hidden_state[:, :2]
    torch.testing.assert_close(items.audio[:1].mean(1), model.project(tokens.mean(1)))
    assert items.audio_mask.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("has_sound", [[True, True], [True, False], [False, False]])
@pytest.mark.parametrize("name", ["tefal", "eclipse"])
def test_ast_skips_clips_without_sound_and_nothing_else_changes(
    weights: Path, monkeypatch: pytest.MonkeyPatch, name: str, has_sound: list[bool]
) -> None:
    clips = replace(media(), has_sound=torch.tensor(has_sound))
    towers = build_towers(name, weights / "clip", weights / "ast")
    torch.manual_seed(0)
    dims = {"dim": 32, "sound_dim": 48} if name == "tefal" else {}
    model = build_model(name, encoder=towers, **dims)
    reached: list[int] = []
    towers.ast.model.register_forward_pre_hook(
        lambda _, args, named: reached.append(len(named["input_values"])), with_kwargs=True
    )
    found = _scores_and_gradients(model, clips)
    assert reached == [max(sum(has_sound), 1)]
    with monkeypatch.context() as patch:
        patch.setattr(datasets.towers, "_sound_tokens", lambda encode, media: encode(media.banks))
        expected = _scores_and_gradients(model, clips)
    assert found.keys() == expected.keys()  # zeros where there is no sound, never None
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-6)


def _scores_and_gradients(model: RetrievalModel, clips: ClipMedia) -> dict[str, torch.Tensor]:
    model.zero_grad()
    scores = model.score(torch.ones(1, model.encoder.dim), model.encode_items(clips))
    scores.sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"scores": scores.detach(), **gradients}


def test_vision_towers_of_papers_have_no_activation_checkpointing(weights: Path) -> None:
    with pytest.raises(UsageError, match=r"leave it out, or set train\.chunk"):
        build_towers("ts2net", weights / "clip", None).recompute()
