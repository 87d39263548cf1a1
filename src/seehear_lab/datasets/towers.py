"""CLIP and AST as towers that learn: the encoder of any registered model."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTowers
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.clips import ClipMedia, WordIds


class ClipAst(nn.Module):
    """CLIP over frames and captions, AST over filter banks; without AST nothing is heard."""

    def __init__(self, clip: Path, ast: Path | None) -> None:
        super().__init__()
        self.clip = ClipTowers(clip)
        self.ast = AstTower(ast) if ast else None

    @property
    def dim(self) -> int:
        """Size of the space of captions and frames."""
        return self.clip.dim

    @property
    def sound_dim(self) -> int:
        """Size of a sound token; that of a frame where there is no AST."""
        return int(self.ast.model.config.hidden_size) if self.ast else self.dim

    def encode_query(self, query: WordIds) -> Float[Tensor, "query dim"]:
        """The projected end token of each caption."""
        output = self.clip.model.get_text_features(input_ids=query.ids, attention_mask=query.mask)
        return output.pooler_output

    def encode_items(self, media: ClipMedia) -> TokenBatch:
        """The projected class token of each frame, the patches of the sound."""
        items, frames = media.pixels.shape[:2]
        seen = self.clip.encode_pixels(media.pixels.flatten(0, 1)).unflatten(0, (items, frames))
        if self.ast is None:
            audio = torch.zeros(items, 0, self.dim, device=seen.device, dtype=seen.dtype)
        else:
            audio = self.ast.encode_banks(media.banks)
        return TokenBatch(
            frames=seen,
            frame_mask=media.frame_mask,
            audio=audio,
            audio_mask=media.has_sound[:, None].expand(audio.shape[:2]),
        )
