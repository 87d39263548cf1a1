"""Convert checkpoints of TS2-Net: those of CLIP4Clip with a token selector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from seehear.models.registry import register
from seehear.models.ts2net import TS2Net, TS2NetConfig
from seehear.nn.tokens import TokenBatch
from seehear_lab.convert import keys
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.clip4clip import (
    BLOCK,
    CLIP_WIDTH_PER_HEAD,
    POSITIONS,
    SEQUENCE,
    SIZES,
)
from seehear_lab.convert.keys import Converted, State

SCORER = {
    "in_conv.0.weight": "norm.weight",
    "in_conv.0.bias": "norm.bias",
    "in_conv.1.weight": "narrow.weight",
    "out_conv.0.weight": "join.weight",
    "out_conv.2.weight": "out.weight",
}
UNUSED = ("visual_prompt_encoder.", "text_token_selector.")  # never called by the public code


@register("ts2net.tiledmask", TS2NetConfig)
class TiledMaskTS2Net(TS2Net):
    """TS2-Net with the wrong mask of its public code, only for comparison with that code.

    The frame mask is repeated end to end (m_1 .. m_F m_1 .. m_F ..) although tokens come frame by
    frame, so real tokens are masked and padding is not.
    """

    def encode_items(self, media: Any) -> TokenBatch:
        """As `TS2Net`, with a frame mask that is wrong in the same way."""
        items, kept = super().encode_items(media), 1 + self.select.keep
        return replace(items, frame_mask=items.frame_mask.repeat(1, kept)[:, ::kept])

    def mix_over_time(
        self, tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
    ) -> Float[Tensor, "item frame dim"]:
        """As `TS2Net`, under the wrong mask."""
        kept = tokens.shape[2]
        return self.temporal(tokens.flatten(1, 2), mask.repeat(1, kept))[:, ::kept]


def convert_ts2net(checkpoint: State, *, compat_mask_bug: bool = False) -> Converted:
    """Convert a checkpoint of TS2-Net to `ts2net` and a CLIP.

    With `compat_mask_bug` the model is `ts2net.tiledmask`, which masks padded clips like the public
    code.

    Raises: ModelError that lists the missing and the unused keys.
    """
    unused = [key for key in checkpoint if key.startswith(UNUSED)]
    state, ignored = keys.drop_keys(checkpoint, [*SIZES, *unused])
    clip = keys.select_prefix(state, "clip.")
    clip = clip_from_openai({key.replace(".attn.net.", ".attn."): x for key, x in clip.items()})
    rest = keys.drop_prefix(state, "clip.")
    head = keys.take(rest, head_names(rest), what="TS2-Net")
    head["logit_scale"] = clip["logit_scale"].clone()
    dim = len(clip["text_projection.weight"])
    settings = {
        "dim": dim,
        "patches": len(clip["vision_model.embeddings.position_embedding.weight"]) - 1,
        "layers": keys.count_layers(rest, SEQUENCE),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": len(rest[POSITIONS]),
    }
    name = "ts2net.tiledmask" if compat_mask_bug else "ts2net"
    return Converted(name=name, settings=settings, head=head, clip=clip, ignored=ignored)


def head_names(state: State) -> dict[str, str]:
    """Old name -> new name of everything above CLIP."""
    scorer = "visual_token_selector.score_predictor."
    names = {scorer + old: f"select.scorer.{new}" for old, new in SCORER.items()}
    names[POSITIONS] = "temporal.transformer.position.weight"
    ours = "temporal.transformer.blocks."
    return names | keys.layer_names(state, BLOCK, theirs=SEQUENCE, ours=ours)
