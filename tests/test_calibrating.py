"""Calibration: against formulas and scikit-learn, fitted on other folds, and what abstaining brings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss
from small_study import pose_study
from test_ensemble_folders import fake_evaluation
from typer.testing import CliRunner

from murine.cli import app
from murine.config import load_recipe
from murine.ensemble.calibrating import calibrate, confidence_for, decisions, fit_scaling, reliability
from murine.errors import InputError
from murine.postprocess import Scaling, apply, make_steps
from murine.predictions import read_prediction
from murine.project import load_bouts, load_project
from murine.types import Ethogram, Task, Timeline

THREE = Ethogram(("a", "b", "c"))


def panel(sharpness: float, n: int = 6000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logarithms are `sharpness` times those by which the truth was drawn."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(n, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1)
    said = np.exp(sharpness * logits)
    return said / said.sum(axis=1, keepdims=True), np.eye(3, dtype=np.int8)[classes]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_was_done(sharpness):
    values, truth = panel(sharpness)
    step = fit_scaling(values, truth, THREE, "temperature")
    assert step.temperature == pytest.approx(sharpness, rel=0.08)
    after = step(values, Timeline.uniform(len(values), 10.0), THREE)
    assert reliability(after, truth, THREE).error < 0.03
    assert np.array_equal(after.argmax(axis=1), values.argmax(axis=1))
    if sharpness == 3.0:
        assert reliability(values, truth, THREE).error > 0.1


def test_vector_scaling_undoes_a_bias():
    values, truth = panel(2.0)
    pushed = values * np.array([4.0, 1.0, 1.0])
    pushed /= pushed.sum(axis=1, keepdims=True)
    timeline = Timeline.uniform(len(values), 10.0)
    vector = fit_scaling(pushed, truth, THREE, "vector")
    one = fit_scaling(pushed, truth, THREE, "temperature")
    losses = [log_loss(truth.argmax(axis=1), s(pushed, timeline, THREE)) for s in (vector, one)]
    best = log_loss(
        truth.argmax(axis=1), fit_scaling(values, truth, THREE, "temperature")(values, timeline, THREE)
    )
    assert losses[0] == pytest.approx(best, abs=0.01)
    assert losses[0] < losses[1] - 0.02


def test_behaviours_that_may_overlap_and_tasks():
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=1.5, size=(6000, 2))
    truth = (rng.random((6000, 2)) < 1 / (1 + np.exp(-logits))).astype(np.int8)
    both = Ethogram(("a", "b"), exclusive=False)
    step = fit_scaling(1 / (1 + np.exp(-2.5 * logits)), truth, both, "temperature")
    assert step.temperature == pytest.approx(2.5, rel=0.1)
    values, classes = panel(2.0)
    tasks = Ethogram.of_tasks([Task("t", ("a", "b", "c")), Task("u", ("d",), exclusive=False)])
    more = np.concatenate([values, np.full((6000, 1), 0.5)], axis=1)
    known = np.concatenate([classes, np.full((6000, 1), -1, dtype=np.int8)], axis=1)
    assert fit_scaling(more, known, tasks, "temperature").temperature == pytest.approx(2.0, rel=0.1)
    scaled = Scaling(2.0)(more.astype(np.float32), Timeline.uniform(6000, 10.0), tasks)
    np.testing.assert_allclose(scaled[:, :3].sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(scaled[:, 3], 0.5, rtol=1e-5)


def test_reliability_by_hand():
    values = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    truth = np.array([[1, 0], [0, 1], [1, 0], [-1, -1]], dtype=np.int8)
    found = reliability(values, truth, Ethogram(("a", "b")))
    assert [b["count"] for b in found.bins] == [1, 2]
    # |0.6 - 1| / 3 + |0.9 - 0.5| 2 / 3
    assert found.error == pytest.approx(0.4)
    assert found.log_loss == pytest.approx(-(np.log(0.9) + np.log(0.1) + np.log(0.6)) / 3)
    assert found.coverage[-1]["accuracy"] == pytest.approx(2 / 3)
    assert found.coverage[0] == {"coverage": 0.05, "accuracy": 1.0, "confidence": 0.9}


def test_the_confidence_from_which_on_enough_is_right():
    sure = np.array([0.99, 0.9, 0.8, 0.8, 0.7, 0.6])
    right = np.array([True, True, True, False, True, False])
    assert confidence_for(sure, right, 0.99) == 0.9
    assert confidence_for(sure, right, 0.8) == 0.7
    assert confidence_for(sure, right, 0.5) == 0.6
    assert confidence_for(sure, ~right, 0.9) == 1.0


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = pose_study(tmp_path_factory.mktemp("calibrating"), recordings=4)
    return fake_evaluation(study, "one", {"m0": 0.9, "m1": 0.8, "m2": 0.7, "m3": 0.95}, 1)


def test_each_fold_is_scaled_by_the_others(evaluation, tmp_path):
    made = calibrate(tmp_path / "c", evaluation, accuracy=0.85)
    project = load_project(evaluation.parent.parent)
    truth, values = {}, {}
    for k in range(4):
        truth[k] = load_bouts(project, project.recording(f"m{k}")).frames()
        values[k] = read_prediction(evaluation / "predictions" / f"m{k}.parquet").probabilities
    made_of = {}
    for k in range(4):
        others = [i for i in range(4) if i != k]
        wanted = fit_scaling(
            np.concatenate([values[i] for i in others]), np.concatenate([truth[i] for i in others]),
            project.ethogram, "temperature",
        )  # fmt: skip
        assert made.steps[f"fold-{k + 1}"]["temperature"] == wanted.temperature
        got = read_prediction(tmp_path / "c" / "predictions" / f"m{k}.parquet")
        made_of[k] = wanted(values[k], got.timeline, project.ethogram)
        np.testing.assert_allclose(got.probabilities, made_of[k], atol=1e-6)
    whole = np.concatenate([made_of[k] for k in range(4)])
    labels = np.concatenate([truth[k] for k in range(4)])
    assert made.after.log_loss == pytest.approx(log_loss(labels.argmax(axis=1), whole), abs=1e-4)
    raw = np.concatenate([values[k] for k in range(4)])
    assert made.before.log_loss == pytest.approx(log_loss(labels.argmax(axis=1), raw), abs=1e-4)
    decided = 0
    for k in range(4):
        others = [decisions(made_of[i], truth[i], project.ethogram) for i in range(4) if i != k]
        limit = confidence_for(*(np.concatenate(part) for part in zip(*others, strict=True)), 0.85)
        assert made.abstain["confidence"][f"fold-{k + 1}"] == pytest.approx(limit, abs=1e-5)
        decided += int((made_of[k].max(axis=1) >= limit).sum())
    assert made.abstain["coverage"] == pytest.approx(decided / len(whole), abs=0.01)
    assert (
        json.loads((tmp_path / "c" / "calibration.json").read_text())["after"]["error"]
        == made.after.error
    )


def test_the_recipe_for_new_recordings_scales_first(evaluation, tmp_path):
    made = calibrate(tmp_path / "c", evaluation, kind="vector")
    recipe = load_recipe(str(tmp_path / "c" / "recipe.toml"))
    first, *others = make_steps(recipe.postprocess)
    assert first == make_steps([made.new])[0]
    assert others == list(make_steps(load_recipe(str(evaluation / "config.toml")).postprocess))
    prediction = read_prediction(evaluation / "predictions" / "m0.parquet")
    assert len(apply(prediction, [first, *others])) > 0


def test_on_the_command_line(evaluation, tmp_path):
    words = ["calibrate", str(tmp_path / "c"), str(evaluation), "--accuracy", "0.85", "-q"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    assert "calibration error" in run.output
    assert "deciding only where 85% should be right" in run.output
    value = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert 0 < value["abstain"]["coverage"] <= 1


def test_what_cannot_be_calibrated(evaluation, tmp_path):
    for words, call in (
        ("calibration is by temperature or vector", {"kind": "platt"}),
        ("a wanted accuracy lies between 0 and 1", {"accuracy": 1.5}),
    ):
        with pytest.raises(InputError, match=words):
            calibrate(tmp_path / "o", evaluation, **call)
    with pytest.raises(InputError, match="holds an evaluation of its own"):
        calibrate(evaluation, evaluation)
    with pytest.raises(InputError, match="nothing is labelled"):
        reliability(np.full((3, 2), 0.5), np.full((3, 2), -1), Ethogram(("a", "b")))
    for wrong, words in (
        ({"temperature": 0}, "must be above 0"),
        ({"behaviours": ["a"]}, "scales needs a number for each of 1"),
    ):
        with pytest.raises(InputError, match=words):
            Scaling(**wrong)
