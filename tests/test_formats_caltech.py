"""Caltech annotation text: the real sessions, and lossless exchange with BORIS and back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from murine import formats
from murine.errors import InputError
from murine.types import Bouts, Ethogram, LabelChoice, Timeline

S1 = LabelChoice(stream="S1")
TEXT = (
    "Caltech Behavior Annotator - Annotation File\r\n\r\nConfiguration file:\r\n"
    "base\tb\r\nlong name\tl\r\nwalk\tw\r\n\r\n"
    "S1:\tstart\tend\ttype\r\n-----------------------------\r\n"
    "   \t1\t4\tbase\r\n   \t5\t5\tlong name\r\n   \t8\t10\twalk\r\n  \r\n"
    "S2:    start    end     type\r\n-----------------------------\r\n    3    6    walk\r\n  \r\n"
)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_frames_count_from_one_and_ends_are_inside(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", TEXT)
    bouts = formats.read_labels(path, Timeline.uniform(10, 30), S1)
    assert bouts.intervals() == [(0, 4, "base"), (4, 5, "long name"), (7, 10, "walk")]
    assert bouts.annotated.tolist() == [[0, 5], [7, 10]]  # a frame without a label is not annotated
    second = formats.read_labels(path, Timeline.uniform(10, 30), LabelChoice(stream="S2"))
    assert second.intervals() == [(2, 6, "walk")]
    both = formats.read_labels(path, Timeline.uniform(10, 30), LabelChoice(stream="all"))
    assert both.ethogram == Ethogram(("base", "long name", "walk"), exclusive=False)
    assert both.intervals() == [(0, 4, "base"), (2, 6, "walk"), (4, 5, "long name"), (7, 10, "walk")]


def test_the_stream_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", TEXT)
    with pytest.raises(InputError, match=r"x\.txt: holds 2 streams: S1, S2. Say which one"):
        formats.read_labels(path, Timeline.uniform(10, 30))
    with pytest.raises(InputError, match="no stream 'S3'"):
        formats.read_labels(path, Timeline.uniform(10, 30), LabelChoice(stream="S3"))
    summary = formats.describe_labels(path, S1)
    assert (summary.streams, summary.counts, summary.last, summary.unit) == (
        ("S1", "S2"), {"base": 1, "long name": 1, "walk": 1}, 10, "frames",
    )  # fmt: skip
    with pytest.raises(InputError, match="no stream 'S7'"):
        formats.describe_labels(path, LabelChoice(stream="S7"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "\t5\t5\tlong",
            "\t4\t5\tlong",
            r"line 11: 'long name' begins in frame 4 before 'base' of line 10 ends",
        ),
        ("\t5\t5\tlong", "\t5\t4\tlong", r"line 11: frames 5 to 4"),
        ("\t1\t4\tbase", "\t0\t4\tbase", r"line 10: frames 0 to 4"),
        (
            "\t8\t10\twalk",
            "\t8\t10\twal",
            r"line 12: behaviour 'wal' is not in the file's configuration",
        ),
        ("\t8\t10\twalk", "\t8\t1", r"line 12: '8\\t1' came where"),
        ("    3    6    walk\r\n", "", r"stream S2 has no labels. Was the file cut short"),
        ("Caltech Behavior Annotator", "Bento", r"not recognised"),
        (
            "\t8\t10\twalk",
            "\t8\t13\twalk",
            r"3 frames \(0.10 s\) past the end.*line 12.*tolerance_s = 0.1",
        ),
    ],
)
def test_faults_are_named(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", TEXT.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"x\.txt.*{told}"):
        formats.read_labels(path, Timeline.uniform(10, 30), S1)


def test_a_fault_in_another_stream_does_not_matter(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.txt",
        TEXT.replace("    3    6    walk", "    3    6    walk\r\n    5    9    base"),
    )
    assert len(formats.read_labels(path, Timeline.uniform(10, 30), S1)) == 3
    with pytest.raises(InputError, match="line 17: 'base' begins in frame 5"):
        formats.read_labels(path, Timeline.uniform(10, 30), LabelChoice(stream="S2"))


def test_tolerance_in_seconds_cuts_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", TEXT)
    bouts = formats.read_labels(path, Timeline.uniform(8, 30), S1, tolerance_s=2 / 30)
    assert bouts.intervals()[-1] == (7, 8, "walk")
    with pytest.raises(InputError, match="3 frames"):
        formats.read_labels(path, Timeline.uniform(7, 30), S1, tolerance_s=2 / 30)


def test_none_is_written_as_other_and_comes_back_through_the_ignore_list(tmp_path: Path) -> None:
    ethogram = Ethogram(("walk", "rest"))
    bouts = Bouts.build(ethogram, 20, [(2, 5, "walk"), (5, 9, "rest")], [[0, 12]])
    path = tmp_path / "x.txt"
    formats.write_labels(path, bouts, Timeline.uniform(20, 30), "caltech")
    found = formats.read_labels(path, Timeline.uniform(20, 30))
    assert found.intervals() == [(0, 2, "other"), (2, 5, "walk"), (5, 9, "rest"), (9, 12, "other")]
    again = formats.align(found, ethogram, ignore={"other"})
    np.testing.assert_array_equal(again.frames(), bouts.frames())


def test_session_10(data: Path) -> None:
    path = data / "rat-social/annotations/10_annot.txt"
    bouts = formats.read_labels(path, Timeline.uniform(14957, 30), S1)
    assert bouts.intervals()[:3] == [(0, 594, "base"), (594, 979, "social"), (979, 1053, "nonsocial")]
    assert bouts.intervals()[-1] == (12594, 14957, "base")
    assert len(bouts) == 38
    assert bouts.ethogram == Ethogram(("base", "aggression", "social", "nonsocial"))
    assert bouts.annotated.tolist() == [[0, 14957]]


def sessions(data: Path) -> list[tuple[Path, int]]:
    """Every session with the frames its labels reach."""
    found = []
    for path in sorted((data / "rat-social/annotations").glob("*_annot.txt")):
        last = max(int(m) for m in re.findall(r"^\s*\d+\s+(\d+)\s", path.read_text(), re.MULTILINE))
        found.append((path, last))
    return found


def test_all_sessions_through_caltech_and_boris_and_back(data: Path, tmp_path: Path) -> None:
    everything = sessions(data)
    assert len(everything) == 44
    frames = 0
    for path, last in everything:
        timeline = Timeline.uniform(last, 30)
        streams = formats.describe_labels(path).streams
        for stream in streams:
            bouts = formats.read_labels(path, timeline, LabelChoice(stream=stream))
            assert bouts.ethogram.exclusive
            if stream == "S1":
                frames += int((bouts.stop - bouts.start).sum())
                assert bouts.annotated.tolist() == [[0, last]]  # S1 tiles the session
            for name, suffix in (
                ("caltech", ".txt"),
                ("boris-tabular", ".csv"),
                ("boris-project", ".boris"),
            ):
                out = tmp_path / f"{path.stem}{stream}{suffix}"
                formats.write_labels(out, bouts, timeline, name, recording=path.stem)
                back = formats.align(formats.read_labels(out, timeline), bouts.ethogram)
                assert back.intervals() == bouts.intervals()
                np.testing.assert_array_equal(back.annotated, bouts.annotated)
    assert frames == sum(last for _, last in everything)
