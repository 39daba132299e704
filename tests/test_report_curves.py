"""Curves of a report: their areas are the scores, their mean lies between them, a threshold is a point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import ABC, read, recording, study  # noqa: F401  (a fixture)

from murine.metrics.basics import average_precision, roc_auc
from murine.report import ReportData, write_report
from murine.report.charts import draw_confusion_counts
from murine.report.curves import (
    MEAN,
    POINTS,
    curve_rows,
    curves,
    precision_recall_curve,
    roc_curve,
)
from murine.types import Bouts, Ethogram, Timeline


@given(st.integers(2, 60), st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_the_area_of_a_curve_is_the_score(n: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    values = rng.integers(0, levels, n) / levels  # ties too
    roc, precision = roc_curve(truth, values), precision_recall_curve(truth, values)
    assert (roc is None) == (truth.all() or not truth.any())
    assert (precision is None) == (not truth.any())
    if roc is not None:
        assert roc.area == pytest.approx(roc_auc(truth, values), abs=1e-12)
        assert (np.diff(roc.x) >= 0).all()
        assert (np.diff(roc.y) >= 0).all()
    if precision is not None:
        assert precision.area == pytest.approx(average_precision(truth, values), abs=1e-12)
        assert precision.x[-1] == 1.0
        assert precision.y[-1] == pytest.approx(truth.mean())


def test_a_threshold_is_a_point_by_hand() -> None:
    truth = np.array([True, False, True, False])
    curve = roc_curve(truth, np.array([0.9, 0.8, 0.7, 0.1]))
    assert curve is not None
    assert curve.x.tolist() == [0.0, 0.0, 0.5, 0.5, 1.0]
    assert curve.y.tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert curve.area == 0.75
    found = precision_recall_curve(truth, np.array([0.9, 0.8, 0.7, 0.1]))
    assert found is not None
    assert found.y.tolist() == pytest.approx([1.0, 0.5, 2 / 3, 0.5])
    assert found.area == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_perfect_and_a_hopeless_one_meet_half_way(study: ReportData) -> None:  # noqa: F811
    found = curves(study)
    assert list(found["roc"]) == [*ABC.behaviours, MEAN]
    for drawn in found.values():
        each = [drawn[name].area for name in ABC.behaviours]
        assert drawn[MEAN].area == pytest.approx(np.mean(each))
        # the drawn mean encloses the mean of the areas, as far as its grid can tell
        assert np.trapezoid(drawn[MEAN].y, drawn[MEAN].x) == pytest.approx(np.mean(each), abs=0.02)
    rows = curve_rows(study)
    assert {row["curve"] for row in rows} == {"roc", "precision_recall"}
    count = sum(row["curve"] == "roc" and row["behaviour"] == "groom" for row in rows)
    assert 10 < count <= POINTS


def test_each_recording_has_all_its_scores(study: ReportData, tmp_path) -> None:  # noqa: F811
    reader = read(write_report(tmp_path / "r.html", study))
    done = study.complete()
    heads = [row for row in reader.rows if "Balanced accuracy" in row]
    names = (
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "macro_f1_foreground",
        "kappa",
        "map",
        "auc_macro",
    )
    for r in done.recordings:
        assert r.scores is not None
        row = next(row for row in reader.rows if row and row[0] == r.id and len(row) == len(heads[-1]))
        for name in names:
            assert f"{r.scores[name]:.3f}" in row
        assert f"{r.scores['segments']['edit'] / 100:.3f}" in row
        each = [row for row in reader.rows if row and row[0] == r.id and len(row) == 4]
        assert each[0][1] == f"{r.scores['per_class']['groom']['f1']:.3f}"


def test_counts_are_drawn_by_themselves_where_shares_leave_no_room() -> None:
    many = Ethogram(tuple(f"b{i}" for i in range(12)))
    classes = np.repeat(np.arange(12), 10)
    bouts = Bouts.from_classes(many, classes)
    said = Bouts.from_classes(many, np.roll(classes, 3))
    from murine.report import ReportRecording

    one = ReportRecording("a", Timeline.uniform(120, 10.0), bouts, said)
    data = ReportData("many", "prediction", many, [one]).complete()
    figure = draw_confusion_counts(data)
    assert figure is not None
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(texts) == ["3"] * 12 + ["7"] * 12
    few = ReportData("few", "prediction", ABC, [recording("m1", 1)]).complete()
    assert draw_confusion_counts(few) is None
