"""Labels in tables: DeepEthogram, SimBA, tables of frames, BehaviorDEPOT, raters.

SimBA and the raters are real files, counted here by the csv module alone; the others are made up after their
programs' documents, for no real file could be had.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import io

from murine import formats
from murine.errors import InputError
from murine.project import init, load_bouts, load_pose, load_project
from murine.types import Bouts, Ethogram, LabelChoice, Timeline

TIMELINE = Timeline.uniform(6, 10)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def refused(path: Path, match: str, timeline: Timeline = TIMELINE) -> None:
    with pytest.raises(InputError, match=match) as error:
        formats.read_labels(path, timeline)
    assert str(path) in str(error.value)


def test_deepethogram_made_up(tmp_path: Path) -> None:
    text = ",background,dig,rest\n0,1,0,0\n1,0,1,0\n2,0,1,1\n3,-1,-1,-1\n4,-1,1,-1\n5,1,0,0\n"
    path = write(tmp_path / "x.csv", text)
    assert formats.detect(path).name == "deepethogram"
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == [(1, 3, "dig"), (2, 3, "rest"), (4, 5, "dig")]
    assert bouts.annotated.tolist() == [[0, 3], [4, 6]]
    assert not bouts.ethogram.exclusive
    refused(
        write(path, text.replace("2,0,1,1", "2,0,.5,1")),
        r"column 'dig' holds 0\.5 in row 3.*Probabilities",
    )
    refused(
        write(path, text.replace("\n2,", "\n1,")), "frame number of row 3 is 1; whole numbers that grow"
    )
    refused(write(path, text.replace("2,0,1,1", "2,0,1")), "does not fit the header")
    refused(write(path, ",background,dig,dig\n0,1,0,0\n"), "two columns are called 'dig'")
    refused(
        write(path, text),
        "labels run 2 frames .* past the end.*last is 'dig', frame 4",
        Timeline.uniform(4, 10),
    )
    write(path, text.replace("4,-1,1,-1", "4,-1,-1,-1"))  # no bout there, and still too long
    refused(path, "labels run 2 frames .* past the end", Timeline.uniform(4, 10))


def test_deepethogram_as_it_is_written(tmp_path: Path) -> None:
    ethogram = Ethogram(("dig", "background"), background="background")
    bouts = Bouts.build(ethogram, 5, [(0, 2, "dig"), (2, 3, "background")], [[0, 4]])
    formats.write_labels(tmp_path / "x.csv", bouts, Timeline.uniform(5, 10), "deepethogram")
    assert (tmp_path / "x.csv").read_text() == ",background,dig\n0,0,1\n1,0,1\n2,1,0\n3,1,0\n4,-1,-1\n"
    alone = Bouts.build(Ethogram(("background",)), 5, [])
    with pytest.raises(InputError, match="'background' already; no other behaviour"):
        formats.write_labels(tmp_path / "y.csv", alone, Timeline.uniform(5, 10), "deepethogram")


def test_simba_holds_pose_and_labels(data: Path) -> None:
    path = data / "formats/simba/crim13_targets_inserted.csv"
    with path.open() as handle:
        header, *rows = csv.reader(handle)
    pose = formats.read_pose(path)
    assert pose.animals == ("Animal_1", "Animal_2")
    assert pose.keypoints == (
        "Ear_left", "Ear_right", "Nose", "Center", "Lat_left", "Lat_right", "Tail_base", "Tail_end",
    )  # fmt: skip
    assert len(pose) == len(rows) == 101
    assert pose.confidence is not None
    for frame, animal, point in ((0, 0, "Nose"), (50, 1, "Tail_end"), (100, 1, "Ear_left")):
        column = header.index(f"{point}_{animal + 1}_x")
        x, y, p = (np.float32(v) for v in rows[frame][column : column + 3])
        k = pose.keypoints.index(point)
        assert pose.xy[frame, animal, k].tolist() == [x, y]
        assert pose.confidence[frame, animal, k] == p
    table = formats.parse_labels(path)
    last = max(i for i, name in enumerate(header) if name.startswith("Low_prob_detections"))
    assert table.declared == tuple(header[last + 1 :])
    assert len(table.declared) == 11
    bouts = formats.read_labels(path, Timeline.uniform(101, 25))
    assert bouts.intervals() == [(0, 101, "sniff_prediction")]
    assert all(row[header.index("sniff_prediction")] == "1" for row in rows)


def test_simba_layouts_made_up(tmp_path: Path) -> None:
    imported = (
        "scorer" + ",IMPORTED_POSE" * 3 + "\nbodyparts" + ",IMPORTED_POSE" * 3
        + "\ncoords,nose_x,nose_y,nose_p\n0,1,2,0.5\n1,0,0,0\n"
    )  # fmt: skip
    pose = formats.read_pose(write(tmp_path / "imported.csv", imported))
    assert (pose.animals, pose.keypoints, pose.xy[0, 0, 0].tolist()) == (("animal",), ("nose",), [1, 2])
    assert pose.missing[1].all()  # SimBA fills what is missing with 0
    with pytest.raises(InputError, match=r"holds pose \(simba-pose\) where labels was expected"):
        formats.parse_labels(tmp_path / "imported.csv")
    points = [f"{a}_{k}_{c}" for a in ("Tom", "Ann") for k in ("nose", "neck", "tail") for c in "xyp"]
    named = "," + ",".join([*points, "speed", "Probability_dig", "dig"]) + "\n"
    row = ",".join(["0", *["5"] * 18, "0.25", "0.9", "1"]) + "\n"
    path = write(tmp_path / "named.csv", named + row + row.replace("0,", "1,", 1))
    pose = formats.read_pose(path)
    assert (pose.animals, pose.keypoints) == (("Tom", "Ann"), ("nose", "neck", "tail"))
    assert formats.parse_labels(path).declared == ("dig",)
    bare = write(tmp_path / "bare.csv", named.replace(",dig", ",age") + row.replace(",1\n", ",7\n"))
    with pytest.raises(InputError, match=r"bare\.csv: no columns of 0 and 1 stand at its end"):
        formats.parse_labels(bare)
    short = write(tmp_path / "short.csv", named + row[:30])
    with pytest.raises(InputError, match=r"short\.csv: a row does not fit the header"):
        formats.read_pose(short)
    words = write(tmp_path / "words.csv", named + row.replace(",5", ",five", 1))
    with pytest.raises(InputError, match=r"words\.csv: a row does not fit.*column 'Tom_nose_x'"):
        formats.read_pose(words)


@pytest.mark.parametrize("index", [None, "", "Unnamed: 0", "scorer", "frame"])
@pytest.mark.parametrize("features", [0, 2])
@pytest.mark.parametrize("marks", [("",), ("_1", "_2")])
def test_simba_pose_and_labels_of_one_file_made_up(
    index: str | None, features: int, marks: tuple[str, ...], tmp_path: Path
) -> None:
    """Points, perhaps features, then behaviours: read as pose, as labels, and in a project as both."""
    rng = np.random.default_rng(0)
    parts = ("nose", "neck", "tail")
    numbers = rng.uniform(1, 99, (6, 9 * len(marks) + features)).round(3)
    states = [(1, 0), (1, 0), (0, 0), (0, 1), (0, 1), (0, 0)]
    head = [f"{k}{m}_{c}" for m in marks for k in parts for c in "xyp"]
    head += [f"speed_{i}" for i in range(features)] + ["dig", "rest"]
    lines = [",".join([*([] if index is None else [index]), *head])]
    for t, (row, state) in enumerate(zip(numbers, states, strict=True)):
        first = [] if index is None else [str(t)]
        lines.append(",".join([*first, *map(str, row.tolist()), *map(str, state)]))
    path = write(tmp_path / "rat.csv", "\n".join(lines) + "\n")
    assert formats.detect(path, "pose").name == formats.describe_pose(path).format == "simba-pose"
    assert formats.detect(path, "labels").name == "simba"
    pose = formats.read_pose(path)
    assert (len(pose.animals), pose.keypoints, len(pose)) == (len(marks), parts, 6)
    told = numbers[:, : 9 * len(marks)].reshape(6, len(marks), 3, 3)
    np.testing.assert_array_equal(pose.xy, told[..., :2].astype(np.float32))
    np.testing.assert_array_equal(pose.confidence, np.minimum(told[..., 2], 1).astype(np.float32))
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == [(0, 2, "dig"), (3, 5, "rest")]
    init(tmp_path / "study", poses=[str(path)], labels=[str(path)], fps=10)
    project = load_project(tmp_path / "study")
    (recording,) = project.recordings
    np.testing.assert_array_equal(load_pose(project, recording).xy, pose.xy)
    labels = load_bouts(project, recording)
    assert [b for b in labels.intervals() if b[2] != "background"] == bouts.intervals()


def test_simba_as_it_is_written(tmp_path: Path) -> None:
    bouts = Bouts.build(Ethogram(("dig", "rest")), 3, [(0, 1, "dig"), (1, 2, "rest")], [[0, 2]])
    formats.write_labels(tmp_path / "x.csv", bouts, Timeline.uniform(3, 10), "simba")
    assert (
        tmp_path / "x.csv"
    ).read_text() == "scorer,dig,rest,not annotated\n0,1,0,0\n1,0,1,0\n2,0,0,1\n"
    odd = Bouts.build(Ethogram(("Probability_dig",)), 3, [])
    with pytest.raises(InputError, match="'Probability_dig' cannot be written"):
        formats.write_labels(tmp_path / "y.csv", odd, Timeline.uniform(3, 10), "simba")


@pytest.mark.parametrize(
    ("text", "intervals", "annotated"),
    [
        ("dig,rest\n1,0\n1,0\n0,1\n0,0\n", [(0, 2, "dig"), (2, 3, "rest")], [[0, 4]]),
        (",dig\n0,True\n1,True\n3,False\n", [(0, 2, "dig")], [[0, 2], [3, 4]]),
        ("frame_number;dig\n0;0\n1;1\n2;\n", [(1, 2, "dig")], [[0, 2]]),
        ("behavior\ndig\ndig\n\nrest\n", [(0, 2, "dig"), (3, 4, "rest")], [[0, 2], [3, 4]]),
        ("index,label\n2,dig\n3,dig\n4,not annotated\n", [(2, 4, "dig")], [[2, 4]]),
        ("time,dig\n0.0,0\n0.1,1\n0.2,1\n0.3,0\n", [(1, 3, "dig")], [[0, 4]]),
        ("seconds\tdig\trest\n0\t1\t0\n0.2\t0\t1\n", [(0, 2, "dig"), (2, 4, "rest")], [[0, 4]]),
    ],
    ids=["bare", "number", "empty", "names", "numbered names", "time", "coarse time"],
)
def test_tables_of_frames_made_up(
    text: str, intervals: list[tuple[int, int, str]], annotated: list[list[int]], tmp_path: Path
) -> None:
    path = write(tmp_path / "x.csv", text)
    assert formats.detect(path).name == "per-frame"
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == intervals
    assert bouts.annotated.tolist() == annotated


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("dig,rest\n" + "1,0\n" * 30 + "0.5,0\n", r"column 'dig' holds 0\.5 in row 31"),
        ("time,dig\n0.1,0\n0.0,1\n", "times must grow from 0 on"),
        ("label\n0\n3\n1\n", "behaviours are numbers, and no names are told"),
        (",dig\n0,1\n1.5,1\n", r"frame number of row 2 is 1\.5"),
        ("index,label\n0,dig\n1\n", "1 cells where the header has 2|not recognised"),
    ],
)
def test_tables_of_frames_that_are_wrong(text: str, match: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "x.csv", text), match, Timeline.uniform(40, 10))


def test_behaviordepot_made_up(tmp_path: Path) -> None:
    table = write(tmp_path / "x.csv", "StartFrame,StopFrame,Behavior\n1,3,Freezing\n5,5,Rearing\n")
    assert formats.detect(table).name == "behaviordepot"
    # Frames count from 1 and the last belongs to the bout.
    assert formats.read_labels(table, TIMELINE).intervals() == [(0, 3, "Freezing"), (4, 5, "Rearing")]
    own = write(tmp_path / "own.csv", "start_frame,stop_frame,behavior\n1,3,Freezing\n")
    assert formats.detect(own).name == "bouts"  # murine's own, counted from 0
    assert formats.read_labels(own, TIMELINE).intervals() == [(1, 3, "Freezing")]
    refused(
        write(table, "StartFrame,StopFrame,Behavior\n0,3,Freezing\n"),
        "row 1: frames 0 to 3; they count from 1",
    )
    refused(
        write(table, "StartFrame,StopFrame,Behavior\n1,2.5,Freezing\n"),
        "row 1: '2.5' came where a whole",
    )
    refused(
        write(table, "StartFrame,StopFrame,Behavior\n1,2\n"), "row 1: 2 cells where the header has 3"
    )
    structure = {
        "TotalFrames": 6,
        "Freezing": {"Bouts": np.array([[1, 2], [5, 6]]), "Vector": np.array([1, 1, 0, 0, 1, 1])},
        "Rearing": {"Bouts": np.array([[3, 3]]), "Length": 0},
    }
    io.savemat(tmp_path / "hB_x.mat", {"hBehavior": structure})
    assert formats.detect(tmp_path / "hB_x.mat").name == "behaviordepot"
    bouts = formats.read_labels(tmp_path / "hB_x.mat", TIMELINE)
    assert bouts.intervals() == [(0, 2, "Freezing"), (2, 3, "Rearing"), (4, 6, "Freezing")]
    io.savemat(tmp_path / "other.mat", {"x": 1})
    refused(tmp_path / "other.mat", "not recognised")
    (tmp_path / "cut.mat").write_bytes((tmp_path / "hB_x.mat").read_bytes()[:300])
    refused(tmp_path / "cut.mat", "cut.mat")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle, delimiter=";"))


def test_raters_of_the_open_field(data: Path) -> None:
    path = data / "formats/raters/open_field_three_raters.csv"
    table = formats.parse_labels(path)
    rows = rows_of(path)
    assert table.streams == ("Jin", "Furkan", "Oliver")
    assert len(table.observations) == len({r["ID"] for r in rows}) == 20
    marks = [r for r in rows if r["type"] in ("Start/End", "StartEnd")]
    empty = [r for r in rows if r["type"] == r["to"] == "NA"]
    assert (len(marks), len(empty)) == (121, 1)
    assert len(table.rows) == len(rows) - 122
    timeline = Timeline.uniform(602 * 25, 25)
    choice = LabelChoice(stream="Oliver", observation="OFT_6")
    bouts = formats.read_labels(table, timeline, choice, tolerance_s=2)
    own = [r for r in rows if (r["ID"], r["Experimenter"]) == ("OFT_6", "Oliver")]
    begin = min(float(r["from"]) for r in own if r["type"] == "StartEnd")
    end = max(float(r["to"]) for r in own if r["type"] == "StartEnd")
    assert bouts.annotated.tolist() == [[round(begin * 25), round(end * 25)]]
    assert bouts.ethogram.behaviours == tuple(
        dict.fromkeys(
            r["type"] for r in sorted(own, key=lambda r: float(r["from"])) if r["type"] != "StartEnd"
        )
    )
    seconds = sum(float(r["to"]) - float(r["from"]) for r in own if r["type"] == "Grooming")
    frames = (bouts.frames()[:, bouts.ethogram.index("Grooming")] == 1).sum() / 25
    assert seconds > 1
    assert math.isclose(frames, seconds, abs_tol=0.05 * sum(r["type"] == "Grooming" for r in own))


def test_raters_are_chosen_by_name(data: Path) -> None:
    path = data / "formats/raters/forced_swim_four_raters.csv"
    timeline = Timeline.uniform(400 * 25, 25)
    table = formats.parse_labels(path)
    with pytest.raises(InputError, match=r"holds 10 observations: FST_1, .*Say which one is meant"):
        formats.read_labels(table, timeline)
    with pytest.raises(
        InputError, match=r"holds 4 raters: Jin, .*Say which one is meant \(column 'stream'"
    ):
        formats.read_labels(table, timeline, LabelChoice(observation="FST_3"))
    with pytest.raises(InputError, match=r"raters\.csv: no rater 'Olivier'\. Did you mean 'Oliver'"):
        formats.read_labels(table, timeline, LabelChoice(observation="FST_3", stream="Olivier"))
    with pytest.raises(InputError, match="no rater 'Olivier'"):
        formats.describe_labels(path, LabelChoice(stream="Olivier"))
    one = formats.read_labels(table, timeline, LabelChoice(observation="FST_1", stream="Oliver"))
    # Oliver marked one end only, before the first bout: he looked from there on.
    assert one.annotated.tolist() == [[round(10.315 * 25), 10000]]
    floating = [
        r
        for r in rows_of(path)
        if (r["ID"], r["Experimenter"], r["type"]) == ("FST_1", "Oliver", "Floating")
    ]
    assert len(one) < len(floating)  # two of his bouts overlap and are one
    every = formats.read_labels(table, timeline, LabelChoice(observation="FST_1", stream="all"))
    assert (every.frames() == 1).sum() >= (one.frames() == 1).sum()


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ('"a.csv";"Jin";5;"x";"Floating";"F"', "line 3: from '5' to 'x'; two numbers of seconds"),
        ('"a.csv";"Jin";5;4;"Floating";"F"', r"line 3: 'Floating' ends at 4 s, before 5 s"),
        ('"a.csv";"Jin";5;6;"NA";"F"', "line 3: no behaviour is named"),
        ('"a.csv";"Jin";5;6;"Flo', "line 3: 5 cells where the header has 6"),
    ],
)
def test_raters_that_are_wrong(row: str, match: str, tmp_path: Path) -> None:
    head = '"file";"Experimenter";"from";"to";"type";"ID"\n"a.csv";"Jin";1;2;"Floating";"F"\n'
    refused(write(tmp_path / "x.csv", head + row.replace('"', "") + "\n"), match)
