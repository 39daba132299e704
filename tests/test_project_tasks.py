"""`init` makes tasks: of the streams of label files, or of a file for each annotator or question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_study import FPS, make_pose
from test_scoring_tasks import stream
from typer.testing import CliRunner

from murine.cli import app
from murine.errors import InputError, ProjectError
from murine.formats import write_pose
from murine.metrics import fill_background
from murine.project import check, init, load_bouts
from murine.types import Task

FRAMES = 100


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three recordings: all labelled for stream S1, all but the last for S2; two annotators' tables of two."""
    for i in range(3):
        write_pose(tmp_path / "pose" / f"m{i}.csv", make_pose(FRAMES, i)[0])
        text = "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\n"
        text += "rest\tr\nwalk\tw\nnone\tn\nturn\tt\n\n" + stream(
            "S1", [(0, 60, "rest"), (60, FRAMES, "walk")]
        )
        if i < 2:
            text += "\n" + stream("S2", [(0, 80, "none"), (80, 90, "turn"), (90, FRAMES, "none")])
        (tmp_path / "streams").mkdir(exist_ok=True)
        (tmp_path / "streams" / f"m{i}.txt").write_text(text)
        for who, rows in (("anna", "groom,0,2\nrear,3,10"), ("ben", "groom,0,3\nrear,2,9")):
            (tmp_path / who).mkdir(exist_ok=True)
            if who == "anna" or i == 0:
                (tmp_path / who / f"m{i}.csv").write_text(f"behavior,start_s,stop_s\n{rows}\n")
    return tmp_path


def test_each_stream_is_a_task(files: Path) -> None:
    project = init(
        files / "study",
        poses=[str(files / "pose")],
        labels=[str(files / "streams")],
        tasks="streams",
        fps=FPS,
    )
    one, two = project.ethogram.tasks
    assert one == Task("S1", ("S1/rest", "S1/walk"))
    assert two == Task("S2", ("S2/none", "S2/turn"))
    assert [source.stream for source in project.sources] == ["S1", "S2"]
    first = load_bouts(project, project.recordings[0]).frames()
    assert (first[80:90, 3] == 1).all()
    assert first[:, 3].sum() == 10
    assert (load_bouts(project, project.recordings[2]).frames()[:, 2:] == -1).all()
    report = check(files / "study")
    told = [fault.text for fault in report.faults]
    assert "task 'S1': labels in 3 of 3 recordings; one behaviour at a time" in told
    assert "task 'S2': labels in 2 of 3 recordings; one behaviour at a time" in told
    assert report.ok
    named = init(
        files / "named",
        poses=[str(files / "pose")],
        labels=[str(files / "streams")],
        tasks="streams",
        background="none",
        fps=FPS,
    )
    assert [task.background for task in named.ethogram.tasks] == [None, "S2/none"]


def test_files_of_each_annotator(files: Path) -> None:
    project = init(
        files / "study",
        poses=[str(files / "pose")],
        task_labels={"anna": [str(files / "anna" / "*.csv")], "ben": [str(files / "ben")]},
        fps=FPS,
    )
    anna, ben = project.ethogram.tasks
    assert anna.behaviours == ("anna/groom", "anna/rear", "anna/background")
    assert (ben.behaviours, ben.exclusive) == (("ben/groom", "ben/rear"), False)
    assert [source.column for source in project.sources] == ["labels_anna", "labels_ben"]
    assert project.recordings[0].groups == {
        "labels_anna": "../anna/m0.csv", "labels_ben": "../ben/m0.csv"
    }  # fmt: skip
    assert project.recordings[1].groups["labels_ben"] == ""
    table = load_bouts(project, project.recordings[0]).frames()
    assert (table[:, 2] == 0).all(), "none of the others: nothing to read in the file"
    table = fill_background(table, project.ethogram)
    assert [int((table[:, c] == 1).sum()) for c in range(5)] == [20, 70, 10, 30, 70]
    report = check(files / "study")
    assert "task 'ben': labels in 1 of 3 recordings; behaviours may overlap" in [
        fault.text for fault in report.faults
    ]
    assert {row.behaviour: row.frames for row in report.classes}["anna/background"] == 30


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tasks": "stream"}, "tasks are made of 'streams'; came 'stream'"),
        ({"tasks": "streams", "stream": "S1"}, "leave --stream S1 out"),
        ({"tasks": "streams", "exclude": ["jump"]}, "cannot leave out 'jump'"),
        ({"tasks": "streams", "exclude": ["turn", "none"]}, "task 'S2': its labels hold no behaviour"),
        ({"tasks": "streams", "background": "rset"}, "Did you mean 'rest'"),
        ({"task_labels": {"a": ["x.csv"]}}, "leave --labels out"),
        ({"task_labels": {"a": ["x.csv"]}, "tasks": "streams"}, "not both"),
        ({"task_labels": {"a/b": ["x.csv"]}, "labels": []}, "'a/b' cannot name a task"),
        ({"task_labels": {"a": ["nothing/*.csv"]}, "labels": []}, "task a: no file is found by"),
    ],
)
def test_what_does_not_go_together_is_refused(files: Path, options: dict, says: str) -> None:
    given = {"poses": [str(files / "pose")], "labels": [str(files / "streams")], "fps": FPS}
    with pytest.raises(InputError, match=says):
        init(files / "study", **{**given, **options})
    assert not (files / "study").exists()


def test_files_without_streams_have_no_such_tasks(files: Path) -> None:
    with pytest.raises(InputError, match="name no streams"):
        init(
            files / "study",
            poses=[str(files / "pose")],
            labels=[str(files / "anna")],
            tasks="streams",
            fps=FPS,
        )


def test_the_command_says_how_and_what_it_made(files: Path) -> None:
    run = CliRunner()
    words = ["init", str(files / "study"), "--poses", str(files / "pose"), "--fps", str(FPS), "-q"]
    labels = ["--labels", str(files / "streams")]
    open_choice = run.invoke(app, [*words, *labels])
    assert open_choice.exit_code == 2
    assert "take each as a task of its own: --tasks streams" in open_choice.output
    told = run.invoke(app, [*words, *labels, "--tasks", "streams"])
    assert told.exit_code == 0, told.output
    assert "task S2: none, turn (one at a time)" in told.output
    both = [*words, "--force", "--task", f"anna={files / 'anna'}", "--task", f"ben={files / 'ben'}"]
    value = json.loads(run.invoke(app, [*both, "--json"]).output)
    assert value["tasks"] == ["anna", "ben"]
    wrong = run.invoke(app, [*words, "--force", "--task", "anna"])
    assert wrong.exit_code == 2
    assert "--task takes NAME=FILES" in wrong.output


def test_a_file_of_several_recordings_is_no_file_of_a_task(files: Path, data: Path) -> None:
    path = data / "formats" / "boris"
    many = sorted(path.glob("*.boris")) if path.is_dir() else []
    if not many:
        pytest.skip("no BORIS project here (MURINE_DATA)")
    with pytest.raises(ProjectError):
        init(
            files / "study",
            poses=[str(files / "pose")],
            task_labels={"a": [str(many[0])]},
            fps=FPS,
        )
