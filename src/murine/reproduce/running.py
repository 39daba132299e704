"""The runs that fill a table: recipes evaluated, trained and applied, combined, fused, searched; each done once.

Everything here is called, not written anew: what was finished before is used again, what was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from murine.config import Recipe, load_recipe, recipe_from_dict, recipe_to_dict, save_recipe
from murine.config.tomlfile import inline
from murine.ensemble import combine, sweep
from murine.errors import InputError
from murine.files import write_json
from murine.predict import predict
from murine.progress import SILENT, Progress
from murine.reproduce.entries import Document, Run
from murine.reproduce.studies import open_project, simulate_project
from murine.scoring import score_paths
from murine.search import load_search, search
from murine.train.checking import recipe_faults
from murine.train.crossval import evaluate, load_scores
from murine.train.run import train

SCALES = ("full", "small")
RESULT_FILE = "scores.json"

Scores = Mapping[str, Any]


@dataclass
class Workbench:
    """Where the runs of a document are done. `sources`: folder of each of the data; empty at a small scale.

    `seeds`: so many instead of a run's own, 0 for those. What runs share lies once in `root`.
    """

    document: Document
    root: Path
    scale: str = "full"
    sources: Mapping[str, Path] = field(default_factory=dict)
    seeds: int = 0
    progress: Progress = SILENT
    _done: dict[str, tuple[list[Path], list[Scores]]] = field(default_factory=dict)

    @property
    def small(self) -> bool:
        """Whether simulated recordings and narrow networks stand in."""
        return self.scale == "small"

    def project(self, key: str) -> Path:
        """Return the project of some data."""
        data, folder = self.document.data[key], self.root / "studies" / key
        if self.small:
            return simulate_project(data, folder, progress=self.progress)
        return open_project(
            self.document, key, self.sources[data.of or key], folder, progress=self.progress
        )

    def do(self, name: str) -> tuple[list[Path], list[Scores]]:
        """Return the result folder and the scores of each seed of a run, done now or before."""
        if name not in self._done:
            run = self.document.runs[name]
            kind = next((kind for kind in _KINDS if getattr(run, kind)), "recipe")
            self._done[name] = _KINDS[kind](self, name, run)
        return self._done[name]

    def seeds_of(self, run: Run) -> range:
        """Return the training seeds; which the documents took is not published."""
        return range(self.seeds or (1 if self.small else run.seeds))

    def recipe(self, run: Run, seed: int) -> Recipe:
        """Return the recipe of a run with one seed, narrowed at a small scale."""
        tables = recipe_to_dict(load_recipe(run.recipe))
        changes: list[Mapping[str, Any]] = [run.set]
        if self.small:
            narrow = self.document.small.models.get(str(tables["model"]["name"]), {})
            changes += [self.document.small.set, {"model": narrow}]
        for change in changes:
            for section, values in change.items():
                tables[section] = (
                    {**tables[section], **values} if isinstance(values, Mapping) else values
                )
        tables["training"]["seed"] = seed
        if run.initial and (start := self._start(run.initial)):
            tables["training"]["initial"] = str(start)
        if run.weights and (start := self._start(run.weights)):
            tables["embedding"]["weights"] = str(start)
        return recipe_from_dict(tables, source=run.recipe, name=run.recipe, check=recipe_faults)

    def _start(self, name: str) -> Path | None:
        """Return the network that another begins from: the seed best on the test, or a file named as data."""
        if name in self.document.data:
            return self.sources.get(name)
        folders, scores = self.do(name)
        run = self.document.runs[name]
        if run.only_train:
            return folders[0]
        ranked = sorted(range(len(folders)), key=lambda i: -(scores[i]["pooled"]["accuracy"] or 0.0))
        return folders[ranked[0]].parent / "model"

    def one_of_data(self, run: Run, seed: int, place: Path) -> tuple[Path, Scores]:
        """Evaluate one seed, or train it and judge it on other recordings."""
        recipe, study = self.recipe(run, seed), self.project(run.data)
        save_recipe(recipe, place / "recipe.toml")
        if not (run.test or run.only_train):
            found = evaluate(study, recipe, out=place / "evaluation", progress=self.progress)
            return found.folder, self._told(found.folder, found.scores, run, study)
        model = train(study, recipe, folder=place / "model", progress=self.progress)
        if run.only_train:
            return model, {}
        test = self.project(run.test)
        predict(model, [test], place / "predictions", progress=self.progress)
        return place / "predictions", self.judged(test, place / "predictions", run)

    def _told(self, folder: Path, scores: Scores, run: Run, study: Path) -> Scores:
        """Return the scores of an evaluation, with those of a published protocol where a run names one."""
        return self.judged(study, folder, run) if run.protocol else scores

    def judged(self, truth: Path, said: Path, run: Run) -> Scores:
        """Return the scores of predictions on labelled recordings, by the protocol that a run names."""
        scores = score_paths(truth, said, protocol=run.protocol, progress=self.progress)
        place = said.parent / (said.name + "-" + RESULT_FILE)
        write_json(place, scores)
        return scores


def _seeds(bench: Workbench, name: str, run: Run) -> tuple[list[Path], list[Scores]]:
    folders, scores = [], []
    for seed in bench.seeds_of(run):
        folder, told = bench.one_of_data(run, seed, bench.root / "runs" / name / f"seed-{seed}")
        folders.append(folder)
        scores.append(told)
    return folders, scores


def _combine(bench: Workbench, name: str, run: Run) -> tuple[list[Path], list[Scores]]:
    """Average the best seed of each member, or the best seeds of one."""
    picked: list[Path] = []
    for member in run.combine:
        folders, scores = bench.do(member)
        ranked = list(range(len(folders)))
        if run.pick == "test":
            ranked.sort(key=lambda i, s=scores: -(s[i]["pooled"]["accuracy"] or 0.0))  # type: ignore[misc]
        picked += [folders[i] for i in ranked[: run.top]]
    if len(picked) < 2:
        return [], []
    out = bench.root / "runs" / name / "combined"
    first = bench.document.runs[run.combine[0]]
    made = combine(out, picked, progress=bench.progress)
    if made.scores is not None:
        return [out], [made.scores]
    return [out], [bench.judged(bench.project(first.test), out, first)]


def _sweep(bench: Workbench, name: str, run: Run) -> tuple[list[Path], list[Scores]]:
    first, second = (bench.do(member)[0][0] for member in run.sweep)
    out = bench.root / "runs" / name / "fused"
    found = sweep(out, first, second, progress=bench.progress)
    told = {**load_scores(out), "sweep": found.optimistic}
    return [out], [told]


def _score(bench: Workbench, name: str, run: Run) -> tuple[list[Path], list[Scores]]:
    folders, _ = bench.do(run.score)
    truth = bench.project(run.data)
    return folders, [score_paths(truth, folder, progress=bench.progress) for folder in folders]


def _labels(bench: Workbench, name: str, run: Run) -> tuple[list[Path], list[Scores]]:
    study = bench.project(run.data)
    if not (study / run.labels).exists():
        raise InputError(
            f"{study}: no folder {run.labels} with a second annotator's labels, which this row compares"
        )
    return [study], [score_paths(study, study / run.labels, progress=bench.progress)]


def _search(bench: Workbench, name: str, run: Run) -> tuple[list[Path], list[Scores]]:
    small = bench.document.small
    overrides: list[str] = []
    changes: dict[str, Any] = {"only": ("split=train",)}
    if bench.small:
        changes = {"trials": small.trials}
        overrides = [
            f"{section}.{key}={inline(value)}"
            for section, values in small.set.items()
            for key, value in values.items()
        ]
    plan = load_search(run.search, overrides=overrides, changes=changes)
    if bench.small:  # what a grid varies stays its own
        kept = {k: v for k, v in plan.fixed.items() if k not in {axis.key for axis in plan.space}}
        plan = replace(plan, fixed=kept)
    found = search(
        bench.project(run.data), plan, out=bench.root / "runs" / name / "search", progress=bench.progress
    )
    return [found.folder], [{"search": dict(found.best.values)}]


_KINDS: dict[str, Callable[[Workbench, str, Run], tuple[list[Path], list[Scores]]]] = {
    "combine": _combine,
    "sweep": _sweep,
    "score": _score,
    "labels": _labels,
    "search": _search,
    "recipe": _seeds,
}
