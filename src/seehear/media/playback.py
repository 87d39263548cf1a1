"""Decode an opened file in one pass into clips of frames and sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from jaxtyping import Float, UInt8

from seehear.errors import MediaError, counted
from seehear.media.container import check_streams, duration_s, origin_s
from seehear.media.pictures import FrameScaler, PictureTrack, pixel_aspect
from seehear.media.samplers import nearest_indices, per_second_times
from seehear.media.shots import LONGEST_S, split_evenly
from seehear.media.sound import Samples, SoundTrack, is_silent
from seehear.types import Clip, MediaSpec, Sound

SOUND_LAG_S = 10.0  # sound stored more than this after its frames is lost
PICTURE_LAG_S = 600.0  # longer, for slides: waiting sound takes only 64 kB per second
MAX_JUMP_S = 3600.0  # a timestamp that jumps further ahead is damage
END_SLACK_S = 0.5  # headers and last samples differ by this much in sound files
MIN_BYTES_PER_S = 10  # a file that claims to be longer than its bytes allow is damaged
DEMUX_RETRIES = 16

Frames = UInt8[np.ndarray, "frame height width 3"]
Times = Float[np.ndarray, "frame"]


class Playback:
    """One pass over the frames and the sound of a file, from which clips are taken."""

    def __init__(
        self,
        path: Path,
        container: InputContainer,
        spec: MediaSpec,
        *,
        wanted_s: Iterator[float] | None = None,
        only_sound: bool = False,
    ) -> None:
        video, audio = check_streams(path, container)
        self.path = path
        self.stated_s = duration_s(container)
        self._container = container
        self._spec = spec
        self._origin_s = origin_s(container)
        self.pictures: PictureTrack | None = None
        self.sound: SoundTrack | None = None
        self._tracks: dict[int, PictureTrack | SoundTrack] = {}
        if video and not only_sound:
            self.pictures = self._tracks[video.index] = PictureTrack(
                video,
                wanted_s or self._grid_s(),
                scaler=FrameScaler(spec.side_px, pixel_aspect(video), resize=spec.resize),
                origin_s=self._origin_s,
                stated_s=self.stated_s,
                find_cuts=wanted_s is None and not self._is_short,
            )
        if audio:
            self.sound = self._tracks[audio.index] = SoundTrack(
                audio, rate_hz=spec.sample_rate_hz, origin_s=self._origin_s
            )
        self._tick_s = {s.index: float(s.time_base or 0) for s in container.streams}
        self._latest_s = MAX_JUMP_S + container.size / MIN_BYTES_PER_S
        parts = split_evenly(0.0, min(max(self.stated_s, LONGEST_S), self._latest_s))
        self._parts_s = [start_s for start_s, _ in parts[1:]]
        self._clock_s = 0.0
        self._breaks = 0
        self._is_over = False

    @property
    def position_s(self) -> float:
        """Time up to which all is decoded: that of the slower stream, within a lag."""
        if self.pictures is None or self.sound is None:
            return max(track.position_s for track in self._tracks.values())
        seen_s, heard_s = self.pictures.position_s, self.sound.position_s
        return max(min(seen_s, heard_s), seen_s - SOUND_LAG_S, heard_s - PICTURE_LAG_S)

    @property
    def end_s(self) -> float:
        """End of what was read so far, or the stated duration if that is within END_SLACK_S."""
        read_s = min(max(track.end_s for track in self._tracks.values()), self._latest_s)
        return self.stated_s if abs(self.stated_s - read_s) <= END_SLACK_S else read_s

    @property
    def cuts_s(self) -> list[float]:
        """Times where items may begin: hard cuts, or equal parts of a file without frames."""
        return self.pictures.cuts_s if self.pictures else self._parts_s

    @property
    def first_s(self) -> float:
        """Time of the first decoded frame, or of the first sound in a file without frames."""
        track = self.pictures or self.sound
        return track.first_s if track else 0.0

    def seek(self, start_s: float) -> None:
        """Continue near `start_s`; a file that cannot seek is read from its start."""
        self._clock_s = start_s
        with suppress(FFmpegError):
            self._container.seek(int((start_s + self._origin_s) * av.time_base))

    def advance(self) -> Iterator[float]:
        """Decode packet by packet; yields `position_s` after each."""
        for packet in self._packets():
            self._tracks[packet.stream_index].feed(packet)
            yield self.position_s
        self._is_over = True

    def finish(self) -> None:
        """Flush the decoders, when no more packets come or are wanted."""
        for track in self._tracks.values():
            track.finish()

    def check_not_empty(self) -> None:
        """Check that something was decoded.

        Raises: MediaError if there is neither a frame nor a sample.
        """
        has_pictures = self.pictures is not None and bool(self.pictures.frames)
        has_sound = self.sound is not None and self.sound.has_sound
        if not (has_pictures or has_sound) or self.end_s <= 0:
            raise MediaError(
                f"{self.path.name!r} opens but contains no frame or sound that can be decoded; "
                "copy it again or leave it out"
            )

    def take(self, start_s: float, end_s: float) -> Clip:
        """The clip [start_s, end_s); everything before its end is discarded."""
        times_s, frames = self._frames(start_s, end_s)
        sound, waveform = self._waveform(start_s, end_s)
        for track in self._tracks.values():
            track.drop_before(end_s)
        self._parts_s = [part_s for part_s in self._parts_s if part_s > end_s]
        return Clip(
            path=str(self.path),
            start_s=start_s,
            end_s=end_s,
            frames=frames,
            frame_times_s=times_s,
            waveform=waveform,
            sample_rate_hz=self._spec.sample_rate_hz,
            sound=sound,
        )

    def _packets(self) -> Iterator[Packet]:
        streams = [s for s in self._container.streams if s.index in self._tracks]
        for _ in range(DEMUX_RETRIES):
            try:
                for packet in self._container.demux(*streams):
                    if packet.size and self._is_plausible(packet):
                        yield packet
                return
            except FFmpegError:
                self._breaks += 1
            except IndexError:  # of PyAV, at the end of a file that gained a stream midway
                return

    def _is_plausible(self, packet: Packet) -> bool:
        if packet.pts is None:
            return True
        time_s = packet.pts * self._tick_s[packet.stream_index] - self._origin_s
        if time_s > min(self._clock_s + MAX_JUMP_S, self._latest_s):
            self._breaks += 1
            return False
        self._clock_s = max(self._clock_s, time_s)
        return True

    def _frames(self, start_s: float, end_s: float) -> tuple[Times, Frames]:
        spec = self._spec
        wanted_s = per_second_times(start_s, end_s, spec.frames_per_s, spec.max_frames)
        kept = self.pictures.frames if self.pictures else []
        before = [(start_s, rgb) for time_s, rgb in kept if time_s < start_s][-1:]
        inside = [(time_s, rgb) for time_s, rgb in kept if start_s <= time_s < end_s]
        # a still picture, such as a slide, is shown until the next one
        if not inside or inside[0][0] - start_s > (end_s - start_s) / len(wanted_s):
            inside = before + inside
        if not inside:
            return np.zeros(0), np.zeros((0, 0, 0, 3), np.uint8)
        times_s = np.array([time_s for time_s, _ in inside])
        chosen = nearest_indices(times_s, wanted_s)
        return times_s[chosen], np.stack([inside[index][1] for index in chosen])

    def _waveform(self, start_s: float, end_s: float) -> tuple[Sound, Samples]:
        sound = self.sound
        if sound is None or (not sound.has_sound and (sound.errors or self._is_over)):
            return "none", np.zeros(0, np.float32)
        waveform = sound.take(start_s, end_s)
        return "silent" if is_silent(waveform) else "sound", waveform

    @property
    def _is_short(self) -> bool:
        return 0 < self.stated_s <= LONGEST_S

    def _grid_s(self) -> Iterator[float]:
        """Exact times for a short file, else twice as many as needed, to choose from later."""
        spec = self._spec
        exact = np.zeros(0)
        if self._is_short:
            exact = per_second_times(0.0, self.stated_s, spec.frames_per_s, spec.max_frames)
        start_s = self.stated_s if self._is_short else 0.0
        return chain(
            exact.tolist(), (start_s + (k + 0.5) / (2 * spec.frames_per_s) for k in count())
        )

    def list_losses(self) -> list[str]:
        """List what could not be decoded, each in a few words; call it after `finish`."""
        notes: list[str] = []
        pictures, sound = self.pictures, self.sound
        if pictures and not pictures.frames:
            notes.append("its pictures could not be decoded")
        if sound and sound.errors and not sound.has_sound:
            notes.append("its sound could not be decoded")
        if self.stated_s - self.end_s > END_SLACK_S:
            notes.append(f"only {self.end_s:.1f} s of {self.stated_s:.1f} s could be read")
        losses = self._breaks + sum(track.errors for track in self._tracks.values())
        if losses and not notes:
            notes.append(f"{counted(losses, 'damaged packet')} skipped")
        return notes
