"""Checkpoints of TS2-Net, X-CLIP, ECLIPSE, AVIGATE and AST with random weights."""

from __future__ import annotations

import torch

from lab.layouts import DIM, State, affine, clip4clip_checkpoint, openai_block, openai_clip, shapes


def built_on_clip4clip(*, positions: int = 77) -> State:
    """Tensors that TS2-Net and X-CLIP share with CLIP4Clip's sequential head."""
    torch.manual_seed(2)
    state = {f"clip.{name}": value.half() for name, value in openai_clip().items()}
    state |= {f"clip.{name}": torch.tensor(9) for name in ("input_resolution", "context_length")}
    state["clip.vocab_size"] = torch.tensor(30)
    state["frame_position_embeddings.weight"] = torch.randn(positions, DIM)
    for layer in range(3):
        state |= openai_block(f"transformerClip.resblocks.{layer}", DIM)
    return state


def ts2net_checkpoint() -> State:
    state = {
        key.replace(
            "clip.visual.transformer.resblocks.1.attn.",
            "clip.visual.transformer.resblocks.1.attn.net.",
        ): value
        for key, value in built_on_clip4clip().items()
    }
    scorer = "visual_token_selector.score_predictor"
    state |= affine(f"{scorer}.in_conv.0", DIM)
    state |= shapes(
        **{f"{scorer}.in_conv.1.weight": (DIM // 2, DIM)},
        **{f"{scorer}.out_conv.0.weight": (DIM // 2, DIM)},
        **{f"{scorer}.out_conv.2.weight": (1, DIM // 2)},
        **{"visual_prompt_encoder.embedding.weight": (3, DIM)},
        **{"text_token_selector.score_predictor.in_conv.0.weight": (DIM,)},
    )
    return state


def xclip_checkpoint() -> State:
    state = built_on_clip4clip()
    for name in ("global_mat_weight", "local_mat_weight"):
        state[name] = torch.randn(DIM, DIM)
    for name in ("logit_weight", "mat_weight", "mat_weight2"):
        state |= {f"word_{name}": torch.randn(9, 9), f"frame_{name}": torch.randn(6, 6)}
    return state


def eclipse_checkpoint() -> State:
    torch.manual_seed(4)
    state = clip4clip_checkpoint("meanp")
    width = 48
    state |= affine("clip.visual.mlp_audio", width, 512)
    for layer in range(2):
        block = f"clip.visual.transformer.resblocks.{layer}"
        for way in ("vis_audio", "audio_vis", "audio_a"):
            state[f"{block}.{way}_attn.in_proj_weight"] = torch.randn(3 * width, width)
            state[f"{block}.{way}_attn.in_proj_bias"] = torch.randn(3 * width)
            state |= affine(f"{block}.{way}_attn.out_proj", width, width)
            state |= affine(f"{block}.{way}_ln_1", width)
            state |= affine(f"{block}.{way}_fc", width, width)
    state |= affine("clip.visual.mlp_vis", 8, width) | affine("clip.mlp_audio", 9, 9)
    state["clip.visual.myViT.blocks.0.norm1.weight"] = torch.randn(5)
    state["clip.visual.audio_cls"] = torch.randn(width)
    return state


def timm_ast(prefix: str, *, width: int = 24) -> State:
    """An AST of two layers for 128 x 56 banks (12 x 5 patches), and heads of its picture model."""
    state = shapes(
        **{f"{prefix}cls_token": (1, 1, width), f"{prefix}dist_token": (1, 1, width)},
        **{f"{prefix}pos_embed": (1, 62, width)},
        **{f"{prefix}patch_embed.proj.weight": (width, 1, 16, 16)},
        **{f"{prefix}patch_embed.proj.bias": (width,)},
    )
    state |= affine(f"{prefix}norm", width) | affine(f"{prefix}head", 9, width)
    state |= affine(f"{prefix}head_dist", 9, width)
    for layer in range(2):
        block = f"{prefix}blocks.{layer}"
        state |= affine(f"{block}.norm1", width) | affine(f"{block}.norm2", width)
        state |= affine(f"{block}.attn.qkv", 3 * width, width)
        state |= affine(f"{block}.attn.proj", width, width)
        state |= affine(f"{block}.mlp.fc1", 4 * width, width)
        state |= affine(f"{block}.mlp.fc2", width, 4 * width)
    return state


def ast_checkpoint() -> State:
    torch.manual_seed(5)
    return (
        timm_ast("module.v.") | affine("module.mlp_head.0", 24) | affine("module.mlp_head.1", 7, 24)
    )


def avigate_checkpoint() -> State:
    torch.manual_seed(6)
    state = {f"clip.{name}": value for name, value in openai_clip().items()}
    state |= {"frame_position_embeddings.weight": torch.randn(16, DIM)}
    state |= {"query_position_embeddings.weight": torch.randn(12, DIM)}
    state |= {"query_tokens": torch.randn(DIM, 12)} | timm_ast("audio.v.")
    state |= affine("audio.somewhere.fc", DIM, 24)
    for stem, norms in (("transformer_Fusion", (3,)), ("transformerClip", (3, 4))):
        for layer in range(2):
            block = f"{stem}.resblocks.{layer}"
            state |= openai_block(block, DIM)
            state[f"{block}.cross_attn.in_proj_weight"] = torch.randn(3 * DIM, DIM)
            state[f"{block}.cross_attn.in_proj_bias"] = torch.randn(3 * DIM)
            state |= affine(f"{block}.cross_attn.out_proj", DIM, DIM)
            for number in norms:
                state |= affine(f"{block}.ln_{number}", DIM)
    for layer in range(2):
        block = f"transformerClip.resblocks.{layer}"
        state |= shapes(
            **{f"{block}.attn_gate.ag_fc.weight": (16, 2 * DIM)},
            **{f"{block}.attn_gate.ag_proj.weight": (1, 16)},
            **{f"{block}.ff_gate.fg_fc.weight": (16, 2 * DIM)},
            **{f"{block}.ff_gate.fg_proj.weight": (1, 16)},
            **{f"{block}.cross_ff.cross_fc.weight": (4 * DIM, DIM)},
            **{f"{block}.cross_ff.cross_proj.weight": (DIM, 4 * DIM)},
        )
    return state
