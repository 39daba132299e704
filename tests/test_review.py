"""What a sceptical reading found: numbers and files that looked right and were not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import FPS, make_pose, pose_recipe, pose_study, video_recipe, video_study

from murine.config import SplitSettings
from murine.data.splits import training_split
from murine.errors import InputError, MurineError, ProjectError
from murine.export import export
from murine.files import file_hash
from murine.formats import write_labels, write_pose
from murine.predict import predict
from murine.predictions import read_prediction
from murine.progress import Silent
from murine.project import load_project, save_project
from murine.reporting import report
from murine.scoring import score_paths
from murine.train import crossval
from murine.train import study as study_module
from murine.train.crossval import evaluate
from murine.train.run import train, train_split
from murine.train.runs import load_run
from murine.train.study import open_study
from murine.types import Bouts, Ethogram, Timeline


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"), recordings=3)


def test_another_frame_rate_is_another_run(tmp_path: Path) -> None:
    """Speeds depend on it, though files and labels (in frames) stay the same."""
    study = pose_study(tmp_path / "p", recordings=2)
    train(study, pose_recipe(epochs=1))
    project = load_project(study)
    save_project(replace(project, recordings=tuple(replace(r, fps=2 * FPS) for r in project.recordings)))
    with pytest.raises(InputError, match="other settings, labels or files"):
        train(study, pose_recipe(epochs=1))


def test_a_finished_network_takes_a_new_post_processing(study: Path, tmp_path: Path) -> None:
    recipe = pose_recipe(epochs=1)
    folder = train(study, recipe, folder=tmp_path / "run")
    weights = file_hash(folder / "weights.safetensors")
    changed = replace(recipe, postprocess=({"name": "minimum_bout", "seconds": 0.5},))
    train(study, changed, folder=folder)
    assert load_run(folder).recipe == changed
    assert file_hash(folder / "weights.safetensors") == weights


def test_a_changed_test_recording_is_predicted_again(tmp_path: Path) -> None:
    """One fixed fold: its test recordings teach nobody, so no network changes with them."""
    study = pose_study(tmp_path / "p", recordings=3)
    split = SplitSettings(by="recording", fixed=(("m0",),), validation=0.0)
    recipe = replace(pose_recipe(epochs=1), split=split)
    first = read_prediction(evaluate(study, recipe).predictions[0])
    write_pose(tmp_path / "p" / "m0_pose.csv", make_pose(120, 9)[0])
    again = evaluate(study, recipe)
    assert again.scores["reused"] == ["fold-1"]
    assert not np.array_equal(read_prediction(again.predictions[0]).probabilities, first.probabilities)


def test_an_out_of_fold_prediction_carries_its_history(study: Path, tmp_path: Path) -> None:
    path = evaluate(study, pose_recipe(epochs=1), out=tmp_path).predictions[0]
    meta = read_prediction(path).meta
    pose = study.parent / f"{path.stem}_pose.csv"
    assert meta["files"] == {"pose": pose.name}
    assert meta["file_hashes"] == {"pose": file_hash(pose)}
    assert meta["settings"]["input"]["pose_features"] == ["speeds"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"postprocess": ({"name": "closing", "seconds": 0.3, "behaviours": ("walkk",)},)}, "'walk'"),
        ({"split": SplitSettings(by="cage")}, "no 'cage'"),
        ({"training": replace(pose_recipe().training, loss="binary_cross_entropy")}, "may overlap"),
        ({"training": replace(pose_recipe().training, augment=("brightness",))}, "'brightness'"),
        ({"training": replace(pose_recipe().training, device="abacus")}, "'abacus'"),
    ],
)
def test_a_recipe_that_does_not_suit_the_project_is_told_before_any_work(
    study: Path, tmp_path: Path, change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("nothing is to be prepared")

    monkeypatch.setattr(study_module, "prepare", never)
    with pytest.raises(MurineError, match=message):
        evaluate(study, replace(pose_recipe(), **change), out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_an_evaluation_is_a_folder_of_predictions(study: Path, tmp_path: Path) -> None:
    done = evaluate(study, pose_recipe(epochs=2), out=tmp_path / "e")
    paths = export(done.folder, "caltech")
    assert [p.relative_to(done.folder).as_posix() for p in paths] == [
        f"caltech/m{i}.txt" for i in range(3)
    ]
    scored = score_paths(study, done.folder)
    assert scored["pooled"]["confusion"] == done.scores["pooled"]["confusion"]
    assert scored["segments"] == done.scores["segments"]
    page = report(study, done.folder, out=tmp_path / "r.html")
    assert json.loads(page.with_suffix(".json").read_text())["kind"] == "evaluation"


def test_scores_of_other_settings_do_not_outlive_them(study: Path, tmp_path: Path) -> None:
    done = evaluate(study, pose_recipe(epochs=1), out=tmp_path)
    (tmp_path / "predictions" / "gone.parquet").write_bytes(done.predictions[0].read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossval, "train_split", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate(study, replace(pose_recipe(epochs=1), postprocess=()), out=tmp_path)
    with pytest.raises(InputError, match="not finished"):
        report(tmp_path)
    evaluate(study, pose_recipe(epochs=1), out=tmp_path)
    assert sorted(p.stem for p in (tmp_path / "predictions").iterdir()) == ["m0", "m1", "m2"]


def test_labels_called_after_a_date_are_not_one_recording(tmp_path: Path) -> None:
    ethogram = Ethogram(("rest", "walk"))
    for side in ("one", "two"):
        for day in (1, 2, 3):
            write_labels(
                tmp_path / side / f"2024.05.0{day}.csv",
                Bouts.from_classes(
                    ethogram, np.arange(20) // 5 % 2 if side == "one" else [day % 2] * 20
                ),
                Timeline.uniform(20, FPS),
                "bouts",
            )
    scored = score_paths(tmp_path / "one", tmp_path / "two", fps=FPS, n_frames=20)
    assert sorted(scored["each"]) == ["2024.05.01", "2024.05.02", "2024.05.03"]
    assert scored["pooled"]["n"] == 60
    shutil.copy(tmp_path / "one" / "2024.05.01.csv", tmp_path / "one" / "2024.05.01.bouts.csv")
    with pytest.raises(InputError, match="labels of one recording"):
        score_paths(tmp_path / "one", tmp_path / "two", fps=FPS, n_frames=20)


def test_a_gap_between_samples_is_told_before_training(tmp_path: Path) -> None:
    """Scores are of all frames, the network sees every second one."""
    study = pose_study(tmp_path / "p", recordings=2)
    ethogram = load_project(study).ethogram
    with_gap = [(0, 51, "rest"), (52, 120, "walk")]
    labels = tmp_path / "p" / "m1_labels.csv"
    write_labels(labels, Bouts.build(ethogram, 120, with_gap), Timeline.uniform(120, FPS), "bouts")
    recipe = pose_recipe(epochs=1)
    recipe = replace(recipe, input=replace(recipe.input, spacing_s=0.2))
    with pytest.raises(ProjectError, match=r"m1(?s:.)*1 frames \(first: 51\)"):
        evaluate(study, recipe, out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_validation_without_a_label_is_no_best_epoch(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=2)
    ethogram = load_project(study).ethogram
    nobody = Bouts.build(ethogram, 120, [], annotated=[])
    recipe = pose_recipe(epochs=2)
    opened = open_study(study, recipe)
    split = training_split(opened.recordings, recipe.split, opened.label_counts)
    labels = tmp_path / "p" / f"{split.validation[0]}_labels.csv"
    write_labels(labels, nobody, Timeline.uniform(120, FPS), "bouts")
    again = open_study(study, recipe)
    with pytest.raises(InputError, match="nothing can tell the best epoch"):
        train_split(again, split, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Lines(Silent):
    """Keeps what would be shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def test_a_behaviour_shorter_than_every_window_is_told(tmp_path: Path) -> None:
    study = video_study(tmp_path / "v", recordings=2, n=48)
    project = load_project(study)
    ethogram = Ethogram((*project.ethogram.behaviours, "rear"))
    save_project(replace(project, ethogram=ethogram))
    for i in range(2):
        bouts = Bouts.build(ethogram, 48, [(0, 24, "rest"), (24, 47, "walk"), (47, 48, "rear")])
        write_labels(tmp_path / "v" / f"v{i}.csv", bouts, Timeline.uniform(48, FPS), "bouts")
    lines = Lines()
    train(study, video_recipe(epochs=1), folder=tmp_path / "run", progress=lines)
    assert [line for line in lines.lines if "no training window is labelled rear" in line]


def test_beginning_an_evaluation_anew_leaves_files_that_are_not_its_own(
    study: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "predictions" / "mine.parquet"
    made = predict(train(study, pose_recipe(epochs=1), folder=tmp_path / "run"), [study], mine.parent)
    shutil.copy(made[0], mine)
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "notes.txt").write_text("mine")
    evaluate(study, pose_recipe(epochs=1), out=tmp_path, resume=False)
    assert mine.exists()
    assert (tmp_path / "folds" / "notes.txt").exists()
