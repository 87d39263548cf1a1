"""Sound of a file: one channel at one rate, on the clock of the frames."""

from __future__ import annotations

import av
import numpy as np
import soxr
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from jaxtyping import Float32

Samples = Float32[np.ndarray, "sample"]
Source = tuple[int, str, str]  # rate, layout, format of decoded sound
SILENCE = 1e-4
JUMP_S = 0.1  # a timestamp further from the expected one starts a new stretch
SIDE = 0.5**0.5
WEIGHTS = {"FC": 2**0.5, "LFE": 0.0, "LFE2": 0.0} | dict.fromkeys(
    ("BL", "BR", "BC", "SL", "SR"), SIDE
)


def is_silent(waveform: Samples) -> bool:
    """True for digital silence: every sample is below 1e-4."""
    return not np.any(np.abs(waveform) >= SILENCE)


def channel_weights(names: tuple[str, ...]) -> Samples:
    """Weights of a down-mix to mono: centre 1.41, front 1, others 0.71, bass 0, scaled to sum 1.

    Source: ITU-R BS.775, table 2, left plus right.
    """
    weights = np.array([WEIGHTS.get(name, 1.0) for name in names], np.float32)
    return weights / weights.sum() if weights.any() else np.full_like(weights, 1 / len(names))


class SoundTrack:
    """Decodes the packets of one audio stream and keeps its sound until it is discarded.

    Sample k of the track is at k / rate_hz seconds of the file; gaps between packets are zeros.
    """

    def __init__(self, stream: AudioStream, *, rate_hz: int, origin_s: float) -> None:
        self.position_s = 0.0
        self.end_s = 0.0
        self.first_s = np.inf  # time of the first decoded sound
        self.errors = 0
        self._codec = stream.codec_context
        self._tick_s = float(stream.time_base or 0)
        self._rate_hz = rate_hz
        self._origin_s = origin_s
        self._to_float = AudioResampler(format="fltp")
        self._resampler: soxr.ResampleStream | None = None
        self._source: Source = (0, "", "")  # input of the current resampler
        self._next_s = 0.0  # expected time of the next frame
        self._resampled_s = 0.0
        self._waiting: list[Samples] = []  # about a second at the rate of the file
        self._chunks: list[tuple[int, Samples]] = []  # (first sample, samples)
        self._next_sample = 0

    @property
    def has_sound(self) -> bool:
        """True once anything was decoded, even silence."""
        return self.first_s < np.inf

    def feed(self, packet: Packet | None) -> None:
        """Decode a packet; None flushes the decoder."""
        try:
            for frame in self._codec.decode(packet):
                self._take(frame)
        except (FFmpegError, ValueError):
            self.errors += 1

    def finish(self) -> None:
        """Flush the decoder and the resampler."""
        self.feed(None)
        self._resample(is_last=True)

    def take(self, start_s: float, end_s: float) -> Samples:
        """Samples of [start_s, end_s), zeros where there is no sound."""
        first, stop = round(start_s * self._rate_hz), round(end_s * self._rate_hz)
        waveform = np.zeros(stop - first, np.float32)
        for at, chunk in self._chunks:
            low, high = max(at, first), min(at + len(chunk), stop)
            if low < high:
                waveform[low - first : high - first] = chunk[low - at : high - at]
        return waveform

    def drop_before(self, time_s: float) -> None:
        """Discard chunks that end before `time_s`."""
        first = round(time_s * self._rate_hz)
        self._chunks = [(at, chunk) for at, chunk in self._chunks if at + len(chunk) > first]

    def _take(self, frame: av.AudioFrame) -> None:
        if not frame.samples or not frame.sample_rate:
            return
        time_s = self._next_s
        if frame.pts is not None:
            time_s = frame.pts * self._tick_s - self._origin_s
        source = (frame.sample_rate, frame.layout.name, frame.format.name)
        if source != self._source or abs(time_s - self._next_s) > JUMP_S:
            self._restart(time_s, source)
        self._waiting.append(self._mono(frame))
        self._next_s += frame.samples / frame.sample_rate
        self.end_s = max(self.end_s, self._next_s)
        self.first_s = min(self.first_s, time_s)
        if self._next_s - self._resampled_s > 1.0:
            self._resample(is_last=False)

    def _restart(self, time_s: float, source: Source) -> None:
        self._resample(is_last=True)
        if source != self._source:
            self._to_float = AudioResampler(format="fltp")
        self._source = source
        self._resampler = soxr.ResampleStream(source[0], self._rate_hz, 1, dtype="float32")
        self._next_s = self._resampled_s = time_s
        self._next_sample = round(time_s * self._rate_hz)

    def _mono(self, frame: av.AudioFrame) -> Samples:
        weights = channel_weights(tuple(channel.name for channel in frame.layout.channels))
        is_ready = frame.format.name == "fltp"
        planes = [frame] if is_ready else self._to_float.resample(frame)
        return np.concatenate([weights @ plane.to_ndarray() for plane in planes])

    def _resample(self, *, is_last: bool) -> None:
        if self._resampler is None:
            return
        source = np.concatenate([np.zeros(0, np.float32), *self._waiting])
        chunk = self._resampler.resample_chunk(np.nan_to_num(source), last=is_last)
        if is_last:
            self._resampler = None
        self._waiting = []
        self._resampled_s = self._next_s
        self._chunks.append((self._next_sample, chunk))
        self._next_sample += len(chunk)
        self.position_s = max(self.position_s, self._next_sample / self._rate_hz)
