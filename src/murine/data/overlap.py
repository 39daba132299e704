"""Which of the windows that see a sample see all that decides it.

At the ends of a window a network knows nothing of what lies beyond. Where windows overlap, a sample is taken
from those that hold everything its logits depend on, so that it comes out as from the whole recording; only
where there is none do all windows count that see it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.data.windows import Windows
from murine.types import FloatArray, IntArray

Reach = tuple[int | None, int | None]
"""Samples before and after a sample that decide its logits; None: no bound (`models.contract.Reach`)."""


@dataclass(frozen=True, eq=False)
class Sight:
    """`first`, `last`: (N,) the half-open stretch of each window whose samples it sees all of.

    `seen`: (n,) whether any window sees all of a sample.
    """

    windows: Windows
    first: IntArray
    last: IntArray
    seen: NDArray[np.bool_]

    def weights(self, index: int) -> FloatArray:
        """Return (L,) what each row of a window counts, 1 or 0, beside those of the other windows."""
        start, stop = int(self.windows.target_start[index]), int(self.windows.target_stop[index])
        at = np.arange(start, stop)
        whole = (at >= self.first[index]) & (at < self.last[index])
        return np.asarray(whole | ~self.seen[start:stop], dtype=np.float64)


def sight(windows: Windows, reach: Reach) -> Sight | None:
    """Return what windows see of a network's `reach`, None where every window counts alike.

    That is where windows do not overlap, or are answered for by one label.
    """
    overlap = bool((windows.start[1:] < windows.stop[:-1]).any())
    if windows.predicts != "all" or not overlap or reach == (None, None):
        return None
    before, after = (windows.n if side is None else side for side in reach)
    first = np.where(windows.start == 0, 0, windows.start + before)
    last = np.where(windows.stop >= windows.n, windows.n, windows.stop - after)
    edges = np.zeros(windows.n + 1, dtype=np.int64)
    some = first < last
    np.add.at(edges, first[some], 1)
    np.add.at(edges, last[some], -1)
    return Sight(windows, first, last, np.cumsum(edges[:-1]) > 0)
