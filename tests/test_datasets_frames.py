"""Data sets whose labels are brought to other frames or names: open field, SCORHE, forced swim."""

from __future__ import annotations

from pathlib import Path

import dataset_samples as samples
import numpy as np
import pytest

from murine.errors import InputError, ProjectError
from murine.project import check, init_dataset, load_bouts, load_pose
from murine.project.datasets.open_field import TEST, TRAIN
from murine.project.datasets.sheet import read_sheet


def frames_of(folder: Path) -> dict[str, int]:
    return {row.behaviour: row.frames for row in check(folder).classes}


# --- open field ---------------------------------------------------------------------------------------


def test_open_field_has_three_independent_behaviours_and_the_official_sides(tmp_path: Path) -> None:
    made = init_dataset(tmp_path / "s", "open-field", samples.open_field(tmp_path / "raw"))
    project = made.project
    assert project.ethogram.behaviours == ("grooming", "mid rearing", "wall rearing")
    assert not project.ethogram.exclusive
    assert {r.id: r.groups["split"] for r in project.recordings} == {
        "HD_ChR2_480A": "train",
        "HD_YFP_037A": "test",
    }
    assert project.recordings[1].groups == {
        "animal": "037A", "genotype": "HD", "virus": "YFP", "split": "test",
    }  # fmt: skip
    first = load_bouts(project, project.recordings[0])
    assert first.intervals() == [(0, 5, "grooming"), (3, 6, "mid rearing"), (15, 20, "wall rearing")]
    second = load_bouts(project, project.recordings[1])
    assert second.intervals() == [(1, 6, "grooming"), (3, 6, "mid rearing"), (15, 20, "wall rearing")]
    assert second.annotated.tolist() == [[0, 20]]
    assert load_pose(project, project.recordings[0]).keypoints == ("snout", "midbody")
    assert frames_of(tmp_path / "s") == {"grooming": 10, "mid rearing": 6, "wall rearing": 10}
    assert made.notes[0].startswith("not here: HD_ChR2_510A, HD_ChR2_586A, ")
    assert made.notes[0].endswith("and 7 more")


def test_the_seventeen_animals_are_those_of_the_thesis() -> None:
    assert (len(TRAIN), len(TEST), len({*TRAIN, *TEST})) == (12, 5, 17)
    assert "HD_ChR2_510A" in TRAIN


def rewritten(folder: Path, rows: list[list[str | float | None]], suffix: str = ".xlsx") -> None:
    """Give the first animal another sheet."""
    path = folder / "excels" / "HD_ChR2_480A.xlsx"
    path.unlink()
    if suffix == ".xlsx":
        samples.sheet(path, rows)
    else:
        lines = (";".join("" if cell is None else str(cell) for cell in row) for row in rows)
        samples.text(path.with_suffix(".csv"), *lines)


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
@pytest.mark.parametrize("numbers", ["from 0", "from 1", "none", "no headings between"])
def test_a_sheet_with_and_without_frame_numbers(numbers: str, suffix: str, tmp_path: Path) -> None:
    source = samples.open_field(tmp_path / "raw")
    rows = samples.marks(20, {0: (2, 3), 1: (3, 4), 2: (19,)})
    if numbers == "from 1":
        rows[3:] = [[float(i + 1), *row[1:]] for i, row in enumerate(rows[3:])]
    elif numbers != "from 0":
        rows = [[None, *row[1:]] for row in rows]
        if numbers == "no headings between":
            del rows[1:3]
    rewritten(source, rows, suffix)
    project = init_dataset(tmp_path / "s", "open-field", source).project
    bouts = load_bouts(project, project.recording("HD_ChR2_480A"))
    assert bouts.intervals() == [(2, 4, "grooming"), (3, 5, "mid rearing"), (19, 20, "wall rearing")]


def test_frames_that_the_sheet_leaves_out_are_not_annotated(tmp_path: Path) -> None:
    source = samples.open_field(tmp_path / "raw")
    rows = samples.marks(20, {0: (2, 3)})
    rows[0][4:] = ["grooming", "Mid Rearing", "wall_rearing"]
    rewritten(source, [row for row in rows if row[0] not in (0, 1, 18, 19)])
    project = init_dataset(tmp_path / "s", "open-field", source).project
    bouts = load_bouts(project, project.recording("HD_ChR2_480A"))
    assert bouts.annotated.tolist() == [[2, 18]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[8].__setitem__(5, "y"), r"480A\.xlsx, row 9: 'y' came under mid rearing; x or nothing"),
        (lambda rows: rows[0].__setitem__(6, "Jumping"), r"no row names Grooming, .*holds: scorer, midbody"),
        (lambda rows: rows.append([20, 1.0]), r"frame 20 came, and the pose has 20 frames \(0 to 19\)"),
        (lambda rows: rows.insert(9, [3, 1.0]), "does not count the frames up"),
        (lambda rows: [row.__setitem__(0, 0.5) for row in rows] and rows.pop(), "21 rows below .* for 20 frames"),
    ],
)  # fmt: skip
def test_a_sheet_that_does_not_fit_is_named(change: object, says: str, tmp_path: Path) -> None:
    source = samples.open_field(tmp_path / "raw")
    rows = samples.marks(20, {2: range(20)})
    assert callable(change)
    change(rows)
    rewritten(source, rows)
    with pytest.raises(ProjectError, match=says):
        init_dataset(tmp_path / "s", "open-field", source)


def test_open_field_files_that_cannot_be_placed_are_all_in_one_message(tmp_path: Path) -> None:
    source = samples.open_field(tmp_path / "raw")
    samples.film(source / "videos" / "mouse_9.mp4", 6)
    samples.film(source / "HD_YFP_037A_copy.mp4", 6)
    (source / "excels" / "HD_ChR2_480A.xlsx").unlink()
    with pytest.raises(InputError) as caught:
        init_dataset(tmp_path / "s", "open-field", source)
    told = str(caught.value)
    assert "videos/mouse_9.mp4: not one of the seventeen animals" in told
    assert "a second video of HD_YFP_037A beside" in told
    assert "HD_ChR2_480A: no sheet of marks" in told


def test_a_damaged_workbook_is_refused_by_name(tmp_path: Path) -> None:
    whole = samples.sheet(tmp_path / "whole.xlsx", samples.marks(4, {0: (1,)}))
    assert read_sheet(whole)[4][4] == "x"
    content = whole.read_bytes()
    refused = 0
    for at in np.linspace(4, len(content) - 1, 20).astype(int):
        (tmp_path / "cut.xlsx").write_bytes(content[:at])
        with pytest.raises(InputError, match=r"cut\.xlsx: the Excel workbook cannot be read"):
            read_sheet(tmp_path / "cut.xlsx")
        refused += 1
    assert refused == 20


# --- SCORHE -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ends", [("front", "rear"), ("left", "right"), ("cam1", "cam2"), ("view-1", "view-2"), ("A", "B")]
)
def test_scorhe_merges_and_drops_as_the_paper_and_pairs_the_two_ends(
    ends: tuple[str, str], tmp_path: Path
) -> None:
    made = init_dataset(tmp_path / "s", "scorhe", samples.scorhe(tmp_path / "raw", ends=ends))
    project = made.project
    assert project.ethogram.behaviours == ("climbing", "drink", "groom", "rear")
    assert project.ethogram.background is None
    assert [r.id for r in project.recordings] == ["cage1", "cage2"]
    assert [r.video.name for r in project.recordings if r.video] == [
        f"cage{i}_{ends[0]}.avi" for i in (1, 2)
    ]
    table = (tmp_path / "s" / "recordings.csv").read_text().splitlines()
    columns = dict(zip(table[0].split(","), table[1].split(","), strict=True))
    views = [(tmp_path / "s" / columns[name]).resolve().name for name in ("video", "video2")]
    assert views == [f"cage1_{end}.avi" for end in ends]
    assert columns["video2"].startswith("../raw/videos/")
    bouts = load_bouts(project, project.recordings[0])
    assert bouts.intervals() == [
        (0, 4, "drink"),
        (4, 10, "rear"),
        (13, 20, "climbing"),
        (24, 30, "groom"),
    ]
    assert bouts.annotated.tolist() == [[0, 10], [13, 20], [24, 30]], "dropped frames are not annotated"
    assert made.notes == (
        "not annotated from now on: behav_ignore, discrepancy, rotating, behav_other",
        "drink: behav_drink",
        "rear: behav_rear_supported, behav_rear_unsupported",
        "4 behaviours are left; the paper has 8. Look at them in project.toml",
    )


def test_thirteen_labels_become_eight(tmp_path: Path) -> None:
    """The paper counts 13 and 8, and names four that are dropped and two that are merged."""
    source = tmp_path / "raw"
    names = ("drink", "eat", "groom", "climb", "walk", "rest", "micromovement", "supported_rearing",
             "unsupported_rearing", "behav_ignore", "behav_other", "discrepancy", "rotating")  # fmt: skip
    for end in ("front", "rear"):
        samples.film(source / end / "one.avi", 26)
    rows = (f"{name},{2 * i},{2 * i + 2}" for i, name in enumerate(names))
    samples.text(source / "one.csv", "behaviour,start,stop", *rows)
    made = init_dataset(tmp_path / "s", "scorhe", source)
    assert len(names) == 13
    assert len(made.project.ethogram) == 8
    assert not any("the paper has" in note for note in made.notes)
    assert frames_of(tmp_path / "s") == dict.fromkeys(made.project.ethogram.behaviours, 2) | {"rear": 4}


def test_scorhe_videos_and_labels_that_fit_nothing_are_named(tmp_path: Path) -> None:
    source = samples.scorhe(tmp_path / "raw")
    (source / "videos" / "cage2_rear.avi").unlink()
    with pytest.raises(
        InputError, match=r"- videos/cage2_front\.avi: no video of the other end of its cage\nExp"
    ):
        init_dataset(tmp_path / "s", "scorhe", source)
    (source / "videos" / "cage2_front.avi").unlink()
    with pytest.raises(InputError, match=r"annotations/cage2\.csv: fits no cage"):
        init_dataset(tmp_path / "s", "scorhe", source)
    (source / "annotations" / "cage2.csv").rename(source / "annotations" / "cage1_front.csv")
    with pytest.raises(InputError, match=r"holds labels of the same cage"):
        init_dataset(tmp_path / "s", "scorhe", source)
    (source / "annotations" / "cage1_front.csv").unlink()
    samples.text(source / "annotations" / "cage1.csv", "behaviour,start,stop", "eat,0,9", "groom,8,12")
    with pytest.raises(ProjectError, match=r"cage1\.csv: 'groom' and 'eat' hold in frame 8 at once"):
        init_dataset(tmp_path / "s", "scorhe", source)
    samples.text(source / "annotations" / "cage1.csv", "behaviour,start,stop", "behav_other,0,9")
    with pytest.raises(InputError, match="nothing but behav_other, all of it dropped"):
        init_dataset(tmp_path / "s", "scorhe", source)


# --- forced swim --------------------------------------------------------------------------------------


def test_forced_swim_from_the_side(tmp_path: Path) -> None:
    made = init_dataset(tmp_path / "s", "forced-swim", samples.forced_swim(tmp_path / "raw"))
    project = made.project
    assert project.ethogram.behaviours == ("swim", "struggle", "float")
    bouts = load_bouts(project, project.recordings[0])
    # 25 frames a second: 0.2 to 0.4 s are frames 5 to 10.
    assert bouts.intervals() == [(5, 10, "swim"), (10, 15, "struggle"), (20, 30, "float")]
    assert bouts.annotated.tolist() == [[5, 15], [20, 30]], "outside all bouts nothing is known"
    assert made.notes == ()
    assert frames_of(tmp_path / "s") == {"swim": 10, "struggle": 10, "float": 20}


def test_each_view_is_a_study_of_its_own(tmp_path: Path) -> None:
    source = samples.forced_swim(tmp_path / "raw", top=True)
    with pytest.raises(InputError, match="Choose with --part side or --part top"):
        init_dataset(tmp_path / "s", "forced-swim", source)
    top = init_dataset(tmp_path / "top", "forced-swim", source, part="top").project
    assert [r.id for r in top.recordings] == ["above1"]
    assert frames_of(tmp_path / "top") == {"mobile": 15, "immobile": 15}
    side = init_dataset(tmp_path / "side", "forced-swim", source, part="side").project
    assert [r.id for r in side.recordings] == ["mouse1", "mouse2"]
    samples.forced_swim(tmp_path / "only")
    with pytest.raises(
        InputError, match="no labels of the top view; they name Swimming, struggle, float"
    ):
        init_dataset(tmp_path / "t", "forced-swim", tmp_path / "only", part="top")


def test_forced_swim_labels_that_do_not_fit_are_all_in_one_message(tmp_path: Path) -> None:
    source = samples.forced_swim(tmp_path / "raw")
    samples.text(source / "labels" / "mouse1.csv", "behaviour,start_s,stop_s", "swims,0,0.4")
    samples.text(
        source / "labels" / "mouse2.csv", "behaviour,start_s,stop_s", "swim,0,0.4", "mobile,0.4,0.6"
    )
    with pytest.raises(ProjectError) as caught:
        init_dataset(tmp_path / "s", "forced-swim", source)
    assert "unknown behaviour 'swims'. Did you mean 'swim'" in caught.value.faults[0]
    assert "names behaviours of both views: swim, mobile" in caught.value.faults[1]
    samples.text(source / "labels" / "mouse1.csv", "behaviour,start_s,stop_s", "swim,0,2.4")
    samples.text(source / "labels" / "mouse2.csv", "behaviour,start_s,stop_s", "swim,0,0.4")
    with pytest.raises(ProjectError, match=r"1\.20 s\) past the end"):
        init_dataset(tmp_path / "s", "forced-swim", source)
    made = init_dataset(tmp_path / "s", "forced-swim", source, tolerance_s=1.3)
    assert made.notes == ("no label file names struggle, float: left out of the behaviours",)
    (source / "labels" / "mouse2.csv").rename(source / "labels" / "rat7.csv")
    with pytest.raises(InputError, match=r"rat7\.csv: no video has a name that fits"):
        init_dataset(tmp_path / "t", "forced-swim", source)
