"""Searches: spaces typed by the recipe, published grids, what a trial's value is, what the pictures are drawn of."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import ETHOGRAM, pose_recipe

from murine.config import load_recipe, save_recipe
from murine.config.convert import ValueFault
from murine.errors import ConfigError, InputError
from murine.search import Search, Trial, list_searches, load_search, save_search, search_from_dict
from murine.search.advising import is_hopeless, propose
from murine.search.criteria import check_score, epoch_score, find_score
from murine.search.making import check_space, make_recipe
from murine.search.pictures import best_so_far
from murine.search.results import best_recipe, importances, write_table
from murine.search.space import Choice, Range, combinations, read_axis
from murine.search.trials import best_trial
from murine.types import Ethogram

NAMES = [info.name for info in list_searches()]


def plan(method: str = "grid", **changes: Any) -> Search:
    """A search of two settings of MS-TCN++."""
    space = (
        Choice("model.maps", (8, 16)),
        Range("training.learning_rate", 1e-4, 1e-2, log=True, count=3),
    )
    return Search("s", recipe="pose/ms-tcn-pp", method=method, space=space, **changes)  # type: ignore[arg-type]


def trial(number: int, values: dict[str, Any], folds: list[float] | None = None, **more: Any) -> Trial:
    """A trial, by default finished with the mean of its folds."""
    named = {f"fold-{i + 1}": value for i, value in enumerate(folds or [])}
    value = float(np.mean(folds)) if folds else None
    return Trial(number, values, **({"state": "finished", "value": value, "folds": named} | more))


@pytest.mark.parametrize("name", NAMES)
def test_every_search_that_comes_with_murine_resolves(name: str) -> None:
    """Each value of each key; of grids each combination where there are few, else some spread over it."""
    one = load_search(name)
    assert one.description
    assert one.source
    assert make_recipe(
        one, next(combinations(one.space)) if one.method == "grid" else propose(one, 1, [])
    )
    if one.method != "grid" or one.wanted <= 100:
        check_space(one)
        return
    every = list(combinations(one.space))
    for values in every[:: len(every) // 12]:
        recipe = make_recipe(one, values)
        for key, value in values.items():
            section, _, setting = key.partition(".")
            there = recipe.model_settings[setting] if section == "model" else None
            assert value == (there if section == "model" else getattr(getattr(recipe, section), setting))


def test_the_thesis_grids_are_as_published() -> None:
    """de Juan, sections 4.1 to 4.4: lengths, batches; layers and units; layers, filters, kernels, norms."""
    for backbone in ("resnet50v2", "inception-resnet-v2"):
        lstm, tcn = (load_search(f"embeddings/{backbone}-{head}") for head in ("lstm", "tcn"))
        assert (lstm.size, tcn.size) == (3 * 3 * 3 * 3, 3 * 3 * 2 * 4 * 3 * 3)
        for one in (lstm, tcn):
            values = {axis.key: axis.grid() for axis in one.space}
            assert values["window.frames"] == (300, 600, 1650)
            assert values["training.batch_size"] == (8, 16, 32)
            assert (one.criterion, one.over, one.pruning) == ("accuracy", "folds", "none")
            assert make_recipe(one, next(combinations(one.space))).split.folds == 0
        units = {axis.key: axis.grid() for axis in lstm.space}["model.units"]
        halved = {tuple(first // 2**i for i in range(n)) for first in (64, 128, 256) for n in (1, 2, 3)}
        assert set(units) == halved
        assert len(units) == 9
        values = {axis.key: axis.grid() for axis in tcn.space}
        assert values["model.layers"] == (1, 2, 3)
        assert values["model.filters"] == (256, 512, 1024)
        assert values["model.kernel"] == (3, 5)
        assert values["model.norm"] == ("batch", "layer", "weight", "none")
        # what Table 4.1 calls best is in the grid, and is the recipe
        recipe = load_recipe(f"embeddings/{backbone}-lstm")
        assert recipe.window.frames in (300, 600, 1650)
        assert recipe.model_settings["units"] in units


def test_the_grids_of_the_dual_stream_paper() -> None:
    five, six, seven = (load_search(f"dual-stream/table-{n}") for n in (5, 6, 7))
    assert [len(s.seeds) * s.wanted for s in (five, six, seven)] == [10 * 4, 9 * 4, 6 * 4]
    made = [make_recipe(five, values) for values in combinations(five.space)]
    assert len({recipe.model for recipe in made}) == 10
    assert {r.training.learning_rate for r in made if r.model.startswith("baseline")} == {0.0005}
    for values in combinations(seven.space):
        base = values["recipe"]
        length = values["window.frames"]
        named = load_recipe(base if length == 8 else f"{base}-{length}-frames")
        other = make_recipe(seven, values)
        told = {"name": "x", "description": "", "source": ""}
        assert replace(other, **told) == replace(named, **told)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("training.learing_rate", "training.learning_rate"),
        ("trainig.epochs", "training.epochs"),
        ("model.map", "model.maps"),
        ("learning_rate", "training.learning_rate"),
        ("model.batch_size", "embedding.batch_size' or 'training.batch_size"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"space.{key}: unknown setting. Did you mean '{nearest}'"):
        search_from_dict({"recipe": "pose/ms-tcn-pp", "space": {key: [1, 2]}})
    with pytest.raises(ConfigError, match=f"set.{key}: unknown setting. Did you mean '{nearest}'"):
        search_from_dict(
            {"recipe": "pose/ms-tcn-pp", "set": {key: 1}, "space": {"training.epochs": [1, 2]}}
        )


def test_all_faults_of_a_file_at_once() -> None:
    tables = {
        "recipe": "pose/ms-tcn-pp",
        "criterium": "accuracy",
        "space": {
            "training.loss": {"low": 1, "high": 2},
            "window.frames": {"low": 1, "high": 2.5},
            "x": [1],
        },
    }
    with pytest.raises(ConfigError) as caught:
        search_from_dict(tables)
    text = str(caught.value)
    for part in (
        "Did you mean 'criterion'",
        "no number, so it has no range",
        "whole numbers",
        "space.x: unknown",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"low": 1}, "both ends"),
        ({"low": 2, "high": 1}, "low below high"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
        ({"low": 1, "high": 2, "stpe": 1}, "Did you mean 'step'"),
        ({"low": 1, "high": True}, "a number for high"),
        ({"low": 1, "high": 2, "step": 1, "log": True}, "neither log nor count"),
        ([], "a list of values"),
        (5, "a list of values"),
        ([1, 1], "1 came twice"),
    ],
)
def test_values_that_make_no_axis(given: Any, expected: str) -> None:
    with pytest.raises(ValueFault, match=expected):
        read_axis("training.momentum", given, float)


def test_values_are_held_against_the_recipes_types_before_any_work() -> None:
    base = {"recipe": "pose/ms-tcn-pp"}
    for key, values, expected in (
        ("training.batch_size", [8, "many"], "a whole number; came 'many'"),
        (
            "training.loss",
            ["cross_entropy_smoothing", "fokal_smoothing"],
            "Did you mean 'focal_smoothing'",
        ),
        ("model.dropout", [0.5, 1.5], "at most 1"),
        ("training.learning_rate", {"low": 0.0, "high": 0.1, "count": 2}, "more than 0"),
    ):
        for method in ("grid", "bayes"):
            one = search_from_dict({**base, "method": method, "space": {key: values}})
            with pytest.raises(ConfigError, match=expected):
                check_space(one)


def test_values_that_need_each_other_are_no_fault_of_a_drawn_search() -> None:
    """'exponential' needs a final rate: half the combinations are recipes, so no value is wrong by itself."""
    space = {"training.schedule": ["constant", "exponential"], "training.final_rate": [0.0, 1e-5]}
    tables = {"recipe": "pose/ms-tcn-pp", "space": space}
    check_space(search_from_dict({**tables, "method": "random"}))
    with pytest.raises(ConfigError, match="'exponential' falls to a rate above 0"):
        check_space(search_from_dict(tables))


@given(
    low=st.floats(1e-6, 10), width=st.floats(1e-3, 100), log=st.booleans(),
    count=st.integers(2, 9), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_range_stays_within_its_ends(
    low: float, width: float, log: bool, count: int, seed: int
) -> None:
    axis = Range("training.momentum", low, low + width, log=log, count=count)
    grid = axis.grid()
    assert grid[0] == pytest.approx(low)
    assert grid[-1] == pytest.approx(low + width)
    assert all(low <= value <= low + width for value in grid)
    steps = np.diff(np.log(grid) if log else grid)
    assert steps == pytest.approx(np.full(len(steps), steps[0]), rel=1e-6)
    free = Range("training.momentum", low, low + width, log=log)
    rng = np.random.default_rng(seed)
    assert all(low <= free.draw(rng) <= low + width for _ in range(20))
    assert axis.draw(rng) in grid


def test_ranges_in_whole_numbers_and_steps() -> None:
    assert Range("k", 1, 9, whole=True, log=True, count=3).grid() == (1, 3, 9)
    assert Range("k", 0.0, 0.75, step=0.25).grid() == (0.0, 0.25, 0.5, 0.75)
    assert Range("k", 2, 9, whole=True, step=3).grid() == (2, 5, 8)
    drawn = {Range("k", 1, 4, whole=True).draw(np.random.default_rng(i)) for i in range(60)}
    assert drawn == {1, 2, 3, 4}
    with pytest.raises(ConfigError, match="add step or count"):
        Search("s", recipe="x", space=(Range("training.momentum", 0.0, 0.9),))


def test_a_grid_is_every_combination_once_the_last_key_fastest() -> None:
    every = list(combinations(plan().space))
    assert len(every) == plan().size == plan().wanted == 6
    assert [values["model.maps"] for values in every] == [8, 8, 8, 16, 16, 16]
    assert [values["training.learning_rate"] for values in every[:3]] == pytest.approx(
        [1e-4, 1e-3, 1e-2]
    )


def test_a_search_reads_back_equal(tmp_path: Path) -> None:
    for name in NAMES:
        one = load_search(name)
        save_search(one, tmp_path / "again.toml")
        assert load_search(tmp_path / "again.toml") == one


def test_settings_of_the_command_line(tmp_path: Path) -> None:
    save_recipe(pose_recipe(), tmp_path / "base.toml")
    (tmp_path / "s.toml").write_text(
        'recipe = "base.toml"\n[set]\ntraining.epochs = 9\n[space]\nmodel.maps = [4, 8]\n'
    )
    one = load_search(tmp_path / "s.toml", overrides=["training.epochs=3", "input.pose_features=speeds"])
    recipe = make_recipe(one, {"model.maps": 4})
    assert (recipe.training.epochs, recipe.input.pose_features) == (3, ("speeds",))
    assert recipe.model_settings["maps"] == 4
    with pytest.raises(ConfigError, match=r"model\.maps is searched"):
        load_search(tmp_path / "s.toml", overrides=["model.maps=3"])
    with pytest.raises(ConfigError, match=r"Did you mean 'training\.epochs'"):
        load_search(tmp_path / "s.toml", overrides=["training.epohcs=3"])
    with pytest.raises(InputError, match=r"no search 'embeddings/resnet50v2-lstn'\. Did you mean"):
        load_search("embeddings/resnet50v2-lstn")


SCORES: dict[str, Any] = {
    "unit": "frame",
    "pooled": {"macro_f1": 0.5, "map": 0.7, "confusion": None, "per_class": {"walk": {"f1": 0.4}}},
    "segments": {"f1_50": 33.0},
    "raw": {"macro_f1": 0.3, "per_class": {}},
    "protocols": {"calms21": {"map": 0.1}},
    "intervals": {"macro_f1": [0.1, 0.9]},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("macro_f1", 0.5), ("pr_auc", 0.7), ("f1@50", 33.0), ("f1_50", 33.0), ("walk.f1", 0.4),
        ("raw.macro_f1", 0.3), ("protocols.calms21.map", 0.1), ("pooled.per_class.walk.f1", 0.4),
    ],
)  # fmt: skip
def test_scores_are_found_by_name(name: str, value: float) -> None:
    assert find_score(name, SCORES) == value


def test_an_unknown_score_is_refused_before_any_work() -> None:
    for name in (
        "macro_f1",
        "pr_auc",
        "f1@50",
        "validation_loss",
        "walk.recall",
        "protocols.calms21.map",
    ):
        check_score(name, ETHOGRAM, "frame")
    with pytest.raises(InputError, match=r"no score 'macrof1' to search by\. Did you mean 'macro_f1'"):
        check_score("macrof1", ETHOGRAM, "frame")
    with pytest.raises(InputError, match="no score 'f1_50'"):
        check_score("f1_50", Ethogram(("rest", "walk"), exclusive=False), "frame")


def test_scores_of_epochs_are_those_of_the_best_one(tmp_path: Path) -> None:
    rows = [
        "epoch,train_loss,validation_loss,validation_pr_auc",
        "1,9,3.0,0.2",
        "2,8,1.0,0.3",
        "3,7,2.0,0.9",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    assert epoch_score("validation_loss", tmp_path) == 1.0
    assert epoch_score("validation_pr_auc", tmp_path) == 0.3
    assert epoch_score("validation_pr_auc", tmp_path, "pr_auc") == 0.9
    assert epoch_score("train_loss", tmp_path) == 8.0
    each = [f"{name},{row}" for name in ("rest", "walk") for row in rows[1:]]
    each[3:] = [row.replace("1.0", "0.5") for row in each[3:]]
    (tmp_path / "metrics.csv").write_text("\n".join(["behaviour," + rows[0], *each]))
    assert epoch_score("validation_loss", tmp_path) == 0.75


def test_which_trial_is_best() -> None:
    values = [0.4, 0.9, 0.9, 0.1]
    trials = [trial(i + 1, {}, [v]) for i, v in enumerate(values)]
    trials.append(Trial(5, {}, state="pruned", folds={"fold-1": 2.0}))
    assert best_trial(trials, minimized=False) == trials[1]
    assert best_trial(trials, minimized=True) == trials[3]
    assert best_trial(trials[4:], minimized=False) is None
    assert best_so_far(values, minimized=False) == [0.4, 0.9, 0.9, 0.9]
    assert best_so_far([None, 0.4, 0.9, None, 0.1], minimized=True) == [None, 0.4, 0.4, 0.4, 0.1]
    assert [plan(criterion=c).minimized for c in ("validation_loss", "macro_f1")] == [True, False]
    assert plan(criterion="macro_f1", direction="minimize").minimized


def test_importance_of_a_whole_grid_is_its_analysis_of_variance() -> None:
    """y = 3 a + b over two values each: 9 of 10 parts of the variance are a's, 1 is b's, none is left."""
    space = (
        Choice("training.epochs", (0, 1)),
        Choice("training.batch_size", (0, 1)),
        Choice("model.maps", (5, 6)),
    )
    one = Search("s", recipe="x", space=space)
    trials = [
        trial(i + 1, values, [3.0 * values["training.epochs"] + values["training.batch_size"]])
        for i, values in enumerate(combinations(space))
    ]
    found = importances(one, trials)
    assert found == pytest.approx(
        {"training.epochs": 0.9, "training.batch_size": 0.1, "model.maps": 0.0}
    )
    assert set(importances(one, trials[:1]).values()) == {None}


def test_importance_of_drawn_trials_leaves_chance_out() -> None:
    space = (Range("training.learning_rate", 0.0, 1.0), Range("training.momentum", 0.0, 1.0))
    one = Search("s", recipe="x", method="random", space=space)
    rng = np.random.default_rng(1)
    trials = []
    for i in range(400):
        values = {axis.key: axis.draw(rng) for axis in space}
        trials.append(trial(i + 1, values, [values["training.learning_rate"]]))
    found = importances(one, trials)
    # four groups of a uniform number leave 1/16 of its variance within them
    assert found["training.learning_rate"] == pytest.approx(15 / 16, abs=0.01)
    assert found["training.momentum"] == pytest.approx(0.0, abs=0.02)


def test_the_best_recipe_says_that_its_score_is_optimistic() -> None:
    recipe = best_recipe(plan(), trial(4, {"model.maps": 16, "training.learning_rate": 1e-3}, [0.8123]))
    assert recipe.model_settings["maps"] == 16
    assert recipe.name == "ms-tcn-pp-s"
    assert "trial 4 of the search s, macro_f1 0.8123 (optimistic" in recipe.description


def test_the_table_of_trials(tmp_path: Path) -> None:
    done = trial(1, {"model.maps": 8, "training.learning_rate": 1e-3}, [0.5, 0.7], scores={"map": 0.4})
    given_up = Trial(
        2, {"model.maps": 16, "training.learning_rate": 1e-4}, "pruned", folds={"fold-1": 0.2}, why="bad"
    )
    rows = list(csv.DictReader(write_table(tmp_path, plan(), [given_up, done]).read_text().splitlines()))
    assert [row["trial"] for row in rows] == ["1", "2"]
    assert rows[0] == {
        "trial": "1", "state": "finished", "macro_f1": "0.6", "model.maps": "8",
        "training.learning_rate": "0.001", "folds": "2", "seconds": "0.0", "map": "0.4", "why": "",
    }  # fmt: skip
    assert (rows[1]["state"], rows[1]["macro_f1"], rows[1]["why"]) == ("pruned", "0.2", "bad")


def test_drawn_combinations_are_the_same_each_time_and_never_twice() -> None:
    for method in ("random", "bayes"):
        one = plan(method, startup=2)
        assert one.wanted == 6
        trials: list[Trial] = []
        for number in range(1, 7):
            values = propose(one, number, trials)
            assert values == propose(one, number, trials)
            score = -abs(math.log10(values["training.learning_rate"]) + 3)
            trials.append(trial(number, values, [score]))
        assert len({tuple(t.values.items()) for t in trials}) == 6


def test_bayesian_search_goes_where_it_is_good() -> None:
    """Thirty trials of a smooth hill at 0.01 and 0.3: the last half lies closer to its top than drawn ones do."""
    space = (Range("training.learning_rate", 1e-5, 1.0, log=True), Range("model.dropout", 0.0, 0.9))
    distance = {}
    for method in ("bayes", "random"):
        one = Search("s", recipe="x", method=method, space=space, startup=8, seed=3)
        trials: list[Trial] = []
        for number in range(1, 31):
            values = propose(one, number, trials)
            away = (math.log10(values["training.learning_rate"]) + 2) ** 2 / 4 + (
                values["model.dropout"] - 0.3
            ) ** 2 * 9
            trials.append(trial(number, values, [-away]))
        distance[method] = float(np.mean([-t.told for t in trials[15:]]))  # type: ignore[operator]
    assert distance["bayes"] < 0.75 * distance["random"]


def test_a_trial_below_the_median_is_given_up() -> None:
    one = plan(pruning="median", prune_after=3, prune_folds=2)
    values = {"model.maps": 8, "training.learning_rate": 1e-3}
    before = [trial(i + 1, values, [v, v, v, v]) for i, v in enumerate([0.5, 0.6, 0.7])]
    low = trial(4, values, [0.9, 0.2], state="running", value=None)
    assert "below the median" in is_hopeless(one, low, before)
    assert is_hopeless(one, replace(low, folds={"fold-1": 0.2}), before) == ""  # a fold too early
    assert is_hopeless(one, low, before[:2]) == ""  # a trial too early
    assert is_hopeless(one, replace(low, folds={"fold-1": 0.6, "fold-2": 0.7}), before) == ""
    whole = replace(low, folds={f"fold-{i}": 0.1 for i in range(4)})
    assert is_hopeless(one, whole, before) == ""  # nothing left to save
    assert is_hopeless(replace(one, pruning="none"), low, before) == ""
    assert is_hopeless(replace(one, direction="minimize"), low, before) == ""  # 0.55 is below 0.6


def test_a_trial_worse_than_the_best_fold_by_fold_is_given_up() -> None:
    one = plan(pruning="wilcoxon", prune_after=1, prune_folds=2)
    values = {"model.maps": 8, "training.learning_rate": 1e-3}
    folds = [0.5, 0.6, 0.4, 0.7, 0.3, 0.5, 0.6, 0.4]
    best = trial(1, values, folds)
    worse = trial(
        2, values, [v - 0.01 * (i + 1) for i, v in enumerate(folds[:6])], state="running", value=None
    )
    assert "worse than the best trial" in is_hopeless(one, worse, [best])
    mixed = replace(
        worse, folds={f"fold-{i + 1}": v + (-1) ** i * 0.01 for i, v in enumerate(folds[:6])}
    )
    assert is_hopeless(one, mixed, [best]) == ""
