"""What is measured of one recording: time, bouts, their length, latency, what follows what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from murine.types import Bouts, FloatArray, IntArray, Timeline

SHARE, BOUTS, LENGTH, LATENCY, NEXT = "share", "bouts_per_min", "mean_bout_s", "latency_s", "next"
MEASURES: dict[str, str] = {
    SHARE: "share of the time",
    BOUTS: "bouts per minute",
    LENGTH: "mean bout, s",
    LATENCY: "latency, s",
    NEXT: "share followed by",
}
"""Every measure and how it is called."""

FOLLOWS = " → "


@dataclass(frozen=True)
class Key:
    """What a number is of. `behaviour`: of `next` two of them, "a → b"; `bin`: from 0, None for the whole."""

    behaviour: str
    measure: str
    bin: int | None = None


@dataclass(frozen=True, eq=False)
class Observed:
    """One recording as it is compared: who did what when; `groups`: its columns of recordings.csv."""

    id: str
    bouts: Bouts
    timeline: Timeline
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long anybody looked, in seconds."""
        return float(np.diff(self.timeline.seconds(self.bouts.annotated), axis=1).sum())


def measure(observed: Observed, bin_s: float | None = None) -> dict[Key, float]:
    """Return the measures of every behaviour but the background; NaN where there is none to tell.

    Over the annotated time only. A latency counts from its beginning, and where a behaviour never came it is
    the whole of it. A bout is of the bin it begins in; its time is shared between the bins it touches.
    `next`: of the bouts of a behaviour that another one follows within an annotated stretch, whatever pause lies
    between, the share that this one follows.
    """
    bouts, timeline = observed.bouts, observed.timeline
    spans = timeline.seconds(bouts.annotated)
    start, stop = timeline.seconds(bouts.start), timeline.seconds(bouts.stop)
    found: dict[Key, float] = {}
    if not len(spans):
        return found
    first, last = float(spans[0, 0]), float(spans[-1, 1])
    edges: list[tuple[int | None, float, float]] = [(None, first, last)]
    if bin_s is not None:
        count = max(1, int(np.ceil((last - first) / bin_s - 1e-9)))
        edges += [(i, first + i * bin_s, first + (i + 1) * bin_s) for i in range(count)]
    for bin_, low, high in edges:
        seen = float(_inside(spans[:, 0], spans[:, 1], low, high).sum())
        for c in bouts.ethogram.foreground:
            if c in bouts.unknown:
                continue
            mine = bouts.behaviour == c
            begun = mine & (start >= low) & (start < high)
            name = bouts.ethogram.behaviours[c]
            spent = float(_inside(start[mine], stop[mine], low, high).sum())
            lengths = (stop - start)[begun]
            found[Key(name, SHARE, bin_)] = spent / seen if seen > 0 else np.nan
            found[Key(name, BOUTS, bin_)] = 60 * int(begun.sum()) / seen if seen > 0 else np.nan
            found[Key(name, LENGTH, bin_)] = float(lengths.mean()) if len(lengths) else np.nan
            if bin_ is None:
                found[Key(name, LATENCY)] = float(start[mine][0] - low) if mine.any() else high - low
    return found | _followers(bouts)


def _inside(start: FloatArray, stop: FloatArray, low: float, high: float) -> FloatArray:
    return np.asarray(np.maximum(np.minimum(stop, high) - np.maximum(start, low), 0.0))


def followed(bouts: Bouts) -> IntArray:
    """Return (C, C) how often a bout of a row's behaviour was followed by one of a column's.

    The background counts as a pause; what is not annotated breaks the line.
    """
    size = len(bouts.ethogram)
    counts = np.zeros((size, size), dtype=np.int64)
    kept = np.isin(bouts.behaviour, bouts.ethogram.foreground)
    start, column = bouts.start[kept], bouts.behaviour[kept]
    if len(start) > 1:
        stretch = np.searchsorted(bouts.annotated[:, 0], start, side="right")
        joined = stretch[1:] == stretch[:-1]
        np.add.at(counts, (column[:-1][joined], column[1:][joined]), 1)
    return counts


def _followers(bouts: Bouts) -> dict[Key, float]:
    names, counts = bouts.ethogram.behaviours, followed(bouts)
    total = counts.sum(axis=1)
    return {
        Key(f"{names[a]}{FOLLOWS}{names[b]}", NEXT): counts[a, b] / total[a] if total[a] else np.nan
        for a in bouts.ethogram.foreground
        for b in bouts.ethogram.foreground
        if a not in bouts.unknown and b not in bouts.unknown
    }
