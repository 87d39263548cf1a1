"""Synthetic videos, items and tokens, the same for the same name."""

import hashlib
from typing import Any

import numpy as np

from seehear.types import Item, Tokens, Video

MODEL: dict[str, object] = {"engine": "made-up", "fingerprint": "0123456789abcdef" * 4}
SEEN, HEARD = 12, 5
TABLES = ["videos", "emb__0123456789ab", "tok__0123456789ab", "media"]

Put = tuple[Video, list[Item]]


def make_tokens(seed: int, *, frames: int, sounds: int, dtype: str = "f2") -> Tokens:
    rng = np.random.default_rng(seed)
    return Tokens(
        frames=(20 * rng.standard_normal((1, frames, SEEN))).astype(dtype),
        frame_mask=np.ones((1, frames), bool),
        frame_times_s=np.arange(frames, dtype=np.float32)[None] + 0.5,
        audio=(20 * rng.standard_normal((1, sounds, HEARD))).astype(dtype),
        audio_mask=np.ones((1, sounds), bool),
        audio_times_s=np.arange(sounds, dtype=np.float32)[None] + 0.25,
    )


def make_video(name: str, *, items: int = 2, take: int = 0, **changes: Any) -> Put:
    """Make a video with its items; another `take` has other content and the same id."""
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    video = Video(
        **{
            "id": sha256[:32],
            "path": f"/films/{name}.mp4",
            "sha256": sha256,
            "size_bytes": 1000 + take,
            "mtime_us": 1_700_000_000_000_000,
            "duration_s": 16.1 * items,
            "fps": 23.976,
            "width": 640,
            "height": 360,
            "codec": "h264+aac",
            "sound": "sound",
            "audio_rate_hz": 44100,
            "added_us": 1_800_000_000_000_000,
            "items": items,
            **changes,
        }
    )
    rng = np.random.default_rng([int(sha256[:8], 16), take])
    return video, [_make_item(video, position, take, rng) for position in range(items)]


def _make_item(video: Video, position: int, take: int, rng: np.random.Generator) -> Item:
    has_sound = video.sound == "sound"
    return Item(
        id=f"{video.id}-{position:04}",
        video_id=video.id,
        start_s=16.1 * position,
        end_s=16.1 * (position + 1),
        sound=video.sound,
        seen=rng.standard_normal(SEEN).astype(np.float16),
        heard=rng.standard_normal(HEARD).astype(np.float16) if has_sound else np.zeros(HEARD),
        has_frames=video.width > 0,
        tokens=make_tokens(
            int(rng.integers(1 << 30)), frames=1 + position % 3, sounds=3 * has_sound
        ),
        thumbnail=f"{video.path} {position} {take}".encode(),
    )


def five() -> list[Put]:
    """Five videos with nine items: three with sound, one silent, one without an audio stream."""
    return [
        make_video("a", items=1),
        make_video("b", items=2, sound="silent"),
        make_video("c", items=3, path="/films/more/c.mp4", duration_s=300.0),
        make_video("d", items=2, sound="none", added_us=1_900_000_000_000_000),
        make_video("e", items=1, width=0, height=0, aliases=("/sounds/e.mp4",)),
    ]
