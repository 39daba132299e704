"""What the three BORIS files share: times, column names, pairing of START and STOP."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from murine.errors import InputError
from murine.formats.base import Fault, LabelRow, Media
from murine.formats.text import cells, delimiter

NO_SUBJECT = "No focal subject"
LOSSY = (
    "modifiers, comments and categories are not read; bouts that differ only in them become one where "
    "they overlap; frames nobody annotated are written as the behaviour 'not annotated'"
)
# First the names of today's exports, then those of older ones.
MEDIA = ("Media file path", "Media file name", "Media file")
_NO_MEDIA = ("na", "not found")
FPS = ("FPS", "FPS (frame/s)")


@dataclass(frozen=True)
class Event:
    """One line of a coder's log. `kind`: START, STOP, POINT, or STATE (start and stop in turns)."""

    time: float
    behaviour: str
    kind: str
    subject: str = ""
    modifiers: str = ""
    observation: str = ""
    where: str = ""


def seconds(text: str, path: Path, where: str) -> float:
    """Return a time written as seconds or hh:mm:ss.sss; raises InputError."""
    parts = text.strip().replace(",", ".").split(":")
    try:
        values = [float(part) for part in parts]
        if not 1 <= len(parts) <= 3 or not all(math.isfinite(v) for v in values):
            raise ValueError
    except ValueError:
        raise InputError(f"{path}, {where}: time {text!r} is not a number of seconds.") from None
    sign = -1.0 if text.strip().startswith("-") else 1.0
    return sign * sum(abs(v) * 60.0**i for i, v in enumerate(reversed(values)))


def number(text: str) -> float | None:
    """Return a positive number, or None where there is none (empty, NA)."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def subject_name(text: str) -> str:
    """Return a subject; BORIS's words for nobody in particular become the empty name."""
    return "" if text in (NO_SUBJECT, "NA") else text


def pair(events: Iterable[Event]) -> tuple[list[LabelRow], list[Fault]]:
    """Join START and STOP events of one subject, behaviour and set of modifiers into rows.

    An event without its partner becomes a fault of its observation, raised if that one is used.
    """
    rows: list[LabelRow] = []
    faults: list[Fault] = []
    opened: dict[tuple[str, str, str, str], Event] = {}

    def fault(event: Event, text: str) -> None:
        faults.append(
            Fault(
                f"{event.where}: '{event.behaviour}' at {event.time:g} s {text} "
                "Correct the observation in BORIS and export it again.",
                event.observation,
                event.subject,
            )
        )

    for event in events:
        key = (event.observation, event.subject, event.behaviour, event.modifiers)
        if event.kind == "POINT":
            rows.append(_row(event, event))
        elif event.kind == "START" or (event.kind == "STATE" and key not in opened):
            if key in opened:
                fault(event, f"starts again; its start in {opened[key].where} has no stop.")
            opened[key] = event
        elif key in opened:
            start = opened.pop(key)
            if event.time < start.time:
                fault(event, f"stops before it starts ({start.where}).")
            else:
                rows.append(_row(start, event))
        else:
            fault(event, "stops without having started.")
    for event in opened.values():
        fault(event, "starts and never stops.")
    return sorted(rows, key=lambda r: r.start), faults


def _row(start: Event, stop: Event) -> LabelRow:
    return LabelRow(
        start.time, stop.time, start.behaviour, start.subject,
        observation=start.observation, lane=start.modifiers, point=start.kind == "POINT", where=start.where,
    )  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A table with one header row somewhere below a preamble; `first` is the line of the first row."""

    preamble: tuple[tuple[str, ...], ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first: int

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each column by lower-case name; of two alike the first."""
        return {h.lower(): len(self.header) - 1 - i for i, h in enumerate(reversed(self.header))}

    def has(self, name: str) -> bool:
        """Say whether there is such a column."""
        return name.lower() in self.places

    def cell(self, row: Sequence[str], *names: str) -> str:
        """Return a row's cell in the first of `names` there is, empty where there is none."""
        return next((row[self.places[n.lower()]] for n in names if n.lower() in self.places), "")

    def modifiers(self, row: Sequence[str]) -> str:
        """Return all modifiers of a row as one text."""
        return "|".join(
            v for h, v in zip(self.header, row, strict=True) if h.lower().startswith("modifier")
        )


def find_sheet(text: str, needed: Sequence[Sequence[str]]) -> Sheet | None:
    """Return the table whose header has one name of each group of `needed`, else None."""
    for number_, line in enumerate(text.split("\n")[:200]):
        lowered = line.lower()
        if not all(any(n.lower() in lowered for n in names) for names in needed):
            continue
        table = cells(text, delimiter(line))
        if number_ >= len(table):
            return None
        header = tuple(table[number_])
        names_here = {h.lower() for h in header}
        if all(any(n.lower() in names_here for n in names) for names in needed):
            rows = table[number_ + 1 :]
            return Sheet(
                tuple(tuple(row) for row in table[:number_]),
                header,
                tuple(tuple(r) for r in rows),
                number_ + 2,
            )
    return None


def body(sheet: Sheet, path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return (where, row) of every row that is not blank; raises InputError for a row cut short."""
    found = []
    for offset, row in enumerate(sheet.rows):
        if not any(row):
            continue
        where = f"line {sheet.first + offset}"
        if len(row) != len(sheet.header):
            raise InputError(
                f"{path}, {where}: {len(row)} cells where the header has {len(sheet.header)}. The file was "
                "cut short or edited; export it again."
            )
        found.append((where, row))
    return found


def media_in(sheet: Sheet, row: Sequence[str]) -> list[Media]:
    """Return the videos a row names.

    Today's exports list all with their lengths, `player #1:a.mp4;b.mp4|player #2:c.mp4` and
    `60.000;60.000|120.000`; older ones name the file an event lies in, and not when it begins.
    """
    source = sheet.cell(row, "Source")
    if "player #" not in source.lower():
        name = sheet.cell(row, *MEDIA)
        return [Media(name, None)] if name and name.lower() not in _NO_MEDIA else []
    players = source.split("|")
    lengths = [part.split(";") for part in sheet.cell(row, "Media duration (s)").split("|")]
    found: list[Media] = []
    for place, player in enumerate(players):
        begin: float | None = 0.0 if place == 0 else None  # offsets of further players are not exported
        for position, name in enumerate(player.split(":", 1)[-1].split(";")):
            known = place < len(lengths) and position < len(lengths[place])
            length = number(lengths[place][position]) if known else None
            found.append(Media(name.strip(), begin, length))
            begin = None if begin is None or length is None else begin + length
    return found


def settled(media: Iterable[Media]) -> tuple[Media, ...]:
    """Return each video once; the only one of an observation begins with it."""
    distinct = list({m.path: m for m in media}.values())
    return (replace(distinct[0], start=0.0),) if len(distinct) == 1 else tuple(distinct)
