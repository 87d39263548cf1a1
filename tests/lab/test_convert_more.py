"""Converted checkpoints of the other papers: every key used, wrong shapes and names refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import ASTConfig, ASTModel, CLIPConfig, CLIPModel

from lab.later_layouts import (
    ast_checkpoint,
    avigate_checkpoint,
    eclipse_checkpoint,
    ts2net_checkpoint,
    xclip_checkpoint,
)
from lab.layouts import (
    DIM,
    State,
    clip4clip_checkpoint,
    hf_clip,
    openai_clip,
    xpool_checkpoint,
)
from seehear.encoders.clip_frames import ClipEncoder
from seehear.errors import ModelError
from seehear.models import RetrievalModel, build_model
from seehear.models.centerclip import MergingEncoder
from seehear.models.eclipse import AudioVisualEncoder
from seehear.models.ts2net import ShiftingEncoder
from seehear.models.xclip import WordsEncoder
from seehear_lab.convert.ast import convert_ast
from seehear_lab.convert.avigate import convert_avigate
from seehear_lab.convert.clip4clip import convert_centerclip, convert_clip4clip
from seehear_lab.convert.eclipse import convert_eclipse
from seehear_lab.convert.fit import check_fit
from seehear_lab.convert.keys import Converted
from seehear_lab.convert.ts2net import convert_ts2net
from seehear_lab.convert.xclip import convert_xclip
from seehear_lab.convert.xpool import convert_xpool

SIZES = ("clip.context_length", "clip.input_resolution", "clip.vocab_size")
Case = tuple[Callable[[], State], Callable[[State], Converted], Callable[[Any], ClipEncoder], str]
CASES: dict[str, Case] = {
    "ts2net": (
        ts2net_checkpoint,
        convert_ts2net,
        ShiftingEncoder,
        "visual_token_selector.score_predictor.out_conv.2.weight",
    ),
    "avigate": (
        avigate_checkpoint,
        convert_avigate,
        ClipEncoder,
        "transformerClip.resblocks.1.ff_gate.fg_proj.weight",
    ),
    "centerclip": (
        partial(clip4clip_checkpoint, "meanp"),
        convert_centerclip,
        partial(MergingEncoder, clusters=4),
        "clip.visual.proj",
    ),
    "eclipse": (
        eclipse_checkpoint,
        convert_eclipse,
        AudioVisualEncoder,
        "clip.visual.transformer.resblocks.1.vis_audio_fc.bias",
    ),
    "xclip": (xclip_checkpoint, convert_xclip, WordsEncoder, "frame_mat_weight2"),
}
every_paper = pytest.mark.parametrize("paper", list(CASES))


def loaded(converted: Converted, encoder: Callable[[Any], ClipEncoder]) -> RetrievalModel:
    """The model with its tower, loaded strictly from a converted checkpoint."""
    model = build_model(
        converted.name, encoder=encoder(hf_clip(openai_clip())), **converted.settings
    )
    tower = {f"encoder.clip.{name}": value for name, value in converted.clip.items()}
    model.load_state_dict(converted.head | tower)
    return model.eval()


@every_paper
def test_every_key_is_used_or_ignored(paper: str) -> None:
    checkpoint, convert, encoder, _ = CASES[paper]
    converted = convert(checkpoint())
    assert converted.name == paper
    model = loaded(converted, encoder)
    values = {key: value.float() for key, value in checkpoint().items()}
    used = [value for key, value in values.items() if key not in converted.ignored]
    loaded_values = [*model.state_dict().values(), *converted.ast.values()]
    assert sum(value.numel() for value in used) + 1 == sum(  # the scale is in the head and in CLIP
        value.numel() for value in loaded_values
    )
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@every_paper
def test_missing_and_unused_keys_are_named(paper: str) -> None:
    checkpoint, convert, _, key = CASES[paper]
    broken = checkpoint()
    broken["something.else"] = broken.pop(key)
    with pytest.raises(ModelError, match=r"checkpoint of .*(missing|something.else)"):
        convert(broken)


@pytest.mark.parametrize(
    ("convert", "made", "key"),
    [
        (convert_xpool, lambda: xpool_checkpoint()["state_dict"], "pool_frames.linear_proj.weight"),
        (convert_xpool, lambda: xpool_checkpoint()["state_dict"], "clip.visual_projection.weight"),
        (convert_clip4clip, partial(clip4clip_checkpoint, "seqlstm"), "lstm_visual.weight_hh_l0"),
        (convert_ast, ast_checkpoint, "module.v.blocks.1.mlp.fc1.weight"),
        *((convert, made, key) for made, convert, _, key in CASES.values()),
        (convert_avigate, avigate_checkpoint, "audio.v.norm.bias"),
    ],
)
def test_tensors_of_other_shapes_are_refused(
    convert: Callable[[State], Converted], made: Callable[[], State], key: str, tmp_path: Path
) -> None:
    check_fit(convert(made()), tmp_path)
    broken = made() | {key: torch.ones(3, 3)}
    with pytest.raises(ModelError, match=r"not a checkpoint of \S+: .* is 3( x 3)? instead of "):
        check_fit(convert(broken), tmp_path)


@pytest.mark.parametrize(("tower", "width"), [("vision", 768), ("text", 512)])
def test_published_tower_without_its_last_layers_is_refused(
    tower: str, width: int, tmp_path: Path
) -> None:
    with torch.device("meta"):
        full = CLIPModel(CLIPConfig()).state_dict()  # ViT-B/32
    state = {f"clip.{name}": torch.zeros(()).expand(x.shape) for name, x in full.items()}
    head = xpool_checkpoint()["state_dict"].items()
    state |= {
        name: torch.zeros(()).expand([512] * x.ndim) for name, x in head if "pool_frames" in name
    }
    check_fit(convert_xpool(state), tmp_path)
    cut = {name: x for name, x in state.items() if f"{tower}_model.encoder.layers.11" not in name}
    sentence = f"xpool: 11 layers of width {width} in {tower} instead of 12;"
    with pytest.raises(ModelError, match=sentence):
        check_fit(convert_xpool(cut), tmp_path)


def test_centerclip_refuses_another_variant_and_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"of 'clip4clip\.seqlstm'; convert it as clip4clip$"):
        convert_centerclip(clip4clip_checkpoint("seqlstm"))


def test_existing_config_sets_the_depth_of_a_tower(tmp_path: Path) -> None:
    hf_clip(openai_clip()).config.save_pretrained(tmp_path / "clip")
    state = xpool_checkpoint()["state_dict"]
    check_fit(convert_xpool(state), tmp_path)
    cut = {name: x for name, x in state.items() if "vision_model.encoder.layers.1" not in name}
    with pytest.raises(ModelError, match=r"layers\.1\..* is absent instead of 48.* and 11 more"):
        check_fit(convert_xpool(cut), tmp_path)


def test_ts2net_ignores_unused_parts_and_can_keep_the_mask_bug() -> None:
    converted = convert_ts2net(ts2net_checkpoint())
    assert converted.ignored == (
        *SIZES,
        "text_token_selector.score_predictor.in_conv.0.weight",
        "visual_prompt_encoder.embedding.weight",
    )
    settings: dict[str, Any] = {"dim": DIM, "patches": 4, "layers": 3, "heads": 1, "positions": 77}
    assert converted.settings == settings
    wrong = convert_ts2net(ts2net_checkpoint(), compat_mask_bug=True)
    assert wrong.name == "ts2net.tiledmask"
    build_model(wrong.name, **wrong.settings).load_state_dict(wrong.head)


def test_avigate_projection_is_the_only_layer_without_a_known_name() -> None:
    converted = convert_avigate(avigate_checkpoint())
    torch.testing.assert_close(
        converted.head["project.weight"], avigate_checkpoint()["audio.somewhere.fc.weight"]
    )
    assert converted.settings["sounds"] == 12
    torch.testing.assert_close(converted.head["entry"].T, avigate_checkpoint()["query_tokens"])
    torch.testing.assert_close(converted.ast, convert_ast(ast_only()).ast)
    odd = avigate_checkpoint() | {"one.more": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"but it has: audio.somewhere.*one.more"):
        convert_avigate(odd)


def ast_only() -> State:
    state = avigate_checkpoint()
    return {key: value for key, value in state.items() if key.startswith("audio.v.")}


def test_converted_ast_equals_its_published_layout() -> None:
    state = ast_checkpoint()
    converted = convert_ast(state)
    assert converted.name == ""
    assert len(converted.ignored) == 4 + 4  # its classifier, and two of the picture model
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 1}
    config = ASTConfig(**sizes, intermediate_size=96, max_length=56, layer_norm_eps=1e-6)
    model = ASTModel(config).eval()
    model.load_state_dict(converted.ast)
    banks = torch.randn(2, 56, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = model(banks).last_hidden_state
    torch.testing.assert_close(ours, ast_from_its_layout(state, banks), atol=1e-4, rtol=0)
    with pytest.raises(ModelError, match="checkpoint of AST: 0 keys with"):
        convert_ast({})
    with pytest.raises(ModelError, match=r"1 key \(module.extra\) unused"):
        convert_ast(state | {"module.extra": torch.zeros(1)})


def ast_from_its_layout(state: State, banks: torch.Tensor) -> torch.Tensor:
    """AST by the names of timm: [batch time mel] -> class, distillation and patch tokens."""
    w = {key.removeprefix("module.v."): value for key, value in state.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (24,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    weight, bias = w["patch_embed.proj.weight"], w["patch_embed.proj.bias"]
    x = F.conv2d(banks.mT[:, None], weight, bias, stride=10).flatten(2).mT
    start = [w[name].expand(len(x), -1, -1) for name in ("cls_token", "dist_token")]
    x = torch.cat([*start, x], dim=1) + w["pos_embed"]
    for layer in range(2):
        block = f"blocks.{layer}"
        q, k, v = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, dim=-1)
        attended = (q @ k.mT / 24**0.5).softmax(-1) @ v
        x = x + linear(attended, f"{block}.attn.proj")
        wide = F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + linear(wide, f"{block}.mlp.fc2")
    return norm(x, "norm")
