"""Weights of many networks: the best by a grid, learned without the fold they are judged on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss
from small_study import pose_study
from test_ensemble_folders import fake_evaluation
from typer.testing import CliRunner

from murine.cli import app
from murine.ensemble.values import fuse
from murine.ensemble.weighing import best_weights, log_losses, weigh
from murine.errors import InputError
from murine.postprocess import apply, make_steps
from murine.predictions import read_prediction
from murine.project import load_bouts, load_project
from murine.train.crossval import load_scores
from murine.types import Ethogram, Task

THREE = Ethogram(("a", "b", "c"))


def panel(exclusive: bool, seed: int = 0, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Three members, the second twice as often right as the first, the third only noise."""
    rng = np.random.default_rng(seed)
    truth = np.eye(3, dtype=np.int8)[rng.integers(0, 3, n)]
    values = []
    for sure in (1.0, 2.0, 0.0):
        logits = rng.normal(size=(n, 3)) + sure * truth
        if exclusive:
            part = np.exp(logits)
            values.append(part / part.sum(axis=1, keepdims=True))
        else:
            values.append(1 / (1 + np.exp(-(logits - 0.5 * sure))))
    return np.stack(values), truth


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("on", ["probabilities", "logits"])
def test_weights_are_the_best_of_a_grid(on, exclusive):
    values, truth = panel(exclusive)
    ethogram = Ethogram(THREE.behaviours, exclusive=exclusive)

    def loss(weights: tuple[float, ...]) -> float:
        total = sum(weights)
        mixed = fuse(list(values), [w / total for w in weights], on, ethogram)
        return float(log_losses(mixed, truth, ethogram).mean())

    found = best_weights(values, truth, ethogram, on)
    assert sum(found) == pytest.approx(1.0)
    grid = np.linspace(0, 1, 21)
    tried = [(a, b, 1 - a - b) for a in grid for b in grid if a + b <= 1 + 1e-9]
    assert loss(found) <= min(map(loss, [tuple(np.clip(t, 0, 1)) for t in tried])) + 1e-6
    assert found[1] > found[0] >= found[2]
    assert found[1] > 0.5 > 0.1 > found[2]


def test_tasks_and_frames_without_labels():
    values, truth = panel(True)
    tasks = Ethogram.of_tasks([Task("t", ("a", "b", "c")), Task("u", ("d",), exclusive=False)])
    more = np.concatenate([values, np.full((3, 1500, 1), 0.5)], axis=2)
    nobody = np.full((1500, 1), -1, dtype=np.int8)
    found = best_weights(more, np.concatenate([truth, nobody], axis=1), tasks, "probabilities")
    assert found == pytest.approx(best_weights(values, truth, THREE, "probabilities"), abs=1e-6)
    with pytest.raises(InputError, match="no row is labelled"):
        best_weights(values, np.full((1500, 3), -1), THREE, "probabilities")


def test_log_loss_is_that_of_scikit_learn():
    values, truth = panel(True)
    wanted = log_loss(truth.argmax(axis=1), values[0])
    assert log_losses(values[0], truth, THREE).mean() == pytest.approx(wanted)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    study = pose_study(tmp_path_factory.mktemp("weighing"), recordings=4)
    good = {"m0": 0.9, "m1": 0.9, "m2": 0.9, "m3": 0.6}
    return [
        fake_evaluation(study, "good", good, 1),
        fake_evaluation(study, "bad", 0.5, 2),
        fake_evaluation(study, "fair", 0.8, 3),
    ]


@pytest.mark.parametrize("on", ["probabilities", "logits"])
def test_each_fold_is_weighed_by_the_others(members, tmp_path, on):
    done = weigh(tmp_path / "w", members, on=on)
    project = load_project(members[0].parent.parent)
    for fold, weights in done.weights.items():
        values, truth = [], []
        for k in range(4):
            id_ = f"m{k}"
            if f"fold-{k + 1}" != fold:
                own = [
                    read_prediction(m / "predictions" / f"{id_}.parquet").probabilities for m in members
                ]
                values.append(np.stack(own))
                truth.append(load_bouts(project, project.recording(id_)).frames())
        wanted = best_weights(
            np.concatenate(values, axis=1), np.concatenate(truth), project.ethogram, on
        )
        assert weights == pytest.approx(wanted)
        got = read_prediction(tmp_path / "w" / "predictions" / f"m{int(fold[-1]) - 1}.parquet")
        own = [
            read_prediction(m / "predictions" / f"m{int(fold[-1]) - 1}.parquet").probabilities
            for m in members
        ]
        mixed = fuse(own, weights, on, project.ethogram)
        assert got.probabilities == pytest.approx(mixed, abs=1e-6)
    # the fold in which the good one is bad does not know it, all others do
    assert done.weights["fold-4"][0] > done.weights["fold-1"][0]
    rows = {row["what"]: row for row in done.table}
    assert rows["learned on the other folds"]["log_loss"] < rows["equal weights"]["log_loss"]
    assert (
        rows["learned on all (too good)"]["log_loss"] <= rows["learned on the other folds"]["log_loss"]
    )
    assert rows["good"]["accuracy"] == pytest.approx(load_scores(members[0])["pooled"]["accuracy"])
    scores = load_scores(tmp_path / "w")
    assert scores["pooled"]["accuracy"] == pytest.approx(rows["learned on the other folds"]["accuracy"])


def test_a_single_network_picked_on_the_other_folds(members, tmp_path):
    done = weigh(tmp_path / "w", members)
    project = load_project(members[0].parent.parent)

    def accuracy(member: Path, ids: list[str]) -> float:
        truth, said = [], []
        for id_ in ids:
            prediction = read_prediction(member / "predictions" / f"{id_}.parquet")
            said.append(apply(prediction, make_steps(prediction.meta["postprocess"])).classes())
            truth.append(load_bouts(project, project.recording(id_)).classes())
        return float(accuracy_score(np.concatenate(truth), np.concatenate(said)))

    for k in range(4):
        others = [f"m{i}" for i in range(4) if i != k]
        best = max(members, key=lambda m: accuracy(m, others))
        assert done.picked[f"fold-{k + 1}"] == best.name
    rows = {row["what"]: row for row in done.table}
    top = max(rows[m.name]["accuracy"] for m in members)
    assert rows["picked on all (too good)"]["accuracy"] == pytest.approx(top)
    assert rows["picked on the other folds"]["accuracy"] <= top


def test_on_the_command_line(members, tmp_path):
    words = ["combine", str(tmp_path / "w"), *map(str, members), "--learn", "--quiet"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    assert "learned on the other folds" in run.output
    assert "For new recordings: --weights" in run.output
    run = CliRunner().invoke(app, [*words, "--json"])
    value = json.loads(run.output)
    assert value["members"] == ["good", "bad", "fair"]
    assert json.loads((tmp_path / "w" / "weights.json").read_text())["new"] == value["new"]
    run = CliRunner().invoke(app, [*words, "--sweep"])
    assert run.exit_code == 2
    assert "--learn or --sweep" in run.output


def test_what_cannot_be_weighed(members, tmp_path):
    with pytest.raises(InputError, match="predictions, not evaluations"):
        weigh(tmp_path / "w", [m / "predictions" for m in members])
    with pytest.raises(InputError, match="what is best is said by"):
        weigh(tmp_path / "w", members, metric="f2")
    assert not (tmp_path / "w").exists()
