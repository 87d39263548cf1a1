"""How fast a library takes items in and finds them, compared with plain numpy on the same vectors.

    python benchmarks/store.py [--quick] [--json FILE]

Vectors are made up: clustered directions with a common mean. Every video has one item.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np

from _report import arguments, percentiles_ms, report
from seehear.store import Store
from seehear.types import Item, Tokens, Video

SEEN, HEARD, TOKENS, THUMBNAIL = 1000, 521, 8, 8000
BATCH, QUERIES, K, CANDIDATES = 64, 200, 200, 100


def clustered(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    centres = rng.standard_normal((64, dim)) + 1.0
    vectors = centres[rng.integers(0, 64, rows)] + 0.5 * rng.standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def made_video(number: int, *, items: int = 1, seconds: float = 10.0) -> Video:
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return Video(
        id=sha256[:32],
        path=f"/films/{number // 100}/{number}.mp4",
        sha256=sha256,
        size_bytes=number,
        mtime_us=number,
        duration_s=seconds,
        fps=25.0,
        width=640,
        height=360,
        codec="h264+aac",
        sound="sound",
        audio_rate_hz=44100,
        added_us=number,
        items=items,
    )


def one_item(frames: np.ndarray, audio: np.ndarray) -> Tokens:
    """A batch of one."""
    return Tokens(
        frames=frames[None],
        frame_mask=np.ones((1, len(frames)), bool),
        frame_times_s=np.arange(len(frames), dtype=np.float32)[None],
        audio=audio[None],
        audio_mask=np.ones((1, len(audio)), bool),
        audio_times_s=np.arange(len(audio), dtype=np.float32)[None],
    )


def make(
    number: int, seen: np.ndarray, heard: np.ndarray, noise: np.ndarray
) -> tuple[Video, list[Item]]:
    video = made_video(number)
    frames, audio = noise[:, :SEEN] + seen, noise[:, SEEN:] + heard
    tokens = one_item(frames, audio)
    item = Item(
        id=f"{video.id}-0000",
        video_id=video.id,
        start_s=0.0,
        end_s=10.0,
        sound="sound",
        seen=seen,
        heard=heard,
        tokens=tokens,
        thumbnail=np.random.default_rng(number).bytes(THUMBNAIL),
    )
    return video, [item]


def main() -> None:
    asked = arguments(__doc__.splitlines()[0])
    count = 2_000 if asked.quick else 20_000
    rng = np.random.default_rng(0)
    vectors = {"seen": clustered(rng, count, SEEN), "heard": clustered(rng, count, HEARD)}
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder) / "library", count, vectors, rng)
    report(rows, packages=["pylance", "pyarrow", "numpy"], to=asked.json)


def measure(
    root: Path, count: int, vectors: dict[str, np.ndarray], rng: np.random.Generator
) -> list[tuple[str, float, str]]:
    noise = (0.01 * rng.standard_normal((TOKENS, SEEN + HEARD))).astype(np.float16)
    model = {"engine": "made-up", "fingerprint": "0" * 64}
    store = Store.create(root, model=model, seen_dim=SEEN, heard_dim=HEARD)
    batches_s: list[float] = []
    for at in range(0, count, BATCH):
        numbers = range(at, min(at + BATCH, count))
        videos = [make(n, vectors["seen"][n], vectors["heard"][n], noise) for n in numbers]
        begun = time.perf_counter()
        store.put(videos)
        batches_s.append(time.perf_counter() - begun)
    rows = [
        ("items", count, ""),
        ("insert, durable, batches of 64 videos", count / sum(batches_s), "items/s"),
        ("insert, first ten batches, median", 1000 * float(np.median(batches_s[:10])), "ms"),
        ("insert, last ten batches, median", 1000 * float(np.median(batches_s[-10:])), "ms"),
        ("size as written", store.size_bytes() / count, "B/item"),
        ("of which token arrays", TOKENS * (2 * (SEEN + HEARD) + 8), "B/item"),
        ("of which thumbnail", THUMBNAIL, "B/item"),
    ]
    rows += reopened("reopen to first answer", root, vectors)
    begun = time.perf_counter()
    store.maintain()
    rows.append(("maintenance", time.perf_counter() - begun, "s"))
    rows += reopened("reopen to first answer, maintained", root, vectors)
    store.close()
    with Store.open(root) as reader:
        return rows + searched(reader, vectors)


def reopened(what: str, root: Path, vectors: dict[str, np.ndarray]) -> list[tuple[str, float, str]]:
    begun = time.perf_counter()
    with Store.open(root) as store:
        store.nearest("seen", vectors["seen"][0].astype(np.float32), k=K)
    return [(what, 1000 * (time.perf_counter() - begun), "ms")]


def searched(store: Store, vectors: dict[str, np.ndarray]) -> list[tuple[str, float, str]]:
    rows: list[tuple[str, float, str]] = []
    for column in ("seen", "heard"):
        whole = vectors[column].astype(np.float32)
        rng = np.random.default_rng(1)
        noise = 0.02 * rng.standard_normal((QUERIES, whole.shape[1]))
        queries = (whole[rng.integers(0, len(whole), QUERIES)] + noise).astype(np.float32)
        ours = percentiles_ms(lambda i: store.nearest(column, queries[i], k=K), QUERIES)  # noqa: B023
        plain = percentiles_ms(lambda i: exact(whole, queries[i]), QUERIES)  # noqa: B023
        rows += [
            (f"nearest {K} {column}, p50", ours[0], "ms"),
            (f"nearest {K} {column}, p95", ours[1], "ms"),
            (f"numpy exact {K} {column}, p50", plain[0], "ms"),
            (f"numpy exact {K} {column}, p95", plain[1], "ms"),
        ]
    ids = np.array(store.summaries().ids)
    chosen = [np.random.default_rng(i).choice(ids, CANDIDATES).tolist() for i in range(20)]
    store.tokens(chosen[0])
    read = percentiles_ms(lambda i: store.tokens(chosen[i]), len(chosen))
    return [*rows, (f"tokens of {CANDIDATES} items, p50", read[0], "ms"), ("  p95", read[1], "ms")]


def exact(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    scores = vectors @ query
    best = np.argpartition(-scores, K)[:K]
    return best[np.argsort(-scores[best])]


if __name__ == "__main__":
    main()
