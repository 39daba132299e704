"""The folder of a search: whose it is, and whether what asks to go on in it is the same search."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from murine import __version__
from murine.config import recipe_to_dict
from murine.errors import InputError
from murine.files import file_hash, read_json, value_hash, write_json
from murine.project import Project, load_project, select
from murine.project.tasks import labels_of
from murine.search.criteria import check_score
from murine.search.files import load_search, save_search, search_to_dict
from murine.search.making import bases_of, first_recipes
from murine.search.settings import Search
from murine.search.trials import TRIALS
from murine.train.checking import check_suits
from murine.train.runs import write_environment
from murine.train.transfer import check_start
from murine.types import Recording

SEARCH_JSON = "search.json"
SEARCH_TOML = "search.toml"

_DECISIVE = (
    "recipe",
    "method",
    "criterion",
    "direction",
    "over",
    "startup",
    "seed",
    "seeds",
    "only",
    "set",
    "space",
)
"""What makes two searches different ones; the rest (how many trials, when to give one up) may change."""


def open_folder(out: Path, project_folder: Path, search: Search, *, resume: bool) -> None:
    """Hold a search against its project and its folder, then write search.toml and search.json.

    Raises InputError where the folder holds something else or another search, or where labels changed since;
    ConfigError where a recipe does not suit the project.
    """
    project = select(load_project(project_folder), search.only)
    if not project.labelled():
        raise InputError(
            f"{project_folder}: no recording has labels. Fill the column 'labels' of recordings.csv."
        )
    _check_recipes(search, project)
    check_score(search.criterion, project.ethogram, project.unit)
    form = {
        "murine_version": __version__,
        "ethogram": project.ethogram.to_dict(),
        "labels": _labels_hash(project),
        "recipes": value_hash([recipe_to_dict(base) for base in bases_of(search)]),
    }
    path = out / SEARCH_JSON
    if path.exists():
        if not resume:
            shutil.rmtree(out / TRIALS, ignore_errors=True)
        else:
            _check_same(out, search, read_json(path, "a search"), form)
    elif any(out.iterdir()):
        raise InputError(
            f"{out}: holds something else ({SEARCH_JSON} is missing). Choose another folder for the search (--out)."
        )
    write_json(path, form)
    save_search(search, out / SEARCH_TOML)
    write_environment(out)


def _check_recipes(search: Search, project: Project) -> None:
    """Raise where a recipe does not suit the project, before a frame is decoded: of each recipe that the search
    begins with the first combination.
    """
    for recipe in first_recipes(search):
        check_suits(recipe, project)
        check_start(recipe, project.ethogram)
        if search.criterion.startswith("validation_") and recipe.split.validation == 0:
            raise InputError(
                f"{search.criterion} is of validation recordings, and split.validation = 0 keeps none. Keep some "
                "(--set split.validation=0.2), or search by another score."
            )


def _decisive(search: Search) -> dict[str, str]:
    """Return a hash of each part that makes a search what it is; of a space the order too, as a grid follows it."""
    form = search_to_dict(search)
    return {
        key: value_hash(list(form[key].items()) if key == "space" else form[key]) for key in _DECISIVE
    }


def _labels_hash(project: Project) -> str:
    rows = [
        [r.id, [file_hash(path) for path in _label_files(project, r)], dict(r.groups)]
        for r in project.labelled()
    ]
    return value_hash(rows)


def _label_files(project: Project, recording: Recording) -> list[Path]:
    """Return the files that a recording's labels are read from, a task's own among them."""
    named = [labels_of(project, s, recording) for s in project.sources if s.holds(recording)]
    return [
        path for path in dict.fromkeys([recording.labels, *named]) if path is not None and path.is_file()
    ]


def _check_same(out: Path, search: Search, known: dict[str, Any], form: dict[str, Any]) -> None:
    before = known.get("ethogram") or {}
    if before != form["ethogram"]:
        raise InputError(
            f"{out}: its trials were judged on {', '.join(before.get('behaviours', []))}; the project now has "
            f"{', '.join(form['ethogram']['behaviours'])}. Scores of both cannot stand beside each other: begin anew "
            "(--restart), or choose another folder (--out)."
        )
    if known.get("labels") != form["labels"]:
        raise InputError(
            f"{out}: labels, recordings or their columns changed since its trials were judged. Begin anew "
            "(--restart), or choose another folder (--out)."
        )
    old, new = (_decisive(one) for one in (load_search(out / SEARCH_TOML), search))
    changed = [key for key in _DECISIVE if old[key] != new[key]]
    if changed or known.get("recipes") != form["recipes"]:
        what = ", ".join(changed) or "the recipe itself"
        raise InputError(
            f"{out}: holds another search; these differ: {what}. Choose another folder (--out), or begin anew "
            "(--restart)."
        )
