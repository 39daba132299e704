"""How well labels in seconds meet the frames of a recording."""

from __future__ import annotations

import numpy as np

from murine.formats.base import LabelTable
from murine.formats.labels import at_media, choose
from murine.types import LabelChoice, Timeline


def edge_offset(
    table: LabelTable, timeline: Timeline, choice: LabelChoice = LabelChoice(), *, media: str = ""
) -> float | None:
    """Return the largest time between an edge of a bout and the frame boundary it was put on, in seconds.

    Labels made on these very frames are off by rounding alone; labels made at another rate by up to half
    a frame. Edges past the recording's ends do not count. None for labels that count frames, or without
    a bout. Raises InputError as `labels.choose` does.
    """
    if table.unit == "frames":
        return None
    rows = [r for r in at_media(choose(table, choice), timeline, media).rows if not r.point]
    edges = np.array([edge for r in rows for edge in (r.start, r.stop)], dtype=np.float64)
    edges = edges[(edges >= timeline.times[0]) & (edges <= timeline.end)]
    if len(edges) == 0:
        return None
    return float(np.abs(edges - timeline.seconds(timeline.boundary(edges))).max())
