"""BORIS "export aggregated events": one line per bout or point, with start and stop in seconds."""

from __future__ import annotations

from pathlib import Path

from murine.errors import InputError
from murine.formats.base import FORMATS, LabelFormat, LabelRow, LabelTable, LabelTarget, Media, marked
from murine.formats.boris.common import (
    FPS,
    LOSSY,
    NO_SUBJECT,
    body,
    find_sheet,
    media_in,
    number,
    seconds,
    settled,
    subject_name,
)
from murine.formats.text import head_text, join, read_text, write_bytes
from murine.types import Bouts

_NEEDED = (("Behavior",), ("Start (s)",), ("Stop (s)",))
_HEADER = (
    "Observation id", "Observation date", "Description", "Media file", "Total length", "FPS", "Subject",
    "Behavior", "Behavioral category", "Modifiers", "Behavior type", "Start (s)", "Stop (s)",
    "Duration (s)", "Comment start", "Comment stop",
)  # fmt: skip


def parse(path: Path) -> LabelTable:
    """Read an aggregated export (csv or tsv); raises InputError that names the file and the line."""
    sheet = find_sheet(read_text(path, "label file"), _NEEDED)
    if sheet is None:
        raise InputError(
            f"{path}: no header row with Behavior, Start (s) and Stop (s); this is no BORIS aggregated "
            "export, or it was cut short."
        )
    rows: list[LabelRow] = []
    media: dict[str, list[Media]] = {}
    rates: set[float | None] = set()
    for where, row in body(sheet, path):
        observation = sheet.cell(row, "Observation id")
        offset = seconds(sheet.cell(row, "Time offset (s)") or "0", path, where)
        start = seconds(sheet.cell(row, "Start (s)"), path, where) - offset
        stop = seconds(sheet.cell(row, "Stop (s)"), path, where) - offset
        behaviour = sheet.cell(row, "Behavior")
        if not behaviour or stop < start:
            fault = (
                f"stop {stop:g} s lies before start {start:g} s"
                if behaviour
                else "no behaviour is named"
            )
            raise InputError(f"{path}, {where}: {fault}.")
        kind = sheet.cell(row, "Behavior type").upper()
        if kind not in ("STATE", "POINT", ""):
            raise InputError(f"{path}, {where}: behaviour type {kind!r}; STATE or POINT was expected.")
        rows.append(
            LabelRow(
                start, stop, behaviour, subject_name(sheet.cell(row, "Subject")), observation=observation,
                lane=sheet.modifiers(row), point=kind == "POINT", where=where,
            )
        )  # fmt: skip
        media.setdefault(observation, []).extend(media_in(sheet, row))
        rates.add(number(sheet.cell(row, *FPS)))
    rates.discard(None)
    return LabelTable(
        "boris-aggregated", path, "seconds", tuple(sorted(rows, key=lambda r: r.start)),
        observations=tuple(media) or ("",), media={o: settled(m) for o, m in media.items()},
        fps=rates.pop() if len(rates) == 1 else None,
    )  # fmt: skip


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write an aggregated export; comma-separated if the name says csv, else tab-separated."""
    clock = target.clock()
    media = target.media or target.recording
    rows: list[list[str]] = [list(_HEADER)]
    for start, stop, name in marked(bouts):
        length = f"{float(clock(stop)) - float(clock(start)):.3f}"
        rows.append(
            [
                target.recording, "", "", media, clock(bouts.n_frames), f"{target.timeline.fps:.6g}",
                target.subject or NO_SUBJECT, name, "", "", "STATE", clock(start), clock(stop), length, "", "",
            ]
        )  # fmt: skip
    separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
    write_bytes(path, join(rows, separator).encode())


FORMATS.add(
    "boris-aggregated",
    LabelFormat(
        "boris-aggregated", "BORIS aggregated events", (".tsv", ".csv"),
        lambda path, head: find_sheet(head_text(head), _NEEDED) is not None, parse, write,
        lossy=f"{LOSSY}; behaviours without a bout",
    ),
)  # fmt: skip
