"""What a file format is, and the plain values every reader hands over.

A pose format reads a `Pose`. A label format only *parses*: it returns a `LabelTable`, rows as they
stand in the file, and `labels.to_bouts` turns every such table into `Bouts` by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from murine.registry import Registry
from murine.types import BoolArray, Bouts, Pose, Timeline, runs

Unit = Literal["frames", "seconds"]

NOT_ANNOTATED = "not annotated"
"""The reserved behaviour name that marks stretches nobody annotated, in formats that have no other way."""

ALL = "all"
"""As a chosen stream or subject: every one together."""


@dataclass(frozen=True)
class PoseSummary:
    """What a pose file holds. `left_out` names columns of the file that are no keypoint of an animal."""

    format: str
    animals: tuple[str, ...]
    keypoints: tuple[str, ...]
    n_frames: int
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, format: str, pose: Pose) -> PoseSummary:
        """Return what a file of the format holds whose pose has been read."""
        return cls(format, pose.animals, pose.keypoints, len(pose))


@dataclass(frozen=True)
class LabelSummary:
    """What a label file holds, told without knowing the recording.

    `last` is where the last label, or a table with a row per frame, ends, in `unit`; `counts` is the number
    of bouts of each behaviour; `fps` is the rate the file itself names, if any.
    """

    format: str
    behaviours: tuple[str, ...]
    subjects: tuple[str, ...]
    streams: tuple[str, ...]
    observations: tuple[str, ...]
    media: tuple[str, ...]
    fps: float | None
    last: float
    unit: Unit
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelRow:
    """One bout or event of a file, on the clock of its observation.

    `start` and `stop` are half-open frames or seconds; a `point` event has only a start. `lane` tells
    apart what may run at the same time under one name (modifiers). `where` is for messages ("line 12").
    """

    start: float
    stop: float
    behaviour: str
    subject: str = ""
    stream: str = ""
    observation: str = ""
    lane: str = ""
    point: bool = False
    where: str = ""


@dataclass(frozen=True)
class Media:
    """A video of an observation: it plays from `start` for `length` seconds (None: not told)."""

    path: str
    start: float | None = 0.0
    length: float | None = None

    @property
    def name(self) -> str:
        """The file's name without folders, whichever system wrote them."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.rsplit(".", 1)[0]


@dataclass(frozen=True)
class Fault:
    """Something wrong with one observation or stream; raised only when that one is chosen."""

    text: str
    observation: str = ""
    subject: str = ""
    stream: str = ""


@dataclass(frozen=True)
class LabelTable:
    """A whole label file as parsed.

    `annotated` maps an observation to the stretches somebody looked at; an observation that is not in
    it was looked at from beginning to end, unless `tiled`: then only stretches with a label count.
    `looked` says the same of one stream of an observation, where streams are people and each looked at
    other stretches. `declared` are behaviours, `subjects` animals and `streams` streams the file names,
    used or not; `stream_word` is what a stream is to the user ("rater"). `length` is up to where a table
    with a row per frame goes, bouts or not.
    """

    format: str
    path: Path
    unit: Unit
    rows: tuple[LabelRow, ...]
    observations: tuple[str, ...] = ("",)
    declared: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    media: Mapping[str, tuple[Media, ...]] = field(default_factory=dict)
    fps: float | None = None
    annotated: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    looked: Mapping[tuple[str, str], tuple[tuple[float, float], ...]] = field(default_factory=dict)
    stream_word: str = "stream"
    length: float = 0.0
    tiled: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class LabelTarget:
    """What a label file to be written says beside the bouts."""

    timeline: Timeline
    subject: str = ""
    recording: str = ""
    media: str = ""

    def clock(self) -> Callable[[int], str]:
        """Return what gives a frame boundary's seconds, with the decimals that tell boundaries apart.

        Milliseconds at least, as BORIS writes them; finer where frames follow each other faster.
        """
        times, end = self.timeline.times, self.timeline.end
        step, places = float(np.diff(times).min(initial=end - times[-1])), 3
        while 10.0**-places > step / 4 and places < 9:
            places += 1
        return lambda boundary: f"{float(self.timeline.seconds(boundary)):.{places}f}"


def unseen(bouts: Bouts) -> BoolArray:
    """Return (T,) True in frames nobody annotated."""
    mask = np.ones(bouts.n_frames, dtype=bool)
    for start, stop in [*bouts.annotated.tolist(), *zip(bouts.start, bouts.stop, strict=True)]:
        mask[start:stop] = False
    return mask


def marked(bouts: Bouts) -> list[tuple[int, int, str]]:
    """Return bouts and, under the reserved name, the stretches nobody annotated, by start."""
    gaps = [(start, stop, NOT_ANNOTATED) for start, stop in runs(unseen(bouts))]
    return sorted([*bouts.intervals(), *gaps])


@dataclass(frozen=True)
class PoseFormat:
    """A format of pose files. `sniff(path, head)` judges by content; `head` is decompressed.

    Where one file may hold several recordings, `parts` names them and `read_part` reads one; `read` and
    `describe` then want a file of one recording.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path], Pose]
    describe: Callable[[Path], PoseSummary]
    write: Callable[[Path, Pose, str], None] | None = None
    lossy: str = ""
    parts: Callable[[Path], tuple[str, ...]] | None = None
    read_part: Callable[[Path, str], Pose] | None = None
    kind: Literal["pose"] = "pose"


@dataclass(frozen=True)
class LabelFormat:
    """A format of label files. `lossy` says what of a `Bouts` or of a file is not carried over."""

    name: str
    summary: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path, bytes], bool]
    parse: Callable[[Path], LabelTable]
    write: Callable[[Path, Bouts, LabelTarget], None] | None = None
    lossy: str = ""
    kind: Literal["labels"] = "labels"


Format = PoseFormat | LabelFormat

FORMATS: Registry[Format] = Registry("format")
