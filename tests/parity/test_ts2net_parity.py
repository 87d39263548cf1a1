"""TS2-Net against golden vectors of its public code, mask bug included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.compare import close, part, sight_only, symmetric_loss
from seehear.encoders.clip_frames import flatten_frames
from seehear.models.ts2net import TS2Net, TS2NetConfig
from seehear.nn.token_selection import PerturbedTopK, top_k_ascending
from seehear.nn.token_shift import token_shift
from seehear_lab.convert.keys import take
from seehear_lab.convert.ts2net import TiledMaskTS2Net, head_names

Load = Callable[[str], dict[str, Any]]


def model_of(file: dict[str, Any], kind: type[TS2Net] = TS2Net) -> TS2Net:
    weights = part(file, "w/")
    scale = weights.pop("clip.logit_scale")
    config = TS2NetConfig(
        dim=file["in/tokens"].shape[-1],
        patches=int(file["cfg/patches"]),
        keep=int(file["cfg/topk"]),
        samples=int(file["cfg/num_samples"]),
        sigma=float(file["cfg/sigma"]),
        eval_mode="perturbed",
        layers=int(file["cfg/num_layers"]),
        heads=int(file["cfg/num_heads"]),
    )
    model = kind(config).eval()
    model.load_state_dict(take(weights, head_names(weights), what="it") | {"logit_scale": scale})
    noise = torch.as_tensor(file["in/noise"])
    model.select.noise = lambda scores: noise  # type: ignore[method-assign]
    return model


def in_frames(file: dict[str, Any], tokens: Tensor) -> Tensor:
    return tokens.unflatten(1, (int(file["cfg/frames"]), -1))


@pytest.mark.parametrize("tower", ["b32", "b16"])
def test_shift_is_exact(golden: Load, tower: str) -> None:
    file = golden("ts2net")
    tokens = torch.as_tensor(file[f"in/shift_{tower}"])  # [token, video and frame, channel]
    frames = int(file[f"cfg/shift_{tower}_frames"])
    ours = tokens.transpose(0, 1).unflatten(0, (-1, frames))
    shifted = token_shift(ours, torch.ones(ours.shape[:2], dtype=torch.bool))
    expected = torch.as_tensor(file[f"out/shift_{tower}"])
    assert torch.equal(shifted.flatten(0, 1).transpose(0, 1), expected)


def test_scores_and_choice(golden: Load) -> None:
    file = golden("ts2net")
    model, tokens = model_of(file), in_frames(file, torch.as_tensor(file["in/tokens"]))
    rows = tokens.flatten(0, 1)
    scores = model.select.scorer(rows)
    close(scores, file["out/scores_with_cls"], atol=1e-6)
    hard = top_k_ascending(scores[:, 1:], int(file["cfg/topk"]))
    assert torch.equal(hard, torch.as_tensor(file["out/hard_topk_indices"]))
    chosen = model.select(rows).unflatten(0, tokens.shape[:2])
    close(
        flatten_frames(chosen, torch.ones(chosen.shape[:2]) > 0)[0],
        file["out/selected_tokens"],
        atol=1e-5,
    )


@pytest.mark.parametrize("case", ["", "topk49_"])
def test_perturbed_top_k_and_its_backward(golden: Load, case: str) -> None:
    file = golden("ts2net")
    scores = (
        torch.as_tensor(file["in/topk49_scores"])
        if case
        else torch.as_tensor(file["out/scores_with_cls"])[:, 1:]
    )
    scores = scores.clone().requires_grad_()
    noise = torch.as_tensor(file[f"in/{case}noise"])
    k, sigma = int(file["cfg/topk"]), float(file["cfg/sigma"])
    indicator = PerturbedTopK.apply(scores, noise, k, sigma, False)
    close(indicator, file[f"out/{case}indicator"], atol=1e-6)
    indicator.backward(torch.as_tensor(file[f"in/{case}upstream"]))
    expected = torch.as_tensor(file[f"out/{case}grad_scores"])
    close(scores.grad, expected, atol=1e-5 * float(expected.abs().max()))


def test_similarities_loss_and_gradients_of_full_masks(golden: Load) -> None:
    file = golden("ts2net")
    model = model_of(file)
    text = torch.as_tensor(file["in/text"]).requires_grad_()
    tokens = torch.as_tensor(file["in/tokens"]).requires_grad_()
    items = model.encode_items(sight_only(tokens))
    close(items.frames, file["out/frame_cls_full"], atol=1e-5)
    logits = model.logits(text[:, 0], items)
    close(logits, file["out/sims_full"], atol=2e-5)
    close(logits, file["out/sims_full_maskfixed"], atol=2e-5)
    loss = symmetric_loss(logits)
    close(loss, file["out/loss_full"], atol=1e-5)
    loss.backward()
    close(text.grad, file["out/grad_text_full"], atol=1e-5, rtol=1e-4)
    close(tokens.grad, file["out/grad_tokens_full"], atol=1e-5, rtol=1e-4)
    narrow = model.select.scorer.narrow.weight.grad
    close(narrow, file["out/grad_in_conv_weight_full"], atol=1e-5, rtol=1e-4)


def test_short_masks_with_and_without_the_mask_bug(golden: Load) -> None:
    file = golden("ts2net")
    text, mask = torch.as_tensor(file["in/text"])[:, 0], torch.as_tensor(file["in/mask_short"]) > 0
    tokens = torch.as_tensor(file["in/tokens"])
    every = torch.repeat_interleave(mask, 1 + int(file["cfg/patches"]), dim=1)
    logits = {}
    for kind, golden_name in ((TS2Net, "sims_short_maskfixed"), (TiledMaskTS2Net, "sims_short")):
        model = model_of(file, kind)
        items = model.encode_items(sight_only(tokens, every))
        logits[kind] = model.logits(text, items)
        close(logits[kind], file[f"out/{golden_name}"], atol=2e-5)
    close(items.frames, file["out/frame_cls_short"], atol=1e-5)
    close(symmetric_loss(logits[TiledMaskTS2Net]), file["out/loss_short"], atol=1e-5)
    used = torch.as_tensor(file["out/mask_used_frames_short"]) > 0
    assert torch.equal(items.frame_mask, used)
    cost = (logits[TS2Net] - logits[TiledMaskTS2Net]).detach().abs().amax(0)
    is_full = mask.all(1)
    assert (cost[is_full] == 0).all()
    assert (cost[~is_full] > 0.5).all()  # of logits at a scale of some tens
