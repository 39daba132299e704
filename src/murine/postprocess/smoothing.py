"""Steps on probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from murine.postprocess.base import STEPS, Kind, check_duration
from murine.types import Ethogram, Timeline


def half_window(seconds: float, timeline: Timeline) -> int:
    """Return how many frames lie within `seconds` / 2 on each side, at the recording's median rate."""
    return math.floor(seconds * timeline.fps / 2 + 1e-6)


@STEPS.register("median")
@dataclass(frozen=True)
class Median:
    """The running median of each behaviour's probability over `seconds` (an odd number of frames).

    On probabilities rather than on decided frames: for a multi-label ethogram the two are the same
    (a median passes through a threshold), and for an exclusive one a decision stays possible everywhere.
    At the ends the recording is mirrored.
    """

    seconds: float = 0.0
    kind: ClassVar[Kind] = "probabilities"

    def __post_init__(self) -> None:
        check_duration("median: seconds", self.seconds)

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> NDArray[Any]:
        """Return smoothed (T, C) probabilities; rows need not sum to 1 any more."""
        half = half_window(self.seconds, timeline)
        if not half:
            return values
        columns = [
            ndimage.median_filter(np.ascontiguousarray(column), size=2 * half + 1, mode="reflect")
            for column in values.T
        ]
        return np.stack(columns, axis=1)


@STEPS.register("box")
@dataclass(frozen=True)
class Box:
    """The running mean over `seconds` (an odd number of frames), the recording mirrored at its ends."""

    seconds: float = 0.0
    kind: ClassVar[Kind] = "probabilities"

    def __post_init__(self) -> None:
        check_duration("box: seconds", self.seconds)

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> NDArray[Any]:
        """Return smoothed (T, C) probabilities; rows keep their sum."""
        half = half_window(self.seconds, timeline)
        if not half:
            return values
        smooth = ndimage.uniform_filter1d(
            values.astype(np.float64), size=2 * half + 1, axis=0, mode="reflect"
        )
        return np.clip(smooth, 0.0, 1.0)
