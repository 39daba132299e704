"""What was recorded, and what a model says of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.types.arrays import frozen
from murine.types.ethogram import Ethogram
from murine.types.timeline import Timeline

HIGHEST_FPS = 100_000.0

VIEW_COLUMN = re.compile(r"video([2-9]|[1-9]\d+)")
"""The columns of recordings.csv that hold videos by further cameras, of the same frames as `video`."""


@dataclass(frozen=True)
class LabelChoice:
    """Which part of a label file is meant, where it holds several; None: the only one there is."""

    stream: str | None = None
    observation: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Recording:
    """One animal (or group) filmed once: where its files are and which groups it belongs to.

    `groups` holds every other column of recordings.csv, such as animal, cage, session; `fps` is
    needed only where there is no video to take the times from. `views`: videos by further cameras, frame by
    frame the same time as `video`, by the names of their columns: video2, video3, ...
    """

    id: str
    video: Path | None = None
    pose: Path | None = None
    labels: Path | None = None
    fps: float | None = None
    choice: LabelChoice = LabelChoice()
    groups: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or any(c in self.id for c in '/\\:*?"<>|\n'):
            raise InputError(f"'{self.id}' cannot name a recording: it becomes a file name")
        if self.video is None and self.pose is None:
            raise InputError(f"recording '{self.id}' has neither a video nor a pose file")
        if self.views and self.video is None:
            raise InputError(
                f"recording '{self.id}' has {', '.join(self.views)} and no video, which the times come from. "
                "Put one of them into the column 'video'"
            )
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InputError(f"recording '{self.id}': fps must be positive; came {self.fps}")
        if self.fps is not None and self.fps > HIGHEST_FPS:
            raise InputError(f"recording '{self.id}': fps above {HIGHEST_FPS:,.0f} came: {self.fps:g}")

    @property
    def videos(self) -> dict[str, Path]:
        """The videos of all its views by the names of their columns: video, video2, ..."""
        return ({} if self.video is None else {"video": self.video}) | dict(self.views)

    def group(self, by: str) -> str:
        """Return the group this recording is in; raises InputError if the column is empty."""
        if by == "recording":
            return self.id
        value = self.groups.get(by, "")
        if not value:
            columns = ", ".join(["recording", *self.groups])
            raise InputError(
                f"recording '{self.id}' has no '{by}'. Fill that column of recordings.csv, or split "
                f"by another (there are: {columns})"
            )
        return value


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities of one recording: (T, C) float32, one row per original frame.

    `meta` carries its history: model hash, video hash, settings. Raises InputError where a frame
    is uncovered (NaN) or a value lies outside 0..1.
    """

    recording: str
    ethogram: Ethogram
    probabilities: NDArray[np.float32]
    timeline: Timeline
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = frozen(self.probabilities, np.float32)
        check_probabilities(values, (len(self.timeline), len(self.ethogram)), self.recording)
        object.__setattr__(self, "probabilities", values)

    def __len__(self) -> int:
        return len(self.timeline)


def check_probabilities(
    values: NDArray[np.float32], expected: tuple[int, int], recording: str, *, first: int = 0
) -> None:
    """Raise InputError unless values are frames x behaviours as expected, all there and within 0..1.

    `first`: the number of the first frame, where they are a piece of a recording.
    """
    if values.shape != expected:
        raise InputError(
            f"prediction of '{recording}' must be {expected[0]} frames x {expected[1]} behaviours; "
            f"came {values.shape}"
        )
    if not values.size:
        return
    low, high = values.min(), values.max()  # NaN if any value is
    if np.isnan(low):
        frame = first + int(np.isnan(values).any(axis=1).argmax())
        raise InputError(f"prediction of '{recording}' does not cover frame {frame}")
    if low < -1e-5 or high > 1 + 1e-5:
        raise InputError(f"prediction of '{recording}' has values outside 0..1")
