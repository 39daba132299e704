"""Scenes filmed by several cameras: one network each, heard together, every scene judged once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import ETHOGRAM, FPS, make_pose, pose_recipe
from typer.testing import CliRunner

from murine.cli import app
from murine.config import SplitSettings, save_recipe
from murine.ensemble import COMBINED, combine, sweep
from murine.errors import InputError
from murine.files import read_json
from murine.formats import write_labels, write_pose
from murine.predict import predict
from murine.predictions import read_prediction, write_prediction
from murine.project import Project, load_project, save_project, select
from murine.scoring import score_paths
from murine.train.crossval import evaluate, load_scores
from murine.train.run import train
from murine.types import Bouts, Pose, Recording, Timeline

RECIPE = replace(pose_recipe(epochs=2), split=SplitSettings(by="scene", folds=2, validation=0.0))
CAMERAS = ("left", "right")


def scene_study(
    folder: Path, scenes: int = 4, n: int = 120, rates: tuple[float, float] = (FPS, FPS)
) -> Path:
    """Write a project: each scene seen by two cameras, the right one mirrored and at its own rate."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for s in range(scenes):
        pose, bouts = make_pose(n, s)
        for camera, rate in zip(CAMERAS, rates, strict=True):
            id_ = f"s{s}_{camera}"
            frames = np.minimum(np.arange(round(n * rate / FPS)) * FPS / rate, n - 1).astype(int)
            xy = pose.xy[frames].copy()
            if camera == "right":
                xy[..., 0] = 60 - xy[..., 0]
            write_pose(folder / f"{id_}_pose.csv", Pose(xy, pose.animals, pose.keypoints))
            labels = folder / f"{id_}_labels.csv"
            own = Bouts.from_classes(ETHOGRAM, bouts.classes()[frames])
            write_labels(labels, own, Timeline.uniform(len(frames), rate), "bouts")
            groups = {"camera": camera, "scene": f"scene{s}"}
            rows.append(
                Recording(id_, pose=folder / f"{id_}_pose.csv", labels=labels, fps=rate, groups=groups)
            )
    save_project(Project(folder / "study", "scenes", ETHOGRAM, tuple(rows)))
    return folder / "study"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scene_study(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def evaluated(study: Path) -> list[Path]:
    return [evaluate(study, RECIPE, only=[f"camera={camera}"]).folder for camera in CAMERAS]


def test_recordings_are_chosen_by_columns(study: Path) -> None:
    project = load_project(study)

    def ids(*only: str) -> list[str]:
        return [r.id for r in select(project, only).recordings]

    assert ids() == [r.id for r in project.recordings]
    assert ids("camera=left") == ["s0_left", "s1_left", "s2_left", "s3_left"]
    assert ids("camera = right", "scene=scene1", "scene=scene3") == ["s1_right", "s3_right"]
    assert ids("recording=s2_left") == ["s2_left"]
    for only, words in (
        ("camera", "takes COLUMN=VALUE, such as camera=left; came 'camera'"),
        ("camera=", "takes COLUMN=VALUE"),
        ("camra=left", "no column 'camra'. Did you mean 'camera'"),
        ("camera=lft", "no recording has camera=lft. Did you mean 'left'"),
    ):
        with pytest.raises(InputError, match=words):
            ids(only)
    with pytest.raises(
        InputError, match="no recording is left that has recording=s0_left and camera=right"
    ):
        ids("recording=s0_left", "camera=right")


def test_an_evaluation_of_one_camera(study: Path, evaluated: list[Path]) -> None:
    assert [folder.name for folder in evaluated] == ["tiny-pose-left", "tiny-pose-right"]
    header = read_json(evaluated[0] / "evaluation.json", "evaluation")
    assert header["only"] == ["camera=left"]
    splits = json.loads((evaluated[0] / "splits.json").read_text())
    used = {id_ for split in splits for side in ("train", "validation", "test") for id_ in split[side]}
    assert used == {"s0_left", "s1_left", "s2_left", "s3_left"}
    # the same folder with all cameras would be another thing
    with pytest.raises(InputError, match="trained with other settings, labels or files"):
        evaluate(study, RECIPE, out=evaluated[0])


def test_each_scene_is_judged_once(study: Path, evaluated: list[Path], tmp_path: Path) -> None:
    done = combine(tmp_path / "both", evaluated, by="scene", weights=(1, 3))
    assert sorted(p.stem for p in done.predictions) == ["s0_left", "s1_left", "s2_left", "s3_left"]
    assert done.scores["pooled"]["n"] == 4 * 120
    assert done.notes == ()
    for s in range(4):
        got = read_prediction(tmp_path / "both" / "predictions" / f"s{s}_left.parquet")
        parts = [
            read_prediction(folder / "predictions" / f"s{s}_{camera}.parquet").probabilities
            for folder, camera in zip(evaluated, CAMERAS, strict=True)
        ]
        assert got.probabilities == pytest.approx(0.25 * parts[0] + 0.75 * parts[1], abs=1e-6)
        assert [p["recording"] for p in got.meta[COMBINED]["parts"]] == [f"s{s}_left", f"s{s}_right"]
    assert score_paths(study, tmp_path / "both")["pooled"]["accuracy"] == pytest.approx(
        done.scores["pooled"]["accuracy"]
    )
    fusion = sweep(tmp_path / "fused", *evaluated, by="scene")
    assert fusion.table[0]["accuracy"] == pytest.approx(load_scores(evaluated[0])["pooled"]["accuracy"])
    assert fusion.table[-1]["accuracy"] == pytest.approx(load_scores(evaluated[1])["pooled"]["accuracy"])
    with pytest.raises(InputError, match=r"only in tiny-pose-left: s0_left, s1_left, s2_left, s3_left"):
        combine(tmp_path / "none", evaluated)


def test_cameras_of_other_rates_and_lengths(tmp_path: Path) -> None:
    study = scene_study(tmp_path, rates=(FPS, 2 * FPS))
    folders = [evaluate(study, RECIPE, only=[f"camera={camera}"]).folder for camera in CAMERAS]
    done = combine(tmp_path / "both", folders, by="scene")
    assert done.scores["pooled"]["n"] == 4 * 120
    assert done.notes == ()
    got = read_prediction(tmp_path / "both" / "predictions" / "s1_left.parquet")
    parts = [
        read_prediction(f / "predictions" / f"s1_{c}.parquet")
        for f, c in zip(folders, CAMERAS, strict=True)
    ]
    # frame i of the slow camera is frame 2 i of the fast one
    expected = (parts[0].probabilities + parts[1].probabilities[::2]) / 2
    assert got.probabilities == pytest.approx(expected, abs=1e-6)
    reverse = combine(tmp_path / "reverse", folders[::-1], by="scene")
    assert reverse.scores["pooled"]["n"] == 4 * 240
    # one camera that stopped early is refused by name, unless it is allowed
    path = folders[1] / "predictions" / "s2_right.parquet"
    whole = read_prediction(path)
    short = replace(
        whole, probabilities=whole.probabilities[:200], timeline=Timeline.uniform(200, 2 * FPS)
    )
    write_prediction(path, short)
    with pytest.raises(
        InputError, match=r"scene 'scene2', tiny-pose-right: 's2_right' lasts 10.00 s .* 12.00 s"
    ):
        combine(tmp_path / "short", folders, by="scene")
    assert not (tmp_path / "short").exists()
    assert combine(tmp_path / "short", folders, by="scene", tolerance_s=2.0).scores is not None


def test_labels_that_differ_between_cameras_are_told(tmp_path: Path) -> None:
    study = scene_study(tmp_path, scenes=2)
    write_labels(
        tmp_path / "s1_right_labels.csv", make_pose(120, 9)[1], Timeline.uniform(120, FPS), "bouts"
    )
    folders = [evaluate(study, RECIPE, only=[f"camera={camera}"]).folder for camera in CAMERAS]
    done = combine(tmp_path / "both", folders, by="scene")
    (note,) = done.notes
    assert "scene 'scene1': the labels of 's1_right' differ from those of 's1_left'" in note
    assert note in load_scores(tmp_path / "both")["notes"]


def test_scenes_that_do_not_meet(study: Path, evaluated: list[Path], tmp_path: Path) -> None:
    both = evaluate(study, RECIPE, out=tmp_path / "all").folder
    with pytest.raises(InputError, match="'s0_left' and 's0_right' are both of scene 'scene0'"):
        combine(tmp_path / "out", [evaluated[0], both], by="scene")
    other = evaluate(
        study, replace(RECIPE, split=SplitSettings(by="scene", folds=4, validation=0.0)),
        only=["camera=right"], out=tmp_path / "leave-one-out",
    ).folder  # fmt: skip
    with pytest.raises(InputError, match=r"different folds.*by a column that scenes share"):
        combine(tmp_path / "out", [evaluated[0], other], by="scene")
    with pytest.raises(InputError, match=r"no column 'room' to join by \(there are: camera, scene\)"):
        combine(tmp_path / "out", evaluated, by="room")


def test_new_scenes_by_the_commands(study: Path, tmp_path: Path) -> None:
    """Train and predict one camera each, then combine the folders of predictions."""
    save_recipe(RECIPE, tmp_path / "recipe.toml")
    folders = []
    for camera in CAMERAS:
        model = train(study, RECIPE, only=[f"camera={camera}"])
        assert model.name == f"tiny-pose-{camera}"
        folders.append(tmp_path / camera)
        written = predict(model, [study], folders[-1], only=[f"camera={camera}", "scene=scene2"])
        assert [p.stem for p in written] == [f"s2_{camera}"]
        with pytest.raises(InputError, match="--only chooses recordings of a project"):
            predict(model, [study.parent / "s2_left_pose.csv"], tmp_path / "x", only=["camera=left"])
    words = ["combine", tmp_path / "out", *folders, "--by", "scene", "--study", study, "-q", "--json"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stdout
    assert json.loads(done.stdout)["predictions"] == [str(tmp_path / "out" / "s2_left.parquet")]
    got = read_prediction(tmp_path / "out" / "s2_left.parquet")
    parts = [
        read_prediction(f / f"s2_{c}.parquet").probabilities
        for f, c in zip(folders, CAMERAS, strict=True)
    ]
    assert got.probabilities == pytest.approx((parts[0] + parts[1]) / 2, abs=1e-6)
    help_text = CliRunner().invoke(app, ["evaluate", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--only" in help_text
