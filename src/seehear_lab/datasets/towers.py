"""CLIP and AST as towers that learn: the encoder of any registered model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTowers, Words
from seehear.encoders.clip_frames import ClipEncoder, FrameBatch
from seehear.errors import UsageError
from seehear.models.centerclip import MergingEncoder
from seehear.models.eclipse import ListeningEncoder
from seehear.models.ts2net import ShiftingEncoder
from seehear.models.xclip import WordsEncoder
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.clips import ClipMedia, WordIds

KEPT_PATCHES = 49  # of each group of frames, in CenterCLIP with ViT-B/32


class ClipAst(nn.Module):
    """CLIP over frames and captions, AST over filter banks; without AST nothing is heard.

    Sounds come as patches; with `is_whole` as AST's class and distillation token.
    """

    def __init__(self, clip: Path, ast: Path | None, *, is_whole: bool = False) -> None:
        super().__init__()
        self.is_whole = is_whole
        self.clip = ClipTowers(clip)
        self.ast = AstTower(ast) if ast else None

    @property
    def clip_model(self) -> Any:
        """Both towers of CLIP."""
        return self.clip.model

    @property
    def words(self) -> Words:
        """Captions as CLIP reads them."""
        return self.clip.words

    @property
    def side_px(self) -> int:
        """Side of a picture."""
        return self.clip.side_px

    @property
    def dim(self) -> int:
        """Size of the space of captions and frames."""
        return self.clip.dim

    @property
    def sound_dim(self) -> int:
        """Size of a sound token; that of a frame where there is no AST."""
        return int(self.ast.model.config.hidden_size) if self.ast else self.dim

    def recompute(self) -> None:
        """Keep no activations inside the towers; they run again when gradients are asked for."""
        for model in (self.clip.model, *([self.ast.model] if self.ast else [])):
            newer = getattr(model, "activation_checkpointing_enable", None)  # its name in 5.23
            (newer or model.gradient_checkpointing_enable)()

    def encode_query(self, query: WordIds) -> Float[Tensor, "query dim"]:
        """The projected end token of each caption."""
        output = self.clip.model.get_text_features(input_ids=query.ids, attention_mask=query.mask)
        return output.pooler_output

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """The projected class token of each frame, the tokens of the sound."""
        items, frames = media.pixels.shape[:2]
        seen = self.clip.encode_pixels(media.pixels.flatten(0, 1)).unflatten(0, (items, frames))
        if self.ast is None:
            audio = torch.zeros(items, 0, self.dim, device=seen.device, dtype=seen.dtype)
        else:
            encode = self.ast.encode_whole if self.is_whole else self.ast.encode_banks
            audio = _heard(encode, media)
        return TokenBatch(
            frames=seen,
            frame_mask=media.frame_mask,
            audio=audio,
            audio_mask=media.has_sound[:, None].expand(audio.shape[:2]),
        )


class Composed(nn.Module):
    """A paper's own picture tower around a CLIP; with AST, each frame has one vector of sound.

    Differs: ECLIPSE takes the vectors from a ResNet-18 trained on VGGSound, over 10 s around each
    frame; here they are AST's tokens, averaged over the frame's share of the clip.
    """

    def __init__(self, make: Callable[[Any, int], ClipEncoder], clip: Path, ast: Path | None):
        super().__init__()
        towers = ClipTowers(clip)
        self.words, self.side_px, self.dim = towers.words, towers.side_px, towers.dim
        self.ast = AstTower(ast) if ast else None
        self.sound_dim = int(self.ast.model.config.hidden_size) if self.ast else self.dim
        self.tower = make(towers.model, self.sound_dim)

    @property
    def clip_model(self) -> Any:
        """Both towers of CLIP."""
        return self.tower.clip

    def recompute(self) -> None:
        """Raises: UsageError, as these towers call CLIP's blocks part by part."""
        raise UsageError(
            "train.recompute works on plain CLIP and AST, not on a paper's own picture tower; "
            "leave it out, or set train.chunk"
        )

    def encode_query(self, query: WordIds) -> Float[Tensor, "query *token dim"]:
        """Captions as the paper's tower gives them."""
        return self.tower.encode_query(query.ids)

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """Frames as the paper's tower gives them."""
        audio, audio_mask = self._sounds(media)
        batch = FrameBatch(
            pixels=media.pixels, frame_mask=media.frame_mask, audio=audio, audio_mask=audio_mask
        )
        return self.tower.encode_items(batch)

    def _sounds(
        self, media: ClipMedia
    ) -> tuple[Float[Tensor, "item sound dim"], Bool[Tensor, "item sound"]]:
        if self.ast is None:
            nothing = media.pixels.new_zeros(len(media.pixels), 0, self.dim)
            return nothing, media.frame_mask[:, :0]
        grid = _heard(self.ast.encode_banks, media).unflatten(1, (self.ast.grid.rows, -1))
        over_time = grid.mean(1).mT  # [item dim column]
        sounds = F.adaptive_avg_pool1d(over_time, media.frame_mask.shape[1]).mT
        return sounds, media.frame_mask & media.has_sound[:, None]


def _heard(encode: Callable[[Tensor], Tensor], media: ClipMedia) -> Float[Tensor, "item token dim"]:
    """AST's tokens of the clips that sound; zeros, which masks cover, where nothing is to hear.

    Note: of a batch without any sound AST gets one clip, so that it has gradients (of zero) for
    the other processes to add to.
    """
    sounding = media.has_sound.nonzero()[:, 0]
    rows = sounding if len(sounding) else sounding.new_zeros(1)
    tokens = encode(media.banks[rows])
    heard = tokens.new_zeros(len(media.banks), *tokens.shape[1:])
    return heard.index_copy(0, rows, tokens)


def _merging(clip: Any, sound_dim: int) -> ClipEncoder:
    config = clip.config.vision_config
    patches = (config.image_size // config.patch_size) ** 2
    return MergingEncoder(clip, clusters=min(KEPT_PATCHES, patches))


PICTURE_TOWERS: Mapping[str, Callable[[Any, int], ClipEncoder]] = {
    "centerclip": _merging,
    "eclipse": lambda clip, sound_dim: ListeningEncoder(clip, sound_dim=sound_dim),
    "ts2net": lambda clip, sound_dim: ShiftingEncoder(clip),
    "xclip": lambda clip, sound_dim: WordsEncoder(clip),
}

HEARD_WHOLE = ("tefal.late", "tefal.stack")  # one vector of sound: the mean of AST's first two


def towers_of(model: str, clip: Path, ast: Path | None) -> ClipAst | Composed:
    """The towers that a registered model is trained on: its paper's own, or plain CLIP and AST."""
    make = PICTURE_TOWERS.get(model)
    return Composed(make, clip, ast) if make else ClipAst(clip, ast, is_whole=model in HEARD_WHOLE)
