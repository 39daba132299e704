"""What `init` says of the project it wrote, and the tasks it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from murine.cli.console import many, result
from murine.errors import InputError

if TYPE_CHECKING:
    from murine.project import Project
    from murine.types import Ethogram, Task


def named_tasks(tasks: Sequence[str]) -> dict[str, list[str]]:
    """Return the patterns of each task that --task named."""
    found: dict[str, list[str]] = {}
    for item in tasks:
        name, equals, pattern = (part.strip() for part in item.partition("="))
        if not name or not equals or not pattern:
            raise InputError(f"--task takes NAME=FILES, such as anna='labels/anna/*.csv'; came '{item}'")
        found.setdefault(name, []).append(pattern)
    return found


def tell_project(folder: Path, project: Project, notes: Sequence[str], as_json: bool) -> None:
    """Say what the new project holds, and what its reader had to say."""
    labelled = len(project.labelled())
    value = {
        "project": str(folder),
        "recordings": len(project.recordings),
        "labelled": labelled,
        "ethogram": project.ethogram.to_dict(),
        "tasks": [source.task.name for source in project.sources],
        "notes": list(notes),
    }
    lines = [
        f"{folder}: {many(len(project.recordings), 'recording')}, {labelled} with labels"
        + ("" if project.sources else f"; behaviours: {_behaviours(project.ethogram)}"),
        *(f"task {source.task.name}: {_behaviours(source.task)}" for source in project.sources),
        *(f"note: {note}" for note in notes),
        f"Look at {folder / 'recordings.csv'}, then: murine check {folder}",
    ]
    result(value, as_json, "\n".join(lines))


def _behaviours(of: Ethogram | Task) -> str:
    none = "" if of.background is None else f", {of.background} for none of the others"
    return f"{', '.join(of.behaviours)} ({'one at a time' if of.exclusive else 'may overlap'}{none})"
