"""One colour per behaviour, the same in every figure and table of a report, told apart by colour-blind eyes."""

from __future__ import annotations

from collections.abc import Sequence

from murine.types import Ethogram

FEW = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
"""Okabe & Ito 2008 without yellow and black, which vanish on paper and in text."""
MANY = (
    "#332288",
    "#88CCEE",
    "#117733",
    "#DDCC77",
    "#CC6677",
    "#44AA99",
    "#882255",
    "#999933",
    "#AA4499",
)
"""Paul Tol's muted scheme; beyond nine behaviours its darker and lighter shades follow."""

BACKGROUND = "#C4C9CE"
EMPTY = "#F3F4F6"
UNLABELLED = ("#FFFFFF", "#B9BEC4")
"""Ground and stripe of frames nobody annotated."""
DIFFERS = "#40454B"
INK = "#22272E"
FAINT = "#6A737D"


def colours(ethogram: Ethogram) -> dict[str, str]:
    """Return a hex colour per behaviour; the background is grey."""
    names = [ethogram.behaviours[c] for c in ethogram.foreground]
    chosen = FEW if len(names) <= len(FEW) else MANY
    result = {name: _shade(chosen, i) for i, name in enumerate(names)}
    if ethogram.background is not None:
        result[ethogram.background] = BACKGROUND
    return {name: result[name] for name in ethogram.behaviours}


def _shade(chosen: Sequence[str], i: int) -> str:
    turn, place = divmod(i, len(chosen))
    if not turn:
        return chosen[place]
    # Every further turn goes half-way to black, then to white, then a quarter of the way, ...
    towards = 0.0 if turn % 2 else 255.0
    part = 0.45 / ((turn + 1) // 2)
    mixed = [round(v + (towards - v) * part) for v in rgb(chosen[place])]
    return "#" + "".join(f"{v:02X}" for v in mixed)


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue (0..255) of a hex colour."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def ink_on(colour: str) -> str:
    """Return black or white, whichever is read better on `colour` (WCAG relative luminance)."""
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (c / 255 for c in rgb(colour))
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#FFFFFF" if luminance < 0.18 else "#000000"
