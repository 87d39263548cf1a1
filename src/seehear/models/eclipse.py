"""ECLIPSE: audio-visual attention inside the blocks of CLIP (Lin et al., ECCV 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.encoders.clip_frames import ClipEncoder, FrameBatch, run_layer
from seehear.errors import counted
from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.clip4clip import CLIP4Clip, CLIP4ClipConfig
from seehear.models.registry import register
from seehear.nn.attention import CrossAttention
from seehear.nn.pooling import zero_padding
from seehear.nn.temporal import Unchanged
from seehear.nn.tokens import TokenBatch


class AudioVisualBlock(nn.Module):
    """Attention between the patches and the sound of a frame, added before a block of CLIP.

    x <- x + W_v Attention_v(LN_v(x), LN_a(a));  a <- a + W_a Attention_a(LN_a(a), LN_v(x)).

    Attention and norms start as copies of those of the block, W_v and W_a as zeros.

    Source: ECLIPSE, section 3.2, and its public code ("dual").
    Differs: a frame without sound is unchanged.
    Note: the sound of a frame is one vector, so Attention_v gives all patches the same value.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        own = layer.self_attn
        self.see, self.hear = (CrossAttention(own.embed_dim, heads=own.num_heads) for _ in range(2))
        self.norm_see, self.norm_hear = nn.LayerNorm(own.embed_dim), nn.LayerNorm(own.embed_dim)
        self.to_see, self.to_hear = (nn.Linear(own.embed_dim, own.embed_dim) for _ in range(2))
        self._copy_weights(layer)

    @torch.no_grad()
    def _copy_weights(self, layer: Any) -> None:
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
        """Patches and sound of each frame after attending to each other."""
        seen, heard = self.norm_see(x), self.norm_hear(a)
        return x + self.update_patches(seen, heard, mask), a + self.update_sound(seen, heard)

    def update_patches(self, seen: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
        """Change of the patches: their attention to the sound."""
        return self.to_see(self.see(seen, heard, mask)).masked_fill(~mask[..., None], 0)

    def update_sound(self, seen: Tensor, heard: Tensor) -> Tensor:
        """Change of the sound: its attention to the patches."""
        every = torch.ones(seen.shape[:2], dtype=torch.bool, device=seen.device)
        return self.to_hear(self.hear(heard, seen, every))


class SoundToSightBlock(AudioVisualBlock):
    """Variant in which the sound is unchanged ("single"; DiDeMo's recipe)."""

    def update_sound(self, seen: Tensor, heard: Tensor) -> Tensor:
        """Change of the sound: none."""
        return torch.zeros_like(heard)


class ReversedBlock(AudioVisualBlock):
    """Variant with attention weights from sound to patches ("dual_reverse"; ActivityNet's recipe).

    x <- x + W_v (softmax over patches of Attention_v(LN_a(a), LN_v(x)))^T LN_a(a).
    """

    def update_patches(self, seen: Tensor, heard: Tensor, mask: Tensor) -> Tensor:
        """Change of the patches: the sound, weighted per patch."""
        every = torch.ones(seen.shape[:2], dtype=torch.bool, device=seen.device)
        weights = self.see.weights(heard, seen, every)  # [row 1 token]
        return self.to_see(weights.mT @ heard).masked_fill(~mask[..., None], 0)


class AudioVisualEncoder(ClipEncoder):
    """CLIP with audio-visual attention before each picture block; takes one sound vector per frame.

    Source: ECLIPSE; the sound vectors of its public code are 512 features of a ResNet-18 trained on
    VGGSound.
    Differs: frames are in order (the code lists folders unsorted).
    """

    def __init__(
        self,
        clip: Any,
        *,
        sound_dim: int = 512,
        block: type[AudioVisualBlock] = AudioVisualBlock,
    ) -> None:
        super().__init__(clip)
        self.listen = nn.Linear(sound_dim, clip.config.vision_config.hidden_size)
        self.blocks = nn.ModuleList(block(layer) for layer in self.layers)

    def encode_items(self, media: FrameBatch) -> TokenBatch:
        """Frame tokens fused with the sound; the score needs no sound tokens.

        Raises: ValueError unless there is one sound vector per frame.
        """
        if media.audio_mask.shape != media.frame_mask.shape:
            sounds = counted(media.audio_mask.shape[1], "sound vector")
            frames = counted(media.frame_mask.shape[1], "frame")
            raise ValueError(f"got {sounds} for {frames}; expected one sound vector per frame")
        tokens = super().encode_items(media)
        return replace(tokens, audio=tokens.audio[:, :0], audio_mask=tokens.audio_mask[:, :0])

    def run_blocks(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """Run each block after its audio-visual attention."""
        sound = zero_padding(media.audio, media.audio_mask)
        a, mask = self.listen(sound).flatten(0, 1)[:, None], media.audio_mask.flatten()[:, None]
        for layer, block in zip(self.layers, self.blocks, strict=True):
            heard, a = block(x.flatten(0, 1), a, mask)
            x = run_layer(layer, heard.unflatten(0, x.shape[:2]))
        return x, media.frame_mask


@register("eclipse", CLIP4ClipConfig)
class ECLIPSE(CLIP4Clip):
    """Mean of frames fused with their sound; `AudioVisualEncoder` does the fusion.

    Source: ECLIPSE; equal to `clip4clip.meanp` before training.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)
