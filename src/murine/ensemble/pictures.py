"""The scores of a fusion at every weight, and what is mistaken for what at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from murine.report.drawing import add_axes, new_figure, shorten
from murine.report.palette import EMPTY, FAINT, FEW, INK

_LINES = (("accuracy", "accuracy"), ("balanced_accuracy", "balanced accuracy"), ("macro_f1", "macro F1"))
_COLUMNS = 4


def draw_ratios(fusion: Mapping[str, Any]) -> Figure:
    """Draw the scores against the weight of the second network, and the score that choosing honestly gives."""
    rows, metric = fusion["table"], fusion["metric"]
    weights = [row["weight_of_second"] for row in rows]
    figure = new_figure(4.1, 7.6)
    axes = add_axes(figure, 0.75, 2.7, left_in=0.75, right_in=0.3)
    for (name, title), colour in zip(_LINES, FEW, strict=False):
        values = [np.nan if row[name] is None else row[name] for row in rows]
        chosen = name == metric
        axes.plot(
            weights, values, "o-", color=colour, ms=4.5, lw=2.0 if chosen else 1.2, label=title, zorder=3
        )
    honest = fusion["nested"][metric]
    if honest is not None:
        axes.axhline(honest, color=INK, lw=1.1, ls="--", zorder=2, label="chosen on the other folds")
    best = fusion["optimistic"]
    if best[metric] is not None:
        axes.plot(
            best["weight_of_second"], best[metric], "o", ms=11, mfc="none", mec=INK, mew=1.2, zorder=4,
            label="best on all folds (too good)",
        )  # fmt: skip
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color("#B9BEC4")
    axes.grid(axis="y", color="#E3E6E9", lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xticks(weights)
    axes.set_xlabel(
        f"weight of {shorten(fusion['second'])}   (0: {shorten(fusion['first'])} alone)",
        fontsize=8.5, color=FAINT, parse_math=False,
    )  # fmt: skip
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.06, 1.0), ncols=3, frameon=False, fontsize=8,
        handlelength=1.8, columnspacing=1.4,
    )  # fmt: skip
    return figure


def draw_confusions(fusion: Mapping[str, Any], names: Sequence[str]) -> Figure | None:
    """Draw a confusion matrix for each weight, a row a true behaviour; None where behaviours may overlap."""
    rows = fusion["table"]
    if any(row["confusion"] is None for row in rows):
        return None
    cell = max(0.26, min(0.62, 2.2 / len(names)))
    side = cell * len(names)
    left = 0.2 + 0.066 * max(max(len(shorten(name, 14)) for name in names), 4)
    below = 0.2 + 0.066 * max(len(shorten(name, 14)) for name in names)
    wide, high = max(side + 0.3, 1.85), 0.42 + side + below
    lines = -(-len(rows) // _COLUMNS)
    figure = new_figure(high * lines, left + wide * _COLUMNS)
    width, height = figure.get_size_inches()
    blues = LinearSegmentedColormap.from_list("share", ["#FFFFFF", "#8DB3D6", "#08407E"])
    for i, row in enumerate(rows):
        line, column = divmod(i, _COLUMNS)
        counts = np.array(row["confusion"])
        total = counts.sum(axis=1, keepdims=True)
        share = np.where(total > 0, counts / np.maximum(total, 1), np.nan)
        box = (
            (left + column * wide) / width,
            1 - (line * high + 0.42 + side) / height,
            side / width,
            side / height,
        )
        axes = figure.add_axes(box)
        axes.imshow(share, cmap=blues.with_extremes(bad=EMPTY), vmin=0, vmax=1, interpolation="none")
        for a, b in np.ndindex(counts.shape):
            if total[a, 0]:
                colour = "white" if share[a, b] > 0.68 else INK
                text = f"{100 * share[a, b]:.0f}"
                axes.text(b, a, text, ha="center", va="center", fontsize=6.5, color=colour)
        short = [shorten(name, 14) for name in names]
        axes.set_yticks(range(len(names)), short if column == 0 else [], fontsize=7, parse_math=False)
        axes.set_xticks(range(len(names)), short, fontsize=7, rotation=90, parse_math=False)
        axes.tick_params(length=0, colors=INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        score = row[fusion["metric"]]
        told = "" if score is None else f"   {fusion['metric'].replace('_', ' ')} {score:.3f}"
        axes.set_title(f"weight {row['weight_of_second']:.1f}{told}", fontsize=7.5, color=FAINT, pad=4)
    return figure
