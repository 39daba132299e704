"""Annotation text of the MIT home-cage database."""

from __future__ import annotations

from pathlib import Path

import pytest

from murine import formats
from murine.errors import InputError
from murine.formats import mit
from murine.types import Bouts, Ethogram, Timeline

TIMELINE = Timeline.uniform(30, 30)


def file(folder: Path, text: str) -> Path:
    path = folder / "video.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "frame: 1-10 eat\nframe: 11-20 walk\n",
        "frame: 1-10\teat\r\nframe: 11-20\twalk",
        "Frame:  1 - 10   eat\n\nframe:11-20 walk\n\n",
        "frame: 11-20 walk\nframe: 1-10 eat\n",
    ],
)
def test_first_and_last_frame_belong_to_a_bout_and_count_from_1(tmp_path: Path, text: str) -> None:
    path = file(tmp_path, text)
    assert formats.detect(path).name == "mit"
    bouts = formats.read_labels(path, TIMELINE)
    assert bouts.intervals() == [(0, 10, "eat"), (10, 20, "walk")]
    assert bouts.annotated.tolist() == [[0, 20]], "frames without a line are not annotated"


def test_what_is_written_is_what_was_published(tmp_path: Path) -> None:
    ethogram = Ethogram(("eat", "walk"))
    bouts = Bouts.build(ethogram, 30, [(0, 10, "eat"), (12, 20, "walk")], [[0, 20]])
    formats.write_labels(tmp_path / "x.txt", bouts, TIMELINE, "mit")
    text = (tmp_path / "x.txt").read_text()
    assert text == "frame: 1-10 eat\nframe: 11-12 other\nframe: 13-20 walk\n"
    assert mit.line_of(12, 20, "walk") == "frame: 13-20 walk"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frame: 1-10 eat\nframe: 11-\n", "line 2: 'frame: 11-' came where"),
        ("frame: 1-10 eat\nsome words\n", "line 2: 'some words' came where"),
        ("frame: 0-10 eat\n", "frames 0 to 10; they count from 1"),
        ("frame: 9-4 eat\n", "frames 9 to 4; they count from 1"),
        ("frame: 1-10 eat\nframe: 11-20 wal", r"ends within line 2 \('wal'\)"),
        ("frame: 1-10 eat\nframe: 11-20 r", r"ends within line 2 \('r'\)"),
        ("frame: 1-10 eat\nframe: 11-40 walk\n", "10 frames .* past the end"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        formats.read_labels(file(tmp_path, text), TIMELINE)
    assert "video.txt" in str(caught.value)
