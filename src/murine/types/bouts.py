"""Labels as run-lengths, and the three states of a frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.types.arrays import UNLABELLED, IntArray, frozen
from murine.types.ethogram import Ethogram


@dataclass(frozen=True, eq=False)
class Bouts:
    """Runs of behaviours over one recording, and which frames anybody looked at.

    `start`, `stop`, `behaviour`: (N,) int64, ordered by start, then behaviour; bouts of one behaviour
    neither touch nor overlap, and in an exclusive ethogram no two bouts overlap.
    `annotated`: (M, 2) half-open intervals, ordered, apart from each other. A frame outside them is
    *not annotated*; a frame inside without a bout is *annotated as none of these*. `unknown`: columns of
    behaviours that nobody looked for in this recording (tasks it has no labels of).
    """

    ethogram: Ethogram
    n_frames: int
    start: IntArray
    stop: IntArray
    behaviour: IntArray
    annotated: IntArray
    unknown: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("start", "stop", "behaviour"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64).reshape(-1))
        object.__setattr__(self, "annotated", frozen(self.annotated, np.int64).reshape(-1, 2))
        if not len(self.start) == len(self.stop) == len(self.behaviour):
            raise InputError("start, stop and behaviour must have one value per bout")
        order = np.lexsort((self.behaviour, self.start))
        for name in ("start", "stop", "behaviour"):
            object.__setattr__(self, name, frozen(getattr(self, name)[order], np.int64))
        self._check()

    def _check(self) -> None:
        if len(self.behaviour) and not (
            self.behaviour.min() >= 0 and self.behaviour.max() < len(self.ethogram)
        ):
            raise InputError("a bout's behaviour is outside the ethogram")
        if set(self.behaviour.tolist()) & set(self.unknown):
            raise InputError("a bout is of a behaviour that nobody looked for")
        bad = (self.start < 0) | (self.stop <= self.start) | (self.stop > self.n_frames)
        if bad.any():
            raise InputError(
                f"{self.describe(int(np.flatnonzero(bad)[0]))} does not lie inside the "
                f"{self.n_frames} frames of the recording"
            )
        lanes = [np.arange(len(self.start))] if self.ethogram.exclusive else []
        lanes += [np.flatnonzero(self.behaviour == c) for c in range(len(self.ethogram))]
        for lane in lanes:
            clash = np.flatnonzero(self.start[lane][1:] < self.stop[lane][:-1])
            if len(clash):
                first, second = int(lane[clash[0]]), int(lane[clash[0] + 1])
                raise InputError(
                    f"{self.describe(first)} overlaps {self.describe(second)}; "
                    + ("behaviours are exclusive" if self.ethogram.exclusive else "the same one twice")
                )
        spans = self.annotated
        if len(spans) and (
            (spans[:, 0] >= spans[:, 1]).any()
            or (spans[1:, 0] <= spans[:-1, 1]).any()
            or spans[0, 0] < 0
            or spans[-1, 1] > self.n_frames
        ):
            raise InputError("annotated intervals must be ordered, apart, inside the recording")

    @classmethod
    def build(
        cls,
        ethogram: Ethogram,
        n_frames: int,
        intervals: Iterable[tuple[int, int, str]],
        annotated: ArrayLike | None = None,
    ) -> Bouts:
        """Make bouts from (start, stop, name); the whole recording counts as annotated by default.

        Touching bouts of one behaviour become one. Raises InputError for an unknown name, an
        interval outside the recording, or a clash.
        """
        rows = sorted((s, e, ethogram.index(b)) for s, e, b in intervals)
        merged: list[tuple[int, int, int]] = []
        last: dict[int, int] = {}
        for start, stop, column in rows:
            at = last.get(column)
            if at is not None and merged[at][1] == start:
                merged[at] = (merged[at][0], stop, column)
            else:
                last[column] = len(merged)
                merged.append((start, stop, column))
        table = np.array(merged, dtype=np.int64).reshape(-1, 3)
        spans = [[0, n_frames]] if annotated is None else annotated
        return cls(ethogram, n_frames, table[:, 0], table[:, 1], table[:, 2], np.asarray(spans))

    @classmethod
    def from_frames(cls, ethogram: Ethogram, frames: ArrayLike) -> Bouts:
        """Make bouts from (T, C) values 1 (behaviour), 0 (none), -1 (frame not annotated)."""
        table = np.asarray(frames)
        if table.ndim != 2 or table.shape[1] != len(ethogram):
            raise InputError(f"frames must be (T, {len(ethogram)}); came {table.shape}")
        rows = [(a, b, c) for c in range(len(ethogram)) for a, b in runs(table[:, c] == 1)]
        start, stop, column = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        seen = np.array(runs((table != UNLABELLED).any(axis=1)), dtype=np.int64).reshape(-1, 2)
        nobody = (table == UNLABELLED).all(axis=0)
        unknown = tuple(np.flatnonzero(nobody).tolist()) if not nobody.all() else ()
        return cls(ethogram, len(table), start, stop, column, seen, unknown)

    @classmethod
    def from_classes(cls, ethogram: Ethogram, classes: ArrayLike) -> Bouts:
        """Make bouts from (T,) behaviour columns, -1 where a frame is not annotated."""
        values = np.asarray(classes, dtype=np.int64)
        frames = np.full((len(values), len(ethogram)), UNLABELLED, dtype=np.int8)
        frames[values >= 0] = 0
        frames[values >= 0, values[values >= 0]] = 1
        return cls.from_frames(ethogram, frames)

    def frames(self) -> NDArray[np.int8]:
        """Return (T, C): 1 behaviour, 0 annotated and not this one, -1 frame not annotated."""
        table = np.full((self.n_frames, len(self.ethogram)), UNLABELLED, dtype=np.int8)
        for start, stop in self.annotated:
            table[start:stop] = 0
        for start, stop, column in zip(self.start, self.stop, self.behaviour, strict=True):
            inside = table[start:stop]
            inside[inside[:, column] == UNLABELLED] = 0
            inside[:, column] = 1
        table[:, list(self.unknown)] = UNLABELLED
        return table

    def classes(self) -> NDArray[np.int64]:
        """Return (T,) behaviour columns of an exclusive ethogram, -1 where not annotated.

        Frames annotated as none get the background's column; raises InputError without one.
        """
        if not self.ethogram.exclusive:
            raise InputError("classes() needs an exclusive ethogram; use frames()")
        table = self.frames()
        result = np.where((table == 1).any(axis=1), table.argmax(axis=1), UNLABELLED)
        none = (table == 0).all(axis=1)
        if none.any():
            column = self.ethogram.background_index
            if column is None:
                raise InputError(
                    f"{int(none.sum())} frames (first: {int(none.argmax())}) are annotated as none of "
                    f"{', '.join(self.ethogram.behaviours)}. Name a background behaviour in project.toml"
                )
            result[none] = column
        return result.astype(np.int64)

    def __len__(self) -> int:
        return len(self.start)

    def describe(self, i: int) -> str:
        """Return a bout in words, for messages."""
        name = self.ethogram.behaviours[int(self.behaviour[i])]
        return f"'{name}' in frames [{int(self.start[i])}, {int(self.stop[i])})"

    def intervals(self) -> list[tuple[int, int, str]]:
        """Return (start, stop, name) of every bout, in order."""
        names = self.ethogram.behaviours
        rows = zip(self.start.tolist(), self.stop.tolist(), self.behaviour.tolist(), strict=True)
        return [(start, stop, names[column]) for start, stop, column in rows]


def runs(mask: ArrayLike) -> list[tuple[int, int]]:
    """Return the half-open intervals where a one-dimensional mask is true."""
    padded = np.concatenate([[False], np.asarray(mask, dtype=bool), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
