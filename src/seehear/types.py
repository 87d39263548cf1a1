"""The nouns of seehear as frozen dataclasses on numpy, without behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Num, UInt8

Sound = Literal["none", "silent", "sound"]  # no audio stream | digital silence | something to hear
Mode = Literal["both", "seen", "heard"]
Confidence = Literal["strong", "fair", "weak"]
Resize = Literal["swscale", "pillow"]  # from the decoder's planes, soonest | from RGB, as Pillow
Paths = Sequence[str | Path] | str | Path  # one place, or several


@dataclass(frozen=True, kw_only=True, eq=False)
class MediaSpec:
    """How an engine wants its media: picture rate, shorter side (aspect kept), sound rate.

    Both ways to `resize` are bicubic; they differ by 1 to 2 of 255 in the mean, up to 70 at edges.
    """

    side_px: int = 260
    frames_per_s: float = 1.0
    max_frames: int = 32
    sample_rate_hz: int = 16000
    resize: Resize = "swscale"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One stream of a media file, as `probe` lists it."""

    index: int
    kind: Literal["video", "audio", "other"]
    codec: str
    is_default: bool
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a file holds, read from its headers: no picture or sound is decoded."""

    path: str
    duration_s: float
    fps: float  # average; 0.0 without pictures
    width: int  # as shown, rotation applied; 0 without pictures
    height: int
    rotation_deg: int
    has_video: bool
    has_audio: bool
    audio_rate_hz: int
    codec: str  # "h264+aac", "h264", "mp3"
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A decoded stretch [start_s, end_s) of a media file: pictures with their times, and sound.

    `waveform` is mono at `sample_rate_hz`, aligned so that its first sample lies at `start_s`
    (stretches without sound inside the clip are zeros); it is empty when `sound` is "none".
    """

    path: str
    start_s: float
    end_s: float
    frames: UInt8[np.ndarray, "frame height width 3"]
    frame_times_s: Float[np.ndarray, " frame"]  # presentation time in the file
    waveform: Float32[np.ndarray, " sample"]
    sample_rate_hz: int
    sound: Sound


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """Stored token sequences of a batch of items, padded; a mask is True where there IS a token.

    A silent item has an audio mask that is all False. Times are the middle of what a token covers,
    in seconds of the file.
    """

    frames: Num[np.ndarray, "item frame dim"]
    frame_mask: Bool[np.ndarray, "item frame"]
    frame_times_s: Float[np.ndarray, "item frame"]
    audio: Num[np.ndarray, "item sound sound_dim"]
    audio_mask: Bool[np.ndarray, "item sound"]
    audio_times_s: Float[np.ndarray, "item sound"]


@dataclass(frozen=True, kw_only=True)
class Video:
    """One file of a library (pictures, sound, or both), known by its content.

    `id` is the hex of the first 16 bytes of its SHA-256; identical files collapse into one video
    whose other paths are `aliases`.
    """

    id: str
    path: str
    sha256: str
    size_bytes: int
    mtime_us: int
    duration_s: float
    fps: float
    width: int
    height: int
    codec: str
    sound: Sound
    audio_rate_hz: int
    added_us: int
    items: int  # number of items it was cut into
    note: str = ""  # e.g. "truncated: 61.2 s of 120.0 s could be read"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One indexed stretch [start_s, end_s) of a video.

    `seen` and `heard` are the summary vectors of stage 1; `heard` is all zeros when there is
    nothing to hear. `tokens` and `thumbnail` are present when an item is put, and read on demand.
    """

    id: str  # "<video id>-<segment, 4 digits>"
    video_id: str
    start_s: float
    end_s: float
    sound: Sound
    seen: Float[np.ndarray, " dim"]
    heard: Float[np.ndarray, " sound_dim"]
    has_frames: bool = True
    tokens: Tokens | None = None  # a batch of one
    thumbnail: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which videos a search may look at; every field narrows, the default lets all pass."""

    folder: str | None = None  # absolute; the folder itself and everything below
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    has_sound: bool | None = None
    av_correspondence: bool | None = (
        None  # of moments, not files: sound that fits the picture, or not
    )
    added_since_us: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Survivors of one list of stage 1, best first: `scores[i]` belongs to `ids[i]`."""

    ids: tuple[str, ...]
    scores: Float32[np.ndarray, " candidate"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a user asks with: a text, a file, or an item that is like the wanted ones (one of them).

    `audio_weight` (0..1) weighs sound against sight; None leaves it to the engine.
    """

    text: str = ""
    like: str = ""  # path of a sound, a picture or a clip
    item: str = ""  # id of an item of the library
    mode: Mode = "both"
    audio_weight: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedQuery:
    """A batch of queries in an engine's space; `audio_weight` (0..1) weighs sound against sight.

    `is_example`: made from media, to find what is like it, not from words.
    """

    seen: Float32[np.ndarray, "query dim"]
    heard: Float32[np.ndarray, "query sound_dim"]
    audio_weight: Float32[np.ndarray, " query"]
    is_example: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ModalityScores:
    """What sight and what sound contribute; NaN where an item has nothing to see or to hear."""

    seen: Float32[np.ndarray, "query item"]
    heard: Float32[np.ndarray, "query item"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where one query found its match inside one item; weights run from 0 to 1 (the best token)."""

    frame_weights: Float32[np.ndarray, " frame"]
    sound_weights: Float32[np.ndarray, " sound"]
    seen_tags: tuple[tuple[str, float], ...]
    heard_tags: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One found moment and why; the contributions `seen` and `heard` add up to `score`.

    With `tags`, and by example, a silent item gets the library's average for `heard` (an item
    without pictures for `seen`), so that it is neither rewarded nor punished; with `clip-ast` and
    words it gets 0 and the other modality decides. Weights run from 0 to 1, 1 being the best token.
    """

    rank: int
    item_id: str
    video_id: str
    path: str
    aliases: tuple[str, ...]
    start_s: float
    end_s: float
    score: float
    confidence: Confidence
    seen: float
    heard: float
    sound: Sound
    av_correspondence: bool | None = None  # whether it belongs to the picture; None: not known
    frame_times_s: tuple[float, ...] = ()
    frame_weights: tuple[float, ...] = ()
    sound_times_s: tuple[float, ...] = ()
    sound_weights: tuple[float, ...] = ()
    seen_tags: tuple[tuple[str, float], ...] = ()
    heard_tags: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The hits of one query, best first, and what they were drawn from."""

    query: Query
    engine: str
    hits: tuple[Hit, ...]
    items_searched: int
    videos_searched: int
    audio_weight: float  # 0 = judged by sight alone, 1 = by sound alone
    verdict: str  # "" or one sentence, e.g. that nothing matches well


@dataclass(frozen=True, kw_only=True)
class Status:
    """What a library holds."""

    root: str
    engine: str
    fingerprint: str
    videos: int
    items: int
    hours: float
    without_sound: int  # videos with no audio stream, or a silent one
    failed: tuple[tuple[str, str], ...]  # path, reason
    size_bytes: int
