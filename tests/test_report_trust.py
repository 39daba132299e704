"""Calibration, learning and fusion in a report: what the files hold is what the page says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import pose_recipe, pose_study
from test_report import read, study  # noqa: F401  (a fixture)

from murine.ensemble import calibrate, sweep
from murine.errors import InputError
from murine.report import ReportData, write_report
from murine.report.trust import draw_calibration, draw_learning, fusion_rows
from murine.reporting import evaluation_data, write_evaluation_report
from murine.train.crossval import evaluate


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = pose_study(tmp_path_factory.mktemp("trust") / "study", recordings=3)
    first = evaluate(root, pose_recipe(epochs=2), out=root / "evaluations" / "a").folder
    second = evaluate(root, pose_recipe(epochs=4), out=root / "evaluations" / "b").folder
    fused, sure = root / "evaluations" / "fused", root / "evaluations" / "sure"
    sweep(fused, first, second)
    calibrate(sure, first)
    return {"first": first, "fused": fused, "sure": sure}


def test_every_evaluation_is_told_how_sure_it_is(places: dict[str, Path]) -> None:
    data = evaluation_data(places["first"])
    assert list(data.calibration) == ["as predicted"]
    told = data.calibration["as predicted"]
    truth = np.concatenate([r.true_frames for r in data.recordings])
    values = np.concatenate([r.probabilities for r in data.recordings]).astype(float)
    sure, right = values.max(axis=1), values.argmax(axis=1) == truth.argmax(axis=1)
    assert sum(b["count"] for b in told["bins"]) == len(truth)
    assert told["coverage"][-1]["accuracy"] == pytest.approx(right.mean())
    place = np.minimum((sure * 15).astype(int), 14)
    error = sum(
        (place == b).mean() * abs(sure[place == b].mean() - right[place == b].mean())
        for b in np.unique(place)
    )
    assert told["error"] == pytest.approx(error)
    page = write_evaluation_report(places["first"])
    assert f"{error:.3f}" in read(page).text
    assert json.loads(page.with_suffix(".json").read_text())["calibration"] == json.loads(
        json.dumps(data.calibration)
    )


def test_before_and_after_calibrating_stand_side_by_side(places: dict[str, Path]) -> None:
    data = evaluation_data(places["sure"])
    told = json.loads((places["sure"] / "calibration.json").read_text())
    assert [t["error"] for t in data.calibration.values()] == [
        told["before"]["error"],
        told["after"]["error"],
    ]
    rows = {row[0]: row for row in read(write_evaluation_report(places["sure"])).rows if row}
    assert rows["calibrated on the other folds"][1] == f"{told['after']['error']:.3f}"


def test_the_fusion_is_told_at_every_weight(places: dict[str, Path]) -> None:
    data = evaluation_data(places["fused"])
    told = json.loads((places["fused"] / "fusion.json").read_text())
    rows = fusion_rows(data)
    assert [row["weight"] for row in rows[:11]] == [f"{w / 10:.1f}" for w in range(11)]
    assert [row["accuracy"] for row in rows[:11]] == [row["accuracy"] for row in told["table"]]
    assert rows[11]["macro_f1"] == told["nested"]["macro_f1"]
    page = read(write_evaluation_report(places["fused"]))
    shown = [row for row in page.rows if row and row[0] == "chosen on the other folds"]
    assert shown[0][1] == f"{told['nested']['accuracy']:.3f}"
    assert fusion_rows(evaluation_data(places["first"])) == []


def test_the_learning_curve_is_that_of_the_folds(places: dict[str, Path]) -> None:
    data = evaluation_data(places["first"])
    assert list(data.learning) == ["fold-1", "fold-2"]
    assert data.learning["fold-1"]["epoch"] == [1.0, 2.0]
    figure = draw_learning(data)
    assert figure is not None
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "training")
    folds = [told["train_loss"] for told in data.learning.values()]
    assert np.asarray(mean.get_ydata()) == pytest.approx(np.mean(np.array(folds, float), axis=0))


def test_what_is_not_there_is_left_out(study: ReportData, tmp_path: Path) -> None:  # noqa: F811
    assert draw_calibration(study) is None
    assert draw_learning(study) is None
    text = read(write_report(tmp_path / "r.html", study)).text
    for title in ("How sure, how right", "Fusion ratio", "Learning curve"):
        assert title not in text
    empty = replace(study, learning={"fold-1": {"epoch": [1.0], "train_loss": [None]}})
    assert draw_learning(empty) is None


def test_damaged_metrics_are_named(places: dict[str, Path]) -> None:
    path = places["first"] / "folds" / "fold-1" / "metrics.csv"
    before = path.read_text()
    try:
        path.write_text("epoch,train_loss\n1,abc\n")
        with pytest.raises(InputError, match=r"metrics\.csv: damaged"):
            evaluation_data(places["first"])
    finally:
        path.write_text(before)
