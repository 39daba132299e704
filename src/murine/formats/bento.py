"""Bento annotation files (.annot): channels with a list of bouts per behaviour.

Whole numbers are frames, counted from 1, and the last one belongs to the bout. Numbers with a point are
seconds: Bento for MATLAB writes frame number over rate, so a bout begins one frame late there and its
Duration is one frame longer than Stop minus Start, by which it is told; later versions write plain times.
Frames from `Annotation start` to `Annotation stop` are annotated.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from murine.errors import InputError, suggest
from murine.formats.base import (
    FORMATS,
    NOT_ANNOTATED,
    LabelFormat,
    LabelRow,
    LabelTable,
    LabelTarget,
    Media,
    marked,
)
from murine.formats.text import head_text, read_text, write_bytes
from murine.types import Bouts

_TITLE = "Bento annotation file"
_CHANNEL = re.compile(r"^(.+?)-{3,}$")
_SETTING = re.compile(
    r"^(Movie file\(s\)|Stimulus name|Annotation \w+(?: \w+)?):?\s*(.*)$", re.IGNORECASE
)
_CHANNEL_NAME = "Ch1"


@dataclass
class _Reading:
    """What has been read of a file so far."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    bouts: list[tuple[str, str, list[str], int]] = field(default_factory=list)
    headed: set[str] = field(default_factory=set)

    def fault(self, number: int, text: str) -> InputError:
        return InputError(f"{self.path}, line {number}: {text} Was the file cut short or edited?")


def parse(path: Path) -> LabelTable:
    """Read an annotation file; raises InputError that names the file and the line."""
    path = Path(path)
    lines = read_text(path, "label file").split("\n")
    if not _is_title(lines[0]):
        raise InputError(f"{path}: line 1 is not '{_TITLE}'; this is no annotation file of Bento.")
    reading = _Reading(path)
    _walk(reading, lines[1:])
    if not reading.channels or (not reading.names and not reading.bouts):
        raise InputError(
            f"{path}: no list of channels and of annotations. Was the file cut short? Save it again in Bento."
        )
    return _table(reading)


def _walk(reading: _Reading, lines: list[str]) -> None:
    place, channel, name = "settings", "", ""
    for number, raw in enumerate(lines, start=2):
        line = raw.strip()
        header, setting = _CHANNEL.match(line), _SETTING.match(line)
        if not line:
            place = "settings" if place in ("channels", "names") else place
        elif line.lower().startswith("list of channels"):
            place = "channels"
        elif line.lower().startswith("list of annotations"):
            place = "names"
        elif place == "channels" and not header:
            reading.channels.append(line)
        elif place == "names" and not header:
            reading.names.append(line)
        elif header and header[1] in reading.channels:
            place, channel, name = "bouts", header[1], ""
        elif header:
            raise reading.fault(
                number,
                f"channel '{header[1]}' is not in the list.{suggest(header[1], reading.channels)}",
            )
        elif place == "bouts" and line.startswith(">"):
            name = line[1:].strip()
            if reading.names and name not in reading.names:
                raise reading.fault(
                    number, f"behaviour '{name}' is not in the list ({', '.join(reading.names)})."
                )
        elif place == "bouts" and line.lower().startswith("start"):
            reading.headed.add(name)
        elif place == "bouts" and name in reading.headed:
            reading.bouts.append((channel, name, line.split(), number))
        elif setting and place == "settings":
            reading.settings[setting[1].lower()] = setting[2].strip()
        elif place == "settings" and not reading.channels:
            # MARS writes the movie on the line below.
            reading.settings["movie file(s)"] = reading.settings.get("movie file(s)") or line
        else:
            raise reading.fault(number, f"{line[:60]!r} came where '>behaviour' was expected.")


def _table(reading: _Reading) -> LabelTable:
    timed = any("." in cell for _, _, cells, _ in reading.bouts for cell in cells[:2])
    rate = _number(reading.settings.get("annotation framerate", ""))
    fps = rate if math.isfinite(rate) and rate > 0 else None
    rows = [_row(reading, *bout, timed, fps) for bout in reading.bouts]
    span = _span(reading, timed, fps)
    movies = [
        m
        for m in re.split(r"\s{2,}|(?<=\.\w{3})\s+", reading.settings.get("movie file(s)", "").strip())
        if m
    ]
    media = {"": (Media(movies[0]),)} if len(movies) == 1 else {}
    return LabelTable(
        "bento", reading.path, "seconds" if timed else "frames", tuple(sorted(rows, key=lambda r: r.start)),
        declared=tuple(dict.fromkeys(reading.names)), streams=tuple(dict.fromkeys(reading.channels)),
        media=media, fps=fps, annotated={"": (span,)} if span else {}, stream_word="channel",
    )  # fmt: skip


def _row(
    reading: _Reading,
    channel: str,
    name: str,
    cells: list[str],
    number: int,
    timed: bool,
    fps: float | None,
) -> LabelRow:
    values = [_number(cell) for cell in cells]
    if len(values) not in (2, 3) or not all(math.isfinite(v) for v in values):
        raise reading.fault(
            number, f"{' '.join(cells)[:60]!r} came where start, stop and duration were expected."
        )
    start, stop = values[:2]
    length = values[2] if len(values) == 3 else None
    if stop < start:
        raise reading.fault(number, f"'{name}' ends at {stop:g}, before it starts at {start:g}.")
    where = f"line {number}"
    if not timed:
        if start < 1 or (length is not None and length not in (stop - start, stop - start + 1)):
            raise reading.fault(
                number, f"frames {start:g} to {stop:g} with duration {length:g}; they count from 1."
            )
        return LabelRow(start - 1, stop, name, stream=channel, where=where)
    frame = 1.0 / fps if fps else 0.0
    late = length is not None and frame and abs(length - (stop - start) - frame) < 0.25 * frame
    if length is not None and not late and abs(length - (stop - start)) > max(0.002, 0.25 * frame):
        raise reading.fault(number, f"duration {length:g} does not fit {start:g} to {stop:g}.")
    return LabelRow(max(0.0, start - frame) if late else start, stop, name, stream=channel, where=where)


def _span(reading: _Reading, timed: bool, fps: float | None) -> tuple[float, float] | None:
    """Return what was annotated, in the unit of the bouts; None where the file does not say so."""
    for word in ("frame", "time"):
        first = _number(reading.settings.get(f"annotation start {word}", ""))
        last = _number(reading.settings.get(f"annotation stop {word}", ""))
        if math.isfinite(first) and math.isfinite(last) and last >= first:
            scale = (
                1.0
                if (word == "time") == timed
                else (fps or 0.0)
                if word == "time"
                else 1.0 / (fps or 1.0)
            )
            step = 1.0 if not timed else 1.0 / (fps or math.inf)
            if scale:
                return max(0.0, first * scale - step), last * scale
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write an annotation file of one channel, in frames."""
    names = list(dict.fromkeys([*bouts.ethogram.behaviours, *(n for _, _, n in marked(bouts))]))
    odd = [n for n in names if _CHANNEL.match(n)]
    if odd:
        raise InputError(
            f"a behaviour called '{odd[0]}' cannot be written: Bento ends channels with dashes."
        )
    lines = [
        _TITLE, f"Movie file(s):  {target.media or target.recording}", "", "Stimulus name: ",
        "Annotation start frame: 1", f"Annotation stop frame: {bouts.n_frames}",
        f"Annotation framerate: {target.timeline.fps:.6f}", "", "List of channels:", _CHANNEL_NAME, "",
        "List of annotations:", *names, "", f"{_CHANNEL_NAME}----------",
    ]  # fmt: skip
    for name in names:
        spans = [(a, b) for a, b, n in marked(bouts) if n == name]
        if spans:
            lines += [f">{name}", "Start\t Stop\t Duration "]
            lines += [f"{a + 1}\t{b}\t{b - a}" for a, b in spans]
            lines.append("")
    write_bytes(path, "\n".join([*lines, "", ""]).encode())


def _is_title(line: str) -> bool:
    return line.strip().lower().startswith(_TITLE.lower())


def _sniff(path: Path, head: bytes) -> bool:
    return _is_title(head_text(head).lstrip().split("\n", 1)[0])


FORMATS.add(
    "bento",
    LabelFormat(
        "bento", "Bento annotation file", (".annot",), _sniff, parse, write,
        lossy=f"hotkeys, stimulus, subject; frames nobody annotated are written as '{NOT_ANNOTATED}'; Bento "
        "itself wants names of letters, digits and _",
    ),
)  # fmt: skip
