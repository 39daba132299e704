"""From the time stamps of decoded frames to their times, with everything odd about them in words."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from murine.errors import InputError
from murine.types import FloatArray

_DEFAULT_RATE = 25.0
_JITTER = 1.5
"""Frames by which the stamps of a container that does not stamp every frame may miss an even spacing."""


@dataclass(frozen=True)
class Claims:
    """What a container's header says of its video, 0 where it says nothing.

    `container`: FFmpeg's name for it; `frames`: how many; `end`: the time in seconds at which the
    last one ends; `rate`: frames per second; `tick`: the unit of time stamps in seconds; `cut`: the
    index points past the end of the file.
    """

    frames: int
    end: float
    rate: float
    tick: Fraction
    container: str = ""
    cut: bool = False

    @property
    def stamps_frames(self) -> bool:
        """False for AVI and MPEG program streams, whose frames have a place but no time of their own."""
        return self.container not in ("avi", "mpeg")


class Timing(NamedTuple):
    """`times`: (T,) seconds after the first frame; `seekable`: stamps tell every frame apart."""

    times: FloatArray
    seekable: bool
    notes: tuple[str, ...]


def frame_times(path: Path, stamps: FloatArray, claims: Claims) -> Timing:
    """Return the times of frames from their stamps, in the order they are shown, NaN where there is none.

    Stamps that repeat or are missing are replaced by times spaced evenly between their neighbours, and
    a note says so. Raises InputError where time runs backwards.
    """
    rate = claims.rate if claims.rate > 0 else _DEFAULT_RATE
    count = len(stamps)
    values = np.array(stamps, dtype=np.float64)
    known = values[np.isfinite(values)]
    if len(known) == 0 or (count > 1 and known.min() == known.max()):
        note = f"no time stamps in the file; its {count} frames are counted at {rate:g} per second"
        return Timing(np.arange(count) / rate, False, (note,))
    ordered = not (np.diff(known) < 0).any()
    if not ordered and claims.container != "avi":
        raise InputError(_backwards(path, values, rate))
    notes: list[str] = []
    if not ordered:
        # What AVI stores is the order of decoding: the frames shown first to last take its ticks in order.
        values = np.sort(values)
        notes.append("an AVI with B-frames gives no display times; frames take its ticks in order")
    filled, unsure = _fill(values)
    if not claims.stamps_frames and count > 1:
        grid = filled[0] + np.arange(count) / (rate * float(claims.tick))
        if 0 < np.abs(filled - grid).max() * rate * float(claims.tick) <= _JITTER:
            filled = grid
            notes.append(
                f"its frames have no times of their own; they are spaced evenly, {rate:g} per second"
            )
            unsure[:] = False
            ordered = ordered and bool((np.diff(values) > 0).all())
    if unsure.any():
        notes.append(
            f"{_count(int(unsure.sum()), 'frame repeats', 'frames repeat')} a time stamp or have none (the "
            f"first is frame {int(unsure.argmax())}); such times are spaced evenly between their neighbours"
        )
    times = (filled - filled[0]) * claims.tick.numerator / claims.tick.denominator
    seekable = ordered and not unsure.any()
    return Timing(times, seekable, (*notes, *jumps(times)))


def jumps(times: FloatArray) -> tuple[str, ...]:
    """Say where time jumps in a recording whose rate is constant otherwise."""
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    found = np.flatnonzero(steps > 1.5 * usual)
    if not 0 < len(found) <= 0.05 * len(steps):
        return ()
    lost = int(np.round(steps[found] / usual).sum()) - len(found)
    return (
        f"time jumps {_count(len(found), 'time', 'times')}, first by {steps[found[0]]:.3g} s after frame "
        f"{int(found[0])}: about {_count(lost, 'frame was', 'frames were')} never recorded or lost",
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _backwards(path: Path, values: FloatArray, rate: float) -> str:
    known = np.flatnonzero(np.isfinite(values))
    at = int(np.flatnonzero(np.diff(values[known]) < 0)[0])
    return (
        f"{path}: time runs backwards at frame {known[at + 1]} (time stamp {values[known[at + 1]]:.0f} after "
        f"{values[known[at]]:.0f}), so no time can be given to the frames after it. If its rate is constant, "
        f"write it anew with: ffmpeg -i IN -vf setpts=N/({rate:g}*TB) -r {rate:g} OUT.mp4"
    )


def _fill(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return stamps that increase strictly, and which of them are not the file's own."""
    values = values.copy()
    known = np.flatnonzero(np.isfinite(values))
    values[known[1:][np.diff(values[known]) == 0]] = np.nan
    unsure = ~np.isfinite(values)
    if unsure.any():
        known = np.flatnonzero(~unsure)
        frames = np.arange(len(values))
        step = float(np.median(np.diff(values[known]) / np.diff(known))) if len(known) > 1 else 1.0
        values = np.interp(frames, known, values[known])
        values[: known[0]] = values[known[0]] - step * (known[0] - frames[: known[0]])
        values[known[-1] + 1 :] = values[known[-1]] + step * (frames[known[-1] + 1 :] - known[-1])
    return values, unsure
