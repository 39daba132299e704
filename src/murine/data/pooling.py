"""Features of many frames as features of fewer samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from murine.data.windows import Sampling


class MeanPool:
    """Means over the frames that belong to each sample, unknown values left out, block by block.

    A feature that is unknown (NaN) in all frames of a sample is unknown there.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._owner = sampling.owner
        self._frame = 0
        self._held: NDArray[np.float32] | None = None

    def add(self, rows: NDArray[np.float32]) -> tuple[int, NDArray[np.float32]]:
        """Take the next (n, F) frames; return (first sample, means (m, F)) of the samples now complete."""
        if self._held is not None:
            rows = np.concatenate([self._held, rows])
        begin = self._frame - (0 if self._held is None else len(self._held))
        self._frame = begin + len(rows)
        owners = self._owner[begin : self._frame]
        first = int(owners[0])
        complete = self._frame == len(self._owner)
        stop = len(rows) if complete else int(np.searchsorted(owners, owners[-1]))
        self._held = rows[stop:]
        if stop == 0:
            return first, rows[:0]
        edges = np.flatnonzero(np.diff(owners[:stop], prepend=owners[0] - 1))
        known = ~np.isnan(rows[:stop])
        total = np.add.reduceat(np.where(known, rows[:stop], 0).astype(np.float64), edges, axis=0)
        count = np.add.reduceat(known, edges, axis=0, dtype=np.int64)
        means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return first, means.astype(np.float32)
