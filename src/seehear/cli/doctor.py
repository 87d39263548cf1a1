"""`seehear doctor`: check that indexing and searching work on this machine."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seehear.cli.output import JsonOption, LibraryOption, say, say_json, size
from seehear.errors import LibraryError, ModelError, SeeHearError, counted

if TYPE_CHECKING:
    from seehear.engine import Engine


def doctor(library: LibraryOption, as_json: JsonOption = False) -> None:
    """Check decoder, store, weights and disk; exit code 3 if indexing would not work."""
    checks: dict[str, dict[str, Any]] = {}
    for name, look in (
        ("python", lambda: f"{platform.python_version()} on {platform.system()}"),
        ("decoder", _decoder),
        ("store", lambda: f"Lance {version('pylance')}"),
        ("torchaudio", _torchaudio),
        ("disk", lambda: _disk(library)),
        ("library", lambda: _library(library)),
        ("engine", lambda: _engine(library)),
    ):
        try:
            checks[name] = {"ok": True, "text": look()}
        except SeeHearError as error:
            checks[name] = {"ok": False, "text": str(error)}
    failed = [name for name, check in checks.items() if not check["ok"]]
    if as_json:
        say_json("doctor", {"checks": checks})
    else:
        for name, check in checks.items():
            say(f"{'ok ' if check['ok'] else 'NO '} {name:<11}{check['text']}")
    if failed:
        raise ModelError(f"checks failed: {', '.join(failed)}; see the lines above")


def _decoder() -> str:
    import av

    return f"PyAV {av.__version__}, {len(av.codecs_available)} codecs"


def _torchaudio() -> str:
    if importlib.util.find_spec("torchaudio") is None:
        return "not installed (not needed)"
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError) as error:
        raise ModelError(
            "an installed torchaudio cannot be loaded and breaks transformers; remove it with "
            "'pip uninstall torchaudio' (seehear does not use it)"
        ) from error
    return f"{version('torchaudio')} is installed and loads"


def _disk(root: str) -> str:
    library = Path(tempfile.gettempdir() if root.startswith("s3://") else root)
    library = library.expanduser().absolute()
    place = next(path for path in (library, *library.parents) if path.exists())
    return f"{size(shutil.disk_usage(place).free)} free at {place}"


def _library(root: str) -> str:
    from seehear.library import Library

    if not Library.is_at(root):
        return f"none yet at {root}; create one with 'seehear index FOLDER'"
    with Library.open(root) as opened:
        found = opened.status()
        opened.engine  # noqa: B018  raises if the library's own engine is not loadable
    files, moments = counted(found.videos, "file"), counted(found.items, "moment")
    return f"{files}, {moments}, engine {found.engine}, at {root}"


def _engine(root: str) -> str:
    """Write, decode and encode a one-second clip, and score a text on it."""
    from seehear.media import read_any

    engine = _engine_for(root)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one_second.mp4"
        _write_second(path)
        start = time.perf_counter()
        clip = read_any(path, engine.media)
        tokens = engine.encode_clip(clip)
        parts = engine.score(engine.encode_text("a beep"), tokens)
    taken = time.perf_counter() - start
    if not np.isfinite(parts.seen).all() or not np.isfinite(parts.heard).all():
        raise ModelError(
            f"engine {engine.name!r} returned a score that is not finite; reinstall its weights"
        )
    return (
        f"{engine.name}: {tokens.frames.shape[1]} pictures, {clip.end_s:.0f} s of sound and a "
        f"sentence in {taken:.1f} s"
    )


def _engine_for(root: str) -> Engine:
    """The library's engine, or the default for a new library."""
    from seehear.engine import create_engine
    from seehear.library import Library

    try:
        with Library.open(root) as opened:
            return opened.engine
    except LibraryError:
        return create_engine()


def _write_second(path: Path) -> None:
    """One second of colour bars and a 1 kHz tone as H.264 and AAC."""
    import av

    bars = np.repeat(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]), 80, 0)
    picture = np.broadcast_to(bars.astype(np.uint8), (240, 320, 3))
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, width=320, height=240, pix_fmt="yuv420p")
        audio = container.add_stream("aac", rate=48000, layout="mono")
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        sound.sample_rate = 48000
        container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
