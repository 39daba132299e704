"""CalMS21: json and npy of all three tasks. The published files are a download: all of these are made up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from murine import formats
from murine.config import InputSettings
from murine.data import source
from murine.errors import InputError
from murine.formats import calms21, json_index
from murine.predict.inputs import find_jobs
from murine.project import check, init, load_bouts, load_pose, load_project
from murine.types import LabelChoice, Timeline

VOCAB = {"attack": 0, "investigation": 1, "mount": 2, "other": 3}
FIRST, SECOND = (f"task1/train/mouse00{i}_task1_annotator1" for i in (1, 2))
Groups = dict[str, dict[str, dict[str, Any]]]


def sequence(annotations: list[int], vocab: dict[str, int] = VOCAB, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    frames = len(annotations)
    return {
        "keypoints": rng.uniform(1, 500, (frames, 2, 2, 7)).round(3),
        "scores": rng.uniform(0.1, 1, (frames, 2, 7)).round(3),
        "annotations": np.array(annotations),
        "metadata": {"vocab": vocab, "annotator-id": 0},
    }


def task1() -> Groups:
    return {"annotator-id_0": {FIRST: sequence([3, 3, 0, 0, 1]), SECOND: sequence([2, 2, 2, 3], seed=1)}}


def write_json(path: Path, groups: Groups) -> Path:
    path.write_text(json.dumps(groups, default=lambda array: array.tolist()))
    return path


def write_npy(path: Path, groups: Groups) -> Path:
    np.save(path, np.array(groups, dtype=object), allow_pickle=True)
    return path


WRITERS = {"json": write_json, "npy": write_npy}


@pytest.mark.parametrize("kind", WRITERS)
def test_pose_and_labels_of_task_one(kind: str, tmp_path: Path) -> None:
    groups = task1()
    path = WRITERS[kind](tmp_path / f"calms21_task1_train.{kind}", groups)
    assert formats.detect(path).name == "calms21-pose"
    assert formats.detect(path, "labels").name == "calms21"
    assert formats.pose_parts(path) == (FIRST, SECOND)
    pose = formats.read_pose(path, SECOND)
    assert (pose.animals, pose.keypoints) == (calms21.ANIMALS, calms21.KEYPOINTS)
    assert pose.keypoints[3:5] == ("neck", "left_hip")
    values = groups["annotator-id_0"][SECOND]
    for frame, mouse, point in ((0, 0, 0), (3, 1, 6), (2, 0, 4)):
        expected = values["keypoints"][frame, mouse, :, point].astype(np.float32)
        np.testing.assert_array_equal(pose.xy[frame, mouse, point], expected)
        assert pose.confidence is not None
        assert pose.confidence[frame, mouse, point] == np.float32(values["scores"][frame, mouse, point])
    choice = LabelChoice(observation=FIRST)
    bouts = formats.read_labels(path, Timeline.uniform(5, 30), choice)
    assert bouts.intervals() == [(0, 2, "other"), (2, 4, "attack"), (4, 5, "investigation")]
    assert bouts.ethogram.behaviours == ("attack", "investigation", "other")
    assert bouts.annotated.tolist() == [[0, 5]]
    with pytest.raises(InputError, match=r"labels run 2 frames .* past the end"):
        formats.read_labels(path, Timeline.uniform(3, 30), choice)
    with pytest.raises(InputError, match=r"holds 2 recordings.*Say which one is meant"):
        formats.read_pose(path)
    with pytest.raises(InputError, match=f"no recording 'mouse9'. Known: {FIRST}"):
        formats.read_pose(path, "mouse9")


@pytest.mark.parametrize("kind", WRITERS)
def test_annotators_of_task_two(kind: str, tmp_path: Path) -> None:
    name = "task2/annotator{}/train/mouse001_task2_annotator{}".format
    groups = {f"annotator-id_{i}": {name(i, i): sequence([i % 4, 3, 3])} for i in (1, 2)}
    groups["annotator-id_2"][name(1, 1)] = sequence([0, 0, 3])  # two annotators of one sequence
    path = WRITERS[kind](tmp_path / f"x.{kind}", groups)
    timeline = Timeline.uniform(3, 30)
    one = formats.read_labels(path, timeline, LabelChoice(observation=name(2, 2)))
    assert one.intervals() == [(0, 1, "mount"), (1, 3, "other")]
    both = LabelChoice(observation=name(1, 1))
    with pytest.raises(
        InputError, match=r"holds 2 annotators: annotator-id_1, annotator-id_2\. Say which"
    ):
        formats.read_labels(path, timeline, both)
    second = LabelChoice(observation=name(1, 1), stream="annotator-id_2")
    assert formats.read_labels(path, timeline, second).intervals() == [(0, 2, "attack"), (2, 3, "other")]
    for read in (
        lambda c: formats.read_labels(path, timeline, c),
        lambda c: formats.describe_labels(path, c),
    ):
        with pytest.raises(
            InputError, match=r"no annotator 'annotator-id_7'\. Did you mean 'annotator-id_"
        ):
            read(LabelChoice(observation=name(1, 1), stream="annotator-id_7"))
    assert formats.pose_parts(path) == (name(1, 1), name(2, 2))


@pytest.mark.parametrize("kind", WRITERS)
def test_behaviours_of_task_three(kind: str, tmp_path: Path) -> None:
    groups = {
        b: {f"task3/{b}/train/mouse000_task3_{b}": sequence([0, 1, 1, 0], {"other": 0, b: 1})}
        for b in ("approach", "sniff_face")
    }
    path = WRITERS[kind](tmp_path / f"x.{kind}", groups)
    choice = LabelChoice(observation="task3/sniff_face/train/mouse000_task3_sniff_face")
    bouts = formats.read_labels(path, Timeline.uniform(4, 30), choice)
    assert bouts.intervals() == [(0, 1, "other"), (1, 3, "sniff_face"), (3, 4, "other")]
    assert formats.parse_labels(path).stream_word == "behaviour"


def test_a_project_of_one_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "calms21_task1_train.json", task1())
    init(tmp_path / "study", poses=[str(path)], labels=[str(path)], fps=30, background="other")
    project = load_project(tmp_path / "study")
    assert [r.id for r in project.recordings] == [n.replace("/", "_") for n in (FIRST, SECOND)]
    assert [r.choice.observation for r in project.recordings] == [FIRST, SECOND]
    assert project.ethogram.behaviours == ("attack", "investigation", "other", "mount")
    assert project.ethogram.background == "other"
    assert [f.text for f in check(tmp_path / "study").faults if f.severity == "error"] == []
    for recording, frames in zip(project.recordings, (5, 4), strict=True):
        assert len(load_pose(project, recording)) == frames
        assert load_bouts(project, recording).n_frames == frames
    first, second = (
        source.open_source(r, InputSettings(pose_features=("coordinates",)), ["pose"])
        for r in project.recordings
    )
    # Both lie in one file: what is cached of them must not be mixed up.
    assert first.keys() != second.keys()
    assert first.hashes["pose"] != second.hashes["pose"]


def test_predicting_one_file_means_all_its_sequences(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json", task1())
    run = SimpleNamespace(sees=("pose",), name="net", fps=30.0, tracks=True)
    run.recipe = SimpleNamespace(input=SimpleNamespace(views=()))
    jobs = find_jobs(run, [path], None)  # type: ignore[arg-type]
    assert [j.recording.id for j in jobs] == [n.replace("/", "_") for n in (FIRST, SECOND)]
    poses = [formats.read_pose(path, formats.chosen_part(j.recording)) for j in jobs]
    assert [len(p) for p in poses] == [5, 4]


def test_the_json_is_not_parsed_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = task1()
    groups['odd "{name}" \\'] = {"s}": sequence([0])}
    path = write_json(tmp_path / "x.json", groups)
    read: list[int] = []
    load = json.loads
    monkeypatch.setattr(json_index.json, "loads", lambda text: (read.append(len(text)), load(text))[1])
    found = json_index.index_of(path)
    assert set(found) == {(g, s) for g, group in groups.items() for s in group}
    assert max(read) < 100  # names alone
    extent = found["annotator-id_0", SECOND]["annotations"]
    assert json_index.read_extent(path, extent) == [2, 2, 2, 3]
    assert formats.read_pose(path, "s}").xy.shape == (1, 2, 7, 2)
    # A file that changes is looked at anew.
    write_json(path, {"a": {"b": sequence([0, 0])}})
    os.utime(path, ns=(1, 1))
    assert formats.pose_parts(path) == ("b",)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was-here",)


def test_an_npy_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_npy(tmp_path / "x.npy", {"a": {"b": {"keypoints": Evil()}}})
    with pytest.raises(InputError, match=r"x\.npy: cannot be read as CalMS21's npy.*holds posix\.mkdir"):
        formats.read_pose(path)
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"keypoints": np.zeros((5, 2, 2, 6))}, r"keypoints of '.*' have shape \(5, 2, 2, 6\)"),
        ({"scores": np.zeros((4, 2, 7))}, r"scores of '.*' have shape \(4, 2, 7\), for 5 frames"),
        (
            {"annotations": np.array([9, 0, 0])},
            "holds behaviour 9; metadata.vocab knows 0 attack, 1 inv",
        ),
        ({"metadata": {}}, "annotations and no metadata.vocab"),
    ],
)
@pytest.mark.parametrize("kind", WRITERS)
def test_sequences_that_do_not_fit(
    kind: str, change: dict[str, Any], match: str, tmp_path: Path
) -> None:
    path = WRITERS[kind](tmp_path / f"x.{kind}", {"a": {"one": sequence([0] * 5) | change}})
    read = formats.read_pose if {"keypoints", "scores"} & set(change) else formats.parse_labels
    with pytest.raises(InputError, match=match) as error:
        read(path)
    assert str(path) in str(error.value)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    whole = write_json(tmp_path / "x.json", task1()).read_text()
    (tmp_path / "cut.json").write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.json: the json ends before it is closed"):
        formats.read_pose(tmp_path / "cut.json")
    (tmp_path / "coco.json").write_text('{"annotations": [1, 2], "images": []}')
    with pytest.raises(InputError, match=r"coco\.json: no sequence with keypoints or annotations"):
        formats.read_pose(tmp_path / "coco.json")
    np.save(tmp_path / "plain.npy", np.zeros(4))
    with pytest.raises(InputError, match=r"plain\.npy: the format was not recognised"):
        formats.read_pose(tmp_path / "plain.npy")
    write_npy(tmp_path / "cut.npy", task1())
    content = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.npy: cannot be read as CalMS21's npy"):
        formats.read_pose(tmp_path / "cut.npy")
    bare = {
        "a": {"one": {"keypoints": np.ones((3, 2, 2, 7))}}
    }  # the unlabelled set: no annotations, no scores
    path = write_json(tmp_path / "bare.json", bare)
    assert formats.read_pose(path).confidence is None
    with pytest.raises(
        InputError, match=r"bare\.json: holds pose \(calms21-pose\) where labels was expected"
    ):
        formats.parse_labels(path)
