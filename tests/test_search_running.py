"""Searches that run: each trial an evaluation, nothing twice, given up or failed as told, judged honestly if nested."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import ETHOGRAM, pose_recipe, pose_study
from typer.testing import CliRunner

from murine.cli import app
from murine.config import load_recipe, save_recipe
from murine.errors import ConfigError, InputError, MissingExtraError
from murine.predictions import read_prediction
from murine.project import load_project, save_project
from murine.search import Search, Searched, load_search, search, search_nested
from murine.search import results as results_module
from murine.search import running as running_module
from murine.search.making import make_recipe
from murine.search.space import Choice
from murine.train import loop as loop_module
from murine.train.crossval import Evaluation, evaluate, load_scores, read_splits
from murine.types import Ethogram

FILES = ("trials.csv", "history.png", "history.svg", "importance.png", "importance.svg", "best.toml")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"), recordings=4, n=60)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    save_recipe(pose_recipe(epochs=2), path)
    return path


@pytest.fixture(scope="module")
def plan(base: Path) -> Search:
    return Search("tiny", recipe=str(base), space=(Choice("training.learning_rate", (0.0005, 0.05)),))


@pytest.fixture(scope="module")
def searched(study: Path, plan: Search) -> Searched:
    return search(study, plan)


def undrawn(figure: Any, path: Path) -> tuple[Path, Path]:
    """Stands for drawing, which takes longer than all else a made-up trial does."""
    return path.with_suffix(".png"), path.with_suffix(".svg")


class Fake:
    """Stands for `evaluate`: two folds whose values a table gives by the combination; counts what it is asked."""

    def __init__(self, of: Callable[[Any], list[float]]) -> None:
        self.of, self.asked, self.folds, self.ethogram = of, [], 0, ETHOGRAM

    def __call__(
        self, project: Path, recipe: Any, *, out: Path, after_fold: Any, **others: Any
    ) -> Evaluation:
        self.asked.append(recipe)
        values = self.of(recipe)
        for i, value in enumerate(values):
            self.value, self.folds = value, self.folds + 1
            after_fold(None, type("Split", (), {"name": f"fold-{i + 1}"}), {})
        pooled = {
            "macro_f1": sum(values) / len(values),
            "per_class": {},
            "ethogram": self.ethogram.to_dict(),
        }
        names = ("accuracy", "balanced_accuracy", "map")
        return Evaluation(
            out, (), {"pooled": {**pooled, **dict.fromkeys(names)}, "segments": None, "raw": {}}
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(lambda recipe: [recipe.training.learning_rate, recipe.training.learning_rate])
    monkeypatch.setattr(running_module, "evaluate", made)
    monkeypatch.setattr(running_module, "_fold_value", lambda *args: made.value)
    monkeypatch.setattr(results_module, "save_picture", undrawn)
    return made


def rates(plan: Search, values: list[float], **changes: Any) -> Search:
    return replace(plan, space=(Choice("training.learning_rate", tuple(values)),), **changes)


def test_each_trial_is_an_evaluation(
    study: Path, plan: Search, searched: Searched, tmp_path: Path
) -> None:
    assert [t.state for t in searched.trials] == ["finished", "finished"]
    values = [float(t.value or 0) for t in searched.trials]
    assert searched.best.value == max(values)
    assert values[0] != values[1]
    alone = evaluate(study, make_recipe(plan, searched.best.values), out=tmp_path / "alone")
    assert alone.scores["pooled"]["macro_f1"] == searched.best.value
    folder = searched.folder / "trials" / f"{searched.best.number:04d}"
    assert load_scores(folder)["pooled"] == alone.scores["pooled"]
    folds = {name: one["frames"]["macro_f1"] for name, one in alone.scores["folds"].items()}
    assert dict(searched.best.folds) == folds
    assert searched.best.scores["f1_50"] == alone.scores["segments"]["f1_50"]


def test_what_a_search_leaves(study: Path, plan: Search, searched: Searched) -> None:
    assert searched.folder == study / "searches" / "tiny"
    for name in FILES:
        assert (searched.folder / name).stat().st_size > 100
    best = load_recipe(searched.folder / "best.toml")
    assert best.training.learning_rate == searched.best.values["training.learning_rate"]
    assert "optimistic" in best.description
    assert load_search(searched.folder / "search.toml").space == plan.space
    for trial in searched.trials:
        folder = searched.folder / "trials" / f"{trial.number:04d}"
        assert (folder / "folds").is_dir() == (trial == searched.best)
        assert len(list((folder / "predictions").glob("*.parquet"))) == 4


def test_finished_trials_are_not_run_again(
    study: Path, plan: Search, searched: Searched, fake: Fake
) -> None:
    again = search(study, plan)
    assert again.trials == searched.trials
    assert fake.asked == []


def test_an_interrupted_search_goes_on_to_the_same_numbers(
    study: Path, plan: Search, searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = []
    real = loop_module.save_state

    def stopping(*args: Any) -> None:
        real(*args)
        saves.append(1)
        if len(saves) == 7:  # trial 2, in the middle of its second fold
            raise KeyboardInterrupt

    monkeypatch.setattr(loop_module, "save_state", stopping)
    with pytest.raises(KeyboardInterrupt):
        search(study, plan, out=tmp_path / "parts")
    record = json.loads((tmp_path / "parts" / "trials" / "0002" / "trial.json").read_text())
    assert (record["state"], list(record["folds"])) == ("running", ["fold-1"])
    again = search(study, plan, out=tmp_path / "parts")
    assert len(saves) == 8  # no epoch twice
    assert [replace(t, seconds=0) for t in again.trials] == [
        replace(t, seconds=0) for t in searched.trials
    ]


def test_more_trials_go_on_and_restart_begins_anew(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    one = rates(plan, [0.1, 0.2, 0.3, 0.4])
    assert search(study, replace(one, trials=2), out=tmp_path / "s").best.value == pytest.approx(0.2)
    assert len(fake.asked) == 2
    whole = search(study, one, out=tmp_path / "s")
    assert len(fake.asked) == 4
    assert whole.best.number == 4
    assert [t.told for t in whole.trials] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    search(study, one, out=tmp_path / "s", resume=False)
    assert len(fake.asked) == 8


def test_a_bayesian_search_goes_on_as_if_it_had_not_stopped(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    one = rates(plan, [i / 100 for i in range(1, 30)], method="bayes", startup=3, trials=6)
    whole = search(study, one, out=tmp_path / "whole")
    search(study, replace(one, trials=4), out=tmp_path / "parts")
    parts = search(study, one, out=tmp_path / "parts")
    assert [t.values for t in parts.trials] == [t.values for t in whole.trials]
    assert len(fake.asked) == 12


def test_hopeless_trials_are_given_up_after_a_fold(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    one = rates(plan, [0.5, 0.6, 0.1, 0.7], pruning="median", prune_after=2)
    found = search(study, one, out=tmp_path / "s")
    assert [t.state for t in found.trials] == ["finished", "finished", "pruned", "finished"]
    assert fake.folds == 7  # one less than all
    assert found.trials[2].value is None
    assert found.trials[2].told == pytest.approx(0.1)
    search(study, one, out=tmp_path / "s")
    assert fake.folds == 7


def test_a_trial_that_fails_is_told_and_the_search_goes_on(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    def of(recipe: Any) -> list[float]:
        if recipe.training.learning_rate == 0.9:
            raise InputError("training diverged")
        return [recipe.training.learning_rate] * 2

    fake.of = of
    found = search(study, rates(plan, [0.9, 0.1, 0.2]), out=tmp_path / "s")
    assert [t.state for t in found.trials] == ["failed", "finished", "finished"]
    assert found.trials[0].why == "training diverged"
    assert found.best.number == 3
    with pytest.raises(InputError, match=r"none of 1 trials was finished.*: training diverged"):
        search(study, rates(plan, [0.9]), out=tmp_path / "alone")

    def always(recipe: Any) -> list[float]:
        raise InputError("no such file")

    fake.of, before = always, len(fake.asked)
    with pytest.raises(InputError, match=r"the first 3 trials all failed, .* no such file"):
        search(study, rates(plan, [0.1, 0.2, 0.3, 0.4, 0.5]), out=tmp_path / "hopeless")
    assert len(fake.asked) == before + 3


def test_seeds_are_averaged(study: Path, plan: Search, fake: Fake, tmp_path: Path) -> None:
    fake.of = lambda recipe: [recipe.training.learning_rate + recipe.training.seed] * 2
    found = search(study, rates(plan, [0.1, 0.2], seeds=(0, 1, 5)), out=tmp_path / "s")
    assert [t.value for t in found.trials] == pytest.approx([2.1, 2.2])
    assert found.best.deviation == pytest.approx(np.std([0, 1, 5], ddof=1))
    row = list(csv.DictReader((found.folder / "trials.csv").read_text().splitlines()))[1]
    assert float(row["sd"]) == found.best.deviation
    assert [r.training.seed for r in fake.asked] == [0, 1, 5, 0, 1, 5]
    assert list(found.best.folds)[::2] == ["seed-0/fold-1", "seed-1/fold-1", "seed-5/fold-1"]
    assert load_recipe(found.folder / "best.toml").training.seed == 0


def test_seeds_that_differ_in_ethogram_are_refused(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    def of(recipe: Any) -> list[float]:
        fake.ethogram = Ethogram(("rest", "run")) if recipe.training.seed else ETHOGRAM
        return [0.5]

    fake.of = of
    one = rates(plan, [0.1], seeds=(0, 1))
    with pytest.raises(InputError, match="seed-0 was judged on rest, walk, seed-1 on rest, run"):
        search(study, one, out=tmp_path / "s")


def test_the_mean_of_folds_and_losses_that_fall(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    fake.of = lambda recipe: [recipe.training.learning_rate, 1.0]
    one = rates(plan, [0.4, 0.2])
    loss = search(study, replace(one, criterion="validation_loss"), out=tmp_path / "loss")
    assert [t.value for t in loss.trials] == pytest.approx([0.7, 0.6])
    assert loss.best.number == 2
    folds = search(study, replace(one, over="folds"), out=tmp_path / "folds")
    assert folds.best.number == 1
    none = replace(one, criterion="validation_loss", fixed={"split.validation": 0.0})
    with pytest.raises(InputError, match=r"split\.validation = 0 keeps none"):
        search(study, none, out=tmp_path / "none")


def test_folders_that_are_not_this_searchs(
    study: Path, plan: Search, fake: Fake, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        search(study, plan, out=tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    out = tmp_path / "s"
    search(study, rates(plan, [0.1, 0.2]), out=out)
    with pytest.raises(InputError, match=r"holds another search; these differ: criterion, space\."):
        search(study, rates(plan, [0.1, 0.3], criterion="accuracy"), out=out)
    record = out / "trials" / "0001" / "trial.json"
    text = record.read_text()
    record.write_text(text.replace("0.1", "0.7"))
    with pytest.raises(
        InputError, match=r"0001: a trial of another search \(training\.learning_rate = 0\.7"
    ):
        search(study, rates(plan, [0.1, 0.2]), out=out)
    record.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        search(study, rates(plan, [0.1, 0.2]), out=out)
    record.unlink()
    (out / "trials" / "0001" / "scores.json").write_text("{}")
    with pytest.raises(InputError, match=r"0001: holds something that this search did not make"):
        search(study, rates(plan, [0.1, 0.2]), out=out)
    (out / "trials" / "0001" / "scores.json").unlink()
    before = len(fake.asked)
    search(study, rates(plan, [0.1, 0.2]), out=out)  # a folder that is missing is a trial to run
    assert len(fake.asked) == before + 1


def test_labels_that_changed_meanwhile(plan: Search, fake: Fake, tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=4, n=40)
    search(study, rates(plan, [0.1, 0.2]))
    labels = load_project(study).recordings[0].labels
    assert labels is not None
    kept = labels.read_text()
    labels.write_text(kept.rsplit("\n", 2)[0] + "\n")
    with pytest.raises(InputError, match="labels, recordings or their columns changed"):
        search(study, rates(plan, [0.1, 0.2]))
    labels.write_text(kept)
    project = load_project(study)
    save_project(replace(project, ethogram=Ethogram(("rest", "walk", "rear"))))
    with pytest.raises(
        InputError, match="were judged on rest, walk; the project now has rest, walk, rear"
    ):
        search(study, rates(plan, [0.1, 0.2]))
    assert len(fake.asked) == 2


def test_what_is_wrong_is_told_before_any_work(
    study: Path, base: Path, fake: Fake, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text(f'recipe = "{base}"\n[space]\ntraining.learning_rat = [0.1, 0.2]\n')
    done = CliRunner().invoke(app, ["search", str(study), str(tmp_path / "s.toml"), "--json"])
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "ConfigError"
    assert (
        "space.training.learning_rat: unknown setting. Did you mean 'training.learning_rate'"
        in error["message"]
    )
    good = load_search(_write(tmp_path, base))
    with pytest.raises(InputError, match="Did you mean 'macro_f1'"):
        search(study, replace(good, criterion="macro_f"), out=tmp_path / "out")
    with pytest.raises(ConfigError, match="'binary_cross_entropy'"):
        search(
            study, replace(good, fixed={"training.loss": "binary_cros_entropy"}), out=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()
    assert fake.asked == []


def _write(folder: Path, base: Path) -> Path:
    path = folder / "good.toml"
    path.write_text(f'recipe = "{base}"\n[space]\ntraining.learning_rate = [0.1, 0.2]\n')
    return path


def test_optuna_is_an_extra(
    study: Path, plan: Search, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    for changes in ({"method": "bayes"}, {"pruning": "median"}):
        with pytest.raises(MissingExtraError, match=r"murine\[search\]"):
            search(study, replace(plan, **changes), out=tmp_path / "s")  # type: ignore[arg-type]
    for method in ("grid", "random"):
        assert search(study, replace(plan, method=method), out=tmp_path / method).best.value == 0.05


def test_the_command(study: Path, base: Path, fake: Fake, tmp_path: Path) -> None:
    file, out = _write(tmp_path, base), tmp_path / "out"
    words = ["search", str(study), str(file), "-o", str(out), "--set", "training.epochs=1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    for part in (
        "2 finished",
        "best: trial 2, macro_f1 0.200",
        "too good",
        "--nested",
        f"{out / 'best.toml'}",
    ):
        assert part in done.output
    assert fake.asked[0].training.epochs == 1
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["best"]["values"] == {"training.learning_rate": 0.2}
    assert "too good" in told["optimistic"]
    assert [t["state"] for t in told["trials"]] == ["finished", "finished"]
    listed = json.loads(CliRunner().invoke(app, ["search", "--list", "--json"]).stdout)
    assert {row["name"]: row["trials"] for row in listed}["embeddings/resnet50v2-tcn"] == 648
    bare = CliRunner().invoke(app, ["search", str(study)])
    assert bare.exit_code == 2
    assert "name a study and a search" in bare.output


def test_a_nested_search_is_judged_on_what_no_choice_has_seen(
    study: Path, plan: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "save_picture", undrawn)
    one = replace(plan, fixed={"training.epochs": 1})
    found = search_nested(study, one, out=tmp_path / "n")
    splits = read_splits(found.folder)
    assert [split.name for split in splits] == ["fold-1", "fold-2"]
    for split in splits:
        inside = found.folder / "searches" / split.name
        seen = {
            id_
            for trial in (inside / "trials").iterdir()
            for inner in read_splits(trial)
            for id_ in (*inner.train, *inner.validation, *inner.test)
        }
        assert seen == {*split.train, *split.validation}
        best = load_recipe(inside / "best.toml")
        run = load_recipe(found.folder / "folds" / split.name / "config.toml")
        assert run.training == best.training
        assert run.split == load_recipe(plan.recipe).split
        for id_ in split.test:
            meta = read_prediction(found.folder / "predictions" / f"{id_}.parquet").meta
            assert meta["fold"] == split.name
    assert found.honest == load_scores(found.folder)["pooled"]["macro_f1"]
    chosen = [trial.value for trial in found.chosen.values()]
    assert found.optimistic == pytest.approx(sum(v or 0 for v in chosen) / 2)
    again = search_nested(study, one, out=tmp_path / "n")
    assert again.scores == found.scores


def test_nested_where_the_split_does_not_allow_it(study: Path, plan: Search, tmp_path: Path) -> None:
    varied = replace(plan, space=(Choice("split.validation", (0.2, 0.3)),))
    with pytest.raises(InputError, match=r"this search varies split\.validation"):
        search_nested(study, varied, out=tmp_path / "n")
    pairs = {"split.by": "animal", "split.folds": 0, "split.fixed": ()}
    two = replace(plan, fixed=pairs, only=("recording=m0", "recording=m1"))
    with pytest.raises(InputError, match="trains on one group"):
        search_nested(study, two, out=tmp_path / "n")
    assert not (tmp_path / "n").exists()
