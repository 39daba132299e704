"""From a parsed label table to `Bouts`, the same rules for every format; and to the project's names.

Times meet frames at the nearest frame boundary (`Timeline.boundary`), so labels agree with a video
whose rate varies. A bout too short for that gets the frame it falls in, unless another bout holds it;
a point event is the frame it falls in.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from murine.errors import InputError, suggest
from murine.formats.base import ALL, NOT_ANNOTATED, LabelRow, LabelSummary, LabelTable, Media
from murine.types import Bouts, Ethogram, LabelChoice, Timeline, runs

_NO_SUBJECT = "No focal subject"


def _one(
    path: Path, what: str, wanted: str | None, found: Sequence[str], together: bool, word: str = ""
) -> set[str]:
    """Return the chosen values among `found`; raises InputError when the choice is open or wrong.

    `what` is the column that chooses, `word` what its values are to the user.
    """
    word = word or what
    nobody = _NO_SUBJECT if what == "subject" else ""
    shown = [name or nobody for name in found]
    if wanted == ALL and together and ALL not in found:
        return set(found)
    if wanted is None:
        if len(found) > 1:
            both = f", or '{ALL}' for all of them together" if together else ""
            raise InputError(
                f"{path}: holds {len(found)} {word}s: {', '.join(shown)}. Say which one is meant "
                f"(column '{what}' of recordings.csv){both}."
            )
        return set(found)
    if wanted not in shown and wanted not in found:
        if not any(shown):
            raise InputError(f"{path}: names no {word}; leave the {what} empty instead of '{wanted}'.")
        raise InputError(f"{path}: no {word} '{wanted}'.{suggest(wanted, shown)}")
    return {name for name in found if wanted in (name, name or nobody)}


def choose(table: LabelTable, choice: LabelChoice) -> LabelTable:
    """Return the part of a table that is meant.

    Raises InputError where the choice is open, names nothing, or meets a fault of the file.
    """
    observations = _one(table.path, "observation", choice.observation, table.observations, False)
    rows = [r for r in table.rows if r.observation in observations]
    faults = [f for f in table.faults if f.observation in observations]
    named = _distinct([*table.streams, *(r.stream for r in rows)]) or [""]
    streams = _one(table.path, "stream", choice.stream, named, True, table.stream_word)
    rows = [r for r in rows if r.stream in streams]
    present = _distinct([*(r.subject for r in rows), *(f.subject for f in faults)])
    listed = _distinct([*present, *(table.subjects if choice.subject is not None else ())]) or [""]
    subjects = _one(table.path, "subject", choice.subject, listed, True)
    rows = [r for r in rows if r.subject in subjects]
    for fault in faults:
        if fault.subject in subjects and (not fault.stream or fault.stream in streams):
            raise InputError(f"{table.path}: {fault.text}")
    _check_lanes(table.path, rows)
    kept = tuple(o for o in table.observations if o in observations)
    return replace(
        table, rows=tuple(rows), observations=kept, faults=(), annotated=_looked(table, kept, streams)
    )


def _looked(
    table: LabelTable, observations: Sequence[str], streams: Collection[str]
) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return the stretches that somebody of the chosen streams looked at, by observation."""
    spans = dict(table.annotated)
    for observation in observations:
        if any((observation, stream) in table.looked for stream in streams):
            whole = ((0.0, math.inf),)
            each = [table.looked.get((observation, stream), whole) for stream in sorted(streams)]
            spans[observation] = tuple(span for some in each for span in some)
    return spans


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _check_lanes(path: Path, rows: Iterable[LabelRow]) -> None:
    """Raise InputError where one behaviour of one animal overlaps itself."""
    lanes: dict[tuple[str, ...], list[LabelRow]] = {}
    for row in rows:
        if row.stop < row.start or not math.isfinite(row.stop):
            raise InputError(f"{path}, {row.where}: '{row.behaviour}' ends before it begins.")
        if not row.point:
            lanes.setdefault((row.subject, row.stream, row.lane, row.behaviour), []).append(row)
    for lane in lanes.values():
        for first, second in pairwise(sorted(lane, key=lambda r: (r.start, r.stop))):
            if second.start < first.stop:
                raise InputError(
                    f"{path}, {second.where}: '{second.behaviour}' begins at {second.start:g} while the one "
                    f"of {first.where} runs until {first.stop:g}. Correct the file."
                )


def summarise(table: LabelTable, choice: LabelChoice = LabelChoice()) -> LabelSummary:
    """Return what a table holds; behaviours, counts and last label only of the choice made so far."""

    def chosen(row: LabelRow) -> bool:
        wanted = (
            (choice.observation, row.observation),
            (choice.stream, row.stream),
            (choice.subject, row.subject),
        )
        return all(w in (None, v, v or _NO_SUBJECT) or (w == ALL) for w, v in wanted)

    rows = [r for r in table.rows if chosen(r) and r.behaviour != NOT_ANNOTATED]
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.behaviour] = counts.get(row.behaviour, 0) + 1
    return LabelSummary(
        format=table.format,
        behaviours=_ordered(table, counts),
        subjects=tuple(_distinct([*table.subjects, *(r.subject for r in table.rows if r.subject)])),
        streams=tuple(_distinct([*table.streams, *(r.stream for r in table.rows if r.stream)])),
        observations=tuple(o for o in table.observations if o),
        media=tuple(_distinct(m.path for o in table.observations for m in table.media.get(o, ()))),
        fps=table.fps,
        last=max([*(r.stop for r in rows), table.length]),
        unit=table.unit,
        counts=counts,
    )


def _ordered(table: LabelTable, used: Iterable[str]) -> tuple[str, ...]:
    """Return the behaviours in use, in the order the file declares them, else of appearance."""
    names = dict.fromkeys(used)
    return tuple(
        [b for b in table.declared if b in names] + [b for b in names if b not in table.declared]
    )


def at_media(table: LabelTable, timeline: Timeline, media: str) -> LabelTable:
    """Return the rows on the clock of the recording's own video, one of an observation's several."""
    files = table.media.get(table.observations[0], ()) if table.observations else ()
    wanted = Media(media).name
    if len(files) == 1 or not files:
        chosen = files[0] if files else Media("")
    else:
        # A video is often re-encoded after labelling: the stem alone may agree.
        named = [m for m in files if m.name == wanted] or [
            m for m in files if m.stem == Media(media).stem
        ]
        lengths = [m.length for m in files if m.start is not None]
        total = sum(x for x in lengths if x is not None)
        joined = None not in lengths and abs(total - timeline.end) <= max(0.5, 0.002 * total)
        if not named and joined and len({m.start for m in files}) == len(files):
            return table
        if len(named) != 1 or named[0].start is None:
            raise InputError(
                f"{table.path}: the observation covers several videos ({', '.join(m.name for m in files)}) "
                f"and which of them is {wanted or 'the recording'}, or when it begins, is not told. Use the "
                "BORIS project file (.boris), and a video of the name it has there."
            )
        chosen = named[0]
    begin = chosen.start or 0.0
    if len(files) <= 1:
        rows = [replace(r, start=r.start - begin, stop=r.stop - begin) for r in table.rows]
        return replace(table, rows=tuple(rows))
    end = math.inf if chosen.length is None else begin + chosen.length
    rows = [
        replace(r, start=max(r.start, begin) - begin, stop=min(r.stop, end) - begin)
        for r in table.rows
        if r.start < end and (r.stop > begin or (r.point and r.start >= begin))
    ]
    return replace(table, rows=tuple(rows))


def to_bouts(
    table: LabelTable,
    timeline: Timeline,
    choice: LabelChoice = LabelChoice(),
    *,
    tolerance_s: float = 0.0,
    media: str = "",
    known: Sequence[str] = (),
) -> Bouts:
    """Turn the chosen part of a parsed table into bouts on a timeline.

    Labels up to `tolerance_s` (and always half a frame) past the end are cut. `media` is the name of
    the recording's video, needed where an observation covers several. `known` are behaviours for a file
    that holds no label at all. Raises InputError that names the file, the row and what to do.
    """
    table = choose(table, choice)
    if table.unit == "seconds":
        table = at_media(table, timeline, media)
    _check_span(table, timeline, tolerance_s)
    n_frames = len(timeline)
    names = [
        r.behaviour for r in sorted(table.rows, key=lambda r: r.start) if r.behaviour != NOT_ANNOTATED
    ]
    named = tuple(b for b in table.declared if b != NOT_ANNOTATED)
    behaviours = _ordered(table, names) or named or tuple(known)
    if not behaviours:
        raise InputError(f"{table.path}: holds no label and names no behaviour. Is it the right file?")
    masks = {b: np.zeros(n_frames, dtype=bool) for b in behaviours}
    seen = _annotated(table, timeline)
    brief = []
    for row, (start, stop) in zip(table.rows, _frames(table, table.rows, timeline), strict=True):
        if row.behaviour == NOT_ANNOTATED:
            seen[start:stop] = False
        elif start < stop:
            masks[row.behaviour][start:stop] = True
        else:
            brief.append((start, row))
    for at, row in brief:
        inside = min(at, n_frames - 1)
        if row.start < _end(table, timeline) and not any(m[inside] for m in masks.values()):
            masks[row.behaviour][inside] = True
    labelled = np.logical_or.reduce(list(masks.values()))
    seen |= labelled
    overlap = sum(m.astype(np.int64) for m in masks.values()) > 1
    ethogram = Ethogram(behaviours, exclusive=not bool(np.any(overlap)))
    intervals = [(a, b, name) for name, mask in masks.items() for a, b in runs(mask)]
    return Bouts.build(ethogram, n_frames, intervals, np.array(runs(seen)).reshape(-1, 2))


def _end(table: LabelTable, timeline: Timeline) -> float:
    return timeline.end if table.unit == "seconds" else float(len(timeline))


def _check_span(table: LabelTable, timeline: Timeline, tolerance_s: float) -> None:
    """Raise InputError where a label lies before the beginning or too far past the end."""
    frame = 1.0 / timeline.fps if table.unit == "seconds" else 1.0
    allowed = max(tolerance_s / (1.0 if table.unit == "seconds" else frame / timeline.fps), 0.5 * frame)
    end = _end(table, timeline)
    first = min(table.rows, key=lambda r: r.start, default=None)
    if first is not None and first.start < -0.5 * frame:
        raise InputError(
            f"{table.path}, {first.where}: '{first.behaviour}' begins at {first.start:g} {table.unit}, "
            "before the recording. Check the time offset of the labels."
        )
    stop = max([*(r.stop for r in table.rows), table.length])
    if stop <= end + allowed + 1e-6:
        return
    last = max(table.rows, key=lambda r: r.stop, default=None)
    told = f"; the last is '{last.behaviour}', {last.where}" if last else ""
    excess = stop - end
    frames = excess if table.unit == "frames" else excess * timeline.fps
    seconds = frames / timeline.fps
    advice = (
        f"If they belong together, allow it with tolerance_s = {math.ceil(seconds * 10 - 1e-6) / 10:g} in project.toml"
        if seconds <= max(5.0, 0.05 * timeline.end)
        else "They seem to belong to another recording"
    )
    raise InputError(
        f"{table.path}: labels run {frames:.0f} frames ({seconds:.2f} s) past the end of the recording, which "
        f"has {len(timeline)} frames ({timeline.end:.2f} s){told}. "
        f"{advice}; check which labels go with which recording."
    )


def _frames(table: LabelTable, rows: Sequence[LabelRow], timeline: Timeline) -> list[tuple[int, int]]:
    """Return the half-open frames of rows, cut to the recording; a row may be left with none."""
    n_frames = len(timeline)
    span = np.array([(r.start, r.stop) for r in rows], dtype=np.float64).reshape(-1, 2)
    if table.unit == "frames":
        return [(int(a), int(b)) for a, b in np.clip(span, 0, n_frames)]
    frames = timeline.boundary(span)
    fps, end = timeline.fps, timeline.end
    # Programs round times to a millisecond, often to just below the frame they were taken at.
    slack = min(0.0005, 0.25 / fps) + 1e-9
    at = np.maximum(np.searchsorted(timeline.times, span[:, 0] + slack, side="right") - 1, 0)
    point = np.array([r.point for r in rows], dtype=bool)
    late = span[:, 0] >= end + 0.5 / fps
    frames[point] = np.stack([at, at + 1], axis=1)[point]
    frames[point & late] = n_frames
    return [(int(a), int(b)) for a, b in frames]


def _annotated(table: LabelTable, timeline: Timeline) -> np.ndarray:
    """Return (T,) True where somebody looked."""
    seen = np.zeros(len(timeline), dtype=bool)
    if table.tiled:
        return seen
    spans = [s for o in table.observations for s in table.annotated.get(o, ((0.0, math.inf),))]
    rows = [LabelRow(begin, min(end, _end(table, timeline)), "") for begin, end in spans]
    for start, stop in _frames(table, rows, timeline):
        seen[start:stop] = True
    return seen


def align(
    bouts: Bouts,
    ethogram: Ethogram,
    *,
    rename: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    source: str | Path = "labels",
) -> Bouts:
    """Carry bouts over to the project's behaviours, by name.

    `rename` maps a file's name to the project's; bouts of a name in `ignore` are dropped, their frames
    stay annotated. Raises InputError that names every unknown behaviour with its number of bouts, or
    the two bouts that overlap where behaviours are exclusive.
    """
    new_names = rename or {}
    intervals: list[tuple[int, int, str]] = []
    unknown: dict[str, int] = {}
    for start, stop, name in bouts.intervals():
        target = new_names.get(name, name)
        if name in ignore or target in ignore:
            continue
        if target not in ethogram.behaviours:
            unknown[target] = unknown.get(target, 0) + 1
        intervals.append((start, stop, target))
    if unknown:
        told = "; ".join(
            f"'{name}' ({count} bout{'s' * (count > 1)}).{suggest(name, ethogram.behaviours)}"
            for name, count in unknown.items()
        )
        raise InputError(
            f"{source}: behaviours the project does not know: {told} Add them to [ethogram], or list them "
            "under [labels] rename or ignore in project.toml."
        )
    if set(new_names) & set(bouts.ethogram.behaviours):
        intervals = _united(intervals, bouts.n_frames)
    try:
        return Bouts.build(ethogram, bouts.n_frames, intervals, bouts.annotated)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _united(intervals: list[tuple[int, int, str]], n_frames: int) -> list[tuple[int, int, str]]:
    """Join overlapping bouts of one name, which arise when two behaviours are renamed to one."""
    masks: dict[str, np.ndarray] = {}
    for start, stop, name in intervals:
        masks.setdefault(name, np.zeros(n_frames, dtype=bool))[start:stop] = True
    return [(a, b, name) for name, mask in masks.items() for a, b in runs(mask)]
