"""Ethograms: time from left to right, human labels above, predictions below, not annotated hatched."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from murine.report import rasters
from murine.report.data import MAX_OVERVIEW, ReportData, ReportRecording
from murine.report.drawing import add_axes, left_margin, name_ticks, new_figure, side_label, time_axis
from murine.report.palette import DIFFERS, colours

STRIP, PAIR_GAP, LANE_GAP = 9, 1, 6
"""Rows of pixels of one strip, between human and predicted, between lanes."""
_IN_PER_ROW = 0.0145


def _show(axes: Axes, image: rasters.Picture, start_s: float, stop_s: float) -> None:
    """Show a picture whose rows count from the top, over the given time."""
    extent = (start_s, stop_s, float(len(image)), 0.0)
    axes.imshow(image, aspect="auto", interpolation="none", extent=extent)
    axes.set_ylim(len(image), 0)


def _sides(r: ReportRecording) -> list[tuple[str, np.ndarray]]:
    both = (("human", r.true_frames), ("predicted", r.predicted_frames))
    return [(name, frames) for name, frames in both if frames is not None]


def draw_ethogram(data: ReportData, r: ReportRecording) -> Figure | None:
    """Draw a lane per behaviour: the human's strip above the predicted one, differences at the bottom."""
    sides = _sides(r)
    if not sides:
        return None
    palette, width = colours(data.ethogram), rasters.pixels(r.timeline)
    means = [rasters.shares(frames, r.timeline, width) for _, frames in sides]
    strips: list[rasters.Picture | int] = []
    places: list[float] = []
    row = 0

    def add(*items: rasters.Picture | int) -> None:
        nonlocal row
        strips.extend(items)
        row += sum(item if isinstance(item, int) else len(item) for item in items)

    for c, name in enumerate(data.ethogram.behaviours):
        top = row
        for i, (share, hidden) in enumerate(means):
            add(*([PAIR_GAP] if i else []), rasters.hatch(_strip(share[:, c], palette[name]), hidden))
        places.append((top + row) / 2)
        add(LANE_GAP)
    names = list(data.ethogram.behaviours)
    if r.true_frames is not None and r.predicted_frames is not None:
        known = (r.true_frames != -1).any(axis=1)
        wrong = ((r.true_frames != r.predicted_frames).any(axis=1) & known)[:, None]
        share = rasters.block_means(wrong, r.timeline, width)[:, 0]
        places.append(row + STRIP / 2)
        add(rasters.hatch(_strip(share, DIFFERS), means[0][1]))
        names.append("differs")
    else:
        strips.pop()
        row -= LANE_GAP
    image = rasters.stack(strips, width)
    figure = new_figure(row * _IN_PER_ROW + 0.34)
    axes = add_axes(figure, 0.03, row * _IN_PER_ROW, left_in=left_margin(data.names))
    _show(axes, image, float(r.timeline.times[0]), r.timeline.end)
    time_axis(axes, float(r.timeline.times[0]), r.timeline.end)
    name_ticks(axes, places, names)
    if len(sides) == 2:
        for place, (side, _) in zip((STRIP / 2, STRIP * 1.5 + PAIR_GAP), sides, strict=True):
            side_label(axes, place, side)
    return figure


def _strip(share: np.ndarray, colour: str) -> rasters.Picture:
    return rasters.tint(share, colour, STRIP)


def draw_probabilities(data: ReportData, r: ReportRecording) -> Figure | None:
    """Draw a row per behaviour, from white (0) to its colour (1)."""
    if r.probabilities is None:
        return None
    palette, width = colours(data.ethogram), rasters.pixels(r.timeline)
    means = rasters.block_means(r.probabilities, r.timeline, width)
    strips: list[rasters.Picture | int] = []
    for c, name in enumerate(data.ethogram.behaviours):
        strips += [rasters.tint(means[:, c], palette[name], STRIP, "#FFFFFF"), 1]
    image = rasters.stack(strips[:-1], width)
    scale = _IN_PER_ROW * 1.15
    figure = new_figure(len(image) * scale + 0.34)
    axes = add_axes(figure, 0.03, len(image) * scale, left_in=left_margin(data.names))
    _show(axes, image, float(r.timeline.times[0]), r.timeline.end)
    time_axis(axes, float(r.timeline.times[0]), r.timeline.end)
    name_ticks(
        axes,
        [c * (STRIP + 1) + STRIP / 2 for c in range(len(data.ethogram))],
        [*data.ethogram.behaviours],
    )
    return figure


def draw_overview(data: ReportData) -> Figure | None:
    """Draw all recordings under each other, one band each for human and prediction."""
    if not data.ethogram.exclusive:
        return None
    shown = [r for r in data.recordings if _sides(r)][:MAX_OVERVIEW]
    if len(shown) < 2:
        return None
    longest = max(r.seconds for r in shown)
    palette = list(colours(data.ethogram).values())
    strip = 7 if len(shown) <= 60 else 4
    parts: list[rasters.Picture | int] = []
    places = []
    row = 0
    for r in shown:
        width = max(1, round(rasters.WIDTH * r.seconds / longest))
        top = row
        for _, frames in _sides(r):
            share, hidden = rasters.shares(frames, r.timeline, width)
            band = rasters.hatch(rasters.blend(share, palette, strip), hidden)
            parts.append(np.pad(band, ((0, 0), (0, rasters.WIDTH - width), (0, 0)), constant_values=255))
            row += strip
        places.append((top + row) / 2)
        parts.append(max(2, strip // 2 + 1))
        row += max(2, strip // 2 + 1)
    figure = new_figure(row * _IN_PER_ROW + 0.36)
    axes = add_axes(figure, 0.03, row * _IN_PER_ROW, left_in=left_margin(data.names))
    _show(axes, rasters.stack(parts, rasters.WIDTH), 0.0, longest)
    time_axis(axes, 0.0, longest)
    name_ticks(axes, places, [r.id for r in shown], size=8.5 if strip == 7 else 6)
    return figure
