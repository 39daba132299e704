"""Bouts as rows of a table, and how an animal spent its time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from murine.errors import InputError
from murine.types import Bouts, Timeline


@dataclass(frozen=True)
class Bout:
    """One run of one behaviour. Frames are half-open; seconds are those of the frames' time stamps."""

    behaviour: str
    start_s: float
    stop_s: float
    duration_s: float
    start_frame: int
    stop_frame: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """One behaviour's part of a recording.

    `seconds`: time in it; `share`: of the annotated time (None where nothing is annotated);
    `bouts`: how many; `mean_s`, `median_s`: their duration; `latency_s`: from the first annotated frame
    to the first bout (the last three None without a bout).
    """

    behaviour: str
    seconds: float
    share: float | None
    bouts: int
    mean_s: float | None
    median_s: float | None
    latency_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return asdict(self)


def _check(bouts: Bouts, timeline: Timeline) -> None:
    if bouts.n_frames != len(timeline):
        raise InputError(
            f"bouts over {bouts.n_frames} frames came with the times of {len(timeline)} frames; "
            "they belong to different recordings"
        )


def bout_table(bouts: Bouts, timeline: Timeline) -> list[Bout]:
    """Return one row per bout, ordered by start. Raises InputError if the lengths differ."""
    _check(bouts, timeline)
    begins, ends = timeline.seconds(bouts.start).tolist(), timeline.seconds(bouts.stop).tolist()
    return [
        Bout(name, begin, end, end - begin, start, stop)
        for (start, stop, name), begin, end in zip(bouts.intervals(), begins, ends, strict=True)
    ]


def annotated_seconds(bouts: Bouts, timeline: Timeline) -> float:
    """Return the time of the frames that are annotated, in seconds."""
    _check(bouts, timeline)
    lengths = np.diff(timeline.seconds(np.arange(len(timeline) + 1)))
    return float(lengths[(bouts.frames() != -1).any(axis=1)].sum())


def time_budget(bouts: Bouts, timeline: Timeline) -> list[Budget]:
    """Return one row per behaviour, in the ethogram's order. Raises InputError if the lengths differ."""
    total = annotated_seconds(bouts, timeline)
    starts, stops = timeline.seconds(bouts.start), timeline.seconds(bouts.stop)
    spans = [int(bouts.start.min())] if len(bouts) else []
    spans += [int(bouts.annotated[0, 0])] if len(bouts.annotated) else []
    first = float(timeline.seconds(min(spans))) if spans else 0.0
    rows = []
    for c, name in enumerate(bouts.ethogram.behaviours):
        mine = bouts.behaviour == c
        lengths = stops[mine] - starts[mine]
        seconds = float(lengths.sum())
        share = seconds / total if total else None
        if len(lengths):
            mean, median = float(lengths.mean()), float(np.median(lengths))
            latency = float(starts[mine].min()) - first
            rows.append(Budget(name, seconds, share, len(lengths), mean, median, latency))
        else:
            rows.append(Budget(name, 0.0, share, 0, None, None, None))
    return rows
