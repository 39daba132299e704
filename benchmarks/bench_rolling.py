"""Window statistics of pose: frames per second beside the bytes they must move, and beside pandas on the same numbers.

The signals are those of the `rolling` families: speed, size, missing share and turning of each animal; distances and
relative speed of a pair. Of each: mean and standard deviation over .5, 1, 2 and 4 s, least and greatest over 1 and
4 s. Both ways work in this process by turns, and must agree; a difference stops the benchmark.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import Figure, seconds_of
from benchmarks.bench_pose import ANIMALS, FPS, KEYPOINTS, encounter, moving
from murine.pose import feature_chunks, feature_names
from murine.pose.features import Scene
from murine.pose.features.rolling import WINDOWS_S, own_signals, pair_signals
from murine.pose.features.running import RunningSums, extremes
from murine.pose.features.scene import Whole
from murine.pose.features.table import BLOCK
from murine.pose.features.windowed import EXTREMES_S
from murine.types import Pose

Table = NDArray[np.float32]

TURNS = 3
FAMILIES = (*(f"rolling_{s:g}s" for s in WINDOWS_S), *(f"extremes_{s:g}s" for s in EXTREMES_S))
LARGEST_DIFFERENCE = 2e-6
"""Of the largest number of a signal: a few units of its last digit in float32."""


def main(quick: bool) -> list[Figure]:
    """Return frames/s of the statistics alone, of the whole set from the pose on, and both beside pandas."""
    pose = encounter(6_000 if quick else 108_000)
    turns = 1 if quick else TURNS
    rows = signals_of(pose)
    compare(rows)
    both = [
        (seconds_of(lambda: deque(ours(rows), 0), 1), seconds_of(lambda: by_pandas(rows), 1))
        for _ in range(turns)
    ]
    mine, theirs = (len(pose) / min(times) for times in zip(*both, strict=True))
    columns = len(rows) * (2 * len(WINDOWS_S) + 2 * len(EXTREMES_S))
    plain = "no bound but the plain way: DataFrame.rolling(n, center=True, min_periods=1) of pandas"
    names = feature_names(ANIMALS, KEYPOINTS, FAMILIES)
    seconds = seconds_of(lambda: use(pose), turns)
    return [
        Figure(
            f"statistics alone, {columns} columns", mine, "frames/s", len(pose) / copying(rows, columns),
            "the signals read and the columns written once at the speed of a copy of memory",
        ),
        Figure("statistics alone, beside pandas", mine, "frames/s", theirs, plain),
        Figure(
            f"from the pose on, {len(names)} columns", len(pose) / seconds, "frames/s",
            len(pose) / moving(pose, len(names)),
            "the pose read and the columns written once at the speed of a copy of memory",
        ),
        Figure(
            "from the pose on, beside pandas for the statistics alone", len(pose) / seconds, "frames/s", theirs,
            plain + ", which had the signals given",
        ),
    ]  # fmt: skip


def signals_of(pose: Pose) -> Table:
    """Return (N, T) the signals of a whole recording."""
    x, y = (np.ascontiguousarray(np.moveaxis(pose.xy[..., side], 0, -1)) for side in (0, 1))
    times = np.arange(len(pose)) / FPS
    scene = Scene(x, y, ~np.isnan(x), None, times, Whole(pose, times, FPS))
    parts = (own_signals(scene).values, pair_signals(scene).values)
    return np.concatenate([part.reshape(-1, len(pose)) for part in parts])


def half_of(seconds: float) -> int:
    return round(seconds * FPS) // 2


def ours(rows: Table) -> Iterator[tuple[int, list[Table]]]:
    """Yield the statistics block after block, as a feature table works them out, and where each begins."""
    length, margin = rows.shape[1], half_of(max(*WINDOWS_S, *EXTREMES_S))
    for start in range(0, length, BLOCK):
        first, stop = max(start - margin, 0), min(start + BLOCK, length)
        cut = slice(start - first, stop - first)
        yield start, [table[:, cut] for table in statistics(rows[:, first : min(stop + margin, length)])]


def statistics(rows: Table) -> list[Table]:
    sums = RunningSums(rows, half_of(max(WINDOWS_S)))
    each = [sums.over(half_of(s)) for s in WINDOWS_S]
    return [
        table for pair in (*each, *(extremes(rows, half_of(s)) for s in EXTREMES_S)) for table in pair
    ]


def by_pandas(rows: Table) -> list[NDArray[np.float64]]:
    frame = pd.DataFrame(rows.T)
    found = []
    for seconds, words in [
        *((s, ("mean", "std")) for s in WINDOWS_S),
        *((s, ("min", "max")) for s in EXTREMES_S),
    ]:
        window = frame.rolling(2 * half_of(seconds) + 1, center=True, min_periods=1)
        for word in words:
            given = {"ddof": 0} if word == "std" else {}
            statistic: Callable[..., pd.DataFrame] = getattr(window, word)
            found.append(statistic(**given).to_numpy())
    return found


def compare(rows: Table) -> None:
    """Raise RuntimeError where the two ways differ by more than rounding of the largest number of a signal."""
    theirs = [table.T for table in by_pandas(rows)]
    slack = LARGEST_DIFFERENCE * np.nanmax(np.abs(rows), axis=1, keepdims=True)
    for start, tables in ours(rows):
        for i, (own, whole) in enumerate(zip(tables, theirs, strict=True)):
            other = whole[:, start : start + own.shape[1]]
            apart = np.abs(own - other) - slack
            if not np.array_equal(np.isnan(own), np.isnan(other)) or np.nanmax(apart) > 0:
                raise RuntimeError(f"statistic {i} differs from pandas' after frame {start}")


def use(pose: Pose) -> int:
    return sum(len(values) for _, values in feature_chunks(pose, FPS, FAMILIES))


def copying(rows: Table, columns: int) -> float:
    """Return the seconds of reading the signals and writing the columns once, block by block."""
    block = np.ones((columns + len(rows), BLOCK), dtype=np.float32)
    result = np.empty_like(block)
    return seconds_of(lambda: np.copyto(result, block), 20) * rows.shape[1] / BLOCK
