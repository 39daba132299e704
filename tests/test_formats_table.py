"""Plain tables of bouts and of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from murine import formats
from murine.errors import InputError
from murine.predictions import write_prediction
from murine.types import Bouts, Ethogram, LabelChoice, Prediction, Timeline

TIMELINE = Timeline.uniform(20, 10)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("behaviour,start,stop", "dig,2,5\nrest,5,9"),
        ("Behavior;Start;Stop", "dig;2;5\nrest;5;9"),
        ("start_frame\tstop_frame\tbehavior", "2\t5\tdig\n5\t9\trest"),
        ("behaviour,start_s,stop_s", "dig,0.2,0.5\nrest,0.5,0.9"),
        (
            "behaviour,start_s,stop_s,start_frame,stop_frame",
            "dig,7,8,2,5\nrest,8,9,5,9",
        ),  # frames come first
        ('"behaviour","start","stop"', '"rest",5,9\n"dig",2,5'),
    ],
)
def test_bouts_in_frames_or_seconds(header: str, rows: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", f"{header}\n{rows}\n")
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == [(2, 5, "dig"), (5, 9, "rest")]
    assert bouts.ethogram == Ethogram(("dig", "rest"))
    assert bouts.annotated.tolist() == [[0, 20]]
    assert formats.describe_labels(path).unit == ("seconds" if header.endswith("stop_s") else "frames")


def test_subjects_recordings_and_stretches_not_annotated(tmp_path: Path) -> None:
    text = (
        "behaviour,start,stop,subject,recording\ndig,2,5,m1,a\nrest,4,9,m2,a\nrest,0,3,m1,b\n"
        "not annotated,10,20,m1,a\n"
    )
    path = write(tmp_path / "x.csv", text)
    with pytest.raises(InputError, match="holds 2 observations: a, b"):
        formats.read_labels(path, TIMELINE)
    with pytest.raises(InputError, match="holds 2 subjects: m1, m2"):
        formats.read_labels(path, TIMELINE, LabelChoice(observation="a"))
    bouts = formats.read_labels(path, TIMELINE, LabelChoice(observation="a", subject="m1"))
    assert bouts.intervals() == [(2, 5, "dig")]
    assert bouts.annotated.tolist() == [[0, 10]]
    assert not formats.read_labels(
        path, TIMELINE, LabelChoice(observation="a", subject="all")
    ).ethogram.exclusive


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("dig,2.5,5", r"row 1: start 2.5, stop 5 are not whole frames. Name the columns start_s"),
        ("dig,5,5", "row 1: stop 5 does not come after"),
        ("dig,two,5", "row 1: start is 'two'"),
        (",2,5", "row 1: no behaviour"),
        ("dig,2,5\ndig,4,6", "row 2: 'dig' begins at 4 while the one of row 1 runs until 5"),
        ("dig,2,5\ndig,4", "cannot be read"),
        ("dig,15,24", r"4 frames \(0.40 s\) past the end.*tolerance_s = 0.4"),
        ("dig,-1,4", "begins at -1 frames, before"),
    ],
)
def test_faults_in_bouts_are_named(rows: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", f"behaviour,start,stop\n{rows}\n")
    with pytest.raises(InputError, match=rf"x\.csv.*{told}"):
        formats.read_labels(path, TIMELINE)


def test_a_table_without_a_bout_needs_the_projects_behaviours(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "behaviour,start,stop\n")
    with pytest.raises(InputError, match="holds no label and names no behaviour"):
        formats.read_labels(path, TIMELINE)
    bouts = formats.read_labels(path, TIMELINE, known=("dig", "rest"))
    assert (len(bouts), bouts.annotated.tolist()) == (0, [[0, 20]])
    assert formats.describe_labels(path).last == 0


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_frames_with_a_column_each(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".csv":
        write(
            path,
            "frame,time,dig,rest\n0,0.0,1,0\n1,0.1,1,0\n2,0.2,,\n3,0.3,-1,-1\n4,0.4,0,0\n6,0.6,true,1.0\n",
        )
    else:
        columns = {
            "frame": [0, 1, 2, 3, 4, 6], "time": [0.0, 0.1, 0.2, 0.3, 0.4, 0.6],
            "dig": pa.array([True, True, None, None, False, True]),
            "rest": pa.array([0.0, 0.0, None, None, 0.0, 1.0]),
        }  # fmt: skip
        parquet.write_table(pa.table(columns), path)
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == [(0, 2, "dig"), (6, 7, "dig"), (6, 7, "rest")]
    assert bouts.annotated.tolist() == [[0, 2], [4, 5], [6, 7]]  # frame 5 is absent
    assert not bouts.ethogram.exclusive


def test_frames_with_one_column_of_names(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "frame,behaviour\n0,dig\n1,dig\n2,\n3,rest\n4,not annotated\n")
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == [(0, 2, "dig"), (3, 4, "rest")]
    assert bouts.annotated.tolist() == [[0, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "frame,dig\n0,1\n1,0.3\n",
            "column 'dig' holds '0.3' in frame 1; 0, 1 or nothing.*Probabilities",
        ),
        ("frame,dig\n0,1\n0,1\n", "each once"),
        ("frame,dig\n0.5,1\n", "whole"),
        ("frame,dig\none,1\n", "row 1: frame is 'one'"),
        ("frame,dig\n", "at least one row"),
        ("frame,dig,rest\n0,1,\n", "frame 0 is annotated for some behaviours and empty for others"),
        ("frame,dig\n20,1\n21,1\n", r"2 frames \(0.20 s\) past the end"),
    ],
)
def test_faults_in_frames_are_named(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"x\.csv.*{told}"):
        formats.read_labels(write(tmp_path / "x.csv", text), TIMELINE)


def test_a_prediction_is_not_taken_for_labels(tmp_path: Path) -> None:
    prediction = Prediction("r", Ethogram(("dig",)), np.array([[1], [0]]), Timeline.uniform(2, 10))
    write_prediction(tmp_path / "x.parquet", prediction)
    for attempt in (lambda: formats.read_labels(tmp_path / "x.parquet", TIMELINE),
                    lambda: formats.describe_labels(tmp_path / "x.parquet")):  # fmt: skip
        with pytest.raises(InputError, match=r"x\.parquet: a prediction of murine .* came where labels"):
            attempt()


def test_written_tables_hold_what_they_should(tmp_path: Path) -> None:
    bouts = Bouts.build(Ethogram(("dig", "rest")), 6, [(1, 3, "dig"), (2, 4, "rest")][:1], [[0, 5]])
    timeline = Timeline.uniform(6, 30)
    formats.write_labels(tmp_path / "b.csv", bouts, timeline, "bouts", subject="m1")
    assert (tmp_path / "b.csv").read_text() == (
        '"behaviour","start","stop","start_s","stop_s","subject"\n'
        'dig,1,3,0.033,0.1,m1\n"not annotated",5,6,0.167,0.2,m1\n'
    ).replace("dig,", '"dig",').replace(",m1", ',"m1"')
    formats.write_labels(tmp_path / "f.parquet", bouts, timeline, "frames")
    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    assert table["dig"] == [0, 1, 1, 0, 0, None]
    assert table["rest"] == [0, 0, 0, 0, 0, None]
    np.testing.assert_allclose(table["time"], np.arange(6) / 30)
    odd = Bouts.build(Ethogram(("Time",)), 6, [])
    with pytest.raises(InputError, match="a behaviour called time cannot be a column"):
        formats.write_labels(tmp_path / "g.csv", odd, timeline, "frames")
    assert not (tmp_path / "g.csv").exists()
