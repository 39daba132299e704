"""Folders become pages: what stands in them is what the folders hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_study import pose_recipe, pose_study
from test_metrics_pool import TASKS, pair

from murine.errors import InputError
from murine.predict import predict
from murine.project import load_project, save_project
from murine.report import ReportData, ReportRecording, write_report
from murine.reporting import evaluation_data, report, write_evaluation_report
from murine.train.crossval import Evaluation, evaluate
from murine.train.run import train
from murine.types import Bouts, Ethogram


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"), recordings=3, unlabelled=1)


@pytest.fixture(scope="module")
def evaluated(study: Path) -> Evaluation:
    return evaluate(study, pose_recipe(epochs=3))


@pytest.fixture(scope="module")
def predicted(study: Path) -> Path:
    run = train(study, pose_recipe(epochs=3))
    predict(run, [study], study / "out")
    return study / "out"


def test_an_evaluation(study: Path, evaluated: Evaluation) -> None:
    page = write_evaluation_report(evaluated.folder)
    assert page == evaluated.folder / "report.html"
    text = page.read_text(encoding="utf-8")
    for word in ("m0", "m1", "m2", "rest", "walk", "fold-1", "learning_rate"):
        assert word in text
    assert str(study) not in text
    data = evaluation_data(evaluated.folder)
    assert data.kind == "evaluation"
    assert data.scores == evaluated.scores["pooled"]
    assert {r.id for r in data.recordings} == {"m0", "m1", "m2"}
    assert sorted(data.provenance["model_hashes"]) == ["fold-1", "fold-2"]
    form = json.loads(page.with_suffix(".json").read_text())
    assert form["scores"]["macro_f1"] == evaluated.scores["pooled"]["macro_f1"]
    assert report(evaluated.folder) == page


def test_an_evaluation_written_before_there_were_intervals_is_read(
    evaluated: Evaluation, tmp_path: Path
) -> None:
    page = write_evaluation_report(evaluated.folder, out=tmp_path / "new.html")
    new = json.loads(page.with_suffix(".json").read_text())
    path = evaluated.folder / "scores.json"
    kept = path.read_text()
    old = {k: v for k, v in json.loads(kept).items() if k not in new["details"]}
    for one in (*old["recordings"].values(), *old["folds"].values()):
        del one["bouts"]
    path.write_text(json.dumps(old))
    try:
        page = write_evaluation_report(evaluated.folder, out=tmp_path / "old.html")
    finally:
        path.write_text(kept)
    # What was not written down is worked out again.
    assert json.loads(page.with_suffix(".json").read_text())["details"] == new["details"]


def test_the_page_tells_intervals_bouts_and_the_protocol(evaluated: Evaluation, tmp_path: Path) -> None:
    page = write_evaluation_report(evaluated.folder, out=tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    scores = evaluated.scores
    low, high = scores["intervals"]["macro_f1"]
    assert f"<td>{low:.3f} to {high:.3f}</td>" in text
    assert "recordings drawn again and again as wholes, 3 there are" in text
    assert "3 recordings" in text
    assert "CalMS21 macro F1" in text
    assert f"{scores['protocols']['calms21']['map']:.3f}" in text
    row = scores["bouts"][1]
    assert f"<td>{row['true']}</td><td>{row['predicted']}</td><td>{row['matched']}</td>" in text


def test_an_evaluation_moves_with_its_project(
    evaluated: Evaluation, study: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").symlink_to(study.parent)
    folder = tmp_path / "moved" / "study" / "evaluations" / "tiny-pose"
    assert evaluation_data(folder).title.startswith("small")


def test_predictions_alone_and_beside_labels(study: Path, predicted: Path, tmp_path: Path) -> None:
    alone = report(predicted)
    assert alone == predicted / "report.html"
    assert "m3" in alone.read_text(encoding="utf-8")
    both = report(study, predicted, out=tmp_path / "both.html")
    form = json.loads(both.with_suffix(".json").read_text())
    assert form["kind"] == "prediction"
    assert form["scores"]["n"] == 360
    assert "too good" in both.read_text(encoding="utf-8")


def test_labels_alone(study: Path, tmp_path: Path) -> None:
    page = report(study, out=tmp_path / "labels.html")
    text = page.read_text(encoding="utf-8")
    assert "m2" in text
    assert "1 recordings without labels" in text


def test_what_does_not_fit_is_told(study: Path, predicted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        report(tmp_path / "none")
    with pytest.raises(InputError, match="no prediction"):
        report(tmp_path)
    with pytest.raises(InputError, match="not a project"):
        report(predicted, predicted)
    other = tmp_path / "other"
    project = load_project(study)
    save_project(
        replace(project, root=other, ethogram=Ethogram(("walk", "rest")), recordings=project.recordings)
    )
    with pytest.raises(InputError, match="in the same order"):
        report(other, predicted)


def test_each_task_stands_in_the_page_by_itself(tmp_path: Path) -> None:
    recordings = []
    for i in range(3):
        one = pair(i, TASKS)
        assert one.timeline is not None
        truth, said = (Bouts.from_frames(TASKS, x) for x in (one.truth, one.decided))
        recordings.append(ReportRecording(f"m{i}", one.timeline, truth, said, one.probabilities))
    page = write_report(tmp_path / "tasks.html", ReportData("T", "prediction", TASKS, recordings))
    told = json.loads(page.with_suffix(".json").read_text())["details"]["tasks"]
    assert list(told) == ["S1", "S2"]
    text = page.read_text(encoding="utf-8")
    assert "Each task by itself" in text
    for name, scores in told.items():
        low, high = scores["intervals"]["macro_f1"]
        shown = (
            f'{scores["frames"]["macro_f1"]:.3f} <span class="faint">({low:.3f} to {high:.3f})</span>'
        )
        assert f'<td class="text">{name}</td><td>{scores["frames"]["n"]}</td><td>{shown}</td>' in text
        assert f"{scores['segments']['f1_50'] / 100:.3f}" in text
