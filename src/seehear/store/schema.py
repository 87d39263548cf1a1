"""Columns of the tables, and videos and items as rows of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seehear.store import blob
from seehear.types import Item, Video

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1  # of the layout of a library; a newer one is refused at open
CATALOG, VIDEOS, MEDIA = "catalog", "videos", "media"


def emb(model: Mapping[str, object]) -> str:
    """Name of the table of summaries of a model."""
    return f"emb__{str(model['fingerprint'])[:12]}"


def tok(model: Mapping[str, object]) -> str:
    """Name of the table of tokens of a model."""
    return f"tok__{str(model['fingerprint'])[:12]}"


def video_schema() -> pa.Schema:
    """One row per visible video; `rev` tells which rows of the other tables belong to it."""
    import pyarrow as pa

    text, whole, real = pa.utf8(), pa.int64(), pa.float64()
    columns: dict[str, pa.DataType] = {
        "id": text,
        "path": text,
        "sha256": text,
        "size_bytes": whole,
        "mtime_us": whole,
        "duration_s": real,
        "fps": real,
        "width": whole,
        "height": whole,
        "codec": text,
        "sound": text,
        "audio_rate_hz": whole,
        "added_us": whole,
        "items": whole,
        "note": text,
        "aliases": pa.list_(text),
        "rev": whole,
    }
    return pa.schema(columns)


def item_schema(seen_dim: int, heard_dim: int) -> pa.Schema:
    """Times and summaries; `crc` covers both summaries."""
    import pyarrow as pa

    return pa.schema(
        {
            **_key_columns(),
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
    """Tokens as one blob per item."""
    import pyarrow as pa
    from lance import blob_field

    return pa.schema([*pa.schema(_key_columns()), blob_field("tok")])


def media_schema() -> pa.Schema:
    """Thumbnails."""
    import pyarrow as pa

    return pa.schema({**_key_columns(), "thumb": pa.large_binary()})


def catalog_schema() -> pa.Schema:
    """Small JSON values by key."""
    import pyarrow as pa

    return pa.schema({"key": pa.utf8(), "value": pa.utf8()})


def _key_columns() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {"id": pa.utf8(), "video_id": pa.utf8(), "rev": pa.int64()}


def video_rows(videos: Sequence[tuple[Video, int]]) -> pa.Table:
    """Videos with their revisions."""
    import pyarrow as pa

    rows = [{**vars(video), "rev": rev} for video, rev in videos]
    return pa.Table.from_pylist(rows, schema=video_schema())


def video(row: dict[str, Any]) -> Video:
    """A video from its row, without the revision."""
    row["aliases"] = tuple(row["aliases"])
    return Video(**row)


def item_rows(items: Sequence[Item], revs: Sequence[int], dims: tuple[int, int]) -> pa.Table:
    """Times and summaries of items.

    Raises: ValueError if a summary has another size or is not finite in half precision.
    """
    import pyarrow as pa

    seen = _halves([item.seen for item in items], dims[0], "seen")
    heard = _halves([item.heard for item in items], dims[1], "heard")
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
    """Packed tokens of items.

    Raises: ValueError if an item carries no tokens.
    """
    import pyarrow as pa

    packed: list[bytes] = []
    for item in items:
        if item.tokens is None:
            raise ValueError(f"item {item.id} carries no tokens; put items as an engine made them")
        packed.append(blob.pack(item.tokens, item.id))
    return blob_rows(pa.table(_keys(items, revs)), packed)


def blob_rows(keys: pa.Table, packed: Sequence[bytes]) -> pa.Table:
    """Packed tokens beside the keys that a table of the same items has."""
    import pyarrow as pa
    from lance import blob_array

    columns = {name: keys[name].combine_chunks() for name in _key_columns()}
    return pa.table({**columns, "tok": blob_array(list(packed))}, schema=token_schema())


def media_rows(items: Sequence[Item], revs: Sequence[int]) -> pa.Table:
    """Thumbnails of items."""
    import pyarrow as pa

    columns = {**_keys(items, revs), "thumb": [item.thumbnail for item in items]}
    return pa.table(columns, schema=media_schema())


def catalog_rows(values: Mapping[str, object]) -> pa.Table:
    """Values as JSON."""
    import pyarrow as pa

    columns = {"key": list(values), "value": [json.dumps(value) for value in values.values()]}
    return pa.table(columns, schema=catalog_schema())


def summary_crc(seen: np.ndarray, heard: np.ndarray) -> int:
    """Checksum over the two summaries of an item as they are stored."""
    return zlib.crc32(heard.tobytes(), zlib.crc32(seen.tobytes()))


def quoted(texts: Sequence[str]) -> str:
    """Texts as a list in SQL."""
    return "(" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + ")"


def _keys(items: Sequence[Item], revs: Sequence[int]) -> dict[str, Any]:
    return {
        "id": [item.id for item in items],
        "video_id": [item.video_id for item in items],
        "rev": list(revs),
    }


def _halves(vectors: Sequence[np.ndarray], dim: int, name: str) -> np.ndarray:
    halves = np.zeros((len(vectors), dim), np.float16)
    for row, vector in zip(halves, vectors, strict=True):
        if vector.shape != (dim,):
            raise ValueError(f"{name} has shape {vector.shape}, this library keeps ({dim},)")
        with np.errstate(over="ignore"):
            row[:] = vector
    if not np.isfinite(halves).all():
        raise ValueError(f"{name} holds numbers that half precision cannot keep")
    return halves
