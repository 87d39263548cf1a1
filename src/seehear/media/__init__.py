"""Media files -> frames and waveforms with times: scan, probe, decode, cut."""

from seehear.media.items import ItemDecoder, decode_items
from seehear.media.probe import probe
from seehear.media.reading import is_picture, read_any, read_clip, read_picture, read_sound
from seehear.media.samplers import per_second_times, segment_middle_times
from seehear.media.scan import Scan, scan
from seehear.media.shots import cut_items
from seehear.media.thumbnail import thumbnail

__all__ = [
    "ItemDecoder",
    "Scan",
    "cut_items",
    "decode_items",
    "is_picture",
    "per_second_times",
    "probe",
    "read_any",
    "read_clip",
    "read_picture",
    "read_sound",
    "scan",
    "segment_middle_times",
    "thumbnail",
]
