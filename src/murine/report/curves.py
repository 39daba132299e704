"""ROC and precision-recall curves of every behaviour and their mean.

What is pooled is what the scores pool: frames, or whole clips where these are judged. -1 is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from murine.metrics.basics import mean
from murine.report.data import ReportData
from murine.report.drawing import add_axes, new_figure, shorten
from murine.report.palette import FAINT, INK, colours
from murine.types import FloatArray

POINTS = 201
"""Of a mean curve, and at most of any that is drawn."""
MEAN = "mean"


@dataclass(frozen=True, eq=False)
class Curve:
    """One behaviour at every threshold. `x`, `y`: false against true positive rate, or recall against precision;
    `area`: under the first, or average precision; `count`: units that show the behaviour.
    """

    x: FloatArray
    y: FloatArray
    area: float
    count: int


def roc_curve(truth: NDArray[np.bool_], values: FloatArray) -> Curve | None:
    """Return false (N,) against true positive rates from threshold infinity down; None without both kinds."""
    hits, misses = _steps(truth, values)
    if not hits[-1] or not misses[-1]:
        return None
    x = np.concatenate([[0.0], misses / misses[-1]])
    y = np.concatenate([[0.0], hits / hits[-1]])
    return Curve(x, y, float(np.trapezoid(y, x)), int(hits[-1]))


def precision_recall_curve(truth: NDArray[np.bool_], values: FloatArray) -> Curve | None:
    """Return recall (N,) against precision from the highest threshold down; None where nothing is to be found.

    Between two recalls the precision is that of the higher one, so that the area is the average precision.
    """
    hits, misses = _steps(truth, values)
    if not hits[-1]:
        return None
    recall, precision = hits / hits[-1], hits / (hits + misses)
    return Curve(recall, precision, float(np.diff(recall, prepend=0.0) @ precision), int(hits[-1]))


def _steps(truth: NDArray[np.bool_], values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return hits and false alarms at each distinct threshold, falling."""
    if not len(values):
        return np.zeros(1), np.zeros(1)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    hits = np.cumsum(truth[order])[last].astype(np.float64)
    return hits, last + 1.0 - hits


def curves(data: ReportData) -> dict[str, dict[str, Curve]]:
    """Return the curves "roc" and "precision_recall" by behaviour; last their mean where there are several.

    The mean is vertical: of the true positive rates at each false positive rate, of the precisions at each
    recall (Fawcett 2006, section 8). Empty without labels or probabilities.
    """
    rows = data.judged_rows
    if rows is None:
        return {}
    truth, _, values = rows
    if values is None:
        return {}
    found: dict[str, dict[str, Curve]] = {"roc": {}, "precision_recall": {}}
    for c, name in enumerate(data.ethogram.behaviours):
        known = truth[:, c] != -1
        real, column = truth[known, c] == 1, np.asarray(values[known, c], dtype=np.float64)
        for kind, make in (("roc", roc_curve), ("precision_recall", precision_recall_curve)):
            curve = make(real, column)
            if curve is not None:
                found[kind][name] = curve
    grid = np.linspace(0, 1, POINTS)
    for kind, drawn in found.items():
        if len(drawn) > 1 and MEAN not in drawn:
            every = [_at(curve, grid, kind) for curve in drawn.values()]
            area = mean(curve.area for curve in drawn.values())
            drawn[MEAN] = Curve(grid, np.mean(every, axis=0), area or 0.0, 0)
    return {kind: drawn for kind, drawn in found.items() if drawn}


def _at(curve: Curve, grid: FloatArray, kind: str) -> FloatArray:
    if kind == "roc":
        # where the curve climbs straight up, the highest point counts
        last = np.append(np.flatnonzero(np.diff(curve.x)), len(curve.x) - 1)
        return np.asarray(np.interp(grid, curve.x[last], curve.y[last]))
    return curve.y[np.minimum(np.searchsorted(curve.x, grid - 1e-12), len(curve.y) - 1)]


def curve_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return every curve's points as rows of `curve`, `behaviour`, `x`, `y`, at most `POINTS` each."""
    return [
        {"curve": kind, "behaviour": name, "x": float(x), "y": float(y)}
        for kind, drawn in curves(data).items()
        for name, curve in drawn.items()
        for x, y in zip(*_thin(curve), strict=True)
    ]


def _thin(curve: Curve) -> tuple[FloatArray, FloatArray]:
    if len(curve.x) <= POINTS:
        return curve.x, curve.y
    # even along the line, not along the thresholds: steep parts keep their shape
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))])
    at = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)).clip(0, len(curve.x) - 1))
    return curve.x[at], curve.y[at]


_PANELS = (
    ("roc", "false positive rate", "true positive rate", "ROC (area)"),
    ("precision_recall", "recall", "precision", "Precision and recall (average precision)"),
)
_SIDE_IN = 3.4


def draw_curves(data: ReportData) -> Figure | None:
    """Draw ROC curves on the left, precision against recall on the right, areas beside the names."""
    found = curves(data)
    if not found:
        return None
    palette = colours(data.ethogram)
    below = 0.5 + 0.17 * max(len(drawn) for drawn in found.values())
    figure = new_figure(0.35 + _SIDE_IN + below, 2 * (_SIDE_IN + 1.0))
    for i, (kind, across, up, title) in enumerate(_PANELS):
        drawn = found.get(kind, {})
        left = 0.6 + i * (_SIDE_IN + 1.0)
        right = 2 * (_SIDE_IN + 1.0) - left - _SIDE_IN
        axes = add_axes(figure, 0.35, _SIDE_IN, left_in=left, right_in=right)
        for name, curve in drawn.items():
            _line(axes, kind, name, curve, palette.get(name, INK))
        if kind == "roc":
            axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=":")
        axes.spines["left"].set_visible(True)
        axes.spines["left"].set_color("#B9BEC4")
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        axes.set_xlabel(across, fontsize=8.5, color=FAINT)
        axes.set_ylabel(up, fontsize=8.5, color=FAINT)
        axes.set_title(title, fontsize=9, loc="left", color=INK)
        if drawn:
            legend = axes.legend(
                loc="upper left",
                bbox_to_anchor=(-0.04, -0.11),
                frameon=False,
                fontsize=8,
                labelspacing=0.25,
            )
            for text in legend.get_texts():
                text.set_parse_math(False)
    return figure


def _line(axes: Axes, kind: str, name: str, curve: Curve, colour: str) -> None:
    label = f"{shorten(name)}  {curve.area:.3f}"
    x, y = _thin(curve)
    if name == MEAN:
        axes.plot(x, y, color=INK, lw=2.2, ls="--", label=label, zorder=4)
    elif kind == "roc":
        axes.plot(x, y, color=colour, lw=1.3, label=label, zorder=3)
    else:
        axes.step(np.append(0.0, x), np.append(y[0], y), where="pre", color=colour, lw=1.3, label=label)
