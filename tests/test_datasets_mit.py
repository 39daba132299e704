"""The MIT home cage: the clipped database, and the full one with its two groups of annotators."""

from __future__ import annotations

from pathlib import Path

import dataset_samples as samples
import pytest
from cli_samples import done

from murine.config import SplitSettings
from murine.data.splits import make_splits
from murine.errors import InputError, ProjectError
from murine.project import CLIP_COLUMN, check, init_dataset, load_bouts


def test_clips_with_long_and_short_labels_in_folders_of_their_films(tmp_path: Path) -> None:
    made = init_dataset(tmp_path / "s", "mit-clipped", samples.mit_clipped(tmp_path / "clipped"))
    project = made.project
    assert project.unit == "recording"
    assert project.ethogram.behaviours == (
        "drink", "eat", "groom", "hang", "micromovement", "rear", "rest", "walk",
    )  # fmt: skip
    labels = {r.id.rsplit("_", 1)[-1]: r.groups[CLIP_COLUMN] for r in project.recordings[:7]}
    assert labels == {
        "1": "drink", "2": "eat", "3": "groom", "4": "groom", "5": "hang", "6": "micromovement", "7": "walk",
    }  # fmt: skip
    assert project.recording("agoutivideo320080229_rs_2").groups == {
        "behaviour": "rest",
        "source": "agoutivideo320080229",
        "session": "20080229",
    }
    frames = {row.behaviour: row.frames for row in check(tmp_path / "s").classes}
    assert frames == dict.fromkeys(project.ethogram.behaviours, 8) | {"groom": 16}
    splits = make_splits(project.recordings, SplitSettings(by="session", validation=0.0))
    assert [split.side_groups("test") for split in splits] == [("20080421",), ("20080229",)]
    assert made.notes == ("9 clips; the published database has 4,200",)


def test_clips_all_in_one_folder_and_clips_sorted_by_behaviour(tmp_path: Path) -> None:
    for place in ("flat/video", "sorted/eat"):
        samples.film(tmp_path / place / "20080421153635_e_1.mpg", 6)
    samples.film(tmp_path / "flat" / "video" / "20080422170445_w_1.mpg", 6)
    samples.film(tmp_path / "sorted" / "walk" / "20080422170445_w_1.mpg", 6)
    for name in ("flat", "sorted"):
        made = init_dataset(tmp_path / f"s-{name}", "mit-clipped", tmp_path / name)
        assert [r.groups["source"] for r in made.project.recordings] == [
            "20080421153635",
            "20080422170445",
        ]
        assert made.project.ethogram.behaviours == ("eat", "walk")
        assert made.notes[1].startswith("no clip of drink, groom, hang,")


def test_clips_that_cannot_be_placed_are_all_in_one_message(tmp_path: Path) -> None:
    source = samples.mit_clipped(tmp_path / "clipped")
    samples.film(source / "20080421153635" / "20080421153635_jump_8.mpg", 6)
    samples.film(source / "20080421153635" / "holiday.mpg", 6)
    samples.film(source / "eat" / "20080421153635_w_9.mpg", 6)
    with pytest.raises(InputError) as caught:
        init_dataset(tmp_path / "s", "mit-clipped", source)
    told = str(caught.value)
    assert "20080421153635/20080421153635_jump_8.mpg: unknown label 'jump' in the name" in told
    assert "20080421153635/holiday.mpg: the name does not tell the behaviour" in told
    assert "eat/20080421153635_w_9.mpg: the name says walk and the folder eat" in told
    assert "Expected:\n    clipped_database/" in told


def test_full_database_has_the_labels_of_group_1_on_its_frames(tmp_path: Path) -> None:
    made = init_dataset(tmp_path / "s", "mit-full", samples.mit_full(tmp_path / "full"))
    project = made.project
    assert project.ethogram.exclusive
    assert project.ethogram.behaviours == (
        "eat", "groom", "hang", "micromovement", "rest", "walk",
    )  # fmt: skip
    bouts = {r.id: load_bouts(project, r).intervals() for r in project.recordings}
    assert bouts == {
        "20080421153635": [(0, 10, "eat"), (10, 20, "groom"), (20, 30, "micromovement")],
        "20080421170000": [(0, 12, "rest"), (12, 30, "walk")],
        "agoutivideo320080229A": [(0, 25, "micromovement"), (25, 30, "hang")],
    }
    assert {r.id: (r.groups["session"], r.groups["annotators"]) for r in project.recordings} == {
        "20080421153635": ("20080421", "1+2"),
        "20080421170000": ("20080421", "1"),
        "agoutivideo320080229A": ("20080229", "1"),
    }
    assert made.notes == (
        "3 recordings; the published database has 12",
        "Annotator_group_1/20080421170000.txt: 1 x a frame ends one line and begins the next; it goes to the earlier",
        "group 1 never saw drink, rear: left out of the behaviours",
    )


def test_the_frames_both_groups_scored_compare_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.mit_full(tmp_path / "full")
    monkeypatch.chdir(tmp_path)
    told = done("init", "--dataset", "mit-full", "full", "--part", "fd-star", "--json").value
    assert (told["recordings"], told["ethogram"]["behaviours"]) == (1, ["eat", "groom"])
    # Group 2 scored frames 6 to 18: eat until 15, then groom. Group 1 has groom from 11 on.
    report = done("check", "mit-full", "--json").value
    assert [(c["behaviour"], c["frames"]) for c in report["classes"]] == [("eat", 5), ("groom", 8)]
    scores = done("score", "mit-full", "mit-full/labels/group-2", "--json").value["pooled"]
    assert scores["n"] == 13
    assert scores["confusion"] == [[5, 0], [5, 3]]
    assert scores["accuracy"] == pytest.approx(8 / 13)
    # The whole database scores the same where the second group looked.
    done("init", "whole", "--dataset", "mit-full", "full")
    whole = done("score", "whole", "whole/labels/group-2", "--json").value["pooled"]
    assert (whole["n"], whole["accuracy"]) == (13, pytest.approx(8 / 13))


def test_what_is_missing_of_the_full_database_is_listed(tmp_path: Path) -> None:
    source = samples.mit_full(tmp_path / "full")
    (source / "20080421153635.mpg").unlink()
    made = init_dataset(tmp_path / "s", "mit-full", source)
    assert made.notes[:3] == (
        "2 recordings; the published database has 12",
        "labels of group 1 without their video: 20080421153635.txt",
        "labels of group 2 without their video: 20080421153635.txt",
    )
    with pytest.raises(
        InputError, match=r"no video is here of those that group 2 scored: 20080421153635\.txt"
    ):
        init_dataset(tmp_path / "t", "mit-full", source, part="fd-star")
    (source / "Annotator_group_2" / "20080421153635.txt").unlink()
    made = init_dataset(tmp_path / "u", "mit-full", source)
    assert "no labels of group 2 (a folder Annotator_group_2): people cannot be compared" in made.notes
    with pytest.raises(InputError, match="FD\\* is what both scored"):
        init_dataset(tmp_path / "v", "mit-full", source, part="fd-star")
    (source / "Annotator_group_1" / "20080421170000.txt").unlink()
    with pytest.raises(InputError, match=r"no labels of group 1 for 20080421170000\.mpg"):
        init_dataset(tmp_path / "w", "mit-full", source)


def test_lines_that_contradict_each_other_are_all_in_one_message(tmp_path: Path) -> None:
    source = samples.mit_full(tmp_path / "full")
    one = source / "Annotator_group_1"
    samples.text(one / "20080421153635.txt", "frame: 1-10 eat", "frame: 8-20 groom", "frame: 21-30 sing")
    samples.text(one / "20080421170000.txt", "frame: 1-10 eat", "from here on walk")
    with pytest.raises(ProjectError) as caught:
        init_dataset(tmp_path / "s", "mit-full", source)
    assert caught.value.faults == (
        "Annotator_group_1/20080421153635.txt, line 2: begins in frame 8, before the line above ends",
        "Annotator_group_1/20080421153635.txt, line 3: unknown label 'sing'",
        "Annotator_group_1/20080421170000.txt, line 2: 'from here on walk' came where 'frame: FIRST-LAST "
        "behaviour' was expected. Was the file cut short or edited?",
    )
    assert not (tmp_path / "s").exists()
    samples.film(source / "copies" / "20080421170000.avi", 6)
    with pytest.raises(ProjectError, match=r"20080421170000\.\w+: a second video of that name"):
        init_dataset(tmp_path / "s", "mit-full", source)
