"""Part of ingest.py: one pass of `decode_items` against the usual research pipeline.

The usual one seeks with OpenCV to every frame and decodes the sound a second time through PyAV.
Both sides deliver the same times (one picture a second, 260 pixels high) and 16 kHz mono sound.
Each side runs in a separate process, in turns; the best run counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

FLOOR = 2.0
SIDE_PX, RATE_HZ = 260, 16000
LOOP_S, FPS = 20, 25  # the long file repeats a stretch of two groups of 250 pictures


def decode_rows(clips: list[Path], *, long_s: int, rounds: int) -> list[dict[str, float | str]]:
    """One row for all clips together (if any) and one for a long file made here."""
    jobs = {f"{len(clips)} clips": clips} if clips else {}
    jobs[f"720p H.264, {long_s} s"] = [long_file(long_s)]
    return [_row(name, files, rounds) for name, files in jobs.items()]


def _row(name: str, files: list[Path], rounds: int) -> dict[str, float | str]:
    ours, usual = [], []
    for _ in range(rounds):
        ours.append(_run("ours", files, {}))
        usual.append(_run("usual", files, ours[-1]["times_s"]))
    row: dict[str, float | str] = {"name": name, "frames": ours[0]["frames"]}
    for key in ("wall_s", "cpu_s", "peak_mb"):
        row[f"ours_{key}"] = min(run[key] for run in ours)
        row[f"usual_{key}"] = min(run[key] for run in usual)
        row[f"{key}_ratio"] = row[f"usual_{key}"] / row[f"ours_{key}"]
    return row


def _run(side: str, files: list[Path], times_s: dict[str, list[float]]) -> dict:
    job = json.dumps({"side": side, "files": [str(file) for file in files], "times_s": times_s})
    command = [sys.executable, __file__]
    done = subprocess.run(command, input=job, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _work(job: dict) -> dict:
    decode = _ours if job["side"] == "ours" else _usual
    decode(job["files"][0], job["times_s"].get(job["files"][0], []))  # imports and caches
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    times_s = {file: decode(file, job["times_s"].get(file, [])) for file in job["files"]}
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    frames = sum(map(len, times_s.values()))
    run = {"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": _peak_mb()}
    return run | {"frames": frames, "times_s": times_s}


def _ours(file: str, _: list[float]) -> list[float]:
    from seehear.media import decode_items
    from seehear.types import MediaSpec

    spec = MediaSpec(side_px=SIDE_PX, sample_rate_hz=RATE_HZ)
    return [float(at) for clip in decode_items(Path(file), spec) for at in clip.frame_times_s]


def _usual(file: str, times_s: list[float]) -> list[float]:
    import cv2

    film = cv2.VideoCapture(file)
    fps, frames = film.get(cv2.CAP_PROP_FPS), []
    for at in times_s:
        film.set(cv2.CAP_PROP_POS_FRAMES, round(at * fps))
        is_read, frame = film.read()
        if is_read:
            height, width = frame.shape[:2]
            scale = SIDE_PX / min(height, width)
            size = (round(width * scale), round(height * scale))
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            frames.append(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC))
    film.release()
    np.stack(frames), _usual_sound(file)
    return times_s


def _usual_sound(file: str) -> np.ndarray:
    import av

    with av.open(file) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
        frames = [r for f in container.decode(audio=0) for r in resampler.resample(f)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def long_file(seconds: int) -> Path:
    path = Path(tempfile.gettempdir()) / f"seehear-bench-720p-{seconds}s.mp4"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        _write_long_file(unfinished, seconds)
        unfinished.rename(path)
    return path


def _write_long_file(path: Path, seconds: int) -> None:
    """A moving texture with a cut every 10 s, encoded once and repeated; hissing sound."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        video.options = {"preset": "veryfast", "crf": "23", "x264-params": "keyint=250:scenecut=0"}
        audio = container.add_stream("aac", rate=48000, layout="stereo")
        loop = [p for frame in _texture(av) for p in video.encode(frame)] + video.encode(None)
        base, stamps = Fraction(1, FPS), [(p.pts, p.dts) for p in loop]
        noise = np.random.default_rng(0).normal(0, 0.1, (2, 48000)).astype(np.float32)
        for second in range(seconds):
            if second % LOOP_S == 0:
                for packet, (pts, dts) in zip(loop, stamps, strict=True):
                    packet.stream, packet.time_base = video, base
                    packet.pts, packet.dts = pts + second * FPS, dts + second * FPS
                    container.mux(packet)
            frame = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
            frame.rate, frame.pts, frame.time_base = 48000, second * 48000, Fraction(1, 48000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def _texture(av):
    random = np.random.default_rng(1)
    for shot in range(2):
        coarse = random.integers(0, 255, (30, 50, 3), dtype=np.uint8)
        fine = random.integers(0, 24, (1000, 1800, 3), dtype=np.uint8)
        picture = np.kron(coarse, np.ones((40, 40, 1), np.uint8))[:1000, :1800] // 4 * 3 + fine
        for step in range(10 * FPS):
            x, y = 2 * step, 100 + round(100 * np.sin(step / 20)) + shot
            yield av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture[y : y + 720, x % 500 : x % 500 + 1280]), "rgb24"
            )


def clips() -> list[Path]:
    """The shared clips; none where they are absent."""
    root = Path(__file__).resolve().parents[2] / "shared"
    return sorted(Path(os.environ.get("SEEHEAR_TEST_DATA", root)).glob("media/*/*.*"))


if __name__ == "__main__":
    print(json.dumps(_work(json.load(sys.stdin))))
