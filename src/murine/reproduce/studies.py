"""The recordings of a document as projects: made of the folders a user names, or simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from murine.errors import InputError, suggest
from murine.files import make_folder, read_json, write_json
from murine.formats import write_labels
from murine.progress import SILENT, Progress
from murine.project import (
    DATASETS,
    PROJECT_FILE,
    Project,
    init,
    init_dataset,
    load_bouts,
    load_project,
    save_project,
    timeline,
)
from murine.reproduce.entries import Data, Document, Entry
from murine.simulate import simulate
from murine.types import Bouts, Ethogram

MARK = "reproduce.json"
SHIFT_S = 0.2
"""By so much the made-up second annotator begins and ends each bout otherwise, at random."""


def find_sources(document: Document, entry: Entry, named: Sequence[str]) -> dict[str, Path]:
    """Return the folder of each of an entry's data; `named`: FOLDER, or DATA=FOLDER, as the user wrote them.

    One FOLDER for several data holds a folder of each. Raises InputError that lists what is missing, with its
    expected tree.
    """
    wanted = list(dict.fromkeys(document.data[key].of or key for key in document.needed_data(entry)))
    found: dict[str, Path] = {}
    for text in named:
        key, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            found |= _inside(document, wanted, Path(text).expanduser(), found)
        elif key in wanted:
            found[key] = Path(place).expanduser()
        else:
            raise InputError(f"--data {text}: {entry.name} needs no data '{key}'.{suggest(key, wanted)}")
    missing = [key for key in wanted if key not in found and not document.data[key].optional]
    if missing:
        told = "\n".join(
            f"  {key}: {document.data[key].what}\n{_tree(document.data[key])}" for key in missing
        )
        raise InputError(
            f"{document.name} {entry.name} needs data that were not named:\n{told}\nSay --data FOLDER with a folder of "
            f"each ({', '.join(document.data[key].folder or key for key in missing)}), or --data {missing[0]}=FOLDER; "
            "without data: --scale small"
        )
    absent = [f"{key}: {path}" for key, path in found.items() if not path.exists()]
    if absent:
        raise InputError(f"there is no such folder: {'; '.join(absent)}")
    return found


def _inside(
    document: Document, wanted: Sequence[str], folder: Path, found: Mapping[str, Path]
) -> dict[str, Path]:
    """Return which of the wanted data a folder is, or holds."""
    if not folder.exists():
        raise InputError(f"--data {folder}: there is no such folder")
    must = [key for key in wanted if key not in found and not document.data[key].optional]
    inside = {}
    for key in wanted:
        for name in (key, document.data[key].folder):
            if name and (folder / name).exists():
                inside[key] = folder / name
    if len(must) == 1 and must[0] not in inside:
        return {must[0]: folder}
    return inside


def _tree(data: Data) -> str:
    text = DATASETS[data.dataset].tree if data.dataset else "\n".join(data.files)
    return "\n".join(f"      {line}" for line in text.strip("\n").splitlines())


def open_project(
    document: Document, key: str, source: Path, folder: Path, *, progress: Progress = SILENT
) -> Path:
    """Return the project of some data, made once in `folder`; a source that is a project is taken as it is.

    Raises InputError with the expected tree for a folder of the wrong shape, and where `folder` was made of other data.
    """
    data, mark = document.data[key], folder / MARK
    if (source / PROJECT_FILE).exists():
        if data.of or any(other.of == key for other in document.data.values()):
            raise InputError(
                f"{source}: is a project, and its publisher's folder is needed here, of which several parts are read:\n"
                f"{_tree(data)}"
            )
        return source
    told = {"source": str(source.resolve())}
    if mark.exists():
        made = read_json(mark, "mark of a reproduction")
        if made != told:
            raise InputError(
                f"{folder} was made of {made.get('source')}, and now {source} is named. Give --out another folder"
            )
        return folder
    if data.dataset:
        init_dataset(folder, data.dataset, source, part=data.part or None, force=True, progress=progress)
    else:
        whole = document.data[data.of] if data.of else data
        paths = [source / name for name in data.files]
        if lost := [path.name for path in paths if not path.exists()]:
            raise InputError(
                f"{source}: no {', '.join(lost)}. Expected:\n{_tree(whole)}\nFound: "
                f"{', '.join(sorted(p.name for p in source.iterdir())[:8]) or 'nothing'}"
            )
        files = [str(path) for path in paths]
        init(folder, poses=files, labels=files, force=True, progress=progress, **data.init)
    write_json(mark, told)
    return folder


def simulate_project(data: Data, folder: Path, *, progress: Progress = SILENT) -> Path:
    """Return a project of simulated recordings in the place of some data, made once.

    `data.small`: animals, seconds, fps, seed, view; `nights`: so many of the animals are filmed at night; `exclude`:
    behaviours left out; `overlap`: each behaviour by itself; `tasks`: names, each with all labels; `second`: where a
    second annotator's labels go, the first animals alone. What was drawn decides whether it is made anew.
    """
    settings = {**data.small}
    mark, study = folder / MARK, folder / "study"
    if mark.exists() and read_json(mark, "mark of a simulation") == _plain(settings):
        return study
    nights, seed = int(settings.get("nights", 0)), int(settings.get("seed", 0))
    animals = int(settings.get("animals", 3))
    for kind, count in (("day", animals - nights), ("night", nights)):
        if count:
            simulate(
                folder / kind,
                animals=count,
                seconds=float(settings.get("seconds", 40.0)),
                fps=float(settings.get("fps", 15.0)),
                size=(64, 64),
                view=str(settings.get("view", "side")),
                night=kind == "night",
                unlabelled=0,
                seed=seed + (1000 if kind == "night" else 0),
                progress=progress,
            )
            _rename(folder / kind, kind)
    tasks = settings.get("tasks", ())
    labels = [f"{folder}/*/labels/*.csv"]
    project = init(
        study,
        videos=[f"{folder}/*/videos/*.mp4"],
        poses=[f"{folder}/*/pose/*.csv"],
        labels=() if tasks else labels,
        task_labels=dict.fromkeys(tasks, labels) or None,
        exclude=tuple(settings.get("exclude", ())),
        id_pattern=r"(?P<animal>[a-z]+\d+)",
        force=True,
        progress=progress,
    )
    if settings.get("overlap"):
        told = project.ethogram
        kept = tuple(name for name in told.behaviours if name != told.background)
        project = replace(project, ethogram=Ethogram(kept, exclusive=False))
        save_project(project)
    if settings.get("second"):
        _second_annotator(load_project(study), study / str(settings["second"]), seed)
    write_json(mark, _plain(settings))
    return study


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()}


def _rename(folder: Path, kind: str) -> None:
    """Name the animals of a night otherwise than those of a day: they come together in one project."""
    for path in sorted(folder.rglob("animal*")):
        path.replace(path.with_name(path.name.replace("animal", kind)))


def _second_annotator(project: Project, folder: Path, seed: int) -> None:
    """Write labels of a second annotator, who sees every change a little earlier or later."""
    make_folder(folder)
    for i, recording in enumerate(project.labelled()):
        bouts, when = load_bouts(project, recording), timeline(recording)
        classes = bouts.frames().argmax(axis=1)
        changes = np.flatnonzero(np.diff(classes)) + 1
        reach = max(1, round(SHIFT_S * when.fps))
        moved = changes + np.random.default_rng([seed, i]).integers(-reach, reach + 1, len(changes))
        second = classes.copy()
        for old, new in zip(changes.tolist(), moved.tolist(), strict=True):
            second[min(old, new) : max(old, new)] = classes[old - 1] if new > old else classes[old]
        write_labels(
            folder / f"{recording.id}.csv",
            Bouts.from_classes(bouts.ethogram, second),
            when,
            "boris-tabular",
        )
