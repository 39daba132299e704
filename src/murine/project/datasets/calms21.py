"""CalMS21: pose of two mice and labels in one file, for three tasks (Sun et al. 2021)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from murine.errors import InputError, ProjectError, suggest
from murine.formats import calms21 as format_
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, some
from murine.project.values import TaskLabels
from murine.types import Ethogram, LabelChoice, Recording, Task

BEHAVIOURS = ("attack", "investigation", "mount", "other")
"""Those of tasks 1 and 2."""

BACKGROUND = "other"
TASKS = ("task1", "task2", "task3")
SEQUENCES = {("task1", "train"): 70, ("task1", "test"): 19}
"""How many are published, for the note that tells of missing ones; those of tasks 2 and 3 are in no source at hand."""

GROUP = "group"
"""The column with the name of the annotator (tasks 1 and 2) or behaviour (task 3)."""

_FILE = re.compile(r"calms21_(task[123])_(?:(.+)_)?(train|test)(_features)?\.(json|npy)", re.IGNORECASE)
_MOUSE = re.compile(r"mouse[_-]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class _File:
    """A file of one side of a task; `rank`: of several that hold the same, the lowest is read."""

    path: Path
    task: str
    which: str
    side: str
    rank: tuple[bool, bool]


@dataclass(frozen=True)
class _Found:
    """A sequence of a file, and whether it has labels."""

    file: _File
    group: str
    sequence: str
    labelled: bool


def read(request: Request) -> Content:
    """Return a recording for each sequence of the tasks that are meant.

    Raises InputError for a wrong folder or several tasks where none is chosen, ProjectError for labels that are
    not those of the task.
    """
    files, notes = _files(request)
    part = _part(request, files)
    wanted = [file for file in files if part in (file.task, "all")]
    notes += [
        f"no file of {task} {side}: nothing to {'learn from' if side == 'train' else 'test on'}"
        for task in (TASKS if part == "all" else (part,))
        for side in ("train", "test")
        if not any((file.task, file.side) == (task, side) for file in wanted)
    ]
    found: list[_Found] = []
    faults: list[str] = []
    with request.progress.task("files", len(wanted), "files") as task:
        for file in wanted:
            try:
                rows = [_Found(file, *row) for row in format_.sequences(file.path)]
                found += rows
                published = SEQUENCES.get((file.task, file.side), len(rows))
                if not file.which and len(rows) != published:
                    notes.append(f"{file.path.name}: {len(rows)} of {published} published sequences")
            except InputError as error:
                faults.append(str(error))
            task.advance()
    if not faults:
        tasks = _tasks(found, faults)
    if faults:
        raise ProjectError(request.source, faults)
    recordings = _recordings(found)
    if part == "task1":
        return Content(Ethogram(BEHAVIOURS, background=BACKGROUND), recordings, notes=tuple(notes))
    sources = tuple(TaskLabels(task, where=f"{GROUP}={task.name}") for task in tasks.values())
    whole = Ethogram.of_tasks([source.task for source in sources])
    return Content(whole, recordings, notes=tuple(notes), sources=sources)


def _files(request: Request) -> tuple[list[_File], list[str]]:
    """Return the files to read, one of those that hold the same, in the order of tasks, training first."""
    there: dict[tuple[str, str, str], list[_File]] = {}
    for path in request.files:
        if (match := _FILE.fullmatch(path.name)) is None:
            continue
        task, which, side = match[1].lower(), match[2] or "", match[3].lower()
        rank = (match[4] is not None, match[5].lower() == "npy")
        there.setdefault((task, which, side), []).append(_File(path, task, which, side, rank))
    if not there:
        raise CALMS21.wrong_folder(request, ["no file is called as calms21_task1_train.json is"])
    notes = []
    chosen = []
    for same in there.values():
        first, *others = sorted(same, key=lambda file: file.rank)
        chosen.append(first)
        if others:
            names = some(request.place(other.path) for other in others)
            notes.append(f"{request.place(first.path)} is read; {names} should hold the same")
    return sorted(chosen, key=lambda f: (f.task, f.side != "train", f.which)), notes


def _part(request: Request, files: Sequence[_File]) -> str:
    there = list(dict.fromkeys(file.task for file in files))
    if request.part is None:
        if len(there) > 1:
            raise InputError(
                f"{request.source}: holds files of {', '.join(there)}. Choose with --part task1, task2 or task3, or "
                "take --part all for one network of all"
            )
        return there[0]
    lacking = [task for task in TASKS if request.part in (task, "all") and task not in there]
    if lacking:
        raise InputError(
            f"{request.source}: --part {request.part} needs files of {', '.join(lacking)}; there are those of "
            f"{', '.join(there)}"
        )
    return request.part


def _tasks(found: Sequence[_Found], faults: list[str]) -> dict[str, Task]:
    """Return a task for each annotator and each new behaviour that has labels."""
    names: dict[tuple[str, str], set[str]] = {}
    for file in dict.fromkeys(row.file for row in found if row.labelled):
        try:
            table = format_.parse(file.path)
        except InputError as error:
            faults.append(str(error))
            continue
        for row in table.rows:
            names.setdefault((file.task, row.stream), set()).add(row.behaviour)
    tasks: dict[str, Task] = {}
    for (task, group), held in names.items():
        behaviours = BEHAVIOURS if task != "task3" else _new_behaviour(group, held)
        strange = sorted(held - set(behaviours))
        if strange:
            faults.append(
                f"{task}, '{group}': its labels name '{strange[0]}', which is none of {', '.join(behaviours)}."
                f"{suggest(strange[0], behaviours)}"
            )
        elif group in tasks and tasks[group].behaviours != behaviours:
            faults.append(f"'{group}' is an annotator in one file and a behaviour in another")
        else:
            tasks[group] = Task(group, behaviours, background=BACKGROUND)
    if not names and not faults:
        faults.append("no sequence has labels: nothing to learn. Are these the files with annotations?")
    return tasks


def _new_behaviour(group: str, held: set[str]) -> tuple[str, ...]:
    """Return the behaviour of a group of task 3, and the rest. The group is called after it where nothing else is."""
    others = sorted(held - {BACKGROUND})
    return (others[0] if len(others) == 1 else group, BACKGROUND)


def _recordings(found: Sequence[_Found]) -> tuple[Recording, ...]:
    """Return a recording for each sequence; one seen by several annotators is one for each of them."""
    short = [row.sequence.rsplit("/", 1)[-1] for row in found]
    counts = Counter(name.casefold() for name in short)
    made = []
    for row, name in zip(found, short, strict=True):
        file = row.file
        if counts[name.casefold()] > 1:
            name = f"{file.task}_{file.side}_{row.group}_{row.sequence}"
        mouse = _MOUSE.search(row.sequence)
        groups: Mapping[str, str] = {
            "task": file.task,
            GROUP: row.group,
            "split": file.side,
            "mouse": mouse[1] if mouse else "",
        }
        choice = LabelChoice(stream=row.group, observation=row.sequence)
        made.append(
            Recording(
                re.sub(r'[/\\:*?"<>|\n]', "_", name),
                pose=file.path,
                labels=file.path if row.labelled else None,
                fps=format_.FPS,
                choice=choice,
                groups=groups,
            )
        )
    return tuple(made)


CALMS21 = DATASETS.add(
    "calms21",
    Dataset(
        name="calms21",
        summary="CalMS21, poses of two mice with labels",
        source="Sun et al. 2021, NeurIPS Datasets and Benchmarks (arXiv:2104.02710)",
        url="data.caltech.edu/records/1991",
        licence="sources differ (CC BY 4.0; CC BY-NC-SA): treat it as non-commercial",
        size="task 1: 89 sequences, 769,845 frames; hundreds of megabytes of json",
        tree="""
calms21/
  calms21_task1_train.json            (json as published, or the .npy of the publisher's converter;
  calms21_task1_test.json             at any depth)
  calms21_task2_train.json            several annotators
  calms21_task2_test.json
  calms21_task3_train.json            new behaviours
  calms21_task3_test.json
""",
        read=read,
        parts={
            "task1": "attack, investigation, mount, other by one annotator",
            "task2": "the same by several annotators, each a task",
            "task3": "new behaviours, each a task",
            "all": "all three, for one network",
        },
    ),
)
