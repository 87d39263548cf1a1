"""Approximate nearest neighbours through a Lance vector index (IVF_RQ), for large libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32

from seehear.store.read.summaries import Column

if TYPE_CHECKING:
    from seehear.store.tables.lance import Dataset

MAX_K = 1000  # longer lists are searched exactly
PARTITION_ROWS, PROBED_SHARE, REFINE = 1024, 0.5, 2
HAS_MODALITY: dict[Column, str] = {"seen": "has_frames", "heard": "sound = 'sound'"}


def index_name(column: Column) -> str:
    """Name of the index of a modality; it exists only while its recall is high enough."""
    return f"{column}_nearest"


def filter_sql(table: Dataset) -> dict[Column, str | None]:
    """SQL condition of each search; None where all rows pass, because filtering costs time."""
    count = table.count_rows()
    conditions = HAS_MODALITY.items()
    return {name: None if table.count_rows(sql) == count else sql for name, sql in conditions}


def search_index(
    table: Dataset, column: Column, vector: Float[np.ndarray, " dim"], *, k: int, where: str | None
) -> tuple[Float32[np.ndarray, "row dim"], list[tuple[str, str, int]]]:
    """Return vectors and keys (item id, video id, revision) of about the k nearest rows."""
    rows = table.to_table(
        columns=["id", "video_id", "rev", column, "_distance"],
        filter=where,
        prefilter=True,
        nearest={
            "column": column,
            "q": vector.astype(np.float32),
            "k": k,
            "metric": "dot",
            "minimum_nprobes": max(1, round(PROBED_SHARE * table.count_rows() / PARTITION_ROWS)),
            "refine_factor": REFINE,
        },
    )
    vectors = rows[column].combine_chunks().flatten().to_numpy().reshape(-1, len(vector))
    keys: list[Any] = [rows[name].to_pylist() for name in ("id", "video_id", "rev")]
    return vectors.astype(np.float32), list(zip(*keys, strict=True))
