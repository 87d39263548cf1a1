"""Export of chosen moments: tables, edit lists and timelines for editors, cut clips."""

from seehear.export.clips import cut
from seehear.export.moments import Moment
from seehear.export.tables import to_csv, to_json
from seehear.export.timelines import to_edl, to_otio

__all__ = ["Moment", "cut", "to_csv", "to_edl", "to_json", "to_otio"]
