"""Data types shared by all packages: frozen dataclasses on numpy arrays."""

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
Resize = Literal[
    "swscale", "pillow"
]  # fastest, from the decoder's planes | from RGB, equal to Pillow
Paths = Sequence[str | Path] | str | Path  # one path or several


@dataclass(frozen=True, kw_only=True, eq=False)
class MediaSpec:
    """Media format that an engine needs: shorter side (aspect ratio kept), frame and sample rates.

    Both `resize` methods are bicubic; they differ by 1 to 2 of 255 on average, up to 70 at edges.
    """

    side_px: int = 260
    frames_per_s: float = 1.0
    max_frames: int = 32
    sample_rate_hz: int = 16000
    resize: Resize = "swscale"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One stream of a media file, as listed by `probe`."""

    index: int
    kind: Literal["video", "audio", "other"]
    codec: str
    is_default: bool
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """Metadata of a media file, read from its headers."""

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
    """A decoded stretch [start_s, end_s) of a media file: frames with their times, and sound.

    `waveform` is mono at `sample_rate_hz`; its first sample is at `start_s`, and gaps in the sound
    are zeros. It is empty when `sound` is "none".
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
    """Token sequences of a batch of items, padded; a mask is True where there IS a token.

    The audio mask of a silent item is all False. The time of a token is the middle of the stretch
    that it covers, in seconds from the start of the file.
    """

    frames: Num[np.ndarray, "item frame dim"]
    frame_mask: Bool[np.ndarray, "item frame"]
    frame_times_s: Float[np.ndarray, "item frame"]
    audio: Num[np.ndarray, "item sound sound_dim"]
    audio_mask: Bool[np.ndarray, "item sound"]
    audio_times_s: Float[np.ndarray, "item sound"]


@dataclass(frozen=True, kw_only=True)
class Video:
    """One file of a library (video, audio, or both), identified by its content.

    `id` is the hex of the first 16 bytes of its SHA-256. Identical files are one video; the paths
    of the other copies are its `aliases`.
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

    `seen` and `heard` are the stage-1 summary vectors; `heard` is all zeros without audible sound.
    `tokens` and `thumbnail` are set when an item is written, and otherwise read on demand.
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
    """Conditions on the items that a search considers; None sets no condition."""

    folder: str | None = None  # absolute; the folder itself and everything below
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    has_sound: bool | None = None
    av_correspondence: bool | None = None  # per item: the sound belongs to the picture, or not
    added_since_us: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Result of stage 1 for one modality, best first: `scores[i]` belongs to `ids[i]`."""

    ids: tuple[str, ...]
    scores: Float32[np.ndarray, " candidate"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a user searches for: exactly one of a text, an example file and an example item.

    `audio_weight` (0..1) weighs sound against sight; None lets the engine choose.
    """

    text: str = ""
    like: str = ""  # path of a sound, a picture or a clip
    item: str = ""  # id of an item of the library
    mode: Mode = "both"
    audio_weight: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedQuery:
    """A batch of queries as vectors of an engine; `audio_weight` (0..1) weighs sound against sight.

    `is_example` is True for queries made from media, to find similar items, not from text.
    """

    seen: Float32[np.ndarray, "query dim"]
    heard: Float32[np.ndarray, "query sound_dim"]
    audio_weight: Float32[np.ndarray, " query"]
    is_example: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ModalityScores:
    """Contributions of sight and of sound to the scores; NaN where an item lacks the modality."""

    seen: Float32[np.ndarray, "query item"]
    heard: Float32[np.ndarray, "query item"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Why one item matches one query; weights run from 0 to 1 (the best token)."""

    frame_weights: Float32[np.ndarray, " frame"]
    sound_weights: Float32[np.ndarray, " sound"]
    seen_tags: tuple[tuple[str, float], ...]
    heard_tags: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One found moment and why; the contributions `seen` and `heard` add up to `score`.

    With `tags`, and for example queries, a silent item gets the library's average as `heard` (an
    item without frames as `seen`), so a missing modality is neither rewarded nor penalised. With
    `clip-ast` and a text it gets 0. Weights run from 0 to 1, 1 being the best token.
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
    av_correspondence: bool | None = None  # the sound belongs to the picture; None if unknown
    frame_times_s: tuple[float, ...] = ()
    frame_weights: tuple[float, ...] = ()
    sound_times_s: tuple[float, ...] = ()
    sound_weights: tuple[float, ...] = ()
    seen_tags: tuple[tuple[str, float], ...] = ()
    heard_tags: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The hits of one query, best first, and the number of items and videos searched."""

    query: Query
    engine: str
    hits: tuple[Hit, ...]
    items_searched: int
    videos_searched: int
    audio_weight: float  # 0 = scored by sight alone, 1 = by sound alone
    verdict: str  # "" or one sentence, e.g. "nothing matches well"


@dataclass(frozen=True, kw_only=True)
class Status:
    """Engine, counts, failed files and size of a library."""

    root: str
    engine: str
    fingerprint: str
    videos: int
    items: int
    hours: float
    without_sound: int  # videos with no audio stream, or a silent one
    failed: tuple[tuple[str, str], ...]  # path, reason
    size_bytes: int
