"""The values everything else passes around: frozen, checking themselves, axis order written once.

Axis letters: T time (frames), A animal, K keypoint, D coordinate (x, y), C behaviour.
Frames count from 0; intervals are half-open, ``[start, stop)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

UNLABELLED = -1
"""The value of a frame nobody annotated; ignored by loss and metrics."""


def _frozen(array: ArrayLike, dtype: Any) -> NDArray[Any]:
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True)
class Ethogram:
    """Ordered behaviour names; `exclusive` means that at most one of them holds in a frame.

    `background` names the behaviour, one of `behaviours`, that stands for "annotated as none of the
    others" in an exclusive ethogram; None where every annotated frame carries a behaviour.
    """

    behaviours: tuple[str, ...]
    exclusive: bool = True
    background: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        if not self.behaviours:
            raise InputError("an ethogram needs at least one behaviour; none came")
        if len(set(self.behaviours)) != len(self.behaviours):
            twice = sorted({b for b in self.behaviours if self.behaviours.count(b) > 1})
            raise InputError(f"behaviour names must differ; named twice: {', '.join(twice)}")
        if any(not b or b != b.strip() for b in self.behaviours):
            raise InputError(f"a behaviour name is empty or padded with spaces: {self.behaviours}")
        if self.background is not None and self.background not in self.behaviours:
            raise InputError(
                f"background '{self.background}' is not a behaviour: {', '.join(self.behaviours)}"
            )
        if self.background is not None and not self.exclusive:
            raise InputError("only an exclusive ethogram has a background; take it out")

    def __len__(self) -> int:
        return len(self.behaviours)

    def index(self, name: str) -> int:
        """Return the column of a behaviour; raises InputError that lists the names."""
        if name not in self.behaviours:
            raise InputError(f"unknown behaviour '{name}'; known: {', '.join(self.behaviours)}")
        return self.behaviours.index(name)

    @property
    def background_index(self) -> int | None:
        """The background's column, or None."""
        return None if self.background is None else self.behaviours.index(self.background)

    @property
    def foreground(self) -> tuple[int, ...]:
        """The columns of all behaviours but the background."""
        return tuple(i for i, b in enumerate(self.behaviours) if b != self.background)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `Ethogram(**form)` gives the ethogram back."""
        return {
            "behaviours": list(self.behaviours),
            "exclusive": self.exclusive,
            "background": self.background,
        }


@dataclass(frozen=True, eq=False)
class Timeline:
    """The time of each frame in seconds, strictly increasing; a variable rate is allowed."""

    times: FloatArray

    def __post_init__(self) -> None:
        times = _frozen(self.times, np.float64)
        if times.ndim != 1 or len(times) == 0:
            raise InputError(f"times must be one row of at least one frame; shape {times.shape}")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise InputError("frame times must be finite and strictly increasing")
        object.__setattr__(self, "times", times)

    @classmethod
    def uniform(cls, n_frames: int, fps: float) -> Timeline:
        """Return `n_frames` frames at a constant rate, the first at 0 s."""
        if not fps > 0 or not np.isfinite(fps):
            raise InputError(f"frame rate must be a positive number; came {fps}")
        return cls(np.arange(n_frames) / fps)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """Frames per second: the reciprocal of the median interval (1.0 for a single frame)."""
        return 1.0 if len(self) < 2 else float(1.0 / np.median(np.diff(self.times)))

    @property
    def variable(self) -> bool:
        """True when an interval differs from the median by more than 10 %."""
        if len(self) < 3:
            return False
        steps = np.diff(self.times)
        return bool((np.abs(steps * self.fps - 1.0) > 0.1).any())

    @property
    def end(self) -> float:
        """The time at which the last frame ends, in seconds."""
        return float(self.times[-1] + 1.0 / self.fps)

    def boundary(self, seconds: ArrayLike) -> IntArray:
        """Return the frame boundary (0..T) nearest to each time: boundary n is frame n's start."""
        edges = np.append(self.times, self.end)
        at = np.asarray(seconds, dtype=np.float64)
        right = np.clip(np.searchsorted(edges, at), 1, len(edges) - 1)
        left = right - 1
        nearer_left = (at - edges[left]) < (edges[right] - at)
        return np.asarray(np.where(nearer_left, left, right), dtype=np.int64)

    def seconds(self, boundary: ArrayLike) -> FloatArray:
        """Return the time of each frame boundary (0..T)."""
        return np.append(self.times, self.end)[np.asarray(boundary)]


@dataclass(frozen=True, eq=False)
class Bouts:
    """Runs of behaviours over one recording, and which frames anybody looked at.

    `start`, `stop`, `behaviour`: (N,) int64, ordered by start, then behaviour; bouts of one behaviour
    neither touch nor overlap, and in an exclusive ethogram no two bouts overlap.
    `annotated`: (M, 2) half-open intervals, ordered, apart from each other. A frame outside them is
    *not annotated*; a frame inside without a bout is *annotated as none of these*.
    """

    ethogram: Ethogram
    n_frames: int
    start: IntArray
    stop: IntArray
    behaviour: IntArray
    annotated: IntArray

    def __post_init__(self) -> None:
        for name in ("start", "stop", "behaviour"):
            object.__setattr__(self, name, _frozen(getattr(self, name), np.int64).reshape(-1))
        object.__setattr__(self, "annotated", _frozen(self.annotated, np.int64).reshape(-1, 2))
        if not len(self.start) == len(self.stop) == len(self.behaviour):
            raise InputError("start, stop and behaviour must have one value per bout")
        order = np.lexsort((self.behaviour, self.start))
        for name in ("start", "stop", "behaviour"):
            object.__setattr__(self, name, _frozen(getattr(self, name)[order], np.int64))
        self._check()

    def _check(self) -> None:
        if len(self.behaviour) and not (
            0 <= self.behaviour.min() and self.behaviour.max() < len(self.ethogram)
        ):
            raise InputError("a bout's behaviour is outside the ethogram")
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
                    + ("behaviours are exclusive" if lane is lanes[0] else "the same behaviour twice")
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
        rows_array = np.array(rows, dtype=np.int64).reshape(-1, 3)
        seen = runs((table != UNLABELLED).any(axis=1))
        return cls(ethogram, len(table), *rows_array.T, annotated=np.array(seen).reshape(-1, 2))

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


@dataclass(frozen=True, eq=False)
class Pose:
    """Keypoints of every animal in every frame.

    `xy`: (T, A, K, 2) float32 in pixels, x then y from the top left corner; NaN where missing (both
    coordinates together). `confidence`: (T, A, K) float32 in 0..1, NaN where missing, or None.
    """

    xy: NDArray[np.float32]
    animals: tuple[str, ...]
    keypoints: tuple[str, ...]
    confidence: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        xy = np.array(self.xy, dtype=np.float32)
        object.__setattr__(self, "animals", tuple(self.animals))
        object.__setattr__(self, "keypoints", tuple(self.keypoints))
        expected = (len(self.animals), len(self.keypoints), 2)
        if xy.ndim != 4 or xy.shape[1:] != expected:
            raise InputError(f"pose must be (T, {', '.join(map(str, expected))}); came {xy.shape}")
        for what, names in (("animal", self.animals), ("keypoint", self.keypoints)):
            if len(set(names)) != len(names):
                raise InputError(f"{what} names must differ: {', '.join(names)}")
        xy[~np.isfinite(xy).all(axis=-1)] = np.nan
        xy.setflags(write=False)
        object.__setattr__(self, "xy", xy)
        if self.confidence is not None:
            confidence = _frozen(self.confidence, np.float32)
            if confidence.shape != xy.shape[:3]:
                raise InputError(f"confidence must be {xy.shape[:3]}; came {confidence.shape}")
            object.__setattr__(self, "confidence", confidence)

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def missing(self) -> BoolArray:
        """(T, A, K): True where a keypoint has no position."""
        return np.isnan(self.xy[..., 0])


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
    needed only where there is no video to take the times from.
    """

    id: str
    video: Path | None = None
    pose: Path | None = None
    labels: Path | None = None
    fps: float | None = None
    choice: LabelChoice = LabelChoice()
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or any(c in self.id for c in '/\\:*?"<>|\n'):
            raise InputError(f"'{self.id}' cannot name a recording: it becomes a file name")
        if self.video is None and self.pose is None:
            raise InputError(f"recording '{self.id}' has neither a video nor a pose file")
        if self.fps is not None and not self.fps > 0:
            raise InputError(f"recording '{self.id}': fps must be positive; came {self.fps}")

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
        values = _frozen(self.probabilities, np.float32)
        if values.shape != (len(self.timeline), len(self.ethogram)):
            raise InputError(
                f"prediction of '{self.recording}' must be {len(self.timeline)} frames x "
                f"{len(self.ethogram)} behaviours; came {values.shape}"
            )
        if np.isnan(values).any():
            frame = int(np.isnan(values).any(axis=1).argmax())
            raise InputError(f"prediction of '{self.recording}' does not cover frame {frame}")
        if (values < -1e-5).any() or (values > 1 + 1e-5).any():
            raise InputError(f"prediction of '{self.recording}' has values outside 0..1")
        object.__setattr__(self, "probabilities", values)

    def __len__(self) -> int:
        return len(self.timeline)
