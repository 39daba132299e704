"""Several people's labels of the same recordings, from files: how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from murine.errors import InputError, suggest
from murine.formats import LabelTable, parse_labels, read_labels
from murine.metrics import Agreement, agree
from murine.scoring import carried_over, common_ethogram, find_labels
from murine.types import Bouts, Ethogram, LabelChoice, Timeline


@dataclass(frozen=True, eq=False)
class Ratings:
    """What is compared: `recordings` that every rater labelled, `left_out` that only some did, and how far
    they agree.
    """

    recordings: tuple[str, ...]
    left_out: tuple[str, ...]
    agreement: Agreement


@dataclass(frozen=True)
class _Part:
    """One rater's labels of one recording: a parsed file and which part of it is meant."""

    table: LabelTable
    choice: LabelChoice
    last: float


def agree_paths(
    paths: Sequence[Path],
    *,
    fps: float | None = None,
    raters: Sequence[str] = (),
    background: str | None = None,
    leave_out: Sequence[str] = (),
) -> Ratings:
    """Compare the raters of one table that names them, or of a label file (or folder of files) each.

    Of files, a rater is called by the file's name; recordings of folders meet by name. `raters`: which of
    them, in this order; default all. `leave_out`: behaviours that count as none. Frames come from `fps`
    (or the files' own) up to the last label of any rater. Raises InputError where fewer than two raters
    labelled one recording, or no rate is told.
    """
    found = _one_table(Path(paths[0])) if len(paths) == 1 else _files([Path(p) for p in paths])
    unknown = [name for name in raters if name not in found]
    if unknown:
        raise InputError(f"no rater '{unknown[0]}'.{suggest(unknown[0], list(found))}")
    chosen = {name: found[name] for name in (raters or found)}
    if len(chosen) < 2:
        raise InputError(
            f"{paths[0]}: labels of one rater ({', '.join(chosen) or 'none'}); agreement needs two or more. "
            "Give a file of each, or a table with a column that names the rater."
        )
    every = list(dict.fromkeys(id_ for parts in chosen.values() for id_ in parts))
    shared = [id_ for id_ in every if all(id_ in parts for parts in chosen.values())]
    if not shared:
        told = "; ".join(
            f"{name}: {', '.join(list(parts)[:5])}{', ...' if len(parts) > 5 else ''}"
            for name, parts in chosen.items()
        )
        raise InputError(
            f"no recording was labelled by all of them ({told}). Choose some with --raters."
        )
    read: dict[str, list[Bouts]] = {name: [] for name in chosen}
    for id_ in shared:
        parts = [parts[id_] for parts in chosen.values()]
        timeline = _timeline(parts, fps)
        for name, part in zip(chosen, parts, strict=True):
            known = tuple(dict.fromkeys(r.behaviour for r in part.table.rows))
            read[name].append(read_labels(part.table, timeline, part.choice, known=known))
    ethograms = {name: [bouts.ethogram for bouts in rows] for name, rows in read.items()}
    clash = None if len(paths) == 1 else _two_spellings  # one table spells one way
    common = _without(common_ethogram(ethograms, background, clash=clash), leave_out)
    named = {name: [carried_over(bouts, common) for bouts in rows] for name, rows in read.items()}
    left = tuple(id_ for id_ in every if id_ not in shared)
    return Ratings(tuple(shared), left, agree(named))


def _one_table(path: Path) -> dict[str, dict[str, _Part]]:
    """Return the raters of one table, each with the recordings it labelled."""
    table = parse_labels(path)
    found: dict[str, dict[str, _Part]] = {}
    for row in table.rows:
        choice = LabelChoice(stream=row.stream, observation=row.observation)
        before = found.setdefault(row.stream, {}).get(row.observation)
        last = max(row.stop, before.last if before else 0.0)
        found[row.stream][row.observation] = _Part(table, choice, last)
    return found


def _files(paths: Sequence[Path]) -> dict[str, dict[str, _Part]]:
    """Return a rater per file or folder, by the shortest ends of their paths that differ."""
    names = _names(paths)
    single = all(path.is_file() for path in paths)
    found = {}
    for name, path in zip(names, paths, strict=True):
        files = {paths[0].stem: path} if single else find_labels(path)
        found[name] = {id_: _whole(parse_labels(file)) for id_, file in files.items()}
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = [Path(*path.with_suffix("").parts[-parts:]).as_posix() for path in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"the same file came twice: {', '.join(str(path) for path in paths)}")


def _whole(table: LabelTable) -> _Part:
    return _Part(table, LabelChoice(), max([*(row.stop for row in table.rows), table.length]))


def _timeline(parts: Sequence[_Part], fps: float | None) -> Timeline:
    """Return frames up to the last label of any rater."""
    units = {part.table.unit for part in parts}
    if len(units) > 1:
        told = ", ".join(f"{part.table.path} in {part.table.unit}" for part in parts)
        raise InputError(f"labels in seconds and in frames cannot be compared without a video: {told}.")
    rates = {fps} if fps else {part.table.fps for part in parts if part.table.fps}
    if units == {"frames"}:
        rate = next(iter(rates), None) or 1.0  # labels that count frames need no clock to be compared
        return Timeline.uniform(max(1, round(max(part.last for part in parts))), rate)
    if len(rates) != 1:
        told = " and ".join(f"{rate:g}" for rate in sorted(r for r in rates if r)) or "none"
        raise InputError(
            f"{parts[0].table.path}: in seconds; frame rates told: {told}. Give one with --fps."
        )
    rate = next(iter(rates)) or 1.0
    return Timeline.uniform(max(1, int(-(-max(part.last for part in parts) * rate // 1))), rate)


def _two_spellings(first: str, second: str, only: tuple[list[str], list[str]]) -> str:
    return (
        f"behaviours differ: '{only[0][0]}' only of {first}, '{only[1][0]}' only of {second}."
        f"{suggest(only[0][0], only[1])} Use the same names in both."
    )


def _without(ethogram: Ethogram, behaviours: Sequence[str]) -> Ethogram:
    for name in behaviours:
        ethogram.index(name)  # raises for one that nobody used
    kept = tuple(b for b in ethogram.behaviours if b not in behaviours)
    if not kept:
        raise InputError(f"no behaviour is left without {', '.join(behaviours)}")
    background = ethogram.background if ethogram.background in kept else None
    return Ethogram(kept, ethogram.exclusive, background)
