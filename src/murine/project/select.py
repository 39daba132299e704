"""Some of a project's recordings, chosen by a column: one camera, one session, one animal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from murine.errors import InputError, suggest
from murine.project.values import Project

_UNFIT = re.compile(r"[^\w.-]+")


def select(project: Project, only: Sequence[str]) -> Project:
    """Return a project of those recordings that `only` lets through, each item like "camera=left".

    Columns are those of recordings.csv, besides "recording", the id. Items of different columns must all
    hold, of items of one column any. Raises InputError for an item that is none, an unknown column, a
    value that no recording has, or where nothing is left.
    """
    if not only:
        return project
    wanted: dict[str, list[str]] = {}
    for column, value in map(_parts, only):
        wanted.setdefault(column, []).append(value)
    known = dict.fromkeys(["recording", *(c for r in project.recordings for c in r.groups)])
    kept = list(project.recordings)
    for column, values in wanted.items():
        if column not in known:
            raise InputError(f"--only: recordings.csv has no column '{column}'.{suggest(column, known)}")
        cells = {r.id: r.id if column == "recording" else r.groups.get(column, "") for r in kept}
        every = {r.id if column == "recording" else r.groups.get(column, "") for r in project.recordings}
        if odd := [value for value in values if value not in every]:
            raise InputError(
                f"--only: no recording has {column}={odd[0]}.{suggest(odd[0], sorted(every - {''}))}"
            )
        kept = [r for r in kept if cells[r.id] in values]
    if not kept:
        raise InputError(f"--only: no recording is left that has {' and '.join(only)}. Take one away.")
    return replace(project, recordings=tuple(kept))


def suffix(only: Sequence[str]) -> str:
    """Return what the values add to the name of a folder: "-left" of "camera=left"; nothing of nothing."""
    return "".join(f"-{_UNFIT.sub('_', value)}" for _, value in map(_parts, only))


def _parts(item: str) -> tuple[str, str]:
    column, equals, value = (part.strip() for part in item.partition("="))
    if not column or not equals or not value:
        raise InputError(f"--only takes COLUMN=VALUE, such as camera=left; came '{item}'")
    return column, value
