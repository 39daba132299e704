"""What is wrong with labels and small files: one message that names the file, what came and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_study import ETHOGRAM, FPS, make_pose, pose_recipe, pose_study
from test_scoring_tasks import make_project

from murine.config import SplitSettings
from murine.errors import InputError, ProjectError
from murine.formats import describe_labels, read_labels, read_pose, write_labels
from murine.project import check, load_project, save_project
from murine.scoring import score_paths
from murine.train.crossval import evaluate
from murine.train.study import open_study
from murine.types import Bouts, Ethogram, Recording, Timeline
from murine.video import open_video

SUFFIXES = (
    ".csv", ".tsv", ".txt", ".csv.gz", ".h5", ".hdf5", ".parquet", ".boris", ".slp", ".annot", ".nwb", ".json",
    ".npy", ".mat", ".mp4", ".avi",
)  # fmt: skip
TEN = {
    "digits": b"0123456789",
    "zeros": bytes(10),
    "HDF5": b"\x89HDF\r\n\x1a\n\x00\x00",
    "Parquet": b"PAR1abPAR1",
    "json": b'{"a": 123}',
    "numpy": b"\x93NUMPY\x01\x00v\x00",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "letters": b"\xff\xfe\x00\x01abcdef",
}


@pytest.mark.parametrize("content", TEN)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_ten_bytes(content: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"ten{suffix}"
    path.write_bytes(TEN[content])
    readers: list[Callable[[], object]] = [
        lambda: read_pose(path),
        lambda: describe_labels(path),
        lambda: read_labels(path, Timeline.uniform(10, 10.0)),
        lambda: open_video(path),
    ]
    for read in readers:
        with pytest.raises(InputError, match=r"ten\.") as caught:
            read()
        assert "Traceback" not in str(caught.value)


def test_an_h5_file_that_is_no_pose_is_named_by_check_and_training(tmp_path: Path) -> None:
    study = pose_study(tmp_path, recordings=3)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"], file["bias"] = np.zeros((3, 3)), np.zeros(3)
    project = load_project(study)
    wrong = replace(project.recordings[1], pose=tmp_path / "weights.h5")
    recordings = (project.recordings[0], wrong, project.recordings[2])
    save_project(replace(project, recordings=recordings))
    says = r"weights\.h5: .*HDF5 file of another program; it holds: bias, kernel"
    (fault,) = (f for f in check(study).faults if f.severity == "error")
    with pytest.raises(ProjectError, match=says):
        open_study(study, pose_recipe())
    assert fault.recordings == ("m1",)
    assert "it holds: bias, kernel" in fault.text


def frames_table(path: Path, rows: int) -> Path:
    """Write a table with a row for each frame."""
    classes = make_pose(max(rows, 120), 0)[1].classes()[:rows]
    bouts = Bouts.from_classes(ETHOGRAM, classes)
    write_labels(path, bouts, Timeline.uniform(rows, FPS), "deepethogram")
    return path


def with_labels(study: Path, labels: Path) -> None:
    project = load_project(study)
    first: Recording = replace(project.recordings[0], labels=labels)
    save_project(replace(project, recordings=(first, *project.recordings[1:])))


def test_labels_of_another_length(tmp_path: Path) -> None:
    study = pose_study(tmp_path, recordings=3)
    with_labels(study, frames_table(tmp_path / "long.csv", 150))
    says = "labels run 30 frames .* past the end of the recording, which has 120 frames"
    with pytest.raises(ProjectError, match=f"long.csv: {says}"):
        open_study(study, pose_recipe())
    (fault,) = (f for f in check(study).faults if f.severity == "error")
    assert "past the end of the recording, which has 120 frames" in fault.text
    # Too few rows are a recording that was labelled in part: learned from and scored where it was.
    with_labels(study, frames_table(tmp_path / "short.csv", 90))
    report = check(study)
    assert report.ok
    assert any("8.3 % of the frames are not annotated" in f.text for f in report.faults)
    one, two = (frames_table(tmp_path / f"{n}.csv", n) for n in (90, 120))
    with pytest.raises(InputError, match="past the end of the recording, which has 90 frames"):
        score_paths(one, two, n_frames=90)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('stream = "S2"', 'stream = "S3"', "stream = 'S3', and no label file has it. Known: S1, S2."),
        (
            'stream = "S2"',
            'where = "annotator=9"',
            "recordings.csv has no column 'annotator'. Known: cage",
        ),
        ('stream = "S2"', 'where = "cage=9"', "no recording has cage=9. Known: a, b."),
        ('stream = "S2"', 'column = "ben"', "column = 'ben', and recordings.csv has no such column"),
    ],
)
def test_an_unknown_annotator_or_stream(old: str, new: str, says: str, tmp_path: Path) -> None:
    study = make_project(tmp_path, second_has_events=True)
    project = load_project(study)
    caged = [replace(r, groups={"cage": c}) for r, c in zip(project.recordings, "ab", strict=True)]
    save_project(replace(project, recordings=tuple(caged)))
    text = (study / "project.toml").read_text()
    assert old in text
    (study / "project.toml").write_text(text.replace(old, new))
    faults = [f.text for f in check(study).faults if f.severity == "error"]
    told = next(f for f in faults if f.startswith("task 'S2'"))
    assert "no recording has labels of it" in told
    assert says in told
    recipe = replace(pose_recipe(loss="binary_cross_entropy"), name="test/tasks")
    with pytest.raises(InputError) as caught:
        open_study(study, recipe)
    assert says in str(caught.value)


def test_a_class_absent_from_a_fold(tmp_path: Path) -> None:
    study = pose_study(tmp_path, recordings=4)
    three = Ethogram((*ETHOGRAM.behaviours, "groom"))
    for i in range(4):
        rows = make_pose(120, i)[1].intervals()
        if i == 3:  # the only recording in which anybody groomed
            rows = [*((a, min(b, 100), name) for a, b, name in rows if a < 100), (100, 120, "groom")]
        bouts = Bouts.build(three, 120, rows)
        write_labels(tmp_path / f"m{i}_labels.csv", bouts, Timeline.uniform(120, FPS), "bouts")
    save_project(replace(load_project(study), ethogram=three))
    warned = [f for f in check(study).faults if f.severity == "warning"]
    assert any("'groom' occurs only here" in f.text for f in warned)
    recipe = replace(pose_recipe(epochs=2), split=SplitSettings(by="recording", validation=0.0))
    found = evaluate(study, recipe)
    assert any(
        "behaviour 'groom' is not in any training recording" in note for note in found.scores["notes"]
    )
    # Where nobody groomed there is no recall; the pooled score knows the frames that were missed.
    alone = found.scores["recordings"]
    assert alone["m0"]["frames"]["per_class"]["groom"]["recall"] is None
    assert alone["m3"]["frames"]["per_class"]["groom"]["recall"] == 0.0
    assert "groom" in alone["m0"]["frames"]["absent"]
    assert found.scores["pooled"]["per_class"]["groom"]["support"] == 20
    assert found.scores["pooled"]["per_class"]["groom"]["f1"] == 0.0
