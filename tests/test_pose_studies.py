"""From a project's poses to predictions with all of it: moved poses, places, other frame rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import ETHOGRAM, FPS, make_pose, pose_recipe, pose_study

from murine.config import InputSettings, Recipe
from murine.errors import InputError, ProjectError
from murine.formats import write_labels, write_pose
from murine.predict import predict
from murine.predictions import read_prediction
from murine.progress import Silent
from murine.project import Project, load_project, save_project
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.study import open_study
from murine.types import Recording, Timeline


class Told(Silent):
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def recipe(frames: int = 0, epochs: int = 2, augment: tuple[str, ...] = (), **given: object) -> Recipe:
    made = pose_recipe(epochs, frames, augment=augment)
    return replace(made, input=InputSettings(**({"pose_features": ("speeds", "distances")} | given)))  # type: ignore[arg-type]


def weights(folder: Path) -> np.ndarray:
    tensors = load_run(folder).model.state_dict().values()
    return np.concatenate([t.float().numpy().ravel() for t in tensors])


@pytest.mark.parametrize("frames", [0, 40])
def test_moved_poses_train_the_same_with_and_without_helpers(tmp_path: Path, frames: int) -> None:
    """Every change at once, in whole recordings and in windows; the draws hang on seed, epoch and window alone."""
    study = pose_study(tmp_path, recordings=3)
    names = (
        "rotate",
        "mirror",
        "shift",
        "scale",
        "stretch",
        "noise",
        "lose_points",
        "swap_animals",
        "phase",
    )
    given = recipe(frames, augment=names)
    alone = train(study, given, folder=tmp_path / "alone")
    beside = train(
        study, replace(given, training=replace(given.training, workers=1)), folder=tmp_path / "beside"
    )
    still = train(study, recipe(frames), folder=tmp_path / "still")
    np.testing.assert_array_equal(weights(alone), weights(beside))
    assert np.isfinite(weights(alone)).all()
    assert not np.array_equal(weights(alone), weights(still))
    # What scales the features is learned from the poses as they are.
    np.testing.assert_array_equal(load_run(alone).pose.scaler.mean, load_run(still).pose.scaler.mean)
    (path,) = predict(alone, [tmp_path / "m0_pose.csv"], tmp_path / "out", fps=FPS)
    assert len(read_prediction(path)) == 120


def test_a_network_of_places_predicts_the_project_and_no_single_file(tmp_path: Path) -> None:
    folder = pose_study(tmp_path, recordings=3)
    project = load_project(folder)
    rows = [
        replace(r, groups={**r.groups, "box": f"0 0 {60 + i} 60", "nest": "5 5"})
        for i, r in enumerate(project.recordings)
    ]
    save_project(replace(project, recordings=tuple(rows)))
    given = recipe(pose_features=("walls", "points", "speeds"), arena="box", interest=("nest",))
    run = train(folder, given, folder=tmp_path / "run")
    assert len(predict(run, [folder], tmp_path / "out")) == 3
    with pytest.raises(InputError, match="recording 'm0_pose' has no 'box', which the recipe asks for"):
        predict(run, [tmp_path / "m0_pose.csv"], tmp_path / "out", fps=FPS)


def test_recordings_of_several_rates_are_told_or_brought_to_one(tmp_path: Path) -> None:
    rows = []
    for i, fps in enumerate((10.0, 10.0, 25.0)):
        pose, bouts = make_pose(100, i)
        write_pose(tmp_path / f"m{i}.csv", pose)
        write_labels(tmp_path / f"m{i}_labels.csv", bouts, Timeline.uniform(100, fps), "bouts")
        rows.append(
            Recording(
                f"m{i}", pose=tmp_path / f"m{i}.csv", labels=tmp_path / f"m{i}_labels.csv", fps=fps
            )
        )
    save_project(Project(tmp_path / "study", "rates", ETHOGRAM, tuple(rows)))
    told = Told()
    open_study(tmp_path / "study", recipe(), progress=told)
    assert any("recordings have 10 to 25 frames/s" in m and "input.pose_fps" in m for m in told.messages)
    for given in (recipe(pose_fps=10.0), recipe(spacing_s=0.1)):
        told = Told()
        study = open_study(tmp_path / "study", given, progress=told)
        assert not any("frames/s" in m for m in told.messages)
        assert [len(one) for one in study.prepared.values()] == [100, 100, 40]


def test_a_recording_with_other_keypoints_or_animals_is_named_among_the_others(tmp_path: Path) -> None:
    folder = pose_study(tmp_path, recordings=4)
    pose, _ = make_pose(120, 1)
    write_pose(tmp_path / "m1_pose.csv", replace(pose, keypoints=("centre", "nose_tip", "tail")))
    pose, _ = make_pose(120, 2)
    two = replace(pose, xy=np.concatenate([pose.xy, pose.xy + 9], axis=1), animals=("mouse", "other"))
    write_pose(tmp_path / "m2_pose.csv", two)
    pose, _ = make_pose(120, 3)
    write_pose(
        tmp_path / "m3_pose.csv",
        replace(pose, xy=pose.xy[:, :, [2, 0, 1]], keypoints=("tail", "centre", "nose")),
    )
    with pytest.raises(ProjectError) as refused:
        open_study(folder, recipe())
    text = str(refused.value)
    assert "recording 'm1'" in text
    assert "has no keypoint nose, which the model needs. Did you mean 'nose_tip'?" in text
    assert "recording 'm2'" in text
    assert "tracks 2 animals (mouse, other), and the model needs 1 (mouse)" in text
    assert "'m3'" not in text  # another order is no fault
