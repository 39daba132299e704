"""CalMS21 as published, made up: what a project of each task holds, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dataset_samples as samples
import numpy as np
import pytest
from cli_samples import done

from murine.errors import InputError, ProjectError
from murine.project import check, init_dataset, load_bouts, load_pose, load_project
from murine.types import Ethogram, Task

SOCIAL = ("attack", "investigation", "mount", "other")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.calms21(tmp_path_factory.mktemp("calms21") / "calms21", (1, 2, 3))


def test_task_one_is_one_ethogram_with_the_published_sides(published: Path, tmp_path: Path) -> None:
    made = init_dataset(tmp_path / "s", "calms21", published, part="task1")
    project = load_project(tmp_path / "s")
    assert project.ethogram == Ethogram(SOCIAL, background="other")
    assert project.sources == ()
    assert {r.id: (r.groups["split"], r.groups["mouse"]) for r in project.recordings} == {
        "mouse001_task1_annotator0": ("train", "001"),
        "mouse002_task1_annotator0": ("train", "002"),
        "mouse003_task1_annotator0": ("test", "003"),
    }
    # 0 0 ... 1 ... 2 ... 3, twelve frames of each, turned by five frames for each mouse
    first = load_bouts(project, project.recordings[0])
    assert first.intervals() == [
        (0, 5, "other"), (5, 17, "attack"), (17, 29, "investigation"), (29, 41, "mount"), (41, 48, "other"),
    ]  # fmt: skip
    told = json.loads((published / "calms21_task1_test.json").read_text())
    values = told["annotator-id_0"]["task1/test/mouse003_task1_annotator0"]["keypoints"]
    pose = load_pose(project, project.recordings[2])
    np.testing.assert_allclose(pose.xy[7, 1, 6], np.array(values)[7, 1, :, 6], rtol=1e-6)
    assert made.notes == (
        "calms21_task1_train.json: 2 of 70 published sequences",
        "calms21_task1_test.json: 1 of 19 published sequences",
    )


def test_task_two_has_a_task_for_each_annotator(published: Path, tmp_path: Path) -> None:
    project = init_dataset(tmp_path / "s", "calms21", published, part="task2").project
    one, two = project.ethogram.tasks
    assert (one.name, two.name) == ("annotator-id_1", "annotator-id_2")
    assert one.plain == two.plain == SOCIAL
    assert one.exclusive
    assert one.background == "annotator-id_1/other"
    assert [s.where for s in project.sources] == ["group=annotator-id_1", "group=annotator-id_2"]
    assert len(project) == 6
    table = load_bouts(project, project.recording("mouse001_task2_annotator2")).frames()
    assert (table[:, :4] == -1).all(), "the first annotator did not see it"
    assert table[:, 4:].sum(axis=0).tolist() == [12, 12, 12, 12]


def test_task_three_has_a_task_for_each_behaviour(published: Path, tmp_path: Path) -> None:
    project = init_dataset(tmp_path / "s", "calms21", published, part="task3").project
    assert project.ethogram.tasks[1] == Task(
        "wrestling", ("wrestling/wrestling", "wrestling/other"), True, "wrestling/other"
    )
    table = load_bouts(project, project.recording("mouse003_task3_approach")).frames()
    assert table[:, :2].sum(axis=0).tolist() == [12, 36]
    assert (table[:, 2:] == -1).all()


def test_all_three_make_one_project(published: Path, tmp_path: Path) -> None:
    outcome = done(
        "init", tmp_path / "s", "--dataset", "calms21", published, "--part", "all", "--json"
    ).value
    assert (outcome["recordings"], outcome["labelled"]) == (15, 15)
    project = load_project(tmp_path / "s")
    assert [t.name for t in project.ethogram.tasks] == [
        "annotator-id_0", "annotator-id_1", "annotator-id_2", "approach", "wrestling",
    ]  # fmt: skip
    assert project.group_columns() == ("task", "group", "split", "mouse")
    assert [f.text for f in check(tmp_path / "s").faults if f.severity == "error"] == []


def test_the_converter_s_npy_is_read_alike_and_json_comes_first(published: Path, tmp_path: Path) -> None:
    source = tmp_path / "npy" / "deep"
    source.mkdir(parents=True)
    for side in ("train", "test"):
        groups = json.loads((published / f"calms21_task1_{side}.json").read_text())
        for sequences in groups.values():
            for values in sequences.values():
                for key in ("keypoints", "scores", "annotations"):
                    values[key] = np.array(values[key])
        np.save(source / f"calms21_task1_{side}.npy", np.array(groups, dtype=object), allow_pickle=True)
    one = init_dataset(tmp_path / "a", "calms21", published, part="task1").project
    two = init_dataset(tmp_path / "b", "calms21", tmp_path / "npy").project
    assert [r.groups for r in one.recordings] == [r.groups for r in two.recordings]
    for first, second in zip(one.recordings, two.recordings, strict=True):
        assert load_bouts(one, first).intervals() == load_bouts(two, second).intervals()
        np.testing.assert_array_equal(load_pose(one, first).xy, load_pose(two, second).xy)
    shutil.copy(published / "calms21_task1_train.json", source)
    both = init_dataset(tmp_path / "c", "calms21", tmp_path / "npy")
    assert both.notes[0] == (
        "deep/calms21_task1_train.json is read; deep/calms21_task1_train.npy should hold the same"
    )
    assert both.project.recordings[0].pose == source / "calms21_task1_train.json"


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    groups = json.loads(path.read_text())
    change(groups)
    path.write_text(json.dumps(groups))


def test_what_is_missing_is_told_and_what_does_not_fit_is_refused(
    published: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"files of task1, task2, task3\. Choose with --part task1"):
        init_dataset(tmp_path / "s", "calms21", published)
    source = samples.calms21(tmp_path / "one")
    with pytest.raises(
        InputError, match="--part all needs files of task2, task3; there are those of task1"
    ):
        init_dataset(tmp_path / "s", "calms21", source, part="all")
    test = source / "calms21_task1_test.json"
    changed(test, lambda groups: [v.pop("annotations") for g in groups.values() for v in g.values()])
    project = init_dataset(tmp_path / "unlabelled", "calms21", source).project
    assert [project.is_labelled(r) for r in project.recordings] == [True, True, False]
    test.unlink()
    made = init_dataset(tmp_path / "alone", "calms21", source)
    assert made.notes[0] == "no file of task1 test: nothing to test on"
    vocab = {"attack": 0, "investigation": 1, "mounting": 2, "other": 3}
    train = source / "calms21_task1_train.json"
    changed(
        train,
        lambda groups: [v["metadata"].update(vocab=vocab) for g in groups.values() for v in g.values()],
    )
    with pytest.raises(
        ProjectError, match=r"'annotator-id_0': its labels name 'mounting'.*Did you mean 'mount'"
    ):
        init_dataset(tmp_path / "s", "calms21", source)
    train.write_text(train.read_text()[:-40])
    with pytest.raises(
        ProjectError, match=r"calms21_task1_train\.json: the json ends before it is closed"
    ):
        init_dataset(tmp_path / "s", "calms21", source)
    assert not (tmp_path / "s").exists()


def test_sequences_of_one_name_stay_apart(tmp_path: Path) -> None:
    source = samples.calms21(tmp_path / "c", (2,))

    def same(groups: dict[str, Any]) -> None:
        for sequences in groups.values():
            for name in list(sequences):
                sequences[name.rsplit("_", 1)[0]] = sequences.pop(name)

    changed(source / "calms21_task2_train.json", same)
    project = init_dataset(tmp_path / "s", "calms21", source).project
    assert project.recordings[0].id == "task2_train_annotator-id_1_task2_train_mouse001_task2"
    assert len({r.id for r in project.recordings}) == 6
    assert len(load_bouts(project, project.recordings[2]).unknown) == 4
