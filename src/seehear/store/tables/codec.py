"""Binary encoding of the tokens of one item: a header with checksums, then the arrays.

header   magic 4s, layout u16, sections u16, header crc u32               12 bytes
section  dtype 4s, rows u32, columns u32, offset u64, size u64, crc u32   32 bytes, four times
data     frames, frame_times_s, audio, audio_times_s

Frames come first, so that a reader can fetch a prefix. Every checksum is seeded with the item's id,
so that the bytes of another item are refused like damaged ones.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from seehear.errors import counted
from seehear.types import Tokens

MAGIC = b"SHTK"
LAYOUT = 1
HEADER = struct.Struct("<4sHHI")
SECTION = struct.Struct("<4sIIQQI")
SECTIONS = 4
PREFIX_BYTES = HEADER.size + SECTIONS * SECTION.size

TokenArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pack(tokens: Tokens, item_id: str) -> bytes:
    """Encode the tokens of one item (a batch of one) without padding; dtypes are kept.

    Raises: ValueError for a batch of another size or arrays that are not numeric.
    """
    if len(tokens.frames) != 1 or len(tokens.audio) != 1:
        raise ValueError(f"tokens of one item expected, got those of {len(tokens.frames)}")
    frame_mask, audio_mask = tokens.frame_mask[0], tokens.audio_mask[0]
    parts = (
        tokens.frames[0][frame_mask],
        tokens.frame_times_s[0][frame_mask],
        tokens.audio[0][audio_mask],
        tokens.audio_times_s[0][audio_mask],
    )
    seed = zlib.crc32(item_id.encode())
    table, data, offset = b"", [], PREFIX_BYTES
    for part in parts:
        if part.dtype.kind not in "fiu":
            raise ValueError(f"token arrays must be numeric, got {part.dtype}")
        little = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<"))
        raw = little.tobytes()
        rows, columns = len(part), part.shape[1] if part.ndim == 2 else 1
        kind = little.dtype.str.encode()
        table += SECTION.pack(kind, rows, columns, offset, len(raw), zlib.crc32(raw, seed))
        data.append(raw)
        offset += len(raw)
    head = HEADER.pack(MAGIC, LAYOUT, SECTIONS, zlib.crc32(table, seed))
    return head + table + b"".join(data)


def unpack(raw: bytes, item_id: str) -> TokenArrays:
    """Decode frames, frame times, audio tokens and audio times, as read-only views on `raw`.

    Raises: ValueError if the bytes are damaged or belong to another item.
    """
    seed = zlib.crc32(item_id.encode())
    if len(raw) < PREFIX_BYTES:
        raise ValueError(f"{counted(len(raw), 'byte')}, less than a header")
    magic, layout, sections, crc = HEADER.unpack_from(raw)
    if (magic, layout, sections) != (MAGIC, LAYOUT, SECTIONS):
        raise ValueError(f"unknown format {magic!r} {layout}")
    if zlib.crc32(raw[HEADER.size : PREFIX_BYTES], seed) != crc:
        raise ValueError("the header's checksum differs")
    starts = range(HEADER.size, PREFIX_BYTES, SECTION.size)
    frames, frame_times_s, audio, audio_times_s = (_section(raw, at, seed) for at in starts)
    return frames, frame_times_s[:, 0], audio, audio_times_s[:, 0]


def _section(raw: bytes, at: int, seed: int) -> np.ndarray:
    kind, rows, columns, offset, size, crc = SECTION.unpack_from(raw, at)
    body = memoryview(raw)[offset : offset + size]
    if len(body) != size or zlib.crc32(body, seed) != crc:
        raise ValueError("a section's checksum differs")
    array = np.frombuffer(body, dtype=np.dtype(kind.rstrip(b"\0").decode()))
    return array.reshape(rows, columns)


def pad(parts: Sequence[TokenArrays]) -> Tokens:
    """Combine token arrays of several items into one padded batch; order and dtypes are kept."""
    frames, frame_times_s, audio, audio_times_s = zip(*parts, strict=True)
    return Tokens(
        frames=_stack(frames),
        frame_mask=_mask(frames),
        frame_times_s=_stack(frame_times_s),
        audio=_stack(audio),
        audio_mask=_mask(audio),
        audio_times_s=_stack(audio_times_s),
    )


def _mask(rows: Sequence[np.ndarray]) -> np.ndarray:
    lengths = np.array([len(part) for part in rows])
    return np.arange(lengths.max(initial=0))[None, :] < lengths[:, None]


def _stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    longest = max(len(part) for part in rows)
    inner = max(part.shape[1:] for part in rows)
    padded = np.zeros((len(rows), longest, *inner), np.result_type(*rows))
    for row, part in zip(padded, rows, strict=True):
        if len(part):
            row[: len(part)] = part
    return padded
