"""digits-av as training pairs and as a gallery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from seehear_lab.datasets.batches import Batch
from seehear_lab.datasets.digits_av import DigitClips, caption, vocabulary, word_ids
from seehear_lab.datasets.digits_towers import DigitsEncoder, DigitsMedia


def digits_media(
    clips: DigitClips, seen: Int[np.ndarray, " item"], heard: Int[np.ndarray, " item"]
) -> DigitsMedia:
    """Frames of the clips `seen` with the sound of the clips `heard`."""
    return DigitsMedia(
        frames=torch.from_numpy(clips.frames[seen]),
        banks=torch.from_numpy(clips.banks[heard]),
        has_sound=torch.from_numpy(clips.has_sound[heard] > 0),
    )


class DigitPairs:
    """Training pairs: the frames of one clip with the sound of another, chosen by the seed.

    Frames are shifted by up to 2 pixels, sound by up to 75 ms and in loudness. `is_muted` removes
    all sound, also from captions. `is_shuffled` puts the slots into a new order every time, and
    makes every second pair a hard negative: the clip before it in another order.
    """

    def __init__(
        self, clips: DigitClips, *, is_muted: bool = False, is_shuffled: bool = False
    ) -> None:
        self.clips = mute(clips) if is_muted else clips
        self.is_shuffled = is_shuffled

    def __len__(self) -> int:
        return len(self.clips)

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        """Read clips by number; the seeds choose sounds, shifts and orders."""
        draws = [np.random.default_rng(seed) for seed in seeds]
        seen = np.array(indices)
        heard = np.array([rng.integers(len(self)) for rng in draws])
        if self.is_shuffled:
            seen, heard = (each[::2].repeat(2)[: len(each)] for each in (seen, heard))
        media = digits_media(self.clips, seen, heard)
        captions = []
        for row, rng in enumerate(draws):
            down, right, later = rng.integers((-2, -2, -6), (3, 3, 7)).tolist()
            media.frames[row] = media.frames[row].roll((down, right), (1, 2))
            media.banks[row] = media.banks[row].roll(later, 0) + rng.normal(0, 0.1)
            named = self.clips.shown_named[seen[row]], self.clips.said_named[heard[row]]
            if self.is_shuffled:
                parts = (self.clips.shown[seen[row]], media.frames[row])
                sounds = (self.clips.said[heard[row]], media.banks[row])
                named = tuple(
                    shuffle(*each, rng=rng, named=len(own))
                    for each, own in zip((parts, sounds), named, strict=True)
                )
            captions.append(caption(*named))
        return Batch(
            query=torch.from_numpy(word_ids(captions)),
            media=media,
            names=tuple(f"{a}+{b}" for a, b in zip(seen, heard, strict=True)),
        )


def shuffle(
    digits: Int[np.ndarray, " slot"], sequence: Tensor, *, rng: np.random.Generator, named: int
) -> Int[np.ndarray, " named"]:
    """Shuffle the slots of a sequence in place; return `named` consecutive digits of it."""
    order, first = rng.permutation(len(digits)), rng.integers(len(digits) - named + 1)
    sequence.copy_(sequence.unflatten(0, (len(digits), -1))[order].flatten(0, 1))
    return digits[order][first : first + named]


class DigitGallery:
    """A split as a gallery: every clip with its own sound and its own caption."""

    def __init__(self, clips: DigitClips, *, is_muted: bool = False) -> None:
        self.clips = clips = mute(clips) if is_muted else clips
        self.item_ids = tuple(f"clip{number}" for number in range(len(clips)))
        self.query_ids = tuple(f"caption{number}" for number in range(len(clips)))
        self.target: Int[np.ndarray, " query"] = np.arange(len(clips))
        self.has_sound: Bool[np.ndarray, " item"] = clips.has_sound > 0

    def queries(self, rows: slice) -> torch.Tensor:
        """Captions as word ids."""
        numbers = range(*rows.indices(len(self.clips)))
        return torch.from_numpy(word_ids([self.clips.caption(number) for number in numbers]))

    def media(self, rows: slice) -> DigitsMedia:
        """Clips as arrays."""
        numbers = np.arange(*rows.indices(len(self.clips)))
        return digits_media(self.clips, numbers, numbers)


def digits_encoder(clips: DigitClips, *, dim: int = 64) -> DigitsEncoder:
    """New towers of the right sizes for the clips."""
    _, rows, mels = clips.banks.shape
    return DigitsEncoder(dim, rows=rows, mels=mels, words=len(vocabulary()) + 1)


def mute(clips: DigitClips) -> DigitClips:
    """The same frames without sound."""
    silence = {"has_sound": np.zeros_like(clips.has_sound)}
    silence |= {"said_named": np.full_like(clips.said_named, -1)}
    return DigitClips(**(vars(clips) | silence))
