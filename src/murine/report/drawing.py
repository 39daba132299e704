"""How a figure is laid out, and how it becomes a picture inside a page or a PNG beside it.

Only matplotlib's object interface is used: no global state, no window, the same picture everywhere.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from murine.files import replacing
from murine.report.palette import FAINT, INK

WIDTH_IN = 11.2
"""Width of a full figure in inches; pages show it at about 100 pixels per inch."""
RIGHT_IN = 0.75
DPI = 150
SYSTEM_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Picture:
    """A figure as a data address, the width it asks for (pixels) and its text for those who cannot see it."""

    uri: str
    width: int
    text: str

    @property
    def size(self) -> int:
        """Bytes it adds to a page."""
        return len(self.uri)


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty figure on a white ground."""
    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(
    figure: Figure,
    top_in: float,
    height_in: float,
    *,
    left_in: float,
    right_in: float = RIGHT_IN,
) -> Axes:
    """Return axes that start `top_in` below the upper edge; fixed margins line figures up in a page."""
    width, height = figure.get_size_inches()
    box = (
        left_in / width,
        1 - (top_in + height_in) / height,
        (width - left_in - right_in) / width,
        height_in / height,
    )
    axes = figure.add_axes(box)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#B9BEC4")
    axes.tick_params(length=3, color="#B9BEC4", labelsize=8.5, labelcolor=INK)
    return axes


def name_ticks(
    axes: Axes,
    places: Any,
    names: list[str],
    *,
    axis: str = "y",
    size: float = 8.5,
    turned: bool = False,
) -> None:
    """Put names at places of an axis, dollar signs and all, without tick marks; `turned`: slanting."""
    short = [shorten(name) for name in names]
    if axis == "y":
        axes.set_yticks(places)
        axes.set_yticklabels(short, parse_math=False, ha="left", fontsize=size)
        # From the figure's left edge (in points), in line with the text of the page.
        inches = axes.figure.dpi_scale_trans.inverted().transform(axes.bbox.p0)
        axes.tick_params(axis="y", length=0, pad=72 * float(inches[0]) - 1)
    else:
        axes.set_xticks(places)
        axes.set_xticklabels(short, parse_math=False, fontsize=size)
        if turned:
            for label in axes.get_xticklabels():
                label.set(rotation=40, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0)


def left_margin(names: Iterable[str]) -> float:
    """Return the inches that the longest of the names takes, as `name_ticks` writes it."""
    return 0.22 + 0.066 * max(max(len(shorten(name)) for name in names), 7)


def side_label(axes: Axes, y: float, text: str) -> None:
    """Put a small remark right of the axes, beside a strip or a bar."""
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7,
        color=FAINT,
        va="center",
    )


def shorten(name: str, limit: int = 24) -> str:
    """Return a name that fits into a figure's margin."""
    return name if len(name) <= limit else name[: limit - 6] + "…" + name[-5:]


def time_axis(axes: Axes, start_s: float, stop_s: float) -> None:
    """Count time from `start_s` in seconds, minutes or hours, whichever is read best."""
    span = stop_s - start_s
    unit, seconds = ("s", 1.0) if span < 180 else ("min", 60.0) if span < 3 * 3600 else ("h", 3600.0)
    steps = [s * 10.0**p for p in range(-3, 6) for s in (1, 2, 5)]
    step = next((s for s in steps if span / seconds / s <= 12), steps[-1])
    ticks = np.arange(0, span / seconds + step * 1e-6, step)
    axes.set_xlim(start_s, stop_s)
    axes.set_xticks(start_s + ticks * seconds)
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.annotate(
        unit,
        (1, 0),
        xycoords="axes fraction",
        xytext=(16, -4.5),
        textcoords="offset points",
        fontsize=8.5,
        color=FAINT,
        va="top",
    )


def _write(figure: Figure, target: Any, kind: str) -> bool:
    """Write a figure; True where a character has no shape in the figure's own font."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": "murine"}
    metadata = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }.get(kind, {"Software": None})
    with warnings.catch_warnings(record=True) as caught, mpl.rc_context(settings):  # type: ignore[arg-type]
        warnings.simplefilter("always")
        figure.savefig(target, format=kind, dpi=DPI, metadata=metadata)
    foreign = [w for w in caught if "missing from font" in str(w.message)]
    for other in (w for w in caught if w not in foreign):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return bool(foreign)


SMALL = 60_000
"""Bytes of SVG below which no PNG is tried: drawing it would cost more than it could save."""


def picture(figure: Figure, text: str) -> Picture:
    """Return a figure as SVG, or as PNG where the SVG is large and the PNG smaller.

    A figure with characters that matplotlib's own font does not have stays SVG: the reader's browser
    has a font for them.
    """
    vector = io.BytesIO()
    foreign = _write(figure, vector, "svg")
    svg = vector.getvalue().decode()
    svg = svg.replace("'DejaVu Sans', 'sans-serif'", SYSTEM_FONTS).replace("'DejaVu Sans'", SYSTEM_FONTS)
    encoded = svg.encode()
    width = round(figure.get_figwidth() * 100)
    if len(encoded) > SMALL and not foreign:
        raster = io.BytesIO()
        _write(figure, raster, "png")
        if len(raster.getvalue()) < len(encoded):
            return Picture(_uri(raster.getvalue(), "image/png"), width, text)
    return Picture(_uri(encoded, "image/svg+xml"), width, text)


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def save_picture(figure: Figure, path: Path) -> tuple[Path, Path]:
    """Write a figure as `path`.png and `path`.svg, each in one piece; raises StorageError as `save_png`."""
    vector = io.BytesIO()
    _write(figure, vector, "svg")
    path = Path(path)
    with replacing(path.with_name(f"{path.name}.svg")) as part:
        part.write_bytes(vector.getvalue())
    return save_png(figure, path.with_name(f"{path.name}.png")), path.with_name(f"{path.name}.svg")


def save_drawings(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as `path`.png, .svg and .pdf; raises StorageError as `save_png`."""
    written = list(save_picture(figure, path))
    buffer = io.BytesIO()
    _write(figure, buffer, "pdf")
    place = Path(path).with_name(f"{Path(path).name}.pdf")
    with replacing(place) as part:
        part.write_bytes(buffer.getvalue())
    return [*written, place]


def save_png(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG in one piece; raises StorageError where it cannot be written."""
    with replacing(Path(path)) as part:
        buffer = io.BytesIO()
        _write(figure, buffer, "png")
        part.write_bytes(buffer.getvalue())
    return Path(path)
