"""Groups of animals side by side: a dot an animal, a line their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from murine.report.data import ReportData
from murine.report.drawing import new_figure, shorten
from murine.report.palette import FAINT, FEW, INK, MANY

_PANEL_IN = (1.75, 1.5)
_MOST_BEHAVIOURS = 14
_FOLLOWS = "next"


def draw_groups(told: Mapping[str, Any]) -> Figure | None:
    """Draw a panel for each behaviour (row) and measure (column), or over bins a line for each group.

    `told`: what `Comparison.to_dict` gives. A star stands over a pair whose corrected p is below .05. What
    follows what is left to the table.
    """
    values = [v for v in told["animals"] if v["value"] is not None and v["measure"] != _FOLLOWS]
    if not values:
        return None
    names = list(told["groups"])
    palette = dict(zip(names, FEW if len(names) <= len(FEW) else MANY, strict=False))
    behaviours = list(dict.fromkeys(v["behaviour"] for v in values))[:_MOST_BEHAVIOURS]
    measures = list(dict.fromkeys(v["measure"] for v in values))
    binned = any(v["bin"] is not None for v in values)
    wide, high = _PANEL_IN
    wide = max(wide, 0.5 * len(names) + 0.75)
    left = 0.35
    figure = new_figure((high + 0.5) * len(behaviours) + 0.45, left + (wide + 0.55) * len(measures))
    width, height = figure.get_size_inches()
    for i, behaviour in enumerate(behaviours):
        for j, measure in enumerate(measures):
            x = left + j * (wide + 0.55) + 0.2
            y = 0.35 + i * (high + 0.5)
            box = (x / width, 1 - (y + high) / height, wide / width, high / height)
            axes = figure.add_axes(box)
            mine = [v for v in values if v["behaviour"] == behaviour and v["measure"] == measure]
            over = binned and any(v["bin"] is not None for v in mine)
            if over:
                _lines(axes, [v for v in mine if v["bin"] is not None], names, palette)
            else:
                _dots(axes, mine, names, palette)
                _stars(axes, told["rows"], behaviour, measure, names)
            axes.set_ylim(bottom=0)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
            axes.tick_params(length=2, labelsize=7, color="#B9BEC4", labelcolor=INK)
            title = f"{shorten(behaviour, 16)}: {told['measures'][measure]}"
            axes.set_title(title, fontsize=7.5, loc="left", color=INK, parse_math=False, pad=7)
            if over and i == len(behaviours) - 1:
                axes.set_xlabel("bin", fontsize=7, color=FAINT)
    if binned:
        handles = [figure.axes[0].plot([], [], color=palette[n], label=shorten(n))[0] for n in names]
        figure.legend(handles=handles, loc="upper right", ncols=len(names), frameon=False, fontsize=8)
    return figure


def _dots(
    axes: Axes, values: Sequence[Mapping[str, Any]], names: Sequence[str], palette: Mapping[str, str]
) -> None:
    for place, name in enumerate(names):
        mine = np.array([v["value"] for v in values if v["group"] == name and v["bin"] is None])
        if not len(mine):
            continue
        # spread evenly by rank, so that equal values stand side by side and every drawing is the same
        aside = np.zeros(len(mine))
        aside[np.argsort(mine, kind="stable")] = np.linspace(-0.16, 0.16, len(mine))
        axes.plot(
            place + (aside if len(mine) > 1 else 0 * aside),
            mine,
            "o",
            ms=4,
            color=palette[name],
            alpha=0.75,
            mew=0,
        )
        axes.plot([place - 0.27, place + 0.27], [mine.mean()] * 2, color=INK, lw=1.8, zorder=4)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels([shorten(name, 12) for name in names], parse_math=False, fontsize=7)


def _stars(
    axes: Axes, rows: Sequence[Mapping[str, Any]], behaviour: str, measure: str, names: Sequence[str]
) -> None:
    found = [
        row
        for row in rows
        if (row["behaviour"], row["measure"], row["bin"]) == (behaviour, measure, None)
        and row["p_holm"] is not None
        and row["p_holm"] < 0.05
    ]
    top = axes.get_ylim()[1]
    for step, row in enumerate(found):
        a, b = names.index(row["first"]["group"]), names.index(row["second"]["group"])
        y = top * (1.06 + 0.14 * step)
        axes.plot([a, b], [y, y], color=INK, lw=0.8)
        axes.text((a + b) / 2, y, "*", ha="center", va="bottom", fontsize=9, color=INK)
        axes.set_ylim(top=y * 1.16)


def _lines(
    axes: Axes, values: Sequence[Mapping[str, Any]], names: Sequence[str], palette: Mapping[str, str]
) -> None:
    for name in names:
        mine = [v for v in values if v["group"] == name]
        bins = sorted({v["bin"] for v in mine})
        rows = [np.array([v["value"] for v in mine if v["bin"] == b]) for b in bins]
        means = np.array([row.mean() for row in rows])
        error = np.array([row.std(ddof=1) / len(row) ** 0.5 if len(row) > 1 else 0.0 for row in rows])
        axes.plot(np.array(bins) + 1, means, "o-", ms=3, lw=1.4, color=palette[name])
        axes.fill_between(
            np.array(bins) + 1, means - error, means + error, color=palette[name], alpha=0.2, lw=0
        )


def draw_compared(data: ReportData) -> Figure | None:
    """Draw a report's groups."""
    return draw_groups(data.groups) if data.groups else None
