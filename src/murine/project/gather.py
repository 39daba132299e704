"""The files a project is made of, and what their names tell."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from murine import formats
from murine.errors import InputError, ProjectError
from murine.project.pairing import natural
from murine.project.values import CLIP_COLUMN, RESERVED
from murine.types import VIEW_COLUMN, Recording


def find_files(patterns: Sequence[str], what: str, suffixes: Sequence[str]) -> list[Path]:
    """Return the files of patterns, names and folders; raises InputError for one that finds nothing."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        places = expand(pattern)
        files = [p for p in places if p.is_file()]
        if len(places) == 1 and places[0].is_dir():
            files = [p for p in places[0].iterdir() if p.is_file() and not p.name.startswith(".")]
            files = [p for p in files if p.name.lower().endswith(tuple(suffixes))]
        if not files:
            raise InputError(
                f"{what}: no file is found by '{pattern}' (from {Path.cwd()}). Check the folder; put "
                "quotes around a pattern with * in it."
            )
        found.update(dict.fromkeys(p.absolute() for p in files))
    return sorted(found, key=lambda p: natural(str(p)))


def pose_files(paths: Sequence[Path], faults: list[str]) -> list[tuple[Path, str]]:
    """Return each pose file, or each recording of one that holds several, with its name ("": the only one)."""
    files: list[tuple[Path, str]] = []
    for path in paths:
        try:
            parts = formats.pose_parts(path)
        except InputError as error:
            faults.append(str(error))
            parts = ()
        files += [(path, part) for part in parts] if len(parts) > 1 else [(path, "")]
    return files


def expand(pattern: str) -> list[Path]:
    """Return what a name or a pattern such as "videos/*.mp4" means, in natural order; [] for nothing.

    `**` goes into folders, `~` is the home folder. What is there under the very name is meant by it,
    also in front of a pattern: brackets in the name of a folder are no pattern.
    """
    if pattern[:1] in ("'", '"') and pattern[-1] == pattern[0] and not Path(pattern).exists():
        pattern = pattern[1:-1]  # the Windows prompt hands single quotes on
    path = Path(os.path.expanduser(pattern))  # noqa: PTH111 (Path.expanduser raises for "~nobody")
    if path.exists():
        return [path]
    base = next((parent for parent in path.parents if parent.is_dir()), Path())
    whole = str(Path(glob.escape(str(base))) / path.relative_to(base))
    found = glob.glob(whole, recursive=True)  # noqa: PTH207 (Path.glob refuses "**.mp4")
    return sorted(map(Path, found), key=lambda p: natural(str(p)))


def unique_ids(names: Sequence[str], paths: Sequence[Path], source: Path) -> list[str]:
    """Return names that can be ids, each once: with folders in front where files share a name.

    Raises ProjectError naming the files that cannot be told apart.
    """
    ids = [re.sub(r'[/\\:*?"<>|\n]', "_", name).strip() for name in names]
    for depth in range(2, max((len(path.parts) for path in paths), default=0) + 2):
        counts = Counter(id.casefold() for id in ids)
        if len(counts) == len(ids):
            return ids
        clash = [
            counts[id.casefold()] > 1 and len(path.parts) > depth
            for id, path in zip(ids, paths, strict=True)
        ]
        ids = [
            f"{path.parts[-depth]}__{id}" if wrong else id
            for id, path, wrong in zip(ids, paths, clash, strict=True)
        ]
    raise ProjectError(
        source,
        [
            f"{path}: another file gives the same id; rename one, or use a pattern that leaves one out"
            for id, path in zip(ids, paths, strict=True)
            if counts[id.casefold()] > 1
        ],
    )


def with_columns(
    recordings: Iterable[Recording], id_pattern: str | None, unmatched: str
) -> tuple[Recording, ...]:
    """Fill columns from the named groups of a pattern searched in the ids; raises InputError."""
    rows = tuple(recordings)
    if id_pattern is None:
        return rows
    try:
        pattern = re.compile(id_pattern)
    except re.error as error:
        raise InputError(f"id pattern '{id_pattern}' is not a regular expression: {error}") from None
    if not pattern.groupindex:
        raise InputError(
            f"id pattern '{id_pattern}' names no column; a part such as (?P<cage>\\d) fills column 'cage'"
        )
    own = {*RESERVED, CLIP_COLUMN, "recording"}
    taken = sorted(n for n in pattern.groupindex if n in own or VIEW_COLUMN.fullmatch(n))
    if taken:
        raise InputError(f"id pattern: '{', '.join(taken)}' cannot be filled; use another name")
    matches = [pattern.search(r.id) for r in rows]
    if not any(matches):
        raise InputError(
            f"id pattern '{id_pattern}' fits none of the {len(rows)} ids, such as '{rows[0].id}'"
        )
    filled = []
    for recording, match in zip(rows, matches, strict=True):
        values = match.groupdict() if match else {}
        columns = {name: values.get(name) or unmatched for name in pattern.groupindex}
        filled.append(replace(recording, groups={**recording.groups, **columns}))
    return tuple(filled)
