"""Tables of several raters: a bout per row with its rater, video, start, end and type, in seconds.

The columns of DLCAnalyzer: `file;Experimenter;from;to;type;ID;DLCFile`. Each video (`ID`) is an observation,
each rater a stream; `DLCFile` names the video's pose. Rows of the type `Start/End` (however written) mark
where a rater began and stopped looking: from the first to the last of them the frames are annotated. Raters
let one behaviour overlap itself (and made a video in several passes); such bouts become one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from murine.errors import InputError
from murine.formats import states as shared
from murine.formats.base import FORMATS, LabelFormat, LabelRow, LabelTable, Media
from murine.formats.text import cells, delimiter, head_text, read_text

_COLUMNS = {
    "rater": ("experimenter", "rater", "annotator", "observer"),
    "start": ("from",),
    "stop": ("to",),
    "type": ("type", "behaviour", "behavior"),
    "video": ("id", "video", "recording"),
    "pose": ("dlcfile", "posefile", "pose"),
    "file": ("file",),
}
_NEEDED = ("rater", "start", "stop", "type")
_MARK = "startend"
_NOTHING = ("", "na", "nan")

Span = tuple[float, float]


def _places(names: Sequence[str]) -> dict[str, int] | None:
    """Return where each column stands, None where it is no table of raters."""
    lower = [n.strip().strip('"').lower() for n in names]
    found = {
        what: next(lower.index(word) for word in words if word in lower)
        for what, words in _COLUMNS.items()
        if any(word in lower for word in words)
    }
    return found if all(what in found for what in _NEEDED) else None


def parse(path: Path) -> LabelTable:
    """Read a table of raters; raises InputError that names the file and the line."""
    path = Path(path)
    text = read_text(path, "label file")
    table = cells(text, delimiter(text.split("\n", 1)[0]))
    places = _places(table[0])
    if places is None:
        raise InputError(
            f"{path}: columns Experimenter, from, to and type were expected; came {', '.join(table[0])[:120]}."
        )
    rows: list[LabelRow] = []
    marks: dict[tuple[str, str], list[Span]] = {}
    media: dict[str, dict[str, None]] = {}
    for number, row in enumerate(table[1:], start=2):
        if not any(row):
            continue
        found = _read_row(path, row, places, number, len(table[0]))
        if found is None:
            continue
        media.setdefault(found.observation, {})
        if "pose" in places and row[places["pose"]].lower() not in _NOTHING:
            media[found.observation][row[places["pose"]]] = None
        if re.sub(r"[^a-z]", "", found.behaviour.lower()) == _MARK:
            marks.setdefault((found.observation, found.stream), []).append((found.start, found.stop))
        else:
            rows.append(found)
    if not rows:
        raise InputError(f"{path}: holds no bout of a behaviour. Is it the right file?")
    return LabelTable(
        "raters", path, "seconds", tuple(sorted(rows, key=lambda r: r.start)), tuple(media),
        streams=tuple(dict.fromkeys(r.stream for r in rows)), stream_word="rater",
        media={o: tuple(Media(name) for name in names) for o, names in media.items() if len(names) == 1},
        looked=_looked(rows, marks),
    )  # fmt: skip


def _read_row(
    path: Path, row: Sequence[str], places: dict[str, int], number: int, width: int
) -> LabelRow | None:
    """Return a row as a bout, None for one that says nothing: neither an end nor a type."""
    if len(row) != width:
        raise InputError(
            f"{path}, line {number}: {len(row)} cells where the header has {width}. Was the file cut short?"
        )
    name, stop = row[places["type"]], row[places["stop"]]
    if name.lower() in _NOTHING and stop.lower() in _NOTHING:
        return None
    if name.lower() in _NOTHING or not row[places["rater"]]:
        what = "behaviour" if name.lower() in _NOTHING else "rater"
        raise InputError(f"{path}, line {number}: no {what} is named.")
    try:
        start_s, stop_s = (float(row[places[w]].replace(",", ".")) for w in ("start", "stop"))
        if not math.isfinite(start_s) or not math.isfinite(stop_s):
            raise ValueError
    except ValueError:
        raise InputError(
            f"{path}, line {number}: from {row[places['start']]!r} to {stop!r}; two numbers of seconds were "
            "expected."
        ) from None
    if stop_s < start_s:
        raise InputError(f"{path}, line {number}: '{name}' ends at {stop_s:g} s, before {start_s:g} s.")
    video = row[places["video"]] if "video" in places else ""
    # Each row a lane of its own: bouts of one rater that overlap are joined, not refused.
    where = f"line {number}"
    return LabelRow(start_s, stop_s, name, "", row[places["rater"]], video, lane=where, where=where)


def _looked(
    rows: Sequence[LabelRow], marks: dict[tuple[str, str], list[Span]]
) -> dict[tuple[str, str], tuple[Span, ...]]:
    """Return what each rater looked at: between the marks, and wherever there is a bout.

    One mark alone is the beginning where it lies before the first bout, else the end.
    """
    found: dict[tuple[str, str], tuple[Span, ...]] = {}
    for key, spans in marks.items():
        own = [r for r in rows if (r.observation, r.stream) == key]
        first = min((r.start for r in own), default=math.inf)
        last = max((r.stop for r in own), default=0.0)
        begin, end = min(a for a, _ in spans), max(b for _, b in spans)
        if len(spans) == 1:
            begin, end = (begin, math.inf) if begin <= first else (0.0, end)
        found[key] = ((min(begin, first), max(end, last)),)
    return found


def _sniff(path: Path, head: bytes) -> bool:
    _, rows = shared.first_rows(head_text(head), 2)
    return bool(rows) and _places(rows[0]) is not None


FORMATS.add(
    "raters",
    LabelFormat(
        "raters", "table of several raters' bouts (DLCAnalyzer)", (".csv",), _sniff, parse, None,
        lossy="which pass over the video a bout is of; bouts of one rater that overlap become one",
    ),
)  # fmt: skip
