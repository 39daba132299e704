"""Bento .annot: no real file could be had, so these are made up after the code of Bento and MARS that writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from murine import formats
from murine.errors import InputError
from murine.types import Bouts, Ethogram, LabelChoice, Timeline

HEAD = (
    "Bento annotation file\nMovie file(s):  films/a.seq \n\nStimulus name: \nAnnotation start frame: 1\n"
    "Annotation stop frame: 90\nAnnotation framerate: 30.000000\n\nList of channels:\nCh1\nCh2\n\n"
    "List of annotations:\nattack\nmount\n\n"
)
ROWS = "Ch1----------\n>attack\nStart\t Stop\t Duration \n1\t30\t30\n61\t75\t15\n\n\nCh2----------\n"
ROWS += ">mount\nStart\t Stop\t Duration \n31\t45\t15\n\n\n"
TIMELINE = Timeline.uniform(100, 30)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_frames_count_from_one_and_ends_are_inside(tmp_path: Path) -> None:
    path = write(tmp_path / "x.annot", HEAD + ROWS)
    assert formats.detect(path).name == "bento"
    first = formats.read_labels(path, TIMELINE, LabelChoice(stream="Ch1"))
    assert first.intervals() == [(0, 30, "attack"), (60, 75, "attack")]
    assert first.annotated.tolist() == [[0, 90]]
    both = formats.read_labels(path, TIMELINE, LabelChoice(stream="all"))
    assert both.intervals() == [(0, 30, "attack"), (30, 45, "mount"), (60, 75, "attack")]
    summary = formats.describe_labels(path, LabelChoice(stream="Ch2"))
    assert (summary.fps, summary.media, summary.streams) == (30.0, ("films/a.seq",), ("Ch1", "Ch2"))
    with pytest.raises(InputError, match=r"x\.annot: holds 2 channels: Ch1, Ch2\. Say which one"):
        formats.read_labels(path, TIMELINE)
    with pytest.raises(InputError, match=r"no channel 'Ch3'\. Did you mean"):
        formats.read_labels(path, TIMELINE, LabelChoice(stream="Ch3"))


@pytest.mark.parametrize("late", [True, False])
def test_seconds_of_both_generations(late: bool, tmp_path: Path) -> None:
    """Bento for MATLAB divides frame numbers by the rate; later versions write the times themselves."""
    shift = 1 / 30 if late else 0.0
    rows = "\n".join(
        f"{(a / 30) + shift:.12g}\t{b / 30:.12g}\t{(b - a) / 30:.12g}" for a, b in ((0, 30), (60, 75))
    )
    head = HEAD.replace("Ch2\n", "").replace("start frame: 1", f"start time: {shift:.6e}")
    head = head.replace("stop frame: 90", "stop time: 3.000000e+00")
    text = f"{head}Ch1----------\n>attack\nStart\tStop\tDuration\n{rows}\n\n"
    bouts = formats.read_labels(write(tmp_path / "x.annot", text), TIMELINE)
    assert bouts.intervals() == [(0, 30, "attack"), (60, 75, "attack")]
    assert bouts.annotated.tolist() == [[0, 90]]


def test_what_mars_writes(tmp_path: Path) -> None:
    text = (
        "Bento annotation file\nMovie file(s):\nfilm.seq\n\nStimulus name:\nAnnotation start frame: 1\n"
        "Annotation stop frame: 9\nAnnotation framerate: 30\n\nList of channels:\nclassifier_output\n\n"
        "List of annotations:\nmount\nattack\nsniff\n\nclassifier_output----------\n>mount\nStart\tStop\tDuration\n"
        "2\t4\t3\t\n\n>attack\nStart\tStop\tDuration\n\n\n"
    )
    table = formats.parse_labels(write(tmp_path / "x.annot", text))
    assert table.media[""][0].name == "film.seq"
    assert table.declared == ("mount", "attack", "sniff")
    bouts = formats.read_labels(table, Timeline.uniform(9, 30))
    assert bouts.intervals() == [(1, 4, "mount")]


def test_as_it_is_written(tmp_path: Path) -> None:
    bouts = Bouts.build(Ethogram(("dig", "rest")), 6, [(0, 2, "dig"), (4, 5, "dig")], [[0, 5]])
    formats.write_labels(tmp_path / "x.annot", bouts, Timeline.uniform(6, 25), "bento", media="a.mp4")
    text = (tmp_path / "x.annot").read_text()
    assert "Movie file(s):  a.mp4\n" in text
    assert "Annotation stop frame: 6\nAnnotation framerate: 25.000000\n" in text
    assert "Ch1----------\n>dig\nStart\t Stop\t Duration \n1\t2\t2\n5\t5\t1\n\n>not annotated\n" in text
    odd = Bouts.build(Ethogram(("dig---",)), 6, [])
    with pytest.raises(InputError, match="'dig---' cannot be written"):
        formats.write_labels(tmp_path / "y.annot", odd, Timeline.uniform(6, 25), "bento")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("1\t30\t30", "1\t30\t3", "line 20: frames 1 to 30 with duration 3"),
        ("1\t30\t30", "30\t1\t30", "line 20: 'attack' ends at 1, before it starts at 30"),
        ("1\t30\t30", "0\t30\t31", "line 20: frames 0 to 30 .*they count from 1"),
        ("1\t30\t30", "1\tx\t30", "line 20: '1 x 30' came where start, stop and duration"),
        (">attack", ">fight", r"behaviour 'fight' is not in the list \(attack, mount\)"),
        ("Ch2------", "Ch3------", r"channel 'Ch3' is not in the list\. Did you mean 'Ch"),
        ("List of channels:", "Channels", "x.annot"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, match: str, tmp_path: Path) -> None:
    text = (HEAD + ROWS).replace(old, new, 1)
    path = write(tmp_path / "x.annot", text)
    with pytest.raises(InputError, match=match) as error:
        formats.read_labels(path, TIMELINE, LabelChoice(stream="all"))
    assert str(path) in str(error.value)
