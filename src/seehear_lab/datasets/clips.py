"""Video files and captions as training pairs and as a gallery: frames, filter banks, word ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from seehear.encoders.clip import ClipTokenizer, preprocess
from seehear.encoders.filterbank import filter_bank
from seehear.errors import MediaError
from seehear.media import probe, read_clip
from seehear.types import Clip, MediaSpec
from seehear_lab.ablations.tefal_sound import FIXED_SHIFT
from seehear_lab.datasets.batches import Batch, chunks
from seehear_lab.datasets.spec import Pair

Sampler = Literal["segment_middle", "per_second"]
NOTHING_READABLE = "no video of the split can be read; run seehear-lab data check"


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How videos and captions are read; the defaults are X-Pool's and TEFAL's on MSR-VTT."""

    frames: int = 12
    sampler: Sampler = "segment_middle"
    words: int = 77
    crop: bool = False  # random crop and mirroring in training
    shift: Literal["adaptive", "fixed"] = "adaptive"  # of the filter bank
    on_unread: Literal["stop", "skip"] = "stop"  # what to do with an unreadable video
    workers: int = 2  # decoding threads


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipMedia:
    """A batch of videos as the towers take them; `banks` is zero where there is no sound."""

    pixels: Float[Tensor, "item frame 3 side side"]
    frame_mask: Bool[Tensor, "item frame"]
    banks: Float[Tensor, "item row mel"]
    has_sound: Bool[Tensor, " item"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WordIds:
    """A batch of captions as word ids, padded; `mask` is 1 for words and 0 for padding."""

    ids: Int[Tensor, "query word"]
    mask: Int[Tensor, "query word"]


class ClipReader:
    """Reads videos and captions in the form that the towers take."""

    def __init__(self, config: ClipConfig, *, tokenizer: ClipTokenizer, side_px: int) -> None:
        self.config, self.tokenizer, self.side_px = config, tokenizer, side_px
        self.unread: list[str] = []  # unreadable videos, with the reason

    def captions(self, captions: Sequence[str]) -> WordIds:
        """Captions as word ids, truncated to `words`; the end token is always kept."""
        rows = [self._truncate(self.tokenizer.ids(caption)[0]) for caption in captions]
        width = max(map(len, rows))
        ids, mask = np.zeros((2, len(rows), width), np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)], mask[at, : len(row)] = row, 1
        return WordIds(ids=torch.from_numpy(ids), mask=torch.from_numpy(mask))

    def _truncate(self, row: Int[np.ndarray, " word"]) -> Int[np.ndarray, " word"]:
        longest = self.config.words
        return row if len(row) <= longest else np.append(row[: longest - 1], row[-1])

    def videos(self, paths: Sequence[Path], *, seeds: Sequence[int] | None = None) -> ClipMedia:
        """Read files as a batch; `seeds`, one per file, turn on random crops and mirroring.

        Raises: MediaError for a file that cannot be read.
        """
        with ThreadPoolExecutor(max(self.config.workers, 1)) as pool:
            videos = list(pool.map(self._video, paths, seeds or [None] * len(paths)))
        pixels = torch.zeros(len(videos), self.config.frames, 3, self.side_px, self.side_px)
        mask = torch.zeros(pixels.shape[:2], dtype=torch.bool)
        for row, (frames, _, _) in enumerate(videos):
            pixels[row, : len(frames)], mask[row, : len(frames)] = frames, True
        return ClipMedia(
            pixels=pixels,
            frame_mask=mask,
            banks=torch.stack([bank for _, bank, _ in videos]),
            has_sound=torch.tensor([has_sound for _, _, has_sound in videos]),
        )

    def drop_unreadable(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs whose video can be decoded; adds the others to `unread`.

        All pairs, without a check, where `on_unread` is "stop".

        Raises: MediaError if no video can be decoded.
        """
        if self.config.on_unread == "stop":
            return list(pairs)
        with ThreadPoolExecutor(max(self.config.workers, 1)) as pool:
            paths = list(dict.fromkeys(pair.path for pair in pairs))
            checks = zip(paths, pool.map(self._is_readable, paths), strict=True)
            readable = {path for path, is_readable in checks if is_readable}
        if not readable:
            raise MediaError(NOTHING_READABLE)
        return [pair for pair in pairs if pair.path in readable]

    def _is_readable(self, path: Path) -> bool:
        try:
            self._decode(path)
        except MediaError as error:
            self.unread.append(f"{error}")
            return False
        return True

    def _video(self, path: Path, seed: int | None) -> tuple[Tensor, Tensor, bool]:
        clip = self._decode(path)
        frames = clip.frames[: self.config.frames]
        if seed is not None and self.config.crop:
            frames = random_crop(frames, np.random.default_rng(seed))
        has_sound = clip.sound == "sound"
        bank = np.zeros((1024, 128), np.float32)
        if has_sound:
            shift = FIXED_SHIFT if self.config.shift == "fixed" else None
            bank, _ = filter_bank(clip.waveform, shift=shift)
        return preprocess(frames, side_px=self.side_px), torch.from_numpy(bank), has_sound

    def _decode(self, path: Path) -> Clip:
        duration_s = probe(path).duration_s
        if duration_s <= 0:
            raise MediaError(f"the header of {path.name!r} has no duration; copy the file again")
        wanted = self.config.frames
        rate = 1.0 if self.config.sampler == "per_second" else wanted / duration_s
        spec = MediaSpec(
            side_px=self.side_px, frames_per_s=rate, max_frames=wanted, resize="pillow"
        )
        clip = read_clip(path, 0.0, duration_s, spec)
        if not len(clip.frames):
            raise MediaError(f"{path.name!r} has no frames; the data set expects videos")
        return clip


class ClipPairs:
    """Captioned files as training pairs."""

    def __init__(self, pairs: Sequence[Pair], reader: ClipReader) -> None:
        self.pairs, self.reader = pairs, reader

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        """Read some pairs; where `on_unread` is "skip" the next readable pair replaces a bad one.

        Raises: MediaError for an unreadable file where `on_unread` is "stop".
        """
        chosen = [self.pairs[index] for index in indices]
        try:
            media = self.reader.videos([pair.path for pair in chosen], seeds=seeds)
        except MediaError:
            if self.reader.config.on_unread == "stop":
                raise
            chosen = [self._next_readable(index) for index in indices]
            media = self.reader.videos([pair.path for pair in chosen], seeds=seeds)
        query = self.reader.captions([pair.caption for pair in chosen])
        return Batch(query=query, media=media, names=tuple(pair.name for pair in chosen))

    def _next_readable(self, index: int) -> Pair:
        for step in range(len(self.pairs)):
            pair = self.pairs[(index + step) % len(self.pairs)]
            try:
                self.reader.videos([pair.path])
            except MediaError as error:
                self.reader.unread.append(f"{error}")
            else:
                return pair
        raise MediaError(NOTHING_READABLE)


class ClipGallery:
    """Captioned files as a gallery: each file is one item, every caption a query.

    `bank` holds training captions, for hubness corrections that must not use test queries. Where
    `on_unread` is "skip", every file is decoded once now and unreadable ones are dropped.

    Raises: MediaError for a file whose header cannot be read where `on_unread` is "stop".
    """

    def __init__(
        self, pairs: Sequence[Pair], reader: ClipReader, *, bank: Sequence[str] = ()
    ) -> None:
        self.reader, self._bank = reader, bank
        pairs = reader.drop_unreadable(pairs)
        self.paths = list(dict.fromkeys(pair.path for pair in pairs))
        number = {path: at for at, path in enumerate(self.paths)}
        first = {pair.path: pair.name for pair in reversed(pairs)}
        self.item_ids = tuple(first[path] for path in self.paths)
        self.query_ids = tuple(f"{pair.name}#{at}" for at, pair in enumerate(pairs))
        self.target: Int[np.ndarray, " query"] = np.array([number[pair.path] for pair in pairs])
        self.has_sound: Bool[np.ndarray, " item"] = np.array(
            [probe(path).has_audio for path in self.paths]
        )
        self._captions = [pair.caption for pair in pairs]
        self.provenance = tuple(pair.provenance for pair in pairs)

    def queries(self, rows: slice) -> WordIds:
        """Captions as word ids."""
        return self.reader.captions(self._captions[rows])

    def bank_queries(self, size: int = 64) -> Iterator[WordIds]:
        """The captions of the bank as word ids, `size` at a time."""
        for rows in chunks(len(self._bank), size):
            yield self.reader.captions(self._bank[rows])

    def media(self, rows: slice) -> ClipMedia:
        """Files as arrays."""
        return self.reader.videos(self.paths[rows])


def random_crop(
    frames: UInt8[np.ndarray, "frame height width 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "frame crop_height crop_width 3"]:
    """One random crop for all frames, mirrored with probability 1/2.

    Source: X-Pool's public code (scale 0.5 to 1, aspect 3/4 to 4/3).
    """
    height, width = frames.shape[1:3]
    area, aspect = rng.uniform(0.5, 1.0) * height * width, np.exp(rng.uniform(-0.288, 0.288))
    tall = min(round((area / aspect) ** 0.5), height)
    wide = min(round((area * aspect) ** 0.5), width)
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    cut = frames[:, top : top + tall, left : left + wide]
    return np.ascontiguousarray(cut[:, :, ::-1] if rng.random() < 0.5 else cut)
