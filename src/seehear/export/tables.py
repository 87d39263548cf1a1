"""Export moments as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from seehear.export.moments import Moment

FIELDS = ("path", "start_s", "end_s", "fps", "duration_s", "has_sound", "title")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs text that starts so as a formula


def to_csv(moments: Sequence[Moment]) -> str:
    """Return CSV, one row per moment; text that a spreadsheet would run gets an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(FIELDS)
    for moment in moments:
        row = asdict(moment)
        writer.writerow([_plain(row[name]) for name in FIELDS])
    return file.getvalue()


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def to_json(moments: Sequence[Moment]) -> str:
    """Return JSON: {"schema": "seehear.moments/1", "moments": [...]}."""
    rows = [asdict(moment) for moment in moments]
    return json.dumps({"schema": "seehear.moments/1", "moments": rows}, indent=1) + "\n"
