"""Every registered format: round trip, truncated, wrong header, empty, garbage."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from murine import formats
from murine.errors import InputError
from murine.formats import FORMATS, LabelFormat, PoseFormat
from murine.types import Bouts, Ethogram, LabelChoice, Pose, Timeline

BINARY = ("gz", "parquet", "nwb")
LABELS = [n for n, f in FORMATS.items() if isinstance(f, LabelFormat) and f.write]
COSTLY = ["nwb-intervals"]  # pynwb writes its whole schema with every file
POSES = [n for n, f in FORMATS.items() if isinstance(f, PoseFormat) and f.write]
FILES = [(n, s) for n in LABELS + POSES for s in FORMATS[n].suffixes]
NAMES = ("walk", "rear up", "dig-in", "ärgern")

quick = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Bouts, Timeline]:
    """Random bouts, exclusive or not, with stretches nobody annotated, at constant or variable rate."""
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        steps = rng.uniform(0.003, 0.3, n)
        timeline = Timeline(np.cumsum(steps) - steps[0])
    else:
        timeline = Timeline.uniform(n, draw(st.sampled_from([1.0, 15.0, 29.97, 30.0, 120.0, 2000.0])))
    ethogram = Ethogram(NAMES, exclusive=draw(st.booleans()))
    runs = np.repeat(rng.integers(-2, len(NAMES), n), rng.integers(1, 9, n))[:n]
    if ethogram.exclusive:
        frames = np.stack([(runs == c) for c in range(len(NAMES))], axis=1).astype(np.int8)
    else:
        frames = (rng.random((n, len(NAMES))) < 0.3).astype(np.int8)
        frames = frames[np.maximum.accumulate(np.where(rng.random(n) < 0.4, np.arange(n), 0))]
    frames[runs == -1] = -1
    return Bouts.from_frames(ethogram, frames), timeline


def back(path: Path, bouts: Bouts, timeline: Timeline) -> Bouts:
    """Read labels and carry them over to the ethogram they had."""
    choice = LabelChoice(stream="all")
    found = formats.read_labels(path, timeline, choice, known=bouts.ethogram.behaviours)
    return formats.align(found, bouts.ethogram, ignore={"other"})


@pytest.mark.parametrize("name", [n for n in LABELS if n not in COSTLY])
@quick
@given(recording=recordings())
def test_labels_come_back_frame_by_frame(
    name: str, recording: tuple[Bouts, Timeline], tmp_path: Path
) -> None:
    come_back(name, recording, tmp_path)


@pytest.mark.parametrize("name", COSTLY)
@settings(quick, max_examples=4)
@given(recording=recordings())
def test_labels_come_back_from_costly_files(
    name: str, recording: tuple[Bouts, Timeline], tmp_path: Path
) -> None:
    come_back(name, recording, tmp_path)


def come_back(name: str, recording: tuple[Bouts, Timeline], tmp_path: Path) -> None:
    bouts, timeline = recording
    for suffix in FORMATS[name].suffixes:
        path = tmp_path / f"labels{suffix}"
        formats.write_labels(path, bouts, timeline, name, subject="m1", recording="r1", media="r1.mp4")
        assert formats.detect(path).name == name
        np.testing.assert_array_equal(back(path, bouts, timeline).frames(), bouts.frames())


@pytest.mark.parametrize("name", POSES)
@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(1, 4)),
    sure=st.booleans(),
)
def test_pose_comes_back_bit_by_bit(
    name: str, seed: int, shape: tuple[int, int, int], sure: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.normal(300, 200, (*shape, 2)).astype(np.float32)
    xy[rng.random(shape) < 0.3] = np.nan
    confidence = (
        np.where(np.isnan(xy[..., 0]), np.nan, rng.random(shape)).astype(np.float32) if sure else None
    )
    animals = (
        tuple(f"m,{a}" for a in range(shape[1])) if rng.random() < 0.7 or shape[1] > 1 else ("animal",)
    )
    keypoints = (("A_nose", "A_tail", "B_nose", "B_tail"), ("nose", "ear left", 'q"x', "tail"))[seed % 2]
    pose = Pose(xy, animals, keypoints[: shape[2]], confidence)
    for suffix in FORMATS[name].suffixes:
        path = tmp_path / f"pose{suffix}"
        formats.write_pose(path, pose, name)
        found = formats.read_pose(path)
        assert (found.animals, found.keypoints) == (pose.animals, pose.keypoints)
        np.testing.assert_array_equal(found.xy, pose.xy)
        if sure:
            np.testing.assert_array_equal(found.confidence, pose.confidence)
        else:
            assert found.confidence is None
        summary = formats.describe_pose(path)
        assert (summary.format, summary.n_frames, summary.animals) == (name, len(pose), pose.animals)


def sample(name: str, path: Path) -> tuple[Timeline, Bouts | None]:
    timeline = Timeline.uniform(40, 25)
    if name in POSES:
        xy = np.random.default_rng(0).uniform(1, 400, (40, 2, 3, 2))
        formats.write_pose(
            path, Pose(xy, ("a", "b"), ("nose", "neck", "tail"), np.ones((40, 2, 3))), name
        )
        return timeline, None
    ethogram = Ethogram(("walk", "rest"))
    bouts = Bouts.build(ethogram, 40, [(0, 10, "walk"), (10, 25, "rest"), (30, 40, "walk")])
    formats.write_labels(path, bouts, timeline, name, subject="m", recording="r", media="r.mp4")
    return timeline, bouts


def read(name: str, path: Path, timeline: Timeline) -> Bouts | Pose:
    return formats.read_pose(path) if name in POSES else formats.read_labels(path, timeline)


def read_or_refuse(name: str, path: Path, timeline: Timeline) -> Bouts | Pose | InputError:
    try:
        return read(name, path, timeline)
    except InputError as error:
        return error


@pytest.mark.parametrize(("name", "suffix"), FILES)
def test_cut_short_is_refused_by_name_or_is_a_true_beginning(
    name: str, suffix: str, tmp_path: Path
) -> None:
    whole = tmp_path / f"whole{suffix}"
    timeline, bouts = sample(name, whole)
    content = whole.read_bytes()
    text = gzip.decompress(content) if suffix.endswith("gz") else content
    binary = suffix.endswith(BINARY)
    refused = 0
    points = sorted({1, *np.linspace(2, len(content) - 2, 60).astype(int).tolist()})
    for at in points:
        path = tmp_path / f"cut{at}{suffix}"
        path.write_bytes(content[:at])
        found = read_or_refuse(name, path, timeline)
        if isinstance(found, InputError):
            assert str(path) in str(found)
            refused += 1
            continue
        assert not binary, f"{name} read {at} of {len(content)} bytes"
        # A csv cut within its very last cell cannot be told from a whole one.
        line_start = text.rfind(b"\n", 0, at) + 1
        if isinstance(found, Pose):
            rows = text[:line_start].count(b"\n") - 4
            assert len(found) - rows in (0, 1)
        elif bouts is not None:
            assert {b for _, _, b in found.intervals()} <= set(bouts.ethogram.behaviours) | {"other"}
    assert refused >= (len(points) if binary else 5)


@pytest.mark.parametrize(("name", "suffix"), FILES)
@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"this,is\nno,table\n", bytes(range(256)) * 40, b"\x89HDF\r\n\x1a\n" + b"\0" * 500, b"PAR1" * 9,
     b"PK\x03\x04" + b"\0" * 99, b"{}", b"[1, 2", b"\x1f\x8b\x08\x00\x00"],
    ids=["empty", "blank", "text", "binary", "hdf5", "parquet", "zip", "json", "cut json", "gzip"],
)  # fmt: skip
def test_something_else_is_refused_by_name(
    name: str, suffix: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(content)
    timeline = Timeline.uniform(10, 30)
    form = FORMATS[name]
    for attempt in (
        lambda: read(name, path, timeline),
        # The reader itself, asked without detection, refuses too.
        lambda: form.read(path) if isinstance(form, PoseFormat) else form.parse(path),
    ):
        with pytest.raises(InputError, match="odd"):
            attempt()


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_missing_file_and_a_folder_are_refused(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    reader = form.read if isinstance(form, PoseFormat) else form.parse
    with pytest.raises(InputError, match="not found"):
        reader(tmp_path / "none.csv")
    with pytest.raises(InputError, match="folder"):
        reader(tmp_path)


@pytest.mark.parametrize(("name", "suffix"), [f for f in FILES if not f[1].endswith(BINARY)])
def test_wrong_header(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    timeline, _ = sample(name, path)
    text = path.read_text(encoding="utf-8")
    if name in ("deepethogram", "simba"):
        # Another word in their header makes another table of 0 and 1; without the header there is none.
        text = text.split("\n", 1)[1]
    for old in (
        "coords",
        "Behavior",
        "behaviour",
        "frame",
        "behaviors_conf",
        "Annotator",
        "S1:",
        "List of channels",
    ):
        text = text.replace(old, "Verhalten")
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(InputError, match=f"x{suffix}"):
        read(name, path, timeline)


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_tells_what_it_is(name: str) -> None:
    form = FORMATS[name]
    assert form.name == name
    assert form.kind in ("pose", "labels")
    assert form.summary
    assert all(s.startswith(".") for s in form.suffixes)
