"""Two evaluations of the same recordings: paired differences, over groups, of tasks met by plain names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import FPS, make_pose, pose_study
from test_ensemble_folders import fake_evaluation
from test_scoring_tasks import BOUTS, make_project, predict
from typer.testing import CliRunner

from murine.cli import app
from murine.comparing import compare_paths
from murine.errors import InputError
from murine.formats import write_labels
from murine.project import load_project, save_project
from murine.scoring import score_paths
from murine.train.crossval import load_scores
from murine.types import Ethogram, Timeline


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pose_study(tmp_path_factory.mktemp("compare"), recordings=6)
    project = load_project(folder)
    caged = [replace(r, groups={"cage": "abc"[i // 2]}) for i, r in enumerate(project.recordings)]
    save_project(replace(project, recordings=tuple(caged)))
    return folder


@pytest.fixture(scope="module")
def pair(study: Path) -> tuple[Path, Path]:
    return fake_evaluation(study, "worse", 0.7, 1), fake_evaluation(study, "better", 0.85, 2)


def test_differences_are_those_of_the_two_scores(pair: tuple[Path, Path]) -> None:
    found = compare_paths(*pair)
    assert (found["recordings"], found["only_in_first"], found["only_in_second"]) == (6, [], [])
    assert found["drawn"] == {"over": "recording", "count": 6}
    scores = [load_scores(folder) for folder in pair]
    for name in ("accuracy", "macro_f1", "kappa", "map"):
        row = found["scores"][name]
        assert [row["first"], row["second"]] == pytest.approx([s["pooled"][name] for s in scores])
        low, high = row["interval"]
        assert 0 < low < row["difference"] < high
        assert row["better"] == 1.0
    for name in ("edit", "f1_50"):
        row = found["scores"][name]
        assert [row["first"], row["second"]] == pytest.approx([s["segments"][name] for s in scores])
    bouts = [{b["behaviour"]: b["f1"] for b in s["bouts"]} for s in scores]
    row = found["scores"]["bout_f1 walk"]
    assert [row["first"], row["second"]] == pytest.approx([b["walk"] for b in bouts])


def test_groups_of_a_column_are_drawn_whole(pair: tuple[Path, Path]) -> None:
    alone, caged = compare_paths(*pair), compare_paths(*pair, by="cage")
    assert caged["drawn"] == {"over": "cage", "count": 3}
    assert caged["scores"]["accuracy"]["difference"] == alone["scores"]["accuracy"]["difference"]
    assert caged["scores"]["accuracy"]["interval"] != alone["scores"]["accuracy"]["interval"]
    with pytest.raises(InputError, match=r"no column 'cagge'\. Did you mean 'cage'"):
        compare_paths(*pair, by="cagge")


def test_the_protocol_takes_the_most_probable_behaviour(pair: tuple[Path, Path]) -> None:
    found = compare_paths(*pair, protocol="calms21")["scores"]
    raw = [load_scores(folder)["raw"] for folder in pair]
    assert [found["macro_f1"][side] for side in ("first", "second")] == pytest.approx(
        [r["macro_f1"] for r in raw]
    )
    with pytest.raises(InputError, match=r"unknown protocol 'calms'\. Did you mean 'calms21'"):
        compare_paths(*pair, protocol="calms")


def test_one_task_beside_a_project_of_that_task_alone(tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    tasks = make_project(tmp_path / "both", second_has_events=True)
    first = predict(tmp_path / "whole", Ethogram.of_tasks(list(load_project(tasks).ethogram.tasks)))
    with pytest.raises(InputError, match="Name the project with --study"):
        compare_paths(first, first)
    found = compare_paths(first, predict(tmp_path / "again", load_project(tasks).ethogram), study=tasks)
    assert found["scores"]["accuracy"]["difference"] == 0.0
    assert found["tasks"]["S1"]["f1_50"]["first"] == 100.0
    # In m1 the events are wrong throughout, in m0 right: accuracy is 20 of 100 and 100 of 100.
    assert found["tasks"]["S2"]["accuracy"]["first"] == pytest.approx(0.6)
    alone = compare_paths(first, first.parent / "again", study=tasks, task=BOUTS.name)
    assert set(alone["scores"]) >= {"f1 rest", "f1 walk", "edit"}
    assert alone["tasks"] == {}
    with pytest.raises(InputError, match="no task 'S3'"):
        compare_paths(first, first.parent / "again", study=tasks, task="S3")


def test_other_labels_and_other_recordings_are_told(
    study: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = pose_study(tmp_path / "other", recordings=6)
    changed = make_pose(120, 9)[1]
    write_labels(tmp_path / "other" / "m2_labels.csv", changed, Timeline.uniform(120, FPS), "bouts")
    third = fake_evaluation(other, "third", 0.9, 3)
    with pytest.raises(InputError, match=r"recording 'm2': .* different labels \(\d+ of 120 frames"):
        compare_paths(pair[0], third)
    for path in (third / "predictions").glob("m[2-5].parquet"):
        path.unlink()
    found = compare_paths(pair[0], third)
    assert (found["recordings"], found["only_in_first"]) == (2, ["m2", "m3", "m4", "m5"])
    (third / "scores.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        compare_paths(pair[0], third)


def test_the_command(pair: tuple[Path, Path]) -> None:
    words = ["compare", *map(str, pair), "--by", "cage", "-q"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "intervals of 95 %, paired: 3 cages drawn as wholes" in told.output
    value = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    row = value["scores"]["macro_f1"]
    line = next(x for x in told.output.splitlines() if x.startswith("macro F1 "))
    assert f"{row['difference']:+.4f}" in line
    assert f"{row['interval'][0]:+.4f} to {row['interval'][1]:+.4f}" in line


def test_an_evaluation_is_scored_over_what_it_was_split_by(study: Path, pair: tuple[Path, Path]) -> None:
    found = score_paths(study, pair[1])
    scores = load_scores(pair[1])
    assert found["drawn"] == {"over": "recording", "count": 6}
    assert found["pooled"]["map"] == pytest.approx(scores["pooled"]["map"])
    assert found["intervals"]["map"] == pytest.approx(scores["intervals"]["map"])
    assert found["intervals"]["f1_50"] == pytest.approx(scores["intervals"]["f1_50"])
    caged = score_paths(study, pair[1], by="cage")
    assert caged["drawn"] == {"over": "cage", "count": 3}
    assert caged["intervals"]["accuracy"] != found["intervals"]["accuracy"]
    plain = score_paths(study, pair[1], protocol="calms21")
    assert plain["protocols"]["calms21"]["macro_f1"] == pytest.approx(
        scores["protocols"]["calms21"]["macro_f1"]
    )
    assert plain["pooled"]["accuracy"] == pytest.approx(scores["raw"]["accuracy"])
    assert np.isfinite(plain["protocols"]["calms21"]["map"])


def test_the_score_command_tells_the_protocol_and_what_is_drawn(
    study: Path, pair: tuple[Path, Path]
) -> None:
    words = ["score", str(study), str(pair[0]), "--by", "cage", "--protocol", "calms21", "-q"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    value = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    protocol = value["protocols"]["calms21"]
    assert f"calms21: F1 {protocol['macro_f1']:.4f} (" in told.output
    assert f"MAP {protocol['map']:.4f} (" in told.output
    assert "in brackets: intervals of 95 %, over 3 cages drawn as wholes" in told.output
    assert "F1@50" in told.output
    odd = CliRunner().invoke(app, ["score", str(study / "x.csv"), "y.csv", "--by", "cage"])
    assert odd.exit_code == 2
    assert "no column is known" in odd.output
