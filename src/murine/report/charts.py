"""Scores and time budgets as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from murine.report.data import ReportData
from murine.report.drawing import (
    WIDTH_IN,
    add_axes,
    left_margin,
    name_ticks,
    new_figure,
    shorten,
    side_label,
)
from murine.report.palette import EMPTY, FAINT, INK, colours
from murine.report.tables import budgets
from murine.types import FloatArray

MAX_DOTS = 60
"""Recordings shown as dots; more would hide each other."""
FEW_CLASSES = 10
"""Behaviours up to which a cell of a matrix has room for two lines."""


def draw_confusion(data: ReportData) -> Figure | None:
    """Draw the share of each true behaviour's frames by what was predicted, counts beneath."""
    table = None if data.scores is None else data.scores.get("confusion")
    if table is None:
        return None
    counts = np.array(table)
    total = counts.sum(axis=1, keepdims=True)
    share = np.where(total > 0, counts / np.maximum(total, 1), np.nan)
    texts = {}
    for i, j in np.ndindex(counts.shape):
        text = "none" if not total[i, 0] else f"{100 * share[i, j]:.0f} %"
        if len(counts) <= FEW_CLASSES and total[i, 0]:
            text += f"\n{counts[i, j]:,}"
        if total[i, 0] or i == j:
            texts[i, j] = text
    return draw_matrix(data, list(data.ethogram.behaviours), share, texts, "human ↓    predicted →")


def draw_confusion_counts(data: ReportData) -> Figure | None:
    """Draw the counts alone where there are too many behaviours to put them beneath the shares."""
    table = None if data.scores is None else data.scores.get("confusion")
    if table is None or len(table) <= FEW_CLASSES:
        return None
    counts = np.array(table)
    # a logarithm, for counts of rare and common behaviours differ a thousandfold
    shade = np.log1p(counts) / max(float(np.log1p(counts.max())), 1e-12)
    texts = {(i, j): str(counts[i, j]) for i, j in np.ndindex(counts.shape) if counts[i, j]}
    return draw_matrix(data, list(data.ethogram.behaviours), shade, texts, "human ↓    predicted →")


def draw_matrix(
    data: ReportData,
    names: Sequence[str],
    shade: FloatArray,
    texts: Mapping[tuple[int, int], str],
    title: str,
) -> Figure:
    """Draw (C, C) values 0..1 as shades of blue with texts upon them, a row and a column a behaviour."""
    size = len(names)
    cell = 0.78 if size <= FEW_CLASSES else 0.5
    left = left_margin(data.names)
    longest = max(len(shorten(name)) for name in names)
    turned = longest * 0.075 > cell
    below = 0.2 + (0.05 * longest if turned else 0.0)
    height = size * cell * 0.72
    figure = new_figure(0.28 + height + below, min(WIDTH_IN, left + size * cell + 0.5))
    axes = add_axes(figure, 0.28, height, left_in=left, right_in=0.5)
    blues = LinearSegmentedColormap.from_list("share", ["#FFFFFF", "#8DB3D6", "#08407E"])
    scale = blues.with_extremes(bad=EMPTY)
    axes.imshow(shade, cmap=scale, vmin=0, vmax=1, aspect="auto", interpolation="none")
    for (i, j), text in texts.items():
        colour = "white" if shade[i, j] > 0.68 else INK
        axes.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour, linespacing=1.15)
    name_ticks(axes, range(size), list(names))
    name_ticks(axes, range(size), list(names), axis="x", turned=turned)
    axes.set_title(title, fontsize=8.5, color=FAINT, loc="left", pad=5)
    axes.spines["bottom"].set_visible(False)
    return figure


def draw_behaviours(data: ReportData) -> Figure | None:
    """Draw F1 of each behaviour as a bar with precision, recall and the baseline's F1 as marks."""
    if data.scores is None:
        return None
    rows, palette = data.scores["per_class"], colours(data.ethogram)
    base = {} if data.baseline is None else data.baseline["per_class"]
    figure = new_figure(0.30 * len(rows) + 0.75)
    axes = add_axes(figure, 0.3, 0.30 * len(rows), left_in=left_margin(data.names))
    for i, (name, row) in enumerate(rows.items()):
        axes.barh(i, row["f1"] or 0.0, height=0.62, color=palette.get(name, FAINT), zorder=2)
        if row["f1"] is None:
            axes.text(0.005, i, "does not occur", fontsize=8, color=FAINT, va="center", zorder=3)
        for key, mark in (("precision", ">"), ("recall", "o")):
            if row[key] is not None:
                axes.plot(row[key], i, mark, ms=5.5, mfc="white", mec=INK, mew=1.1, zorder=4)
        line = base.get(name, {}).get("f1")
        if line is not None:
            axes.plot([line, line], [i - 0.42, i + 0.42], color=INK, lw=1.6, zorder=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="#E3E6E9", lw=0.8)
    axes.set_axisbelow(True)
    name_ticks(axes, range(len(rows)), list(rows))
    handles = [
        axes.plot([], [], "s", ms=8, color=FAINT, label="F1")[0],
        axes.plot([], [], ">", ms=5.5, mfc="white", mec=INK, label="precision")[0],
        axes.plot([], [], "o", ms=5.5, mfc="white", mec=INK, label="recall")[0],
        axes.plot([], [], "|", ms=10, mew=1.6, color=INK, label="F1 of always the commonest")[0],
    ]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, frameon=False, fontsize=8
    )
    return figure


def draw_budget(data: ReportData) -> Figure | None:
    """Draw the share of time in each behaviour, human above predicted; a dot is a recording."""
    found = budgets(data)
    if not found:
        return None
    names, palette = data.ethogram.behaviours, colours(data.ethogram)
    height = 0.24 * len(names) * len(found) + 0.12 * len(names)
    figure = new_figure(height + 0.45)
    axes = add_axes(figure, 0.03, height, left_in=left_margin(data.names))
    band = 0.8 / len(found)
    reach = 0.0
    for s, (side, table) in enumerate(found.items()):
        for c, name in enumerate(names):
            y = c - 0.4 + band * (s + 0.5)
            share = 100 * table.share[c]
            shade = {"human": 1.0, "predicted": 0.55}[side] if len(found) == 2 else 1.0
            axes.barh(y, share, height=band * 0.9, color=palette[name], alpha=shade, zorder=2)
            dots = 100 * table.by_recording[:, c]
            dots = dots if 1 < len(dots) <= MAX_DOTS else dots[:0]
            reach = max(reach, share, *dots)
            if len(dots):
                axes.plot(
                    dots, np.full(len(dots), y), "o", ms=3.4, mfc=INK, mec="white", mew=0.5, zorder=3
                )
            if len(found) == 2:
                side_label(axes, y, side)
    axes.set_xlim(0, max(1.0, min(100.0, reach * 1.04)))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#E3E6E9", lw=0.8)
    axes.set_axisbelow(True)
    name_ticks(axes, range(len(names)), list(names))
    axes.set_xlabel("% of the time", fontsize=8.5, color=FAINT)
    return figure
