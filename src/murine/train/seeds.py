"""One evaluation with several seeds: what of a score is the network, and what is luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from murine.config import Recipe
from murine.errors import InputError
from murine.files import write_json
from murine.progress import SILENT, Progress
from murine.project import suffix
from murine.train.crossval import EVALUATION_FILE, evaluate, leaks_of, load_scores
from murine.train.run import short_name

SEEDS_FILE = "seeds.json"

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "map")
"""Scores of frames (or of recordings with one label) that are averaged over seeds, and `f1_50`, `edit` of segments."""

_SEGMENTS = ("f1_50", "edit")


@dataclass(frozen=True)
class Seeds:
    """Evaluations that differ in their seed only. `table`: of each score its `mean`, `sd` (None of one seed) and
    `values`, seed by seed; `leaks`: what they were made in spite of.
    """

    folder: Path
    seeds: tuple[int, ...]
    evaluations: tuple[Path, ...]
    table: dict[str, dict[str, Any]]
    leaks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what seeds.json holds."""
        marks = {"leaks": list(self.leaks)} if self.leaks else {}
        names = [folder.name for folder in self.evaluations]
        return {"seeds": list(self.seeds), "evaluations": names, "scores": self.table, **marks}


def evaluate_seeds(
    project_folder: Path,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    out: Path | None = None,
    only: Sequence[str] = (),
    resume: bool = True,
    allow_leak: bool = False,
    progress: Progress = SILENT,
) -> Seeds:
    """Evaluate a recipe once for each training seed, on the same folds; return mean and deviation of the scores.

    OUT (default PROJECT/evaluations/NAME-seeds) holds an evaluation for each, seed-N, and seeds.json; seeds that
    were finished before are used again. Raises what `evaluate` raises, and InputError for no seed, or one named
    twice.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        told = ", ".join(map(str, seeds)) or "none"
        raise InputError(f"seeds are different numbers from 0; came {told}")
    project_folder = Path(project_folder)
    name = short_name(recipe) + suffix(only)
    out = Path(out) if out is not None else project_folder / "evaluations" / f"{name}-seeds"
    if (out / EVALUATION_FILE).exists():
        raise InputError(f"{out}: holds an evaluation. Name another folder for those of several seeds.")
    folders = []
    with progress.task("seeds", len(seeds)) as task:
        for seed in seeds:
            task.note(f"seed {seed}")
            own = replace(recipe, training=replace(recipe.training, seed=seed))
            folder = out / f"seed-{seed}"
            evaluate(
                project_folder,
                own,
                out=folder,
                only=only,
                resume=resume,
                allow_leak=allow_leak,
                progress=progress,
            )
            folders.append(folder)
            task.advance()
    found = Seeds(out, tuple(seeds), tuple(folders), over_seeds(folders), tuple(leaks_of(folders)))
    write_json(out / SEEDS_FILE, found.to_dict())
    return found


def over_seeds(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return mean, standard deviation (of a sample, n - 1) and values of the scores of some evaluations.

    Raises InputError where one is not finished, or they are of other behaviours or recordings.
    """
    every = [load_scores(folder) for folder in folders]
    first = every[0]
    for folder, scores in zip(folders[1:], every[1:], strict=True):
        for what, differs in (
            ("behaviours", scores["pooled"]["ethogram"] != first["pooled"]["ethogram"]),
            ("recordings", set(scores["recordings"]) != set(first["recordings"])),
        ):
            if differs:
                raise InputError(
                    f"{folders[0]} and {folder} are of different {what}, so their scores cannot be averaged. Evaluate "
                    "both anew (--restart)."
                )
    table: dict[str, dict[str, Any]] = {}
    for part, names in (("pooled", SHOWN), ("segments", _SEGMENTS)):
        for name in names:
            values = [scores[part][name] for scores in every if scores[part] is not None]
            if len(values) == len(every) and all(value is not None for value in values):
                sd = stdev(values) if len(values) > 1 else None
                table[name] = {"mean": fmean(values), "sd": sd, "values": values}
    return table
