"""X-Pool against golden vectors of its public code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from parity.compare import close, part, sight_only, symmetric_loss
from seehear.models import build_model
from seehear_lab.convert.xpool import HEAD_NAMES

Load = Callable[[str], dict[str, Any]]
both_heads = pytest.mark.parametrize("heads", [1, 4])


def model_of(golden: dict[str, Any], heads: int) -> Any:
    weights = part(golden, f"w_h{heads}/")
    dim = golden["in/text"].shape[1]
    model = build_model("xpool", dim=dim, heads=heads).eval()
    state = {HEAD_NAMES[name]: weight for name, weight in weights.items()}
    model.load_state_dict(state | {"logit_scale": torch.as_tensor(golden["in/logit_scale"])})
    return model


@both_heads
def test_every_step_of_the_block(golden: Load, heads: int) -> None:
    file = golden("xpool")
    block, inputs, out = model_of(file, heads).see, part(file, "in/"), part(file, f"out_h{heads}/")
    text, items = inputs["text"], sight_only(inputs["frames"])
    mask = items.frame_mask
    close(block.pool.norm_in(text), out["ln1_text"], atol=1e-5)
    logits = block.pool.logits(text, items.frames)  # ours [query head item frame]
    close(logits.permute(2, 1, 3, 0), out["attn_logits"], atol=1e-5)
    weights = block.pool.weights(text, items.frames, mask)
    close(weights.permute(2, 1, 3, 0), out["attn_weights"], atol=1e-5)
    seen: list[torch.Tensor] = []
    block.pool.out.register_forward_hook(lambda *call: seen.append(call[-1]))
    close(block.pool(text, items.frames, mask).transpose(0, 1), out["ln2"], atol=1e-5)
    close(seen[0], out["attn_out_before_ln2"], atol=1e-5)  # [item query dim]
    close(block(text, items.frames, mask).transpose(0, 1), out["pooled"], atol=1e-5)


@both_heads
def test_similarities_loss_and_gradients(golden: Load, heads: int) -> None:
    file = golden("xpool")
    model, inputs, out = model_of(file, heads), part(file, "in/"), part(file, f"out_h{heads}/")
    grad = part(file, f"grad_h{heads}/")
    text, frames = inputs["text"].requires_grad_(), inputs["frames"].requires_grad_()
    items = sight_only(frames)
    close(model.score(text, items), out["sims"], atol=1e-6)
    loss = symmetric_loss(model.logits(text, items))
    close(loss, out["loss"], atol=1e-5)
    loss.backward()
    ours = {old: model.get_parameter(new).grad for old, new in HEAD_NAMES.items()}
    ours |= {"text": text.grad, "frames": frames.grad, "logit_scale": model.logit_scale.grad}
    assert ours.keys() == grad.keys()
    for name, value in ours.items():
        close(value, grad[name], atol=1e-5, rtol=1e-4)
    assert (ours["text"][len(frames) :] == 0).all()


def test_inference_over_grouped_captions(golden: Load) -> None:
    file = golden("xpool")
    model, expected = model_of(file, 1), torch.as_tensor(file["out_infer/sims"])
    captions, videos = torch.as_tensor(file["in/cap_text"]), file["in/cap_video"]
    scores = model.score(captions, sight_only(torch.as_tensor(file["in/frames"])))
    seen: dict[int, int] = {}
    for caption, video in enumerate(videos.tolist()):
        index = seen[video] = seen.get(video, -1) + 1
        close(scores[caption], expected[video, index], atol=1e-6)
    assert int((~expected.isnan()).sum()) == scores.numel()


def test_pools_without_parameters(golden: Load) -> None:
    file = golden("xpool")
    text, items = torch.as_tensor(file["in/text"]), sight_only(torch.as_tensor(file["in/frames"]))
    top = build_model("xpool.topk", k=int(file["in/topk_k"]))
    close(top.score(text, items), file["out_base/topk_sims"], atol=1e-6)
    temperature = float(file["in/attn_temperature"])
    attention = build_model("xpool.attention", temperature=temperature)
    close(attention.score(text, items), file["out_base/attention_sims"], atol=1e-6)
    mean = build_model("clip4clip.meanp")
    close(mean.score(text, items), file["out_base/avg_sims"], atol=1e-6)


@both_heads
def test_tefal_without_sound_gain_is_xpool(golden: Load, heads: int) -> None:
    file = golden("xpool")
    xpool, inputs = model_of(file, heads), part(file, "in/")
    dim = inputs["text"].shape[1]
    tefal = build_model("tefal.xpool", dim=dim, sound_dim=24, heads=heads, sound_gain=0.0).eval()
    tefal.load_state_dict(xpool.state_dict(), strict=False)
    torch.manual_seed(0)
    items = sight_only(inputs["frames"])
    sound = torch.randn(len(items.frames), 9, 24)
    loud = type(items)(
        frames=items.frames,
        frame_mask=items.frame_mask,
        audio=sound,
        audio_mask=torch.ones(sound.shape[:2], dtype=torch.bool),
    )
    expected = xpool.score(inputs["text"], items)
    assert torch.equal(tefal.score(inputs["text"], tefal.encode_items(loud)), expected)
    torch.nn.init.ones_(tefal.get_parameter("hear.norm_out.weight"))
    assert not torch.allclose(tefal.score(inputs["text"], tefal.encode_items(loud)), expected)
