"""What the animals did: how long bouts last, when a behaviour first comes, what follows what."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from murine.groups.measures import LATENCY, Key, Observed, followed, measure
from murine.report.charts import draw_matrix
from murine.report.data import ReportData
from murine.report.drawing import add_axes, left_margin, name_ticks, new_figure, side_label
from murine.report.palette import FAINT, INK, colours
from murine.types import Bouts, FloatArray, IntArray

HUMAN, PREDICTED = "human", "predicted"


def observed(data: ReportData) -> dict[str, list[Observed]]:
    """Return the recordings of "human" and "predicted"; both over the frames a human annotated, if there are any."""
    sides: dict[str, list[Observed]] = {HUMAN: [], PREDICTED: []}
    for r in data.recordings:
        human, said = r.true_frames, r.predicted_frames
        there = human is not None and bool((human != -1).any())
        if human is not None and there:
            bouts = Bouts.from_frames(data.ethogram, human)
            sides[HUMAN].append(Observed(r.id, bouts, r.timeline, r.groups))
        if said is not None:
            if human is not None and there:
                said = np.where((human == -1).all(axis=1)[:, None], -1, said)
            bouts = Bouts.from_frames(data.ethogram, said)
            sides[PREDICTED].append(Observed(r.id, bouts, r.timeline, r.groups))
    return {side: rows for side, rows in sides.items() if rows}


def latency_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return of each behaviour and side the mean latency (s) over recordings where it came, and how many did not."""
    rows: list[dict[str, Any]] = []
    found = {side: [(o, measure(o)) for o in every] for side, every in observed(data).items()}
    for c in data.ethogram.foreground:
        name = data.ethogram.behaviours[c]
        row: dict[str, Any] = {"name": name}
        for side, every in found.items():
            came = [v[Key(name, LATENCY)] for o, v in every if (o.bouts.behaviour == c).any()]
            row[side] = {
                "latency_s": float(np.mean(came)) if came else None,
                "never": len(every) - len(came),
            }
        rows.append(row)
    return rows


def transitions(data: ReportData) -> dict[str, IntArray]:
    """Return (C, C) of each side: how often a row's behaviour was followed by a column's, the background a pause."""
    return {
        side: np.sum([followed(o.bouts) for o in every], axis=0)
        for side, every in observed(data).items()
    }


def draw_transitions(data: ReportData, side: str) -> Figure | None:
    """Draw which behaviour follows which as shares of each row, counts beneath."""
    found = transitions(data).get(side)
    kept = list(data.ethogram.foreground)
    if found is None or not found.any() or len(kept) < 2:
        return None
    counts = found[np.ix_(kept, kept)]
    total = counts.sum(axis=1, keepdims=True)
    share = np.where(total > 0, counts / np.maximum(total, 1), np.nan)
    names = [data.ethogram.behaviours[c] for c in kept]
    texts = {
        (i, j): f"{100 * share[i, j]:.0f} %" + (f"\n{counts[i, j]:,}" if len(kept) <= 10 else "")
        for i, j in np.ndindex(counts.shape)
        if counts[i, j]
    }
    return draw_matrix(data, names, share, texts, f"{side}: this ↓    is followed by →")


def durations(data: ReportData) -> dict[str, list[FloatArray]]:
    """Return of each side the durations (s) of all bouts, an array a behaviour."""
    found: dict[str, list[FloatArray]] = {}
    for side, every in observed(data).items():
        lengths: list[list[float]] = [[] for _ in data.ethogram.behaviours]
        for o in every:
            lasts = o.timeline.seconds(o.bouts.stop) - o.timeline.seconds(o.bouts.start)
            for c, last in zip(o.bouts.behaviour.tolist(), lasts.tolist(), strict=True):
                lengths[c].append(last)
        found[side] = [np.array(row) for row in lengths]
    return found


def draw_durations(data: ReportData) -> Figure | None:
    """Draw how long bouts last, on a logarithmic axis: a box from quarter to quarter, whiskers from 5 to 95 %."""
    found = durations(data)
    if not any(len(row) for rows in found.values() for row in rows):
        return None
    names, palette = data.ethogram.behaviours, colours(data.ethogram)
    height = 0.26 * len(names) * len(found) + 0.12 * len(names)
    figure = new_figure(height + 0.5)
    axes = add_axes(figure, 0.03, height, left_in=left_margin(data.names))
    band = 0.8 / len(found)
    for s, (side, rows) in enumerate(found.items()):
        for c, name in enumerate(names):
            y = c - 0.4 + band * (s + 0.5)
            if len(rows[c]):
                ends = np.quantile(rows[c], [0.05, 0.25, 0.5, 0.75, 0.95])
                axes.plot(ends[[0, 4]], [y, y], color=FAINT, lw=1, zorder=2)
                shade = 0.55 if side == PREDICTED and len(found) == 2 else 1.0
                axes.barh(
                    y,
                    ends[3] - ends[1],
                    left=ends[1],
                    height=band * 0.75,
                    color=palette[name],
                    alpha=shade,
                    zorder=3,
                )
                axes.plot([ends[2]] * 2, [y - band * 0.4, y + band * 0.4], color=INK, lw=1.6, zorder=4)
            if len(found) == 2:
                side_label(axes, y, side)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [t * 10.0**p for p in range(-3, 6) for t in (1, 3) if low <= t * 10.0**p <= high]
    axes.set_xticks(ticks or [low], [f"{tick:g}" for tick in ticks or [low]])
    axes.set_xticks([], minor=True)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#E3E6E9", lw=0.8)
    axes.set_axisbelow(True)
    name_ticks(axes, range(len(names)), list(names))
    axes.set_xlabel("duration of a bout, s", fontsize=8.5, color=FAINT)
    return figure
