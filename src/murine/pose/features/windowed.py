"""What a few telling signals do in the seconds around a frame: extremes, running means, lags, band power.

The signals do not depend on where the camera stands. Of each animal: its speed (px/s, over 1/6 s), spread (mean
distance of its points from their centre, px) and turning (rad/s); of two: the distance of their centres and the
least of any two points (px), the size of their relative velocity (px/s); of one towards the other: its speed
towards it (px/s) and its facing (cosine).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from murine.pose.features.motion import SLOW_S, body_velocity, turning_rate
from murine.pose.features.rolling import pair_signals
from murine.pose.features.running import RunningSums, extremes
from murine.pose.features.scene import FAMILIES, Family, Part, Rows, Scene, length
from murine.pose.features.social import approach, facing
from murine.types import IntArray

Number = TypeVar("Number", np.float64, np.complex128)
Windowed = Callable[[Scene, float], list[Part]]

EXTREMES_S = (1.0, 4.0)
"""Windows of the running extremes: 31 and 121 frames at 30 per second."""

TOWARDS_S = (0.5, 1.0, 2.0)
"""Windows of the running means of what one animal does towards the other."""

LAGS_S = (0.25, 0.5, 1.0, 2.0)
"""How far before and after a frame the lags lie."""

BANDS = {1.0: (1.0, 3.0, 6.0, 12.0), 2.0: (0.5, 1.5, 3.0, 6.0)}
"""Windows of the band powers in seconds, and the edges of their bands in Hz."""


def signals(scene: Scene) -> list[Part]:
    """Return the signals: of each animal, of each pair, of each animal towards another."""
    return scene.once("signals", lambda: _signals(scene))


def _signals(scene: Scene) -> list[Part]:
    x, y = scene.centre
    spread = scene.mean(length(scene.x - x[:, None], scene.y - y[:, None]))
    rows, names = [length(*body_velocity(scene)), spread], ["speed", "spread"]
    if scene.whole.axis is not None:
        rows, names = [*rows, turning_rate(scene)], [*names, "turning"]
    parts = [Part("animal", np.stack(rows, axis=1), tuple(names))]
    if scene.pairs:
        parts.append(pair_signals(scene))
        parts.append(_towards(scene))
    return parts


def _towards(scene: Scene) -> Part:
    rows, names = [approach(scene)[0].values], ["approach"]
    if scene.whole.axis is not None:
        rows, names = [*rows, facing(scene)[0].values[:, :1]], [*names, "facing"]
    return Part("directed", np.concatenate(rows, axis=1), tuple(names))


def _each(scene: Scene, compute: Callable[[Rows], Sequence[Rows]], words: Sequence[str]) -> list[Part]:
    """Return parts of several tables worked out of each signal, named after it and a word for each table."""
    parts = []
    for part in signals(scene):
        tables = compute(part.values)
        names = tuple(f"{name}.{word}" for word in words for name in part.names)
        parts.append(Part(part.kind, np.concatenate(tables, axis=1), names))
    return parts


def running_extremes(scene: Scene, window_s: float) -> list[Part]:
    """Least and greatest known value of each signal in a window centred on the frame, in the signal's unit."""
    half = scene.half(window_s)
    return _each(scene, lambda values: extremes(values, half), ("least", "greatest"))


def towards(scene: Scene, window_s: float) -> list[Part]:
    """Running mean and standard deviation of an animal's facing and approach, as of the rolling families."""
    if not scene.pairs:
        return []
    part = signals(scene)[-1]
    names = tuple(f"{name}.{what}" for what in ("mean", "sd") for name in part.names)
    sums = scene.once("sums towards", lambda: RunningSums(part.values, scene.half(max(TOWARDS_S))))
    return [Part(part.kind, np.concatenate(sums.over(scene.half(window_s)), axis=1), names)]


def lags(scene: Scene, lag_s: float) -> list[Part]:
    """Each signal so many seconds before the frame and after it; unknown beyond the recording's ends."""
    # Half a frame goes down, as in `Scene.half`.
    step = max(1, math.ceil(lag_s * scene.whole.fps - 0.5 - 1e-4))

    def compute(values: Rows) -> list[Rows]:
        before, after = (np.full_like(values, np.nan) for _ in range(2))
        before[..., step:], after[..., :-step] = values[..., :-step], values[..., step:]
        return [before, after]

    return _each(scene, compute, ("before", "after"))


def bands(scene: Scene, window_s: float) -> list[Part]:
    """Root of the power of each signal in bands of frequency, in its unit: how strongly it swings so fast.

    Of the n frames of a window centred on the frame, of which what is unknown is put to the mean m of the rest:
    the root of the sum, over the window's own frequencies k / n in a band, of 2 |sum of (v - m) e^(-2 pi i k t / n)|^2
    / n^2. All bands together give the variance in the window. A band above half the frame rate is unknown.
    """
    half, edges = scene.half(window_s), BANDS[window_s]
    size = 2 * half + 1
    fps = scene.whole.fps
    inside = [
        [k for k in range(1, half + 1) if low - 1e-6 <= k * fps / size < high - 1e-6]
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    words = tuple(f"{low:g}-{high:g}Hz" for low, high in zip(edges, edges[1:], strict=False))
    return _each(scene, lambda values: _band_amplitudes(values, half, inside), words)


def _band_amplitudes(values: Rows, half: int, inside: Sequence[Sequence[int]]) -> list[Rows]:
    """Return (..., T) the root of the power in each band; `inside`: its frequencies, in swings per window."""
    size, count = 2 * half + 1, values.shape[-1]
    frame = np.arange(count)
    start, stop = np.maximum(frame - half, 0), np.minimum(frame + half + 1, count)
    known = ~np.isnan(values)
    number = _between(np.cumsum(known, axis=-1, dtype=np.float64), start, stop)
    clean = np.where(known, values, np.float32(0)).astype(np.float64)
    middle = clean.sum(axis=-1, keepdims=True) / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    clean = np.where(known, clean - middle, 0)
    mean = _between(np.cumsum(clean, axis=-1), start, stop) / np.maximum(number, 1)
    whole = bool(known.all())
    results: list[Rows] = []
    for band in inside:
        power = np.zeros_like(mean)
        for k in band:
            swing = np.exp(-2j * np.pi * k / size * frame)
            there = swing if whole else known * swing
            total = _between(np.cumsum(clean * swing, axis=-1), start, stop)
            total -= mean * _between(np.cumsum(there, axis=-1), start, stop)
            power += total.real**2 + total.imag**2
        root = np.sqrt(2 * power) / size
        results.append(np.where((number > 0) & bool(band), root, np.nan).astype(np.float32))
    return results


def _between(sums: NDArray[Number], start: IntArray, stop: IntArray) -> NDArray[Number]:
    """Return the sums over [start, stop) of what `sums` (..., T) adds up from the first frame on."""
    total = sums[..., stop - 1]
    first = int(np.searchsorted(start, 0, side="right"))
    total[..., first:] -= sums[..., start[first:] - 1]
    return total


def _add(name: str, seconds: float, reach_s: float, compute: Windowed, words: str) -> None:
    def computed(scene: Scene) -> list[Part]:
        return compute(scene, seconds)

    computed.__doc__ = words
    # A signal looks back and ahead itself, by half of 1/6 s.
    FAMILIES.add(name, Family(name, computed, reach_s + SLOW_S))


for _s in EXTREMES_S:
    _words = f"Least and greatest value within {_s:g} s of speed, spread, turning, distances, approach, facing."
    _add(f"extremes_{_s:g}s", _s, _s / 2, running_extremes, _words)
for _s in TOWARDS_S:
    _words = f"Running mean and sd over {_s:g} s of facing (cosine) and approach (px/s)."
    _add(f"rolling_towards_{_s:g}s", _s, _s / 2, towards, _words)
for _s in LAGS_S:
    _words = (
        f"Speed, spread, turning, distances, approach and facing {_s:g} s before and {_s:g} s after."
    )
    _add(f"lags_{_s:g}s", _s, _s, lags, _words)
for _s in BANDS:
    _hertz = ", ".join(f"{low:g}-{high:g}" for low, high in zip(BANDS[_s], BANDS[_s][1:], strict=False))
    _words = f"Root of the power at {_hertz} Hz within {_s:g} s of speed, spread, turning, distances, approach, facing."
    _add(f"bands_{_s:g}s", _s, _s / 2, bands, _words)
