"""The training windows of many recordings as one table: cut, labelled, balanced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.config import WindowSettings
from murine.data.prepared import Prepared
from murine.data.sampling import clip_labels, duplicated, overlapping, rarest_shown, windows_shown
from murine.data.windows import Predicts, plan
from murine.types import UNLABELLED, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Cut:
    """(N,) windows: of which recording, from which sample, and how many samples from one to the next."""

    recording: IntArray
    start: IntArray
    apart: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def at(self, which: IntArray | NDArray[np.bool_]) -> Cut:
        """Return some of the windows."""
        return Cut(self.recording[which], self.start[which], self.apart[which])

    def by_recording(self) -> Iterator[tuple[int, IntArray]]:
        """Give each recording that has windows, and which windows are its."""
        order = np.argsort(self.recording, kind="stable")
        there, first = np.unique(self.recording[order], return_index=True)
        yield from zip(there.tolist(), np.split(order, first[1:]), strict=True)


@dataclass(frozen=True, eq=False)
class Cutter:
    """Recordings, and how windows are cut from them and labelled.

    `whole`: a recording's last window stays away where it would have to be moved back, and so does the only
    one of a recording that is shorter.
    """

    prepared: Sequence[Prepared]
    window: WindowSettings
    predicts: Predicts
    whole: bool = False

    def size(self, recording: int) -> int:
        """Return the samples of a recording's windows."""
        return self.window.frames or len(self.prepared[recording])

    def cut(self, strides: Sequence[int]) -> Cut:
        """Return the windows of all recordings, one recording after the other, a stride of each apart."""
        plans = [
            plan(len(p), self.window.frames, stride, self.predicts)
            for p, stride in zip(self.prepared, strides, strict=True)
        ]
        numbers = [len(windows) for windows in plans]
        windows = Cut(
            np.repeat(np.arange(len(plans)), numbers),
            np.concatenate([windows.start for windows in plans]),
            np.repeat(np.asarray(strides, dtype=np.int64), numbers),
        )
        if not self.whole:
            return windows
        lengths = np.array([len(p) for p in self.prepared])[windows.recording]
        fits = windows.start + (self.window.frames or lengths) <= lengths
        return windows.at(fits & (windows.start % windows.apart == 0))

    def shown(self, windows: Cut) -> NDArray[np.int8]:
        """Return (N, C) what each window shows: its label, or all that its samples show."""
        rows = np.full((len(windows), len(self.prepared[0].ethogram)), UNLABELLED, dtype=np.int8)
        for r, at in windows.by_recording():
            prepared, start = self.prepared[r], windows.start[at]
            stop = start + self.size(r)
            if self.predicts == "all":
                rows[at] = windows_shown(prepared.resolved, start, stop)
            else:
                rows[at] = self._labels(prepared, start, stop)
        return rows

    def counts(
        self,
        windows: Cut,
        chosen: Callable[[NDArray[np.int8]], NDArray[np.bool_]],
        times: FloatArray | None = None,
    ) -> FloatArray:
        """Return (C,) how many labels of the windows are chosen; `times`: (N,) how often each comes."""
        counts = np.zeros(len(self.prepared[0].ethogram), dtype=np.float64)
        for r, at in windows.by_recording():
            prepared, start = self.prepared[r], windows.start[at]
            stop = start + self.size(r)
            if self.predicts == "all":
                total = np.cumsum(chosen(prepared.resolved), axis=0, dtype=np.int64)
                total = np.concatenate([np.zeros((1, total.shape[1]), np.int64), total])
                table = total[np.minimum(stop, len(prepared))] - total[start]
            else:
                table = chosen(self._labels(prepared, start, stop)).astype(np.int64)
            counts += table.sum(axis=0) if times is None else times[at] @ table
        return counts

    def balanced(self, windows: Cut, labels: NDArray[np.int8], balance: str) -> Cut:
        """Return windows so chosen that behaviours come equally often, instead of those of `labels` (N, C).

        `balance`: "duplicate" repeats windows of rarer behaviours; "overlap" cuts windows for them that
        start closer together. A window counts for the rarest behaviour that it shows.
        """
        counts, behaviours = (labels == 1).sum(axis=0), labels.shape[1]
        classes = rarest_shown(labels, counts)
        if balance == "duplicate":
            return windows.at(duplicated(classes, behaviours))
        dense = self.cut([1] * len(self.prepared))
        everywhere = rarest_shown(self.shown(dense), counts)
        stay, taken, apart = overlapping(classes, everywhere, behaviours)
        left, added = windows.at(stay), dense.at(taken)
        return Cut(
            np.concatenate([left.recording, added.recording]),
            np.concatenate([left.start, added.start]),
            np.concatenate([left.apart, apart]),
        )

    def _labels(self, prepared: Prepared, start: IntArray, stop: IntArray) -> NDArray[np.int8]:
        exclusive = prepared.ethogram.exclusive
        return clip_labels(prepared.resolved, start, stop, self.window.label, exclusive=exclusive)
