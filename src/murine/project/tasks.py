"""Several label sets of one study: tables [tasks.NAME] of project.toml, and the labels they stand for.

A task is a question that is labelled by itself: a stream of a label file, one of several annotators, a new
behaviour that only some recordings are labelled with. Its behaviours are called TASK/BEHAVIOUR everywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from murine import formats
from murine.config.convert import show
from murine.errors import InputError, suggest
from murine.project.keys import typed
from murine.project.values import Project, TaskLabels
from murine.types import Bouts, Ethogram, Recording, Task, Timeline

_KEYS: dict[str, Any] = {
    "behaviours": tuple[str, ...],
    "exclusive": bool,
    "background": str,
    "stream": str,
    "column": str,
    "where": str,
}


def read_tasks(tables: Any, faults: list[str]) -> tuple[TaskLabels, ...]:
    """Return what the tables [tasks.NAME] say, adding to `faults` whatever is wrong with them."""
    if not isinstance(tables, Mapping):
        faults.append(f"tasks: expected tables [tasks.NAME]; came {show(tables)}")
        return ()
    found = []
    for name, table in tables.items():
        values = typed(table, _KEYS, f"tasks.{name}", faults)
        if not isinstance(table, Mapping):
            continue
        try:
            task = Task(
                name,
                values.pop("behaviours", ()),
                values.pop("exclusive", True),
                values.pop("background", None) or None,
            )
            found.append(TaskLabels(task, **values))
        except InputError as error:
            faults.append(f"[tasks.{name}]: {error}")
    return tuple(found)


def task_tables(sources: tuple[TaskLabels, ...]) -> dict[str, dict[str, Any]]:
    """Return the tables that `read_tasks` reads."""
    tables: dict[str, dict[str, Any]] = {}
    for source in sources:
        task = source.task
        table: dict[str, Any] = {"behaviours": task.behaviours, "exclusive": task.exclusive}
        if task.background is not None:
            table["background"] = task.background
        others = {"stream": source.stream, "where": source.where}
        if source.column != "labels":
            others["column"] = source.column
        tables[task.name] = {**table, **{key: value for key, value in others.items() if value}}
    return tables


def load_task_bouts(project: Project, recording: Recording, times: Timeline) -> Bouts:
    """Return the labels of all tasks of a recording on its frames.

    A task that the recording has no labels of (no file, or no such stream in it) is unknown throughout. Frames
    count as annotated where all the others are. Raises InputError for files that cannot be read, or do not fit.
    """
    intervals: list[tuple[int, int, str]] = []
    unknown: list[int] = []
    spans: list[tuple[int, int]] | None = None
    for source, task in zip(project.sources, project.ethogram.tasks, strict=True):
        bouts = _bouts(project, source, recording, times)
        if bouts is None:
            columns = project.ethogram.columns(task)
            unknown += range(columns.start, columns.stop)
            continue
        intervals += [(start, stop, f"{task.name}/{name}") for start, stop, name in bouts.intervals()]
        own = [(int(a), int(b)) for a, b in bouts.annotated]
        spans = own if spans is None else _both(spans, own)
    kept = [
        (max(start, a), min(stop, b), name)
        for start, stop, name in intervals
        for a, b in spans or []
        if max(start, a) < min(stop, b)
    ]
    made = Bouts.build(project.ethogram, len(times), kept, spans or [])
    return replace(made, unknown=tuple(unknown) if spans is not None else ())


def _bouts(project: Project, source: TaskLabels, recording: Recording, times: Timeline) -> Bouts | None:
    """Return the labels of one task under its plain names, None where the recording has none."""
    path = labels_of(project, source, recording)
    if path is None:
        return None
    table = formats.parse_labels(path)
    choice = recording.choice
    if source.stream:
        if source.stream not in table.streams:
            return None
        choice = replace(choice, stream=source.stream)
    task = source.task
    bouts = formats.read_labels(
        table,
        times,
        choice,
        tolerance_s=project.tolerance_s,
        media="" if recording.video is None else recording.video.name,
        known=task.plain,
    )
    return formats.align(
        bouts,
        Ethogram(task.plain, task.exclusive, task.background),
        rename={old: new for old, new in project.rename.items() if new in task.plain},
        ignore=project.ignore,
        source=path,
    )


def labels_of(project: Project, source: TaskLabels, recording: Recording) -> Path | None:
    """Return the file with a recording's labels of one task, None where it has none."""
    if not source.holds(recording):
        return None
    if source.column == "labels":
        return recording.labels
    return Path(os.path.normpath(project.root / Path(recording.groups[source.column]).expanduser()))


def why_unlabelled(project: Project, source: TaskLabels) -> str:
    """Say why no recording has labels of a task, with the nearest names there are; "" where nothing is wrong."""
    known = dict.fromkeys(column for recording in project.recordings for column in recording.groups)
    column, _, value = (part.strip() for part in source.where.partition("="))
    if source.where and column not in known:
        return f"where = '{source.where}', and recordings.csv has no column '{column}'.{suggest(column, known)}"
    values = {recording.groups.get(column, "") for recording in project.recordings} - {""}
    if source.where and value not in values:
        return (
            f"where = '{source.where}', and no recording has {column}={value}.{suggest(value, values)}"
        )
    if source.column not in ("labels", *known):
        return f"column = '{source.column}', and recordings.csv has no such column.{suggest(source.column, known)}"
    streams: set[str] = set()
    for recording in project.recordings:
        path = labels_of(project, source, recording)
        if path is not None:
            with suppress(InputError):  # which files cannot be read is told where they are read
                streams.update(formats.describe_labels(path, recording.choice).streams)
    if source.stream and source.stream not in streams:
        return f"stream = '{source.stream}', and no label file has it.{suggest(source.stream, streams)}"
    return ""


def _both(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where two sets of intervals, each ordered and apart, overlap."""
    found = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return sorted((start, stop) for start, stop in found if start < stop)
