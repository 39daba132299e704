"""How far to trust a network: confidence against being right, how it learned, at which ratio two were fused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from murine.report.data import ReportData
from murine.report.drawing import add_axes, new_figure
from murine.report.palette import FAINT, FEW, INK
from murine.types import FloatArray

_SIDE_IN = 3.2
_GAP_IN = 1.0
_GRID = "#E3E6E9"


def _panel(figure: Figure, place: int, across: str, up: str, title: str) -> Axes:
    left = 0.6 + place * (_SIDE_IN + _GAP_IN)
    right = float(figure.get_figwidth()) - left - _SIDE_IN
    axes = add_axes(figure, 0.35, _SIDE_IN, left_in=left, right_in=right)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color("#B9BEC4")
    axes.grid(color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(across, fontsize=8.5, color=FAINT)
    axes.set_ylabel(up, fontsize=8.5, color=FAINT)
    axes.set_title(title, fontsize=9, loc="left", color=INK)
    return axes


def draw_calibration(data: ReportData) -> Figure | None:
    """Draw accuracy against confidence, and accuracy against the share that is decided, surest first."""
    if not data.calibration:
        return None
    figure = new_figure(0.35 + _SIDE_IN + 0.55, 2 * (_SIDE_IN + _GAP_IN))
    left = _panel(figure, 0, "confidence", "share right", "Reliability")
    right = _panel(figure, 1, "share decided, surest first", "share right", "Coverage")
    left.plot([0, 1], [0, 1], color=FAINT, lw=0.9, ls=":")
    for (name, told), colour in zip(data.calibration.items(), (FEW[0], FEW[3], *FEW[1:3]), strict=False):
        bins = told["bins"]
        total = sum(b["count"] for b in bins)
        sizes = [8 + 120 * b["count"] / max(total, 1) for b in bins]
        x, y = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
        left.plot(x, y, color=colour, lw=1.4, label=f"{name}: error {told['error']:.3f}", zorder=3)
        left.scatter(x, y, s=sizes, color=colour, alpha=0.75, linewidths=0, zorder=3)
        rows = told["coverage"]
        right.plot(
            [row["coverage"] for row in rows],
            [row["accuracy"] for row in rows],
            "o-",
            ms=3,
            lw=1.4,
            color=colour,
            label=name,
        )
    left.set(xlim=(0, 1), ylim=(0, 1.02))
    right.set(xlim=(0, 1.02))
    left.legend(frameon=False, fontsize=8, loc="upper left")
    if len(data.calibration) > 1:
        right.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


LOSSES = (("train_loss", "training"), ("validation_loss", "validation"))
QUALITIES = (("validation_macro_f1", "macro F1"), ("validation_accuracy", "accuracy"))


def draw_learning(data: ReportData) -> Figure | None:
    """Draw losses, and where there was a validation its scores, against the epoch; a thin line is a fold."""
    known = {
        key: rows
        for key, _ in (*LOSSES, *QUALITIES)
        if (rows := [_numbers(told.get(key, ())) for told in data.learning.values()])
        and any(np.isfinite(row).any() for row in rows)
    }
    if not any(key in known for key, _ in LOSSES):
        return None
    panels = [LOSSES] + ([QUALITIES] if any(key in known for key, _ in QUALITIES) else [])
    figure = new_figure(0.35 + _SIDE_IN + 0.55, len(panels) * (_SIDE_IN + _GAP_IN))
    for place, lines in enumerate(panels):
        title, up = ("Loss", "loss") if lines is LOSSES else ("Validation", "score")
        axes = _panel(figure, place, "epoch", up, title)
        for (key, word), colour in zip(lines, (FEW[0], FEW[3]), strict=True):
            if key not in known:
                continue
            longest = max(len(row) for row in known[key])
            table = np.full((len(known[key]), longest), np.nan)
            for i, row in enumerate(known[key]):
                table[i, : len(row)] = row
                axes.plot(np.arange(1, len(row) + 1), row, color=colour, lw=0.6, alpha=0.4)
            there = np.isfinite(table).any(axis=0)
            axes.plot(
                np.flatnonzero(there) + 1,
                np.nanmean(table[:, there], axis=0),
                color=colour,
                lw=2,
                marker="o" if longest < 3 else None,
                label=word,
            )
        if lines is QUALITIES:
            axes.set_ylim(0, 1.02)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _numbers(values: Sequence[float | None]) -> FloatArray:
    return np.array([math.nan if v is None else v for v in values], dtype=np.float64)


def draw_fusion(data: ReportData) -> Figure | None:
    """Draw the scores of two networks together against the weight of the second."""
    if not data.fusion:
        return None
    # the room of ensembles draws with this one, so that its name is looked up when it is needed
    from murine.ensemble.pictures import draw_ratios

    return draw_ratios(data.fusion)


def fusion_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return the scores at each weight, then what honest choosing gives, then the best on all folds."""
    told: Mapping[str, Any] = data.fusion or {}
    names = ("accuracy", "balanced_accuracy", "macro_f1")
    rows = [
        {"weight": f"{row['weight_of_second']:.1f}", **{n: row[n] for n in names}}
        for row in told.get("table", ())
    ]
    if not rows:
        return []
    best = told["optimistic"]
    rows.append({"weight": "chosen on the other folds", **{n: told["nested"][n] for n in names}})
    rows.append({"weight": "best on all folds (too good)", **{n: best[n] for n in names}})
    return rows
