"""What is to be combined: folders of predictions or evaluations, their recordings met by id or by a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from murine.data.splits import Split
from murine.ensemble.values import check_same_behaviours, in_order_of, on_timeline
from murine.errors import InputError
from murine.predictions import find_predictions, read_header, read_prediction
from murine.project import Project, load_bouts, load_project
from murine.train.crossval import EVALUATION_FILE, load_scores, project_of, read_splits
from murine.types import Bouts, Ethogram, Prediction, Recording

DIFFERENT_LABELS = 0.01
"""Share of frames in which labels of two cameras may differ before it is said."""


@dataclass(frozen=True)
class Unit:
    """What is predicted once: a recording, or a scene that several cameras filmed.

    `id`: the recording, of the first member, under whose name the result stands; `key`: its own, or the
    scene's. `paths`, `recordings`: a prediction of each member, and whose it is.
    """

    id: str
    key: str
    paths: tuple[Path, ...]
    recordings: tuple[str, ...]


@dataclass(frozen=True)
class Members:
    """Predictions of the same recordings or scenes by several networks.

    `splits`: of the first one's folds, empty where they are no evaluations. `project`: theirs, where known.
    """

    folders: tuple[Path, ...]
    names: tuple[str, ...]
    units: tuple[Unit, ...]
    by: str
    tolerance_s: float
    project: Project | None = None
    splits: tuple[Split, ...] = ()

    def read(self, unit: Unit) -> list[Prediction]:
        """Return the predictions of a unit on the frames of the first, all under the unit's name.

        Raises InputError where they were made from different files, or cameras differ in length.
        """
        read = [read_prediction(path) for path in unit.paths]
        if self.project is not None:
            read = [_as_project(p, self.project.ethogram) for p in read]
        if not self.by:
            _check_same_files(read, self.names, unit)
            return read
        aligned = []
        for name, prediction in zip(self.names, read, strict=True):
            try:
                placed = on_timeline(prediction, read[0].timeline, self.tolerance_s)
            except InputError as error:
                raise InputError(f"{self.by} '{unit.key}', {name}: {error}") from error
            meta = {**placed.meta, "recording": placed.recording}  # whose it was, for the history
            aligned.append(replace(placed, recording=unit.id, meta=meta))
        return aligned

    def truth(self, unit: Unit) -> tuple[Bouts, list[str]]:
        """Return the labels of a unit, and what is to be said of them.

        A scene has those of the first member's recording; a note says where another camera's differ.
        """
        assert self.project is not None
        recordings = [self.project.recording(id_) for id_ in unit.recordings]
        truth = load_bouts(self.project, recordings[0])
        notes = []
        for other in recordings[1:] if self.by else ():
            if self.project.is_labelled(other):
                share = _labels_apart(truth, load_bouts(self.project, other))
                if share > DIFFERENT_LABELS:
                    notes.append(
                        f"{self.by} '{unit.key}': the labels of '{other.id}' differ from those of "
                        f"'{recordings[0].id}' in {share:.1%} of the frames; the latter count"
                    )
        return truth, notes


def open_members(
    inputs: Sequence[Path],
    *,
    by: str = "",
    study: Path | None = None,
    tolerance_s: float | None = None,
) -> Members:
    """Return what some folders hold, all of them evaluations or all of them predictions.

    `by`: the column of recordings.csv that says which recordings are one scene; "": recordings are met by
    their ids. `study`: the project, which evaluations know by themselves. `tolerance_s`: by how much the
    cameras of a scene may differ in length, the project's by default. Raises InputError for folders that
    do not go together: other recordings, behaviours, projects or folds.
    """
    folders = tuple(Path(folder) for folder in inputs)
    if len(folders) < 2:
        raise InputError(f"to combine takes at least two folders; came {len(folders)}")
    places = [folder.resolve() for folder in folders]
    if len(set(places)) < len(places):
        raise InputError("a folder is named twice: there is nothing to combine it with")
    judged = [(folder / EVALUATION_FILE).exists() for folder in folders]
    if any(judged) and not all(judged):
        raise InputError(
            f"{folders[judged.index(True)]} is an evaluation and {folders[judged.index(False)]} is not. "
            "Give evaluations, or folders of predictions."
        )
    project = _project(folders, study) if all(judged) or study is not None else None
    if by and project is None:
        raise InputError(f"which recordings are one '{by}' says the project: name it with --study")
    names = _names(folders)
    keyed = [_keyed(folder, by, project) for folder in folders]
    _check_same_units(keyed, names, by)
    units = tuple(
        Unit(first, key, tuple(k[key][1] for k in keyed), tuple(k[key][0] for k in keyed))
        for key, (first, _) in keyed[0].items()
    )
    _check_behaviours(units, names, project)
    splits: tuple[Split, ...] = ()
    if all(judged):
        for folder in folders:
            load_scores(folder)  # refuses one that is not finished
        splits = _common_splits(folders, names, keyed)
    tolerance = (
        tolerance_s if tolerance_s is not None else 0.0 if project is None else project.tolerance_s
    )
    return Members(folders, names, units, by, tolerance, project, splits)


def _project(folders: Sequence[Path], study: Path | None) -> Project:
    if study is not None:
        return load_project(study)
    found = [project_of(folder) for folder in folders]
    for folder, place in zip(folders, found, strict=True):
        if place.resolve() != found[0].resolve():
            raise InputError(
                f"{folders[0]} and {folder} are evaluations of different projects: {found[0]} and {place}"
            )
    return load_project(found[0])


def _names(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return what to call each folder: its own name, as long as those differ."""
    short = tuple(folder.resolve().name for folder in folders)
    return short if len(set(short)) == len(short) else tuple(str(folder) for folder in folders)


def _keyed(folder: Path, by: str, project: Project | None) -> dict[str, tuple[str, Path]]:
    """Return (recording, file) of each unit of a folder; raises InputError for two of one scene."""
    found: dict[str, tuple[str, Path]] = {}
    for path in find_predictions(folder):
        id_ = str(read_header(path)["recording"])
        key = id_ if not by or project is None else _group(project.recording(id_), by)
        if key in found:
            raise InputError(
                f"{folder}: '{found[key][0]}' and '{id_}' are both of {by or 'recording'} '{key}'. Predict or "
                "evaluate one camera at a time (--only camera=left)."
            )
        found[key] = (id_, path)
    return found


def _group(recording: Recording, by: str) -> str:
    if by not in recording.groups:
        columns = ", ".join(recording.groups) or "none"
        raise InputError(f"recordings.csv has no column '{by}' to join by (there are: {columns})")
    return recording.group(by)


def _check_same_units(
    keyed: Sequence[Mapping[str, tuple[str, Path]]], names: Sequence[str], by: str
) -> None:
    what = f"of {by}" if by else "of recording"
    for other, name in zip(keyed[1:], names[1:], strict=True):
        only = [sorted(set(a) - set(b)) for a, b in ((keyed[0], other), (other, keyed[0]))]
        told = [
            f"only in {where}: {', '.join(keys[:5])}{f' and {len(keys) - 5} more' if len(keys) > 5 else ''}"
            for where, keys in zip((names[0], name), only, strict=True)
            if keys
        ]
        if told:
            raise InputError(f"the predictions {what}s do not meet; {'; '.join(told)}")


def _check_behaviours(units: Sequence[Unit], names: Sequence[str], project: Project | None) -> None:
    """Raise InputError unless all predict the same behaviours, and those of the project."""
    for unit in units:
        own = [Ethogram(**read_header(path)["ethogram"]) for path in unit.paths]
        if project is not None:
            check_same_behaviours(
                own[0], project.ethogram, f"{names[0]} and the project, recording '{unit.id}'"
            )
        for other, name in zip(own[1:], names[1:], strict=True):
            check_same_behaviours(own[0], other, f"{names[0]} and {name}, recording '{unit.id}'")


def _as_project(prediction: Prediction, ethogram: Ethogram) -> Prediction:
    """Return a prediction with its behaviours in the project's order."""
    if prediction.ethogram == ethogram:
        return prediction
    return replace(prediction, ethogram=ethogram, probabilities=in_order_of(ethogram, prediction))


def _check_same_files(read: Sequence[Prediction], names: Sequence[str], unit: Unit) -> None:
    first = read[0].meta.get("file_hashes", {})
    for other, name in zip(read[1:], names[1:], strict=True):
        theirs = other.meta.get("file_hashes", {})
        if differing := [kind for kind in first if kind in theirs and first[kind] != theirs[kind]]:
            raise InputError(
                f"{names[0]} and {name}, recording '{unit.id}': predicted from different files "
                f"({', '.join(differing)}). Predict both from the same one."
            )


def _common_splits(
    folders: Sequence[Path], names: Sequence[str], keyed: Sequence[Mapping[str, tuple[str, Path]]]
) -> tuple[Split, ...]:
    """Return the first evaluation's folds; raises InputError where another one tests others together."""
    every = [read_splits(folder) for folder in folders]
    parted = []
    for splits, units in zip(every, keyed, strict=True):
        key_of = {id_: key for key, (id_, _) in units.items()}
        parted.append({frozenset(key_of[id_] for id_ in s.test if id_ in key_of) for s in splits})
    for other, name in zip(parted[1:], names[1:], strict=True):
        if other != parted[0]:
            raise InputError(
                f"{names[0]} and {name} were evaluated on different folds. Evaluate both with the same [split] "
                "(by, folds, seed, ...), of several cameras by a column that scenes share."
            )
    return tuple(every[0])


def _labels_apart(first: Bouts, other: Bouts) -> float:
    """Return the share of frames in which two cameras' labels differ, stretched to one length."""
    mine, theirs = first.frames(), other.frames()
    at = np.minimum(np.arange(len(mine)) * len(theirs) // max(len(mine), 1), len(theirs) - 1)
    return float((mine != theirs[at]).any(axis=1).mean())
