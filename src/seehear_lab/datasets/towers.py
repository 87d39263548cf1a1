"""Trainable CLIP and AST towers: the encoder of any registered model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTokenizer, ClipTowers
from seehear.encoders.clip_frames import ClipEncoder, FrameBatch
from seehear.errors import UsageError
from seehear.models.centerclip import MergingEncoder
from seehear.models.eclipse import AudioVisualEncoder
from seehear.models.ts2net import ShiftingEncoder
from seehear.models.xclip import WordsEncoder
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.clips import ClipMedia, WordIds

KEPT_PATCHES = 49  # of each group of frames, in CenterCLIP with ViT-B/32


class ClipAst(nn.Module):
    """CLIP over frames and captions, AST over filter banks; without AST there is no sound.

    Sound tokens are AST's patches, or with `has_pooled_sound` its class and distillation tokens.
    """

    def __init__(self, clip: Path, ast: Path | None, *, has_pooled_sound: bool = False) -> None:
        super().__init__()
        self.has_pooled_sound = has_pooled_sound
        self.clip = ClipTowers(clip)
        self.ast = AstTower(ast) if ast else None

    @property
    def clip_model(self) -> Any:
        """Both towers of CLIP."""
        return self.clip.model

    @property
    def tokenizer(self) -> ClipTokenizer:
        """CLIP's tokeniser."""
        return self.clip.tokenizer

    @property
    def side_px(self) -> int:
        """Side of a frame in pixels."""
        return self.clip.side_px

    @property
    def dim(self) -> int:
        """Dimension of captions and frames."""
        return self.clip.dim

    @property
    def sound_dim(self) -> int:
        """Dimension of a sound token; that of a frame where there is no AST."""
        return int(self.ast.model.config.hidden_size) if self.ast else self.dim

    def recompute(self) -> None:
        """Turn on activation checkpointing: less memory, a second forward pass."""
        for model in (self.clip.model, *([self.ast.model] if self.ast else [])):
            newer = getattr(model, "activation_checkpointing_enable", None)  # transformers 5.23
            (newer or model.gradient_checkpointing_enable)()

    def encode_query(self, query: WordIds) -> Float[Tensor, "query dim"]:
        """The projected end token of each caption."""
        output = self.clip.model.get_text_features(input_ids=query.ids, attention_mask=query.mask)
        return output.pooler_output

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """The projected class token of each frame, and the sound tokens."""
        items, frames = media.pixels.shape[:2]
        seen = self.clip.encode_pixels(media.pixels.flatten(0, 1)).unflatten(0, (items, frames))
        if self.ast is None:
            audio = torch.zeros(items, 0, self.dim, device=seen.device, dtype=seen.dtype)
        else:
            encode = self.ast.encode_pooled if self.has_pooled_sound else self.ast.encode_banks
            audio = _sound_tokens(encode, media)
        return TokenBatch(
            frames=seen,
            frame_mask=media.frame_mask,
            audio=audio,
            audio_mask=media.has_sound[:, None].expand(audio.shape[:2]),
        )


class PaperTowers(nn.Module):
    """A paper's own vision tower on top of CLIP; with AST, one sound vector per frame.

    Differs: ECLIPSE's sound vectors come from a ResNet-18 trained on VGGSound, over 10 s around
    each frame; here they are AST's tokens, averaged over the frame's share of the clip.
    """

    def __init__(self, make: Callable[[Any, int], ClipEncoder], clip: Path, ast: Path | None):
        super().__init__()
        towers = ClipTowers(clip)
        self.tokenizer, self.side_px, self.dim = towers.tokenizer, towers.side_px, towers.dim
        self.ast = AstTower(ast) if ast else None
        self.sound_dim = int(self.ast.model.config.hidden_size) if self.ast else self.dim
        self.tower = make(towers.model, self.sound_dim)

    @property
    def clip_model(self) -> Any:
        """Both towers of CLIP."""
        return self.tower.clip

    def recompute(self) -> None:
        """Not supported: these towers call CLIP's layers one by one. Raises: UsageError."""
        raise UsageError(
            "train.recompute works with plain CLIP and AST, not with a paper's own vision tower; "
            "leave it out, or set train.chunk"
        )

    def encode_query(self, query: WordIds) -> Float[Tensor, "query *token dim"]:
        """Captions encoded by the paper's tower."""
        return self.tower.encode_query(query.ids)

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """Frames encoded by the paper's tower."""
        audio, audio_mask = self._sound_per_frame(media)
        batch = FrameBatch(
            pixels=media.pixels, frame_mask=media.frame_mask, audio=audio, audio_mask=audio_mask
        )
        return self.tower.encode_items(batch)

    def _sound_per_frame(
        self, media: ClipMedia
    ) -> tuple[Float[Tensor, "item sound dim"], Bool[Tensor, "item sound"]]:
        if self.ast is None:
            none = media.pixels.new_zeros(len(media.pixels), 0, self.dim)
            return none, media.frame_mask[:, :0]
        grid = _sound_tokens(self.ast.encode_banks, media).unflatten(1, (self.ast.grid.rows, -1))
        over_time = grid.mean(1).mT  # [item dim column]
        sounds = F.adaptive_avg_pool1d(over_time, media.frame_mask.shape[1]).mT
        return sounds, media.frame_mask & media.has_sound[:, None]


def _sound_tokens(
    encode: Callable[[Tensor], Tensor], media: ClipMedia
) -> Float[Tensor, "item token dim"]:
    """AST's tokens of the clips with sound; zeros, which are masked, for the others.

    Note: AST always encodes one clip at least, so that its gradients exist (as zeros) in a process
    whose batch has no sound.
    """
    with_sound = media.has_sound.nonzero()[:, 0]
    rows = with_sound if len(with_sound) else with_sound.new_zeros(1)
    tokens = encode(media.banks[rows])
    padded = tokens.new_zeros(len(media.banks), *tokens.shape[1:])
    return padded.index_copy(0, rows, tokens)


def _merging(clip: Any, sound_dim: int) -> ClipEncoder:
    config = clip.config.vision_config
    patches = (config.image_size // config.patch_size) ** 2
    return MergingEncoder(clip, clusters=min(KEPT_PATCHES, patches))


VISION_TOWERS: Mapping[str, Callable[[Any, int], ClipEncoder]] = {
    "centerclip": _merging,
    "eclipse": lambda clip, sound_dim: AudioVisualEncoder(clip, sound_dim=sound_dim),
    "ts2net": lambda clip, sound_dim: ShiftingEncoder(clip),
    "xclip": lambda clip, sound_dim: WordsEncoder(clip),
}

POOLED_SOUND = ("tefal.late", "tefal.stack")  # use the mean of AST's first two tokens


def build_towers(model: str, clip: Path, ast: Path | None) -> ClipAst | PaperTowers:
    """Build the towers of a registered model: its paper's own, or plain CLIP and AST."""
    make = VISION_TOWERS.get(model)
    if make:
        return PaperTowers(make, clip, ast)
    return ClipAst(clip, ast, has_pooled_sound=model in POOLED_SOUND)
