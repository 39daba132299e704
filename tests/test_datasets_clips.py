"""UCF101: classes, groups, the official splits, and shares of 0.64, 0.16 and 0.20."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dataset_samples as samples
import pytest

from murine.config import SplitSettings
from murine.data.splits import make_splits
from murine.errors import InputError
from murine.project import CLIP_COLUMN, check, init_dataset
from murine.project.datasets.ucf101 import CLASSES, GROUPS, SHARES


@pytest.mark.parametrize("flat", [False, True])
def test_classes_groups_and_official_split(flat: bool, tmp_path: Path) -> None:
    source = samples.ucf101(tmp_path / "ucf", flat=flat)
    made = init_dataset(tmp_path / "s", "ucf101", source)
    project = made.project
    # The order of classInd.txt; the spelling of the class in file names differs from the folder's.
    assert project.ethogram.behaviours == ("HandstandPushups", "ApplyEyeMakeup")
    assert Counter(r.groups[CLIP_COLUMN] for r in project.recordings) == {
        "HandstandPushups": 8,
        "ApplyEyeMakeup": 8,
    }
    sides = {(r.groups["group"], r.groups["split1"], r.groups["split"]) for r in project.recordings}
    assert sides == {
        ("g01", "test", "train"), ("g08", "train", "train"),
        ("g17", "train", "validation"), ("g25", "train", "test"),
    }  # fmt: skip
    assert made.notes == (
        "split 1: 1 of 17 listed clips are not here: v_yoyo_g08_c01",
        "16 clips of 2 classes; the whole set has 13,320 of 101",
    )
    report = check(tmp_path / "s")
    assert {row.behaviour: row.frames for row in report.classes} == {
        "HandstandPushups": 48,
        "ApplyEyeMakeup": 48,
    }


def test_shares_are_those_of_the_paper_and_no_group_leaks(tmp_path: Path) -> None:
    assert CLASSES == 101
    assert {side: len(groups) / GROUPS for side, groups in SHARES.items()} == {
        "train": 0.64,
        "validation": 0.16,
        "test": 0.20,
    }
    assert sorted(g for groups in SHARES.values() for g in groups) == list(range(1, GROUPS + 1))
    project = init_dataset(tmp_path / "s", "ucf101", samples.ucf101(tmp_path / "ucf")).project
    group_of = {r.id: (r.groups[CLIP_COLUMN], r.groups["group"]) for r in project.recordings}
    paper = SplitSettings(by="split", fixed=(("test",),), validation=0.2)
    official = SplitSettings(by="group", fixed=(("g01",),), validation=0.2)
    for settings, tested in ((paper, "g25"), (official, "g01")):
        (split,) = make_splits(project.recordings, settings)
        assert {group for _, group in map(group_of.__getitem__, split.test)} == {tested}
        sides = [{group_of[id_] for id_ in side} for side in (split.train, split.validation, split.test)]
        assert sides[1]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    (split,) = make_splits(project.recordings, paper)
    assert split.side_groups("validation") == ("validation",)


def test_without_lists_the_official_columns_are_not_made(tmp_path: Path) -> None:
    made = init_dataset(tmp_path / "s", "ucf101", samples.ucf101(tmp_path / "ucf", lists=False))
    assert made.project.ethogram.behaviours == ("ApplyEyeMakeup", "HandstandPushups")
    assert made.project.group_columns() == ("group", "split")
    assert made.notes[0].startswith("no official lists (ucfTrainTestlist)")


def test_clips_and_lists_that_cannot_be_placed_are_all_in_one_message(tmp_path: Path) -> None:
    source = samples.ucf101(tmp_path / "ucf")
    samples.film(source / "UCF-101" / "ApplyEyeMakeup" / "cat.avi", 6)
    samples.film(source / "UCF-101" / "ApplyEyeMakeup" / "v_YoYo_g01_c01.avi", 6)
    samples.film(source / "UCF-101" / "Sleeping" / "v_Sleeping_g01_c01.avi", 6)
    samples.film(source / "UCF-101" / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g26_c01.avi", 6)
    samples.film(source / "UCF-101" / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g02_c01.avi", 6)
    samples.text(source / "ucfTrainTestlist" / "trainlist02.txt", "YoYo/v_YoYo_g01_c01.avi 3")
    samples.text(
        source / "ucfTrainTestlist" / "classInd.txt", "1 HandstandPushups", "2 ApplyEyeMakeup", "YoYo"
    )
    with pytest.raises(InputError) as caught:
        init_dataset(tmp_path / "s", "ucf101", source)
    told = str(caught.value)
    for line in (
        "ucfTrainTestlist/classInd.txt, line 3: 'YoYo' is no number and class",
        "UCF-101/ApplyEyeMakeup/cat.avi: not called v_CLASS_gNN_cNN (groups 01 to 25)",
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g26_c01.avi: not called",
        "UCF-101/ApplyEyeMakeup/v_YoYo_g01_c01.avi: a clip of YoYo in the folder of ApplyEyeMakeup",
        "UCF-101/Sleeping/v_Sleeping_g01_c01.avi: classInd.txt has no class Sleeping",
        "the lists of split 1 do not name v_ApplyEyeMakeup_g02_c01.avi",
        "testlist02.txt is missing beside trainlist02.txt",
    ):
        assert f"  - {line}" in told


def test_a_list_that_parts_one_film_is_refused(tmp_path: Path) -> None:
    source = samples.ucf101(tmp_path / "ucf")
    for name, one, other in (
        ("trainlist01", "_g08_c01", "_g01_c01"),
        ("testlist01", "_g01_c01", "_g08_c01"),
    ):
        path = source / "ucfTrainTestlist" / f"{name}.txt"
        path.write_text(path.read_text().replace(one, other))
    with pytest.raises(InputError, match="split 1 puts ApplyEyeMakeup g01 on both sides"):
        init_dataset(tmp_path / "s", "ucf101", source)
