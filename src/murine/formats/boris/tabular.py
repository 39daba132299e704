"""BORIS "export events as tabular": one line per START, STOP or POINT.

Older versions put a preamble (observation, media, time offset) above the table and name the last column
`Status`; newer ones write one header row with `Observation id` and `Behavior type`. Event times include
the observation's time offset, which is taken off again to get the time in the video.
"""

from __future__ import annotations

from pathlib import Path

from murine.errors import InputError
from murine.formats.base import (
    FORMATS,
    LabelFormat,
    LabelTable,
    LabelTarget,
    Media,
    marked,
)
from murine.formats.boris.common import (
    FPS,
    LOSSY,
    Event,
    Sheet,
    body,
    find_sheet,
    media_in,
    number,
    pair,
    seconds,
    settled,
    subject_name,
)
from murine.formats.text import delimiter, head_text, join, read_text, write_bytes
from murine.types import Bouts

_NEEDED = (("Behavior",), ("Time",), ("Status", "Behavior type"))
_KINDS = ("START", "STOP", "POINT")


def parse(path: Path) -> LabelTable:
    """Read a tabular export, old or new; raises InputError that names the file and the line."""
    sheet = find_sheet(read_text(path, "label file"), _NEEDED)
    if sheet is None:
        raise InputError(
            f"{path}: no header row with Time, Behavior and Status (or Behavior type); this is no BORIS "
            "tabular export, or it was cut short."
        )
    told = _preamble(sheet)
    observations: dict[str, list[Media]] = {}
    if not sheet.has("Observation id"):
        observations[told["observation"]] = [Media(m, None) for m in told["media"].split("\n") if m]
    events, rates = [], set()
    for where, row in body(sheet, path):
        observation = sheet.cell(row, "Observation id") or told["observation"]
        kind = sheet.cell(row, "Status", "Behavior type").upper()
        if kind not in _KINDS:
            raise InputError(f"{path}, {where}: status {kind!r}; START, STOP or POINT was expected.")
        behaviour = sheet.cell(row, "Behavior")
        if not behaviour:
            raise InputError(f"{path}, {where}: no behaviour is named.")
        offset = seconds(sheet.cell(row, "Time offset (s)") or told["offset"], path, where)
        events.append(
            Event(
                seconds(sheet.cell(row, "Time"), path, where) - offset, behaviour, kind,
                subject_name(sheet.cell(row, "Subject")), sheet.modifiers(row), observation, where,
            )
        )  # fmt: skip
        observations.setdefault(observation, []).extend(media_in(sheet, row))
        rates.add(number(sheet.cell(row, *FPS)))
    rows, faults = pair(events)
    rates.discard(None)
    return LabelTable(
        "boris-tabular", path, "seconds", tuple(rows),
        observations=tuple(observations) or ("",), media={o: settled(m) for o, m in observations.items()},
        fps=rates.pop() if len(rates) == 1 else None, faults=tuple(faults),
    )  # fmt: skip


def _preamble(sheet: Sheet) -> dict[str, str]:
    told = {"observation": "", "offset": "0", "media": ""}
    for row in sheet.preamble:
        name, value = row[0].lower(), row[1] if len(row) > 1 else ""
        if name == "observation id":
            told["observation"] = value
        elif name == "time offset (s)":
            told["offset"] = value or "0"
        elif name.startswith("player #"):
            told["media"] += "\n" + value
    return told


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write the older layout with its preamble, which every program that reads BORIS files knows."""
    clock = target.clock()
    media = target.media or target.recording
    separator = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","
    pairs = [
        ("Observation id", target.recording), ("", ""), ("Media file(s)", ""), ("", ""),
        ("Player #1", media), ("", ""), ("Observation date", ""), ("", ""), ("Description", ""), ("", ""),
        ("Time offset (s)", "0.0"), ("", ""), ("independent variables", ""), ("variable", "value"), ("", ""),
    ]  # fmt: skip
    header = "Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status"
    rows = [[*pair_, *[""] * 7] for pair_ in pairs] + [header.split(",")]
    length, fps = clock(bouts.n_frames), f"{target.timeline.fps:.6g}"
    events = []
    for order, (start, stop, name) in enumerate(marked(bouts)):
        events += [(start, 1, order, name, "START"), (stop, 0, order, name, "STOP")]
    for frame, _, _, name, status in sorted(events):
        rows.append([clock(frame), media, length, fps, target.subject, name, "", "", status])
    write_bytes(path, join(rows, separator).encode())


def _sniff(path: Path, head: bytes) -> bool:
    text = head_text(head)
    first, _, rest = text.partition("\n")
    if first.lower().startswith("observation id"):
        # An old export cut short within its preamble is still one: the reader names the fault.
        told = [cell for cell in first.split(delimiter(first)) if cell]
        if len(told) <= 2 and not rest.split("\n", 1)[0].strip(",;\t "):
            return True
    return find_sheet(text, _NEEDED) is not None


FORMATS.add(
    "boris-tabular",
    LabelFormat(
        "boris-tabular", "BORIS tabular events, old and new layout", (".csv", ".tsv"),
        _sniff, parse, write, lossy=f"{LOSSY}; behaviours without a bout",
    ),
)  # fmt: skip
