"""Columns of the tables, and the conversion of videos and items to rows."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seehear.store.tables import codec
from seehear.types import Item, Sound, Video

VERSION = 1  # of the layout of a library; a newer one is refused at open
SUMMARIES_PREFIX, TOKENS_PREFIX = "emb__", "tok__"
KEY_COLUMNS = {"id": pa.utf8(), "video_id": pa.utf8(), "rev": pa.int64()}
MEDIA_SCHEMA = pa.schema({**KEY_COLUMNS, "thumb": pa.large_binary()})
CATALOG_SCHEMA = pa.schema({"key": pa.utf8(), "value": pa.utf8()})
VIDEO_SCHEMA = pa.schema(  # rows of other tables belong to a video if they have the same `rev`
    {
        "id": pa.utf8(),
        "path": pa.utf8(),
        "sha256": pa.utf8(),
        "size_bytes": pa.int64(),
        "mtime_us": pa.int64(),
        "duration_s": pa.float64(),
        "fps": pa.float64(),
        "width": pa.int64(),
        "height": pa.int64(),
        "codec": pa.utf8(),
        "sound": pa.utf8(),
        "audio_rate_hz": pa.int64(),
        "added_us": pa.int64(),
        "items": pa.int64(),
        "note": pa.utf8(),
        "aliases": pa.list_(pa.utf8()),
        "rev": pa.int64(),
    }
)


class ItemRow(NamedTuple):
    """An item without its vectors; `position` is its position in a scan of the summaries table."""

    id: str
    video_id: str
    rev: int
    start_s: float
    end_s: float
    sound: Sound
    has_frames: bool
    position: int


def summaries_table(model: Mapping[str, object]) -> str:
    """Name of the table of summary vectors of a model."""
    return f"{SUMMARIES_PREFIX}{str(model['fingerprint'])[:12]}"


def tokens_table(model: Mapping[str, object]) -> str:
    """Name of the table of tokens of a model."""
    return f"{TOKENS_PREFIX}{str(model['fingerprint'])[:12]}"


def item_schema(seen_dim: int, heard_dim: int) -> pa.Schema:
    """Times and summary vectors; `crc` covers both vectors."""
    return pa.schema(
        {
            **KEY_COLUMNS,
            "start_s": pa.float64(),
            "end_s": pa.float64(),
            "sound": pa.utf8(),
            "has_frames": pa.bool_(),
            "seen": pa.list_(pa.float16(), seen_dim),
            "heard": pa.list_(pa.float16(), heard_dim),
            "crc": pa.int64(),
        }
    )


def token_schema() -> pa.Schema:
    """Encoded tokens, one blob per item."""
    from lance import blob_field

    return pa.schema([*pa.schema(KEY_COLUMNS), blob_field("tok")])


def video_rows(videos: Sequence[tuple[Video, int]]) -> pa.Table:
    """Convert videos with their revisions to rows."""
    rows = [{**vars(video), "rev": rev} for video, rev in videos]
    return pa.Table.from_pylist(rows, schema=VIDEO_SCHEMA)


def video_from_row(row: dict[str, Any]) -> Video:
    """Convert a row without `rev` to a video."""
    row["aliases"] = tuple(row["aliases"])
    return Video(**row)


def item_rows(items: Sequence[Item], revs: Sequence[int], dims: tuple[int, int]) -> pa.Table:
    """Convert the times and summary vectors of items to rows.

    Raises: ValueError if a vector has another size or is not finite in float16.
    """
    seen = _float16([item.seen for item in items], dims[0], "seen")
    heard = _float16([item.heard for item in items], dims[1], "heard")
    columns = {
        **_keys(items, revs),
        "start_s": [item.start_s for item in items],
        "end_s": [item.end_s for item in items],
        "sound": [item.sound for item in items],
        "has_frames": [item.has_frames for item in items],
        "seen": pa.FixedSizeListArray.from_arrays(pa.array(seen.ravel()), dims[0]),
        "heard": pa.FixedSizeListArray.from_arrays(pa.array(heard.ravel()), dims[1]),
        "crc": [summary_crc(*both) for both in zip(seen, heard, strict=True)],
    }
    return pa.table(columns, schema=item_schema(*dims))


def token_rows(items: Sequence[Item], revs: Sequence[int]) -> pa.Table:
    """Encode the tokens of items as rows.

    Raises: ValueError if an item has no tokens.
    """
    encoded: list[bytes] = []
    for item in items:
        if item.tokens is None:
            raise ValueError(f"item {item.id} has no tokens; put items as the engine made them")
        encoded.append(codec.pack(item.tokens, item.id))
    return encoded_token_rows(pa.table(_keys(items, revs)), encoded)


def encoded_token_rows(keys: pa.Table, encoded: Sequence[bytes]) -> pa.Table:
    """Combine encoded tokens with the key columns of another table of the same items."""
    from lance import blob_array

    columns = {name: keys[name].combine_chunks() for name in KEY_COLUMNS}
    return pa.table({**columns, "tok": blob_array(list(encoded))}, schema=token_schema())


def media_rows(items: Sequence[Item], revs: Sequence[int]) -> pa.Table:
    """Convert the thumbnails of items to rows."""
    columns = {**_keys(items, revs), "thumb": [item.thumbnail for item in items]}
    return pa.table(columns, schema=MEDIA_SCHEMA)


def catalog_rows(values: Mapping[str, object]) -> pa.Table:
    """Convert values to rows of JSON."""
    columns = {"key": list(values), "value": [json.dumps(value) for value in values.values()]}
    return pa.table(columns, schema=CATALOG_SCHEMA)


def summary_crc(seen: np.ndarray, heard: np.ndarray) -> int:
    """Checksum of both summary vectors of an item as stored."""
    return zlib.crc32(heard.tobytes(), zlib.crc32(seen.tobytes()))


def sql_list(texts: Iterable[str]) -> str:
    """Quote texts as an SQL list."""
    return "(" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + ")"


def _keys(items: Sequence[Item], revs: Sequence[int]) -> dict[str, Any]:
    return {
        "id": [item.id for item in items],
        "video_id": [item.video_id for item in items],
        "rev": list(revs),
    }


def _float16(vectors: Sequence[np.ndarray], dim: int, name: str) -> np.ndarray:
    halves = np.zeros((len(vectors), dim), np.float16)
    for row, vector in zip(halves, vectors, strict=True):
        if vector.shape != (dim,):
            raise ValueError(f"{name} has shape {vector.shape}, but this library needs ({dim},)")
        with np.errstate(over="ignore"):
            row[:] = vector
    if not np.isfinite(halves).all():
        raise ValueError(f"{name} contains values that are not finite in float16")
    return halves
