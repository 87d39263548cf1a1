"""Small text, frame and sound towers for digits-av, trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float16, Int, UInt8
from torch import Tensor, nn

from seehear.nn.temporal import PositionedTransformer, ResidualBlock
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True, eq=False)
class DigitsMedia:
    """A batch of clips; banks are ignored where `has_sound` is False."""

    frames: UInt8[Tensor, "item frame side side"]
    banks: Float16[Tensor, "item row mel"]
    has_sound: Bool[Tensor, " item"]


class TextTower(nn.Module):
    """A small transformer over words; the caption's vector is that of its last word."""

    def __init__(self, dim: int, *, words: int, length: int, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, dim)
        self.positions = nn.Parameter(0.1 * torch.randn(length, dim))
        self.blocks = nn.ModuleList(ResidualBlock(dim, heads=4) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, ids: Int[Tensor, "query word"]) -> Float[Tensor, "query dim"]:
        """One vector per caption."""
        mask = ids > 0
        x = self.words(ids) + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        last = mask.sum(1) - 1
        return self.out(self.norm(x[torch.arange(len(x), device=x.device), last]))


class FrameTower(nn.Module):
    """Three strided convolutions over one small grey frame, and a linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(48, 64, 3, stride=2, padding=1),
            nn.GELU(),
        ).to(memory_format=torch.channels_last)
        self.out = nn.Linear(64 * 16, dim)

    def forward(
        self, frames: UInt8[Tensor, "item frame side side"]
    ) -> Float[Tensor, "item frame dim"]:
        """One token per frame, without its time."""
        pixels = frames.flatten(0, 1)[:, None].float() / 128 - 0.5
        return self.out(self.convolutions(pixels).flatten(1)).unflatten(0, frames.shape[:2])


class SoundTower(nn.Module):
    """A small transformer over patches of the filter bank: 0.2 s by half of the mel bins.

    Differs: AST cuts patches with one linear layer; two strided convolutions before that learn
    from far fewer recordings.
    """

    def __init__(self, dim: int, *, rows: int, mels: int, layers: int = 2) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 24, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(48, dim, (4, 8), stride=(4, 8)),
        ).to(memory_format=torch.channels_last)  # a step of `part` takes 0.38 s instead of 0.52
        self.pitches = mels // 32
        self.positions = nn.Parameter(0.1 * torch.randn(self.pitches * (rows // 16), dim))
        self.blocks = nn.ModuleList(ResidualBlock(dim, heads=4) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, banks: Float[Tensor, "item row mel"]) -> Float[Tensor, "item sound dim"]:
        """One token per patch, frequency first."""
        patches = self.convolutions(banks[:, None].float()).transpose(2, 3)
        x = patches.flatten(2).transpose(1, 2) + self.positions
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class DigitsEncoder(nn.Module):
    """The three towers as the encoder of any registered model."""

    def __init__(self, dim: int, *, rows: int, mels: int, words: int, length: int = 12) -> None:
        super().__init__()
        self.text = TextTower(dim, words=words, length=length)
        self.sight = FrameTower(dim)
        self.sound = SoundTower(dim, rows=rows, mels=mels)

    def encode_query(self, query: Int[Tensor, "query word"]) -> Float[Tensor, "query dim"]:
        """One vector per caption."""
        return self.text(query)

    def encode_items(self, media: DigitsMedia) -> TokenBatch:
        """One token per frame and per patch of sound."""
        frames, audio = self.sight(media.frames), self.sound(media.banks)
        return TokenBatch(
            frames=frames,
            frame_mask=torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device),
            audio=audio,
            audio_mask=media.has_sound[:, None].expand(audio.shape[:2]),
        )

    def load_shorter(self, trained: Mapping[str, Tensor]) -> None:
        """Load the weights of towers trained on clips of this length or shorter.

        Position embeddings of the sound are repeated until the end of the clip.
        """
        positions = trained["sound.positions"].unflatten(0, (self.sound.pitches, -1))
        times = len(self.sound.positions) // len(trained["sound.positions"])
        longer = positions.repeat(1, times, 1).flatten(0, 1)
        self.load_state_dict({**trained, "sound.positions": longer})


def start_from_text(temporal: PositionedTransformer, text: TextTower) -> None:
    """Copy layers and positions of a text tower of the same size, as CLIP4Clip does."""
    temporal.position.weight.data.copy_(text.positions.data)
    temporal.blocks.load_state_dict(text.blocks.state_dict())
