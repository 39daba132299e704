"""What a project is: recordings that share one ethogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from murine.errors import InputError, ProjectError, suggest
from murine.types import Ethogram, Recording, Task

Unit = Literal["frame", "recording"]

CLIP_COLUMN = "behaviour"
"""The column of recordings.csv that holds the label of a whole clip, where the unit is a recording."""

RESERVED = ("id", "video", "pose", "labels", "fps", "stream", "observation", "subject")
"""The columns of recordings.csv that murine reads, beside those of further views; any other is a group to
split by."""


@dataclass(frozen=True)
class TaskLabels:
    """A task and where its labels are: in the file that `column` of recordings.csv names, in its `stream` ("": the
    only one), of the recordings for which `where`, such as "annotator=1", holds ("": all).
    """

    task: Task
    stream: str = ""
    column: str = "labels"
    where: str = ""

    def __post_init__(self) -> None:
        if self.where and "=" not in self.where:
            raise InputError(f"where: expected COLUMN=VALUE, such as annotator=1; came '{self.where}'")

    def holds(self, recording: Recording) -> bool:
        """Return whether a recording has a file that may hold the task's labels."""
        column, _, value = self.where.partition("=")
        if self.where and recording.groups.get(column.strip(), "") != value.strip():
            return False
        if self.column == "labels":
            return recording.labels is not None
        return bool(recording.groups.get(self.column))


@dataclass(frozen=True)
class Project:
    """Recordings and the behaviours they are labelled with.

    `unit`: "frame" where labels are bouts inside a recording, "recording" where one label covers all of
    it (a folder of clips). `tolerance_s`: by how much labels or pose may be longer or shorter than the
    recording, in seconds. `rename` maps behaviours of the label files to those of the ethogram, `ignore`
    names those that are left out. `sources`: of a project with tasks, where the labels of each are; the
    ethogram then holds the behaviours of all. Raises ProjectError with all faults.
    """

    root: Path
    name: str
    ethogram: Ethogram
    recordings: tuple[Recording, ...]
    tolerance_s: float = 0.0
    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    unit: Unit = "frame"
    sources: tuple[TaskLabels, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "recordings", tuple(self.recordings))
        object.__setattr__(self, "ignore", tuple(self.ignore))
        object.__setattr__(self, "rename", dict(self.rename))
        faults = [] if self.recordings else ["recordings.csv: it has no recording; each row is one"]
        # Ids become file names, and Windows and macOS do not tell "A" from "a".
        seen: set[str] = set()
        for recording in self.recordings:
            if recording.id.casefold() in seen:
                faults.append(f"two recordings are called '{recording.id}'; ids must differ")
            seen.add(recording.id.casefold())
        if not (math.isfinite(self.tolerance_s) and self.tolerance_s >= 0):
            faults.append(f"tolerance_s: expected seconds, at least 0; came {self.tolerance_s}")
        named = [b for t in self.ethogram.tasks for b in t.plain] or self.ethogram.behaviours
        for name, target in self.rename.items():
            if target not in named and target not in self.ignore:
                known = suggest(target, named)
                faults.append(f"rename: '{name}' becomes '{target}', which is no behaviour.{known}")
        both = sorted(set(self.ignore) & set(named))
        if both:
            faults.append(f"ignore: {', '.join(both)} cannot be ignored and in the ethogram")
        if len(self.sources) != len(self.ethogram.tasks) or (self.sources and self.unit == "recording"):
            faults.append("tasks: each needs its labels, and labels are bouts inside recordings")
        if self.unit == "recording":
            faults += self._clip_faults()
        if faults:
            raise ProjectError(self.root, faults)

    def _clip_faults(self) -> list[str]:
        unknown: dict[str, int] = {}
        for recording in self.recordings:
            name = recording.groups.get(CLIP_COLUMN, "")
            if name and name not in self.ethogram.behaviours:
                unknown[name] = unknown.get(name, 0) + 1
        return [
            f"column '{CLIP_COLUMN}' of recordings.csv: '{name}' ({count}x) is no behaviour."
            f"{suggest(name, self.ethogram.behaviours)}"
            for name, count in unknown.items()
        ]

    def __len__(self) -> int:
        return len(self.recordings)

    def recording(self, id: str) -> Recording:
        """Return the recording called `id`; raises InputError with suggestions."""
        for recording in self.recordings:
            if recording.id == id:
                return recording
        raise InputError(f"no recording '{id}'.{suggest(id, [r.id for r in self.recordings])}")

    def labelled(self) -> tuple[Recording, ...]:
        """Return the recordings that have labels."""
        return tuple(r for r in self.recordings if self.is_labelled(r))

    def is_labelled(self, recording: Recording) -> bool:
        """Return whether a recording has labels: a file, or for a clip the column `behaviour`."""
        if self.unit == "recording":
            return bool(recording.groups.get(CLIP_COLUMN))
        if self.sources:
            return any(source.holds(recording) for source in self.sources)
        return recording.labels is not None

    def group_columns(self) -> tuple[str, ...]:
        """Return the columns one may split by, in order of appearance, without a clip's own label."""
        columns = dict.fromkeys(c for r in self.recordings for c in r.groups if c != CLIP_COLUMN)
        return tuple(columns)
