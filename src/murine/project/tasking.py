"""The tasks of a new project: each stream of its label files, or the files of each annotator or question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from murine import formats
from murine.errors import InputError, suggest
from murine.progress import Progress
from murine.project.behaviours import BACKGROUND, Labelled, ends_early, look_through, without
from murine.project.pairing import natural
from murine.project.values import TaskLabels
from murine.types import Task

STREAMS = "streams"
"""What `init` can make tasks of, besides the files named for each."""

COLUMN = "labels_{}"
"""The column of recordings.csv with the label files of one task."""


def stream_tasks(
    folder: Path,
    labelled: Sequence[Labelled],
    exclude: Sequence[str],
    background: str | None,
    progress: Progress,
) -> tuple[TaskLabels, ...]:
    """Return a task for each stream of the label files; raises InputError where these have no two streams."""
    streams = sorted({name for _, summary in labelled for name in summary.streams}, key=natural)
    if len(streams) < 2:
        told = f"only the stream '{streams[0]}'" if streams else "no streams"
        raise InputError(
            f"--tasks {STREAMS}: the label files name {told}, so there is nothing to part. Leave it out, or name "
            "the files of each task with --task NAME=PATTERN."
        )
    parts: dict[str, list[Labelled]] = {name: [] for name in streams}
    for recording, summary in labelled:
        for name in summary.streams:
            choice = replace(recording.choice, stream=name)
            part = formats.describe_labels(recording.labels or Path(), choice)
            parts[name].append((replace(recording, choice=choice), part))
    tasks = _tasks(folder, parts, exclude, background, progress)
    return tuple(TaskLabels(task, stream=task.name) for task in tasks)


def file_tasks(
    folder: Path,
    parts: Mapping[str, Sequence[Labelled]],
    exclude: Sequence[str],
    background: str | None,
    progress: Progress,
) -> tuple[TaskLabels, ...]:
    """Return a task for each name; `parts`: recordings with the label files of that task as theirs."""
    tasks = _tasks(folder, parts, exclude, background, progress)
    return tuple(TaskLabels(task, column=COLUMN.format(task.name)) for task in tasks)


def _tasks(
    folder: Path,
    parts: Mapping[str, Sequence[Labelled]],
    exclude: Sequence[str],
    background: str | None,
    progress: Progress,
) -> list[Task]:
    """Return the tasks with the behaviours of their own labels; exclusive where none ever overlaps another."""
    names = {
        task: list(dict.fromkeys(b for _, summary in rows for b in summary.behaviours))
        for task, rows in parts.items()
    }
    every = list(dict.fromkeys(name for own in names.values() for name in own))
    without(every, exclude)  # refuses what no task has
    made = []
    for task, rows in parts.items():
        kept = [name for name in names[task] if name not in exclude]
        if not kept:
            raise InputError(
                f"task '{task}': its labels hold no behaviour that is not excluded; nothing to learn"
            )
        overlap, empty = look_through(folder, rows, kept, exclude, progress)
        none = None
        if not overlap and background in kept:
            none = background
        elif not overlap and (empty or ends_early(rows, kept, exclude)):
            none = background or BACKGROUND
            kept.append(none)
        made.append(Task(task, tuple(kept), not overlap, none))
    if background is not None and not any(task.background == background for task in made):
        raise InputError(
            f"no task has a behaviour '{background}' to be its background, or labelled frames without any."
            f"{suggest(background, every)}"
        )
    return made
