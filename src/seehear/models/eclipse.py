"""ECLIPSE: sight and sound look at each other inside CLIP's blocks (Lin et al., ECCV 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.encoders.clip_frames import ClipEncoder, FrameBatch, run_layer
from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.clip4clip import CLIP4Clip, CLIP4ClipConfig
from seehear.models.registry import register
from seehear.nn.attention import CrossAttention
from seehear.nn.temporal import Unchanged
from seehear.nn.tokens import TokenBatch


class AudioVisual(nn.Module):
    """What a block of CLIP does first: patches draw from their frame's sound, and it from them.

    x <- x + W_v Attention_v(LN_v(x), LN_a(a));  a <- a + W_a Attention_a(LN_a(a), LN_v(x)).

    Attention and norms start as copies of the block's own, W_v and W_a as zeros.

    Source: ECLIPSE, section 3.2, and its public code ("dual").
    Differs: a frame without sound stays as it is.
    Note: the sound of a frame is one vector, so Attention_v gives every patch the same.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        own = layer.self_attn
        self.see, self.hear = (CrossAttention(own.embed_dim, heads=own.num_heads) for _ in range(2))
        self.norm_see, self.norm_hear = nn.LayerNorm(own.embed_dim), nn.LayerNorm(own.embed_dim)
        self.to_see, self.to_hear = (nn.Linear(own.embed_dim, own.embed_dim) for _ in range(2))
        self._start(layer)

    @torch.no_grad()
    def _start(self, layer: Any) -> None:
        own = layer.self_attn
        packed = [
            torch.cat([getattr(p, kind) for p in (own.q_proj, own.k_proj, own.v_proj)])
            for kind in ("weight", "bias")
        ]
        for attention in (self.see, self.hear):
            attention.qkv.load_state_dict(dict(zip(("weight", "bias"), packed, strict=True)))
            attention.out.load_state_dict(own.out_proj.state_dict())
        for norm in (self.norm_see, self.norm_hear):
            norm.load_state_dict(layer.layer_norm1.state_dict())
        for parameter in (*self.to_see.parameters(), *self.to_hear.parameters()):
            parameter.zero_()

    def forward(
        self,
        x: Float[Tensor, "row token width"],
        a: Float[Tensor, "row 1 width"],
        mask: Bool[Tensor, "row 1"],
    ) -> tuple[Float[Tensor, "row token width"], Float[Tensor, "row 1 width"]]:
        """Patches and sound of every frame."""
        seen, heard = self.norm_see(x), self.norm_hear(a)
        return x + self.to_patches(seen, heard, mask), a + self.to_sound(seen, heard)

    def to_patches(self, seen: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
        """What the patches draw from the sound."""
        return self.to_see(self.see(seen, heard, mask)).masked_fill(~mask[..., None], 0)

    def to_sound(self, seen: Tensor, heard: Tensor) -> Tensor:
        """What the sound draws from the patches."""
        every = torch.ones(seen.shape[:2], dtype=torch.bool, device=seen.device)
        return self.to_hear(self.hear(heard, seen, every))


class OneWay(AudioVisual):
    """The sound stays as it is ("single"; DiDeMo's recipe)."""

    def to_sound(self, seen: Tensor, heard: Tensor) -> Tensor:
        """Nothing."""
        return torch.zeros_like(heard)


class Reversed(AudioVisual):
    """Patches get the sound in the shares that the sound gives them (ActivityNet's recipe).

    x <- x + W_v (softmax over patches of Attention_v(LN_a(a), LN_v(x)))^T LN_a(a).
    """

    def to_patches(self, seen: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
        """A share of the sound for every patch."""
        every = torch.ones(seen.shape[:2], dtype=torch.bool, device=seen.device)
        shares = self.see.weights(heard, seen, every)  # [row 1 token]
        return self.to_see(shares.mT @ heard).masked_fill(~mask[..., None], 0)


class ListeningEncoder(ClipEncoder):
    """CLIP whose picture blocks hear: one sound vector per frame, frozen features of a network.

    Source: ECLIPSE; the public code takes 512 numbers of a ResNet-18 trained on VGGSound for each.
    Differs: frames come in their order (the code lists folders unsorted).
    """

    def __init__(
        self, clip: Any, *, sound_dim: int = 512, block: type[AudioVisual] = AudioVisual
    ) -> None:
        super().__init__(clip)
        self.listen = nn.Linear(sound_dim, clip.config.vision_config.hidden_size)
        self.blocks = nn.ModuleList(block(layer) for layer in self.layers)

    def encode_items(self, media: FrameBatch) -> TokenBatch:
        """Frames that have heard; the sound itself is not needed any more.

        Raises: ValueError if there is not one sound vector per frame.
        """
        if media.audio_mask.shape != media.frame_mask.shape:
            frames, sounds = media.frame_mask.shape[1], media.audio_mask.shape[1]
            raise ValueError(f"{sounds} sound vectors for {frames} frames; give one per frame")
        tokens = super().encode_items(media)
        return replace(tokens, audio=tokens.audio[:, :0], audio_mask=tokens.audio_mask[:, :0])

    def run(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """Each block hears first, then goes on as ever."""
        sound = media.audio.masked_fill(~media.audio_mask[..., None], 0)
        a, mask = self.listen(sound).flatten(0, 1)[:, None], media.audio_mask.flatten()[:, None]
        for layer, block in zip(self.layers, self.blocks, strict=True):
            heard, a = block(x.flatten(0, 1), a, mask)
            x = run_layer(layer, heard.unflatten(0, x.shape[:2]))
        return x, media.frame_mask


@register("eclipse", CLIP4ClipConfig)
class ECLIPSE(CLIP4Clip):
    """The mean of frames that have heard; what they hear happens in `ListeningEncoder`.

    Source: ECLIPSE; the head is CLIP4Clip's mean, to which all is equal at step 0.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)
