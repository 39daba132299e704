"""Cross-validation: no recording is judged by a network that saw it, and the scores are what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from small_study import ETHOGRAM, FPS, clip_study, make_pose, pose_recipe, pose_study, video_recipe

from murine.config import SplitSettings
from murine.errors import ConfigError, InputError
from murine.formats import write_labels
from murine.postprocess import apply, make_steps
from murine.predictions import read_prediction
from murine.project import load_project, save_project
from murine.train import crossval
from murine.train import loop as loop_module
from murine.train.crossval import evaluate, load_scores
from murine.train.runs import load_run
from murine.types import Bouts, Ethogram, Timeline


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"), recordings=4)


@pytest.fixture(scope="module")
def evaluated(study: Path) -> crossval.Evaluation:
    return evaluate(study, pose_recipe(epochs=30))


def test_the_folder_holds_all_of_it(study: Path, evaluated: crossval.Evaluation) -> None:
    assert evaluated.folder == study / "evaluations" / "tiny-pose"
    assert sorted(p.stem for p in evaluated.predictions) == ["m0", "m1", "m2", "m3"]
    assert sorted(p.name for p in (evaluated.folder / "folds").iterdir()) == ["fold-1", "fold-2"]
    assert load_scores(evaluated.folder) == evaluated.scores
    assert evaluated.scores["reused"] == []


def test_every_recording_is_judged_by_a_network_that_did_not_see_it(
    evaluated: crossval.Evaluation,
) -> None:
    splits = json.loads((evaluated.folder / "splits.json").read_text())
    tested = [id_ for split in splits for id_ in split["test"]]
    assert sorted(tested) == ["m0", "m1", "m2", "m3"]
    for split in splits:
        run = load_run(evaluated.folder / "folds" / split["name"])
        for id_ in split["test"]:
            assert id_ not in (*split["train"], *split["validation"])
            meta = read_prediction(evaluated.folder / "predictions" / f"{id_}.parquet").meta
            assert meta["model_hash"] == run.hash
            assert meta["fold"] == split["name"]


def test_scores_against_scikit_learn(evaluated: crossval.Evaluation) -> None:
    truth, said, raw = [], [], []
    steps = make_steps(pose_recipe().postprocess)
    for path in evaluated.predictions:
        prediction = read_prediction(path)
        truth.append(make_pose(120, int(path.stem[1:]))[1].classes())
        said.append(apply(prediction, steps).classes())
        raw.append(prediction.probabilities.argmax(axis=1))
    true, decided, plain = (np.concatenate(part) for part in (truth, said, raw))
    scores = evaluated.scores
    assert scores["unit"] == "frame"
    assert scores["pooled"]["n"] == 480
    assert scores["pooled"]["accuracy"] == pytest.approx(accuracy_score(true, decided))
    assert scores["pooled"]["macro_f1"] == pytest.approx(f1_score(true, decided, average="macro"))
    assert scores["raw"]["accuracy"] == pytest.approx(accuracy_score(true, plain))
    majority = np.full_like(true, np.bincount(true).argmax())
    assert scores["baseline"]["accuracy"] == pytest.approx(accuracy_score(true, majority))
    one = scores["recordings"]["m1"]["frames"]
    at = [p.stem for p in evaluated.predictions].index("m1")
    assert one["accuracy"] == pytest.approx(accuracy_score(truth[at], said[at]))
    assert scores["pooled"]["accuracy"] > 0.9 > scores["baseline"]["accuracy"] + 0.2
    assert set(scores["folds"]) == {"fold-1", "fold-2"}
    assert scores["segments"]["f1_50"] > 50


def test_bouts_intervals_and_the_protocol_stand_beside(evaluated: crossval.Evaluation) -> None:
    scores = evaluated.scores
    assert scores["drawn"] == {"over": "recording", "count": 4}
    for name in ("accuracy", "macro_f1", "map"):
        low, high = scores["intervals"][name]
        assert low <= scores["pooled"][name] <= high
    low, high = scores["intervals"]["f1_50"]
    assert low <= scores["segments"]["f1_50"] <= high
    assert [row["behaviour"] for row in scores["bouts"]] == ["rest", "walk"]
    alone = [one["bouts"] for one in scores["recordings"].values()]
    for c, row in enumerate(scores["bouts"]):
        assert row["matched"] > 0
        for key in ("true", "predicted", "matched", "fragmented", "merged"):
            assert row[key] == sum(rows[c][key] for rows in alone)
    protocol = scores["protocols"]["calms21"]
    assert protocol["macro_f1"] == pytest.approx(scores["raw"]["macro_f1_foreground"])
    assert protocol["map"] == pytest.approx(scores["raw"]["map_foreground"])
    assert scores["tasks"] == {}


def test_groups_of_the_split_are_drawn(study: Path, tmp_path: Path) -> None:
    project = load_project(study)
    caged = [replace(r, groups={"cage": c}) for r, c in zip(project.recordings, "aabb", strict=True)]
    save_project(replace(project, root=tmp_path / "caged", recordings=tuple(caged)))
    recipe = pose_recipe(epochs=2)
    by_cage = replace(recipe, split=SplitSettings(by="cage", validation=0.0))
    assert evaluate(tmp_path / "caged", by_cage).scores["drawn"] == {"over": "cage", "count": 2}


def test_finished_folds_are_not_run_again(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pose_recipe(epochs=3)
    whole = evaluate(study, recipe, out=tmp_path / "whole")
    saves = []
    real = loop_module.save_state

    def stopping(*args: Any) -> None:
        real(*args)
        saves.append(1)
        if len(saves) == 4:  # in the middle of the second fold
            raise KeyboardInterrupt

    monkeypatch.setattr(loop_module, "save_state", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(study, recipe, out=tmp_path / "parts")
    again = evaluate(study, recipe, out=tmp_path / "parts")
    assert len(saves) == 6
    assert again.scores["reused"] == ["fold-1"]
    for a, b in zip(whole.predictions, again.predictions, strict=True):
        np.testing.assert_array_equal(read_prediction(a).probabilities, read_prediction(b).probabilities)
    assert {**again.scores, "reused": []} == whole.scores
    third = evaluate(study, recipe, out=tmp_path / "parts")
    assert third.scores["reused"] == ["fold-1", "fold-2"]
    assert len(saves) == 6


def test_an_evaluation_of_other_settings_is_not_written_over(study: Path, tmp_path: Path) -> None:
    evaluate(study, pose_recipe(epochs=1), out=tmp_path)
    before = load_scores(tmp_path)
    with pytest.raises(InputError, match="other settings, labels or files"):
        evaluate(study, pose_recipe(epochs=2), out=tmp_path)
    assert load_scores(tmp_path) == before
    evaluate(study, pose_recipe(epochs=2), out=tmp_path, resume=False)
    assert load_scores(tmp_path) != before


def test_a_change_of_post_processing_needs_no_training(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pose_recipe(epochs=2)
    first = evaluate(study, recipe, out=tmp_path)
    plain = evaluate(study, replace(recipe, postprocess=()), out=tmp_path)
    assert plain.scores["reused"] == ["fold-1", "fold-2"]
    assert plain.scores["raw"] == first.scores["raw"]
    assert plain.scores["pooled"] == plain.scores["raw"]
    assert first.scores["pooled"] != first.scores["raw"]
    # whoever reads a prediction by itself (export, score) decides it the same way
    assert read_prediction(plain.predictions[0]).meta["postprocess"] == []


def test_clips_are_scored_once_each(tmp_path: Path) -> None:
    study = clip_study(tmp_path / "c")
    recipe = replace(
        video_recipe(epochs=2), split=SplitSettings(by="session", folds=2, validation=0.0, stratify=True)
    )
    result = evaluate(study, recipe)
    assert result.scores["unit"] == "recording"
    assert result.scores["pooled"]["n"] == 8
    assert result.scores["segments"] is None
    said, truth = [], []
    for path in result.predictions:
        prediction = read_prediction(path)
        assert len(prediction) == 10
        said.append(int(prediction.probabilities.mean(axis=0).argmax()))
        truth.append(int(path.stem[1:]) % 2)
    assert result.scores["pooled"]["accuracy"] == pytest.approx(accuracy_score(truth, said))
    for split in json.loads((result.folder / "splits.json").read_text()):
        groups = split["groups"]
        assert {groups[i] for i in split["test"]}.isdisjoint(groups[i] for i in split["train"])


def test_behaviours_that_may_overlap(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=4)
    project = load_project(study)
    save_project(replace(project, ethogram=Ethogram(ETHOGRAM.behaviours, exclusive=False)))
    with pytest.raises(ConfigError, match="binary_cross_entropy"):
        evaluate(study, pose_recipe(), out=tmp_path / "refused")
    result = evaluate(study, pose_recipe(epochs=30, loss="binary_cross_entropy"))
    values = read_prediction(result.predictions[0]).probabilities
    assert not np.allclose(values.sum(axis=1), 1, atol=1e-3)
    assert result.scores["pooled"]["macro_f1"] > 0.85
    assert result.scores["pooled"]["confusion"] is None
    assert result.scores["segments"] is None
    run = load_run(result.folder / "folds" / "fold-1")
    assert run.model.configuration["settings"]["exclusive"] is False


def test_frames_nobody_annotated_are_neither_learned_nor_scored(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=4)
    for i in range(4):
        _, bouts = make_pose(120, i)
        cut = Bouts.build(
            ETHOGRAM,
            120,
            [(max(a, 30), min(b, 90), name) for a, b, name in bouts.intervals() if a < 90 and b > 30],
            annotated=[[30, 90]],
        )
        write_labels(tmp_path / "p" / f"m{i}_labels.csv", cut, Timeline.uniform(120, FPS), "bouts")
    result = evaluate(study, pose_recipe(epochs=20))
    assert result.scores["pooled"]["n"] == 240
    assert result.scores["pooled"]["ignored"] == 240
    assert result.scores["pooled"]["accuracy"] > 0.85


def test_one_recording_cannot_be_evaluated(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=1)
    with pytest.raises(InputError, match="none is left to test on"):
        evaluate(study, pose_recipe())


def test_scores_of_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no evaluation"):
        load_scores(tmp_path)


def test_the_ethogram_is_kept(evaluated: crossval.Evaluation) -> None:
    assert read_prediction(evaluated.predictions[0]).ethogram == ETHOGRAM
