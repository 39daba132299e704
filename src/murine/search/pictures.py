"""A search drawn: its trials one after another, and what each setting explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from murine.report.drawing import add_axes, left_margin, name_ticks, new_figure, shorten
from murine.report.palette import FAINT, FEW, INK
from murine.search.settings import Search
from murine.search.trials import FAILED, FINISHED, PRUNED, Trial


def best_so_far(values: Sequence[float | None], *, minimized: bool) -> list[float | None]:
    """Return the best of the values up to each; None before the first."""
    best: float | None = None
    found = []
    for value in values:
        if value is not None:
            best = value if best is None else (min if minimized else max)(best, value)
        found.append(best)
    return found


def draw_history(search: Search, trials: Sequence[Trial]) -> Figure:
    """Draw every trial's value in order, the best so far as a line; trials given up hollow, failed ones crossed."""
    figure = new_figure(4.0, 7.6)
    axes = add_axes(figure, 0.6, 2.75, left_in=0.8, right_in=0.3)
    finished = [t for t in trials if t.state == FINISHED]
    pruned = [t for t in trials if t.state == PRUNED and t.told is not None]
    failed = [t for t in trials if t.state == FAILED]
    line = best_so_far([t.value for t in finished], minimized=search.minimized)
    last = max(t.number for t in trials)
    axes.plot(
        [*(t.number for t in finished), last], [np.nan if v is None else v for v in [*line, *line[-1:]]],
        "-", color=INK, lw=1.4, drawstyle="steps-post", label="best so far", zorder=2,
    )  # fmt: skip
    axes.plot(
        [t.number for t in finished], [np.nan if t.value is None else t.value for t in finished],
        "o", color=FEW[0], ms=5, label="trial", zorder=3,
    )  # fmt: skip
    if pruned:
        axes.plot(
            [t.number for t in pruned], [t.told or 0.0 for t in pruned],
            "o", mfc="white", mec=FEW[0], ms=5, label="given up (mean of its folds)", zorder=3,
        )  # fmt: skip
    if failed:
        low = axes.get_ylim()[0]
        axes.plot(
            [t.number for t in failed], [low] * len(failed),
            "x", color=FEW[3], ms=6, mew=1.4, label="failed", zorder=3, clip_on=False,
        )  # fmt: skip
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color("#B9BEC4")
    axes.grid(axis="y", color="#E3E6E9", lw=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial", fontsize=8.5, color=FAINT)
    axes.set_ylabel(shorten(search.criterion, 40), fontsize=8.5, color=FAINT, parse_math=False)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.06, 1.0),
        ncols=4,
        frameon=False,
        fontsize=8,
        handlelength=1.8,
    )
    return figure


def draw_importance(importance: Mapping[str, float | None]) -> Figure:
    """Draw the share of the differences that each setting explains, the largest first."""
    rows = sorted(
        importance.items(), key=lambda item: -1.0 if item[1] is None else item[1], reverse=True
    )
    names = [name for name, _ in rows]
    height = 0.30 * len(rows)
    figure = new_figure(height + 0.85, 7.6)
    axes = add_axes(figure, 0.25, height, left_in=left_margin(names), right_in=0.6)
    for i, (_, share) in enumerate(rows):
        if share is None:
            axes.text(0.5, i, "cannot be told", fontsize=8, color=FAINT, va="center")
            continue
        axes.barh(i, 100 * share, height=0.62, color=FEW[0], zorder=2)
        axes.text(
            100 * share + 0.8, i, f"{100 * share:.0f} %", fontsize=8, color=INK, va="center", zorder=3
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="#E3E6E9", lw=0.8)
    axes.set_axisbelow(True)
    name_ticks(axes, range(len(rows)), names)
    axes.set_xlabel(
        "% of the differences between trials that it explains by itself", fontsize=8.5, color=FAINT
    )
    return figure
