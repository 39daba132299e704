"""What a user at midnight does wrong: one clear message, exit code 2, nothing half-written.

Every item of this kind that murine promises to handle is here, through the command line.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import project_samples
import pytest
from cli_samples import (
    POSE_MODEL,
    VIDEO_MODEL,
    checked,
    done,
    edit,
    finish,
    listing,
    murine,
    refused,
    start,
    workplace,
)

from murine import files

STOPPED = "stopped. What was finished is kept; run the same command again to go on."


@pytest.fixture(autouse=True)
def _in_a_workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace(tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")


def refused_everywhere(study: str, says: str | tuple[str, ...]) -> None:
    """Check tells the fault; nothing is evaluated or trained."""
    recipe = "p.toml" if study.startswith("pose") else "v.toml"
    checked(study, says)
    words = (study, "-r", recipe, "--set", "training.epochs=3", "--quiet")
    refused("evaluate", *words, says=says)
    refused("train", *words, says=says, machine=False)


# --- files ---------------------------------------------------------------------------------------------


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def text(path: Path) -> None:
    path.write_text("Dear diary, the mice were busy today.\n" * 40)


def zipped(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(4000))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (gone, r"v0\.mkv: video not found"),
        (empty, r"v0\.mkv: video is empty \(0 bytes\)"),
        (halved, r"v0\.mkv: damaged: decodes only up to frame \d+ of about 30"),
        (text, r"v0\.mkv: not a video"),
        (zipped, r"v0\.mkv: not a video"),
    ],
)
def test_a_video_that_is_none(spoil: Callable[[Path], None], says: str) -> None:
    spoil(Path("video/v0.mkv"))
    refused_everywhere("video/study", says)
    refused("predict", VIDEO_MODEL, "video/v0.mkv", "-o", "new/out", says=says)
    refused("report", "video/study", says=says)
    refused("export", "video/study", "--to", "boris", says=says)


def test_one_bad_video_does_not_stop_the_others() -> None:
    halved(Path("video/v0.mkv"))
    outcome = murine("predict", VIDEO_MODEL, "video", "-o", "new")
    assert outcome.code == 2
    assert outcome.err.startswith("1 of 2 recordings could not be predicted; the other 1 are in new:\n")
    assert "v0.mkv: damaged" in outcome.err
    assert sorted(p.name for p in Path("new").iterdir()) == ["v1.bouts.csv", "v1.parquet"]


def test_inputs_that_are_missing_are_all_named() -> None:
    says = ("3 inputs cannot be used", "nope1.mkv", "nope2.mkv", r"no/\*\.mkv: no file is found by this")
    words = ("nope1.mkv", "nope2.mkv", "no/*.mkv", "video/v1.mkv")
    refused("predict", VIDEO_MODEL, *words, "-o", "new", says=says)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (gone, r"m0_pose\.csv: pose file not found"),
        (empty, r"m0_pose\.csv: pose file is empty \(0 bytes\)"),
        (text, r"m0_pose\.csv: the format was not recognised"),
        (zipped, r"m0_pose\.csv: .*It is a zip or Excel file"),
    ],
)
def test_a_pose_file_that_is_none(spoil: Callable[[Path], None], says: str) -> None:
    spoil(Path("pose/m0_pose.csv"))
    refused_everywhere("pose/study", says)
    refused("predict", POSE_MODEL, "pose/m0_pose.csv", "-o", "new", says=says)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (gone, r"m0_labels\.csv: label file not found"),
        (empty, r"m0_labels\.csv: label file is empty \(0 bytes\)"),
        (text, r"m0_labels\.csv: the format was not recognised"),
        (zipped, r"m0_labels\.csv: .*It is a zip or Excel file"),
    ],
)
def test_a_label_file_that_is_none(spoil: Callable[[Path], None], says: str) -> None:
    spoil(Path("pose/m0_labels.csv"))
    refused_everywhere("pose/study", says)
    refused("report", "pose/study", says=says)
    refused("score", "pose/study", "out", says=says)


def test_text_of_another_alphabet_inside_a_video_is_no_fault() -> None:
    """Cameras write titles and names of their own alphabet into the file."""
    path = Path("video/v0.mkv")
    content = path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"L\xe4vf"))
    assert done("check", "video/study", "--json").value["recordings"][0]["frames"] == 30


def test_a_model_gets_the_wrong_kind_of_file() -> None:
    refused("predict", POSE_MODEL, "video/v0.mkv", "-o", "new", says="sees pose, and a video came")
    refused("predict", VIDEO_MODEL, "pose/m0_pose.csv", "-o", "new", says="sees video .* pose file came")
    refused("predict", POSE_MODEL, "pose/m0_labels.csv", "-o", "new", says="holds labels")
    refused("predict", "pose/study", "pose/m3_pose.csv", "-o", "new", says="holds no trained model")
    refused("predict", POSE_MODEL + "/model.json", "x", "-o", "new", says="is a file. Give the folder")
    refused("predict", "nowhere", "x", "-o", "new", says="nowhere: not found")
    refused("train", "pose/study", "-r", "v.toml", says="has pose alone, and this model sees video")
    refused("check", "pose/study/project.toml", says="Give its folder")
    refused("check", "pose", says="no project here")


# --- labels --------------------------------------------------------------------------------------------


def test_labels_of_another_video() -> None:
    # a longer one: its labels run past the end
    shutil.copy("pose/m0_labels.csv", "video/v0.csv")
    refused_everywhere("video/study", r"v0\.csv: labels run 30 frames \(3\.00 s\) past the end")
    # one whose name says so: init does not pair it
    shutil.copy("pose/m0_labels.csv", "video/mouse7.csv")
    words = ("--videos", "video/*.mkv", "--labels", "video/v1.csv", "--labels", "video/mouse7.csv")
    refused("init", "new", *words, says=r"mouse7\.csv: no video has a name that fits")


def test_boris_labels_of_another_video_are_known_by_its_length() -> None:
    done("export", "video/study", "--to", "boris-project", "-o", "boris")
    edit("boris/v0.boris", "v0.mkv", "other.mkv")
    edit("video/study/recordings.csv", "../v0.csv", "../../boris/v0.boris")
    report = done("check", "video/study", "--json").value
    assert any(
        "was made on 'other.mkv', and this recording is 'v0'" in f["text"] for f in report["faults"]
    )
    (observation,) = json.loads(Path("boris/v0.boris").read_text())["observations"].values()
    assert observation["media_info"]["length"] == {"other.mkv": 3.0}
    edit("boris/v0.boris", '"other.mkv": 3.0', '"other.mkv": 95.5')
    checked("video/study", r"was made on a video of 95\.50 s, and this recording has 3\.00 s")


def test_an_unknown_behaviour() -> None:
    edit("pose/m0_labels.csv", '"walk"', '"wlak"')
    refused_everywhere(
        "pose/study", r"behaviours the project does not know: 'wlak' \(2 bouts\)\. Did you mean 'walk'"
    )


def test_exclusive_bouts_that_overlap() -> None:
    edit("pose/m0_labels.csv", '"walk",18,33,1.8,3.3', '"walk",12,33,1.2,3.3')
    says = r"'rest' in frames \[0, 18\) overlaps 'walk' in frames \[12, 33\); behaviours are exclusive"
    refused_everywhere("pose/study", says)


def test_a_label_past_the_end() -> None:
    edit("pose/m0_labels.csv", '"rest",58,60,5.8,6', '"rest",58,70,5.8,7')
    says = r"labels run 10 frames \(1\.00 s\) past the end .* allow it with tolerance_s = 1 in project\.toml"
    refused_everywhere("pose/study", says)
    edit("pose/study/project.toml", "tolerance_s = 0.0", "tolerance_s = 1")
    assert done("check", "pose/study", "--json").value["ok"] is True


def test_frames_without_a_behaviour_and_no_background() -> None:
    edit("pose/m0_labels.csv", '"rest",33,47,3.3,4.7\n', "")
    checked("pose/study", r"14 frames \(the first is 33\) .* Name a behaviour for them in project\.toml")
    refused("train", "pose/study", "-r", "p.toml", "--name", "n", says="Name a background")


# --- pose ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (30, r"pose has 30 frames and the video 40: 10 frames \(0\.50 s\) too few"),
        (55, r"pose has 55 frames and the video 40: 15 frames \(0\.75 s\) too many"),
    ],
)
def test_a_pose_shorter_or_longer_than_its_video(frames: int, says: str) -> None:
    project_samples.make_study(Path("both"), videos=True, poses=True)
    project_samples.make_pose(Path("both/pose/m1.csv"), frames)
    done("init", "pose_video", "-v", "both/videos", "-p", "both/pose", "-l", "both/labels")
    assert not murine("check", "pose_video").err
    checked("pose_video", says)
    for command in ("evaluate", "train"):
        refused(command, "pose_video", "-r", "p.toml", says=says)


def nothing_seen(path: Path, rows: slice = slice(None)) -> None:
    """Empty the cells of a pose file with one animal."""
    lines = path.read_text().splitlines()
    head, body = lines[:4], lines[4:]
    body[rows] = [line.split(",")[0] + "," * line.count(",") for line in body[rows]]
    path.write_text("\n".join([*head, *body]) + "\n")


def test_a_pose_of_nothing() -> None:
    nothing_seen(Path("pose/m0_pose.csv"))
    refused_everywhere("pose/study", "no keypoint has a position in any frame")
    refused("predict", POSE_MODEL, "pose/m0_pose.csv", "-o", "new", says="no keypoint has a position")


def test_an_animal_that_is_never_there() -> None:
    project_samples.make_study(Path("two"), videos=False, poses=True)
    done("init", "both", "-p", "two/pose", "-l", "two/labels", "--fps", "20")
    words = ("train", "both", "-r", "p.toml", "--set", "training.epochs=1", "-q")
    done(*words, "--name", "whole")
    project_samples.make_pose(Path("two/pose/m2.csv"), gone=[(slice(None), 1, slice(None))])
    checked("both", "animal 'two' is absent in every frame")
    refused(*words, "--name", "lost", says=r"m2\.csv: absent in every frame: two")
    refused(
        "predict", "both/models/whole", "two/pose/m2.csv", "-o", "new", says="absent in every frame: two"
    )


def test_an_animal_that_is_away_for_a_while_is_told_and_no_fault() -> None:
    nothing_seen(Path("pose/m3_pose.csv"), slice(10, 30))
    report = done("check", "pose/study", "--json").value
    assert report["ok"] is True
    absent = {row["id"]: row["absent"] for row in report["recordings"]}
    assert absent == {"m0": 0, "m1": 0, "m2": 0, "m3": pytest.approx(20 / 60)}
    done("predict", POSE_MODEL, "pose/m3_pose.csv", "-o", "new")


def test_a_pose_with_other_keypoints() -> None:
    edit("pose/m3_pose.csv", "nose", "snout")
    refused("predict", POSE_MODEL, "pose/m3_pose.csv", "-o", "new", says="has no keypoint nose")
    edit("pose/m0_pose.csv", "nose", "snout")
    refused_everywhere("pose/study", "snout")


@pytest.mark.parametrize("fps", ["0", "-5", "nan", "inf", "1e9"])
def test_an_impossible_frame_rate(fps: str) -> None:
    words = ("-p", "pose/m*_pose.csv", "-l", "pose/m*_labels.csv")
    refused("init", "new", *words, "--fps", fps, says=r"fps (must be positive|above 100,000)")
    refused("predict", POSE_MODEL, "pose/m0_pose.csv", "-o", "new", "--fps", fps, says="fps")


# --- projects ------------------------------------------------------------------------------------------


def keep_rows(table: str, number: int) -> None:
    lines = Path(table).read_text().splitlines()
    Path(table).write_text("\n".join(lines[: number + 1]) + "\n")


def test_one_recording_can_be_trained_on_and_not_evaluated() -> None:
    keep_rows("pose/study/recordings.csv", 1)
    says = r"in one group \('m0'\), so none is left to test on\. Label a recording of another animal"
    refused("evaluate", "pose/study", "-r", "p.toml", "-o", "new", says=says)
    report = done("check", "pose/study", "--json").value
    assert any("only one recording is labelled" in fault["text"] for fault in report["faults"])
    done("train", "pose/study", "-r", "p.toml", "--name", "single", "-q")


def test_one_class() -> None:
    edit("pose/study/project.toml", 'behaviours = ["rest", "walk"]', 'behaviours = ["rest"]')
    edit("pose/study/project.toml", "ignore = []", 'ignore = ["walk"]')
    checked("pose/study", "only one behaviour, 'rest'")
    for command in ("evaluate", "train"):
        refused(command, "pose/study", "-r", "p.toml", says="its only behaviour is 'rest'")


def test_a_class_without_a_positive_frame() -> None:
    edit(
        "pose/study/project.toml",
        'behaviours = ["rest", "walk"]',
        'behaviours = ["rest", "walk", "eat"]',
    )
    checked("pose/study", "behaviour 'eat' has no frame in any recording")
    for command in ("evaluate", "train"):
        refused(command, "pose/study", "-r", "p.toml", says="no labelled frame shows eat")


def test_a_project_without_labels() -> None:
    for number in range(3):
        edit("pose/study/recordings.csv", f"../m{number}_labels.csv", "")
    checked("pose/study", "no recording has labels")
    for command in ("evaluate", "train"):
        refused(command, "pose/study", "-r", "p.toml", says="no recording has labels")
    refused("report", "pose/study", says="none of its recordings has labels")
    refused("export", "pose/study", "--to", "csv", says="none of its recordings has labels")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("project.toml", "exclusive = true", "exclusive = treu", r"not valid TOML: .*line \d+"),
        ("project.toml", "exclusive", "exclusiv", "unknown setting. Did you mean 'exclusive'"),
        ("project.toml", "tolerance_s = 0.0", "tolerance_s = -1", "tolerance_s: expected at least 0"),
        ("project.toml", '"rest", "walk"', "", "ethogram"),
        ("recordings.csv", "m1,,", "m0,,", "two recordings are called 'm0'"),
        ("recordings.csv", ",10,,,,a1", ",ten,,,,a1", "fps must be a number; came 'ten'"),
        ("recordings.csv", "id,video", "name,video", "no column 'id'"),
    ],
)
def test_a_project_edited_wrongly(file: str, old: str, new: str, says: str) -> None:
    edit(f"pose/study/{file}", old, new)
    for command in (
        ("check", "pose/study"),
        ("train", "pose/study", "-r", "p.toml"),
        ("report", "pose/study"),
    ):
        refused(*command, says=says)


def test_ids_of_one_letter_are_told_apart() -> None:
    """Python shares short strings, so that two equal ids are one object."""
    table = Path("pose/study/recordings.csv")
    table.write_text(table.read_text().replace("m0,,", "1,,").replace("m1,,", "1,,"))
    refused("check", "pose/study", says="two recordings are called '1'")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--exclude", "wlak"), "cannot leave out 'wlak': no such behaviour. Did you mean 'walk'"),
        (("--background", "rset"), "no behaviour 'rset' to be the background, .* Did you mean 'rest'"),
        (("--subject", "nobody"), "no label file has a subject 'nobody'"),
        (("--stream", "S1"), "no stream 'S1'"),
        (("--tolerance", "-1"), "tolerance_s: expected seconds, at least 0"),
        (("--tolerance", "nan"), "tolerance_s: expected seconds, at least 0"),
        (("--pattern", "("), "is not a regular expression"),
        (("--pattern", "mouse(?P<mouse>[0-9])"), "fits none of the 2 ids, such as 'v0'"),
        (("--clips", "video"), "not both"),
    ],
)
def test_init_with_options_that_do_not_fit(words: tuple[str, ...], says: str) -> None:
    refused("init", "new", "-v", "video/*.mkv", "-l", "video/*.csv", *words, says=says)


def test_init_does_not_write_over_a_project() -> None:
    words = ("init", "video/study", "-v", "video/*.mkv", "-l", "video/*.csv")
    refused(*words, says="there is a project already .* replace it with --force")
    refused("init", "new", "-v", "video/*.mkv", says="a project needs labels")
    refused(
        "init", "new", "-l", "video/*.csv", says="a project needs videos, poses or a folder of clips"
    )


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--seconds", "inf", "seconds must be from 10 to 86400"),
        ("--fps", "nan", "fps must be from 5 to 240"),
        ("--height", "63", "two even numbers from 64 to 2048"),
        ("--animals", "0", "must be at least 1"),
        ("--view", "below", "view must be 'side' or 'top'"),
        ("--seed", "-1", "seed must be 0 or more"),
    ],
)
def test_a_study_that_cannot_be_simulated(option: str, value: str, says: str) -> None:
    refused("simulate", "new", option, value, says=says)


# --- recipes -------------------------------------------------------------------------------------------


def test_a_misspelt_recipe_is_told_whole() -> None:
    Path("bad.toml").write_text(
        '[model]\nname = "ms_tcn_p"\n'
        "[trainig]\nepochs = 3\n"
        '[training]\nepoch = 3\nbatch_size = 0\nlearning_rate = "fast"\naugment = ["mirrror"]\n'
        '[input]\npose_features = ["sppeds"]\n'
        '[[postprocess]]\nname = "medain"\nseconds = 0.3\n'
    )
    says = (
        r"bad\.toml: 8 faults",
        "trainig: unknown. Did you mean 'training'",
        r"training\.epoch: unknown setting. Did you mean 'epochs'",
        r"training\.batch_size: expected at least 1; came 0",
        r"training\.learning_rate: expected a number; came 'fast'",
        "unknown model 'ms_tcn_p'. Did you mean 'ms_tcn_pp'",
        "unknown 'mirrror'. Did you mean 'mirror'",
        "unknown 'sppeds'. Did you mean 'speeds'",
        "name = 'medain' is not a step. Did you mean 'median'",
    )
    for command in ("evaluate", "train"):
        refused(command, "pose/study", "-r", "bad.toml", says=says)


def test_wrong_settings_on_the_command_line() -> None:
    words = (
        "train",
        "pose/study",
        "-r",
        "p.toml",
        "--set",
        "training.epochz=3",
        "--set",
        "window.frames=x",
    )
    refused(*words, "--set", "foo", says=("3 faults", "Did you mean 'epochs'", "came 'x'", "--set foo:"))
    refused("train", "pose/study", "-r", "pose/ms-tcn-p", says="Did you mean 'pose/ms-tcn-pp'")
    refused("train", "pose/study", "-r", "nope.toml", says=r"nope\.toml: the recipe not found")
    for name in ("../up", "a/b", "nul:", "dots."):
        refused("train", "pose/study", "-r", "p.toml", "--name", name, says="cannot name a model")
    words = ("train", "pose/study", "-r", "p.toml", "-q", "--name", "new", "--set")
    refused(*words, "training.device=gpu", says="device 'gpu' cannot be used")
    refused(*words, "training.learning_rate=1e30", says="training diverged: .* lower learning rate")
    refused("evaluate", "pose/study", "-r", "p.toml", "--set", "split.by=cage", says="has no 'cage'")
    refused(
        "evaluate", "pose/study", "-r", "p.toml", "--set", "split.folds=9", says="choose 2 to 3 folds"
    )


def test_another_recipe_does_not_write_over_a_trained_network() -> None:
    words = ("train", "pose/study", "-r", "p.toml", "--set", "training.epochs=9")
    refused(*words, says="holds a network trained with other settings")


# --- other versions, damaged results ------------------------------------------------------------------


def change_json(path: Path, change: Callable[[dict], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda m: m.update(format_version=2, murine="9.1"),
            r"written by murine 9\.1 in format 2.*Upgrade",
        ),
        (lambda m: m["settings"].update(zap=3), r"written by murine .* unknown setting 'zap'"),
        (
            lambda m: m.update(model="ms_tcn_3"),
            "unknown model 'ms_tcn_3'. Did you mean 'ms_tcn' or 'ms_tcn_pp'",
        ),
        (lambda m: m["extra"]["recipe"]["training"].update(zap=3), r"training\.zap: unknown setting"),
        (lambda m: m["extra"]["recipe"]["input"].update(pose_features=["zap"]), "unknown 'zap'"),
        (lambda m: m["extra"]["recipe"].update(postprocess=[{"name": "zap"}]), "'zap' is not a step"),
        (lambda m: m["extra"]["pose"].pop("scaler"), r"model\.json: damaged"),
        (lambda m: m.pop("ethogram"), r"model\.json: damaged"),
    ],
)
def test_a_network_of_another_version(change: Callable[[dict], None], says: str) -> None:
    change_json(Path(POSE_MODEL) / "model.json", change)
    message = refused(
        "predict", POSE_MODEL, "pose/m3_pose.csv", "-o", "new", says=says.replace(".*", "[^$]*")
    )
    assert "model.json" in message


def test_a_network_cut_short() -> None:
    halved(Path(POSE_MODEL) / "weights.safetensors")
    words = ("predict", POSE_MODEL, "pose/m3_pose.csv", "-o", "new")
    refused(*words, says="is not what model.json was written for")
    (Path(POSE_MODEL) / "weights.safetensors").unlink()
    refused(*words, says="weights of a trained model not found")
    halved(Path(POSE_MODEL) / "model.json")
    refused(*words, says="not readable JSON")


def test_projects_and_predictions_of_a_later_version() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table("out/m0.parquet")
    header = json.loads(table.schema.metadata[b"murine"]) | {"format": 9, "murine_version": "9.1"}
    pq.write_table(table.replace_schema_metadata({b"murine": json.dumps(header)}), "out/m0.parquet")
    for words in (("report", "out"), ("export", "out", "--to", "csv"), ("score", "pose/study", "out")):
        refused(*words, says=r"m0\.parquet: written by murine 9\.1 in layout 9")
    edit("pose/study/project.toml", 'murine_version = "0.1.0"', 'murine_version = "9.1.0"')
    for words in (("check", "pose/study"), ("train", "pose/study", "-r", "p.toml")):
        refused(*words, says=r"written by murine 9\.1\.0")


@pytest.mark.parametrize("spoil", [empty, halved, text])
def test_a_damaged_prediction(spoil: Callable[[Path], None]) -> None:
    spoil(Path("out/m1.parquet"))
    for words in (("report", "out"), ("export", "out", "--to", "csv"), ("score", "pose/study", "out")):
        refused(*words, says=r"out/m1\.parquet: ")
    # predicting again mends it
    done("predict", POSE_MODEL, "pose/study", "-o", "out")
    assert done("score", "pose/study", "out", "--json").value["recordings"] == 3


def test_a_damaged_evaluation() -> None:
    folder = Path("pose/study/evaluations/tiny-pose")
    done("evaluate", "pose/study", "-r", "p.toml", "--set", "training.epochs=1", "-q")
    scores = (folder / "scores.json").read_text()
    for content in ("{", "[]", ""):
        (folder / "scores.json").write_text(content)
        refused("report", folder, says=r"scores\.json: .*(damaged|empty)")
    (folder / "scores.json").unlink()
    refused(
        "report", folder, says="this evaluation is not finished. Run the same 'murine evaluate' again"
    )
    (folder / "scores.json").write_text(scores)
    shutil.move("pose/study/project.toml", "pose/project.toml")
    refused("report", folder, says="its project is not at pose/study any more")
    shutil.move("pose/project.toml", "pose/study/project.toml")
    (folder / "splits.json").write_text("x")
    refused("report", folder, says=r"splits\.json: damaged")
    (folder / "evaluation.json").write_text("x")
    refused("report", folder, says=r"evaluation\.json: damaged")


def test_scores_of_what_does_not_belong_together() -> None:
    refused(
        "score", "video/study", "out", says="no recording is in both .* v0, v1 against m0, m1, m2, m3"
    )
    refused("score", "pose/study", "out", "--background", "wlak", says="Did you mean 'walk'")
    refused("score", "pose/m0_labels.csv", "out/m0.bouts.csv", says="Give it with --frames")
    refused("score", "pose/study", "nowhere", says="nowhere: not found")
    refused("export", "out", "--to", "borsi", says="Did you mean 'boris'")
    refused("report", "out", "pose/study", says="out: not a project")


# --- what cannot be written ----------------------------------------------------------------------------


def test_a_file_where_a_folder_is_needed() -> None:
    Path("taken").write_text("a file")
    Path("video/study/models").rename("video/models")
    Path("video/study/models").write_text("a file")
    says = "a file is where a folder is needed"
    inputs = ("-v", "video/*.mkv", "-l", "video/*.csv")
    refused("init", "taken/study", *inputs, says=says)
    refused("train", "video/study", "-r", "v.toml", "-q", says=says)
    refused("evaluate", "video/study", "-r", "v.toml", "-o", "taken", "-q", says=says)
    refused("predict", "video/models/tiny-video", "video/v0.mkv", "-o", "taken", says=says)
    refused("predict", "video/models/tiny-video", "video/v0.mkv", "-o", "taken/deeper", says=says)
    refused("report", "out", "-o", "taken/page.html", says=says)
    refused("export", "out", "--to", "boris", "-o", "taken", says=says)
    refused("simulate", "taken", "--animals", "2", "--seconds", "10", says=says)
    refused("demo", "taken", says=says)
    refused("report", "out", "-o", "pose", says="a folder is where a file is to be written")


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it says how to put it elsewhere; what only gains by it goes on without."""
    Path("taken").write_text("a file")
    monkeypatch.setenv("MURINE_CACHE", str(Path("taken").absolute()))
    says = "a file is where a folder is needed. .*set MURINE_CACHE to a folder on another disk"
    refused("train", "video/study", "-r", "v.toml", "--name", "new", "-q", says=says)
    assert done("check", "video/study", "--json").value["ok"] is True
    done("predict", VIDEO_MODEL, "video/v0.mkv", "-o", "new")
    monkeypatch.setenv("MURINE_CACHE_GB", "much")
    words = ("train", "video/study", "-r", "v.toml", "--name", "new", "-q")
    refused(*words, says="must be a positive number of gigabytes; came 'much'")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written() -> None:
    Path("shut").mkdir(mode=0o555)
    says = r"cannot be written \(no permission\)"
    refused("predict", POSE_MODEL, "pose/m0_pose.csv", "-o", "shut/out", says=says)
    refused("init", "shut/study", "-v", "video/*.mkv", "-l", "video/*.csv", says=says)
    refused("evaluate", "pose/study", "-r", "p.toml", "-o", "shut/evaluation", "-q", says=says)
    refused("report", "out", "-o", "shut/page.html", says=says)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run commands on a disk that takes files of so many bytes and no more.

    A limit of the operating system, so that every library meets it where it writes; it is called a
    file too large there, and a full disk here.
    """
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(files, "_NO_SPACE", {errno.EFBIG})

    def refused_for(size: int, *words: object, leaves: bool = False, where: str = "") -> None:
        before = listing(Path())
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
        try:
            outcome = murine(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1
        assert f"{where}: the disk is full. Free some space and run the command again." in outcome.err
        after = listing(Path())
        assert not any(name.endswith(".part") for name in after)
        assert leaves or after == before

    return refused_for


def test_a_full_disk_before_anything_is_learned(disk: Callable[..., None], tmp_path: Path) -> None:
    cache = str(os.environ["MURINE_CACHE"])
    disk(100, "train", "pose/study", "-r", "p.toml", "-q", "--name", "new", where=cache)
    disk(2000, "evaluate", "video/study", "-r", "v.toml", "-q", where=cache)
    assert not any(".part" in name for name in listing(Path(cache)))
    inputs = ("-v", "video/*.mkv", "-l", "video/*.csv")
    disk(10, "init", "deep/study", *inputs, where=r"project.toml")
    disk(400, "init", "deep/study", *inputs, where=r"project.toml")
    disk(1000, "simulate", "sim/deep", "--animals", "2", "--seconds", "10", where="animal1_day1.mp4")
    disk(3000, "report", "out", "-o", "deep/page.html", where="page.html")
    disk(100, "export", "out", "--to", "boris", "-o", "deep/boris", where="m0.csv")


def test_a_full_disk_while_learning(disk: Callable[..., None]) -> None:
    words = ("train", "pose/study", "-r", "p.toml", "-q", "--set", "training.seed=5", "--name")
    disk(6000, *words, "new", leaves=True, where="state.safetensors")
    assert not (Path("pose/study/models/new") / "model.json").exists()
    done(*words, "new")
    done(*words, "whole")
    same(Path("pose/study/models/new"), Path("pose/study/models/whole"), "weights.safetensors")


def test_a_full_disk_while_predicting(disk: Callable[..., None]) -> None:
    words = ("predict", VIDEO_MODEL, "video/v0.mkv", "-o")
    disk(100, *words, "new", where="v0.parquet")
    disk(1000, *words, "new", leaves=True, where="v0.parquet")
    assert {Path(name).parts[1] for name in listing(Path()) if name.startswith("new/")} == {
        ".unfinished"
    }
    done(*words, "new")
    done(*words, "whole")
    assert sorted(listing(Path("new"))) == ["v0.bouts.csv", "v0.parquet"]
    same(Path("new"), Path("whole"), "v0.parquet")
    disk(150, "export", "out", "--to", "boris", "-o", "new/boris", where="m0.csv")


def same(one: Path, two: Path, *names: str) -> None:
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


# --- Ctrl-C --------------------------------------------------------------------------------------------

ctrl_c = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C")

# What a shell starts in the background, the whole suite for one, is deaf to Ctrl-C, and so is what that starts.
LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

IN_TRAINING = """
import os, signal
from murine.train import loop
save = loop.save_state
def stopping(folder, state):
    save(folder, state)
    if str(folder).endswith({folder!r}) and state.numbers.epoch == {epoch}:
        os.kill(os.getpid(), signal.SIGINT)
loop.save_state = stopping
"""

IN_PREDICTION = """
import os, signal
from murine.predict.partial import Partial
add = Partial.add
def stopping(partial, start, values):
    add(partial, start, values)
    if partial.rows > 8:
        os.kill(os.getpid(), signal.SIGINT)
Partial.add = stopping
"""


def stop(prelude: str, *words: object) -> None:
    """Run a command in a process of its own that gets Ctrl-C; it must end cleanly."""
    outcome = finish(start(*words, prelude=LISTENING + prelude))
    assert (outcome.code, outcome.out, outcome.err) == (2, "", STOPPED + "\n")
    assert not [name for name in listing(Path()) if name.endswith(".part")]


@ctrl_c
def test_ctrl_c_while_training() -> None:
    words = ("train", "pose/study", "-r", "p.toml", "-q", "--set", "training.seed=5", "--name")
    stop(IN_TRAINING.format(folder="new", epoch=2), *words, "new")
    folder = Path("pose/study/models/new")
    assert "state.safetensors" in listing(folder)
    assert "model.json" not in listing(folder)
    refused("predict", folder, "pose/m3_pose.csv", "-o", "o", says="training was stopped after 2 epochs")
    done(*words, "new")
    done(*words, "whole")
    assert "state.safetensors" not in listing(folder)
    same(folder, folder.with_name("whole"), "weights.safetensors", "config.toml", "splits.json")
    losses = [
        np.genfromtxt(folder.with_name(name) / "metrics.csv", delimiter=",", names=True)["train_loss"]
        for name in ("new", "whole")
    ]
    assert losses[0].tolist() == losses[1].tolist()
    assert len(losses[0]) == 4


@ctrl_c
def test_ctrl_c_while_evaluating() -> None:
    words = ("evaluate", "pose/study", "-r", "p.toml", "-q", "-o")
    stop(IN_TRAINING.format(folder="fold-2", epoch=1), *words, "new")
    assert (Path("new/folds/fold-1") / "model.json").exists()
    assert not Path("new/scores.json").exists()
    refused("report", "new", says="this evaluation is not finished")
    resumed = done(*words, "new", "--json").value["scores"]
    whole = done(*words, "whole", "--json").value["scores"]
    assert (resumed.pop("reused"), whole.pop("reused")) == (["fold-1"], [])
    assert resumed == whole
    same(Path("new/predictions"), Path("whole/predictions"), "m0.parquet", "m1.parquet", "m2.parquet")


@ctrl_c
def test_ctrl_c_while_predicting() -> None:
    words = ("predict", VIDEO_MODEL, "video/v0.mkv", "-q", "-o")
    stop(IN_PREDICTION, *words, "new")
    kept = json.loads(Path("new/.unfinished/v0/state.json").read_text())
    assert 8 < kept["rows"] < 30
    done(*words, "new")
    done(*words, "whole")
    assert sorted(listing(Path("new"))) == ["v0.bouts.csv", "v0.parquet"]
    same(Path("new"), Path("whole"), "v0.parquet", "v0.bouts.csv")


def test_beginning_anew_forgets_what_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one network must never be finished by another."""
    from murine.predict.partial import Partial

    words = ("predict", VIDEO_MODEL, "video/v0.mkv", "-q", "--restart", "-o")
    done(*words, "whole")
    with monkeypatch.context() as patch:
        add = Partial.add

        def stopping(partial: Partial, start: int, values: np.ndarray) -> None:
            add(partial, start, np.full_like(values, 0.5))
            if partial.rows > 8:
                raise KeyboardInterrupt

        patch.setattr(Partial, "add", stopping)
        outcome = murine(*words, "new", "--json")
    assert (outcome.code, outcome.err) == (2, "")
    assert outcome.value == {"error": {"kind": "Stopped", "message": STOPPED}}
    assert Path("new/.unfinished/v0/state.json").exists()
    done(*words, "new")
    same(Path("new"), Path("whole"), "v0.parquet")
