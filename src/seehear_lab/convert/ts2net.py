"""TS2-Net's checkpoints: CLIP4Clip's layout, a token selector, two blocks with a shift inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from seehear.models.registry import register
from seehear.models.ts2net import TS2Net, TS2NetConfig
from seehear.nn.tokens import TokenBatch
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.clip4clip import (
    CLIP_WIDTH_PER_HEAD,
    POSITIONS,
    SEQUENCE,
    SIZES,
    block_names,
)
from seehear_lab.convert.keys import Converted, State, count_layers, part, take, without

SCORER = {
    "in_conv.0.weight": "norm.weight",
    "in_conv.0.bias": "norm.bias",
    "in_conv.1.weight": "narrow.weight",
    "out_conv.0.weight": "join.weight",
    "out_conv.2.weight": "out.weight",
}
UNUSED = ("visual_prompt_encoder.", "text_token_selector.")  # built there, never called


@register("ts2net.tiledmask", TS2NetConfig)
class TiledMaskTS2Net(TS2Net):
    """TS2-Net with the mask of its public code, for comparison with it alone.

    The mask of the frames is repeated end to end (m_1 .. m_F m_1 .. m_F ..) although tokens come
    frame by frame; so tokens that are there are hidden, and padding is seen.
    """

    def encode_items(self, media: Any) -> TokenBatch:
        """The frame mask of the result is wrong in the same way."""
        items, kept = super().encode_items(media), 1 + self.select.keep
        return replace(items, frame_mask=items.frame_mask.repeat(1, kept)[:, ::kept])

    def over_time(
        self, tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
    ) -> Float[Tensor, "item frame dim"]:
        """Class tokens that have looked at tokens under the wrong mask."""
        kept = tokens.shape[2]
        return self.temporal(tokens.flatten(1, 2), mask.repeat(1, kept))[:, ::kept]


def convert_ts2net(checkpoint: State, *, compat_mask_bug: bool = False) -> Converted:
    """A TS2-Net checkpoint as `ts2net` and a CLIP.

    With `compat_mask_bug` the model is `ts2net.tiledmask`, which scores clips with fewer frames
    than the batch as the public code does.

    Raises: ModelError that lists the missing and the unused keys.
    """
    state, ignored = without(
        checkpoint, [*SIZES, *(key for key in checkpoint if key.startswith(UNUSED))]
    )
    clip = clip_from_openai(
        {key.replace(".attn.net.", ".attn."): x for key, x in part(state, "clip.").items()}
    )
    rest = {key: value for key, value in state.items() if not key.startswith("clip.")}
    head = take(rest, head_names(rest), what="TS2-Net")
    head["logit_scale"] = clip["logit_scale"].clone()
    dim = len(clip["text_projection.weight"])
    settings = {
        "dim": dim,
        "patches": len(clip["vision_model.embeddings.position_embedding.weight"]) - 1,
        "layers": count_layers(rest, SEQUENCE),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": len(rest[POSITIONS]),
    }
    name = "ts2net.tiledmask" if compat_mask_bug else "ts2net"
    return Converted(name=name, settings=settings, head=head, clip=clip, ignored=ignored)


def head_names(state: State) -> dict[str, str]:
    """Their name -> ours for everything above CLIP."""
    scorer = "visual_token_selector.score_predictor."
    names = {scorer + old: f"select.scorer.{new}" for old, new in SCORER.items()}
    names[POSITIONS] = "temporal.transformer.position.weight"
    return names | block_names(state, SEQUENCE, "temporal.transformer.blocks.")
