"""A decision by thresholds, each behaviour its own, that changes its mind only for a reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.postprocess.base import STEPS, Decided, Kind, check_names
from murine.postprocess.decision import decide_pieces
from murine.postprocess.markov import lanes
from murine.types import Ethogram, FloatArray, Timeline


@STEPS.register("thresholds")
@dataclass(frozen=True)
class Thresholds:
    """The decision at each behaviour's own threshold, with hysteresis.

    `values`: thresholds of `behaviours`; all others have 0.5. Where behaviours exclude each other, the one
    whose probability is the largest multiple of its threshold. `margin` (hysteresis): a behaviour begins at
    1 + `margin` times its threshold and ends below 1 - `margin` times it; among behaviours that exclude each
    other another one takes over when it is (1 + `margin`) / (1 - `margin`) times as likely. Without
    thresholds and margin the plain decision.
    """

    behaviours: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    margin: float = 0.0
    kind: ClassVar[Kind] = "decision"

    def __post_init__(self) -> None:
        check_names("thresholds: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        count = len(self.behaviours)
        listed = isinstance(self.values, list | tuple) and len(self.values) == count
        if not listed or not all(_number(v) and 0 < v < 1 for v in self.values):
            raise InputError(
                f"thresholds: values needs a number between 0 and 1 for each of {count} behaviours; came "
                f"{self.values!r}"
            )
        object.__setattr__(self, "values", tuple(float(v) for v in self.values))
        if not _number(self.margin) or not 0 <= self.margin < 1:
            raise InputError(
                f"thresholds: margin must be a number from 0 to below 1; came {self.margin!r}"
            )

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions."""
        return self.over([values], timeline, ethogram)

    def over(self, pieces: Iterable[NDArray[Any]], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return the (T, C) decisions of pieces (n, C)."""
        if not self.behaviours and not self.margin:
            return decide_pieces(pieces, timeline, ethogram)
        limits = np.full(len(ethogram), 0.5)
        for name, value in zip(self.behaviours, self.values, strict=True):
            limits[ethogram.index(name)] = value
        groups = lanes(ethogram)
        held: list[int | bool | None] = [None] * len(groups)
        result = np.zeros((len(timeline), len(ethogram)), dtype=bool)
        at = 0
        for piece in pieces:
            ratios = piece.astype(np.float64) / limits
            here = result[at : at + len(piece)]
            for i, columns in enumerate(groups):
                if len(columns) == 1 and not ethogram.exclusive:
                    here[:, columns[0]] = self._alone(ratios[:, columns[0]], held[i])
                    held[i] = bool(here[-1, columns[0]])
                else:
                    path = self._together(ratios[:, columns], held[i])
                    here[np.arange(len(piece)), np.array(columns)[path]] = True
                    held[i] = int(path[-1])
            at += len(piece)
        return result

    def _alone(self, ratios: FloatArray, before: int | bool | None) -> NDArray[np.bool_]:
        """Return whether a behaviour holds (n,), which held `before` the first of these frames."""
        if before is None:
            before = bool(ratios[0] >= 1.0)
        # the last frame that said something decides
        says = np.where(ratios >= 1.0 + self.margin, 1, np.where(ratios < 1.0 - self.margin, 0, -1))
        last = np.maximum.accumulate(np.where(says >= 0, np.arange(len(says)), -1))
        return np.asarray(np.where(last >= 0, says[last] == 1, before))

    def _together(self, ratios: FloatArray, before: int | bool | None) -> NDArray[np.int64]:
        """Return which of some columns holds (n,), after the one that held `before`."""
        best: NDArray[np.int64] = ratios.argmax(axis=1).astype(np.int64)
        if not self.margin:
            return np.asarray(best)
        current = int(best[0]) if before is None else int(before)
        needed = (1.0 + self.margin) / (1.0 - self.margin)
        path = np.empty(len(best), dtype=np.int64)
        rows = ratios.tolist()  # one row at a time, numbers of Python are faster
        for i, leader in enumerate(best.tolist()):
            if leader != current and rows[i][leader] >= needed * rows[i][current]:
                current = leader
            path[i] = current
        return path


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
