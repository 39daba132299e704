"""The values: three states of a frame, half-open intervals, times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from murine.errors import InputError
from murine.types import (
    UNLABELLED,
    Bouts,
    Ethogram,
    LabelChoice,
    Pose,
    Prediction,
    Recording,
    Timeline,
    runs,
)

TWO = Ethogram(("groom", "rear"))
BACK = Ethogram(("groom", "rear", "none"), background="none")
BOTH = Ethogram(("groom", "rear"), exclusive=False)


def test_an_ethogram_refuses_what_has_no_meaning() -> None:
    for behaviours in ((), ("a", "a"), ("",), (" a",)):
        with pytest.raises(InputError):
            Ethogram(behaviours)
    with pytest.raises(InputError, match="not a behaviour"):
        Ethogram(("a",), background="b")
    with pytest.raises(InputError, match="exclusive"):
        Ethogram(("a", "b"), exclusive=False, background="b")
    with pytest.raises(InputError, match="groom, rear"):
        TWO.index("graom")
    assert BACK.foreground == (0, 1)
    assert Ethogram(**BACK.to_dict()) == BACK


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 40), st.just(2)), elements=st.integers(0, 1)), st.data()
)
def test_frames_and_bouts_are_the_same_thing(table: np.ndarray, draw: st.DataObject) -> None:
    unseen = draw.draw(hnp.arrays(bool, len(table)))
    table = np.where(unseen[:, None], UNLABELLED, table)
    bouts = Bouts.from_frames(BOTH, table)
    np.testing.assert_array_equal(bouts.frames(), table)
    again = Bouts.build(BOTH, len(table), bouts.intervals(), bouts.annotated)
    assert again.intervals() == bouts.intervals()
    np.testing.assert_array_equal(again.annotated, bouts.annotated)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-1, 2)))
def test_classes_and_bouts_are_the_same_thing(classes: np.ndarray) -> None:
    np.testing.assert_array_equal(Bouts.from_classes(BACK, classes).classes(), classes)


def test_the_three_states_of_a_frame() -> None:
    bouts = Bouts.build(BACK, 10, [(0, 3, "groom"), (3, 5, "groom"), (6, 7, "rear")], annotated=[[0, 8]])
    assert bouts.intervals() == [(0, 5, "groom"), (6, 7, "rear")]
    assert bouts.classes().tolist() == [0, 0, 0, 0, 0, 2, 1, 2, -1, -1]
    assert bouts.frames()[5].tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="2 frames"):
        Bouts.build(TWO, 10, [(0, 8, "groom")]).classes()


@pytest.mark.parametrize(
    ("intervals", "says"),
    [
        ([(0, 5, "groom"), (4, 6, "rear")], "overlaps"),
        ([(0, 11, "groom")], "10 frames"),
        ([(-1, 2, "groom")], "10 frames"),
        ([(5, 5, "groom")], "10 frames"),
        ([(1, 2, "jump")], "unknown behaviour"),
    ],
)
def test_bouts_name_what_is_wrong(intervals: list[tuple[int, int, str]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Bouts.build(TWO, 10, intervals)


def test_overlap_is_fine_where_behaviours_may_overlap() -> None:
    assert len(Bouts.build(BOTH, 10, [(0, 5, "groom"), (4, 6, "rear")])) == 2
    with pytest.raises(InputError, match="twice"):
        Bouts.build(BOTH, 10, [(0, 5, "groom"), (4, 6, "groom")])


def test_runs() -> None:
    assert runs([0, 1, 1, 0, 1]) == [(1, 3), (4, 5)]
    assert runs([]) == []


def test_boundaries_are_the_nearest_frame_edges() -> None:
    timeline = Timeline.uniform(10, 10.0)
    assert timeline.boundary([-1.0, 0.04, 0.06, 0.96, 1.0, 7.0]).tolist() == [0, 0, 1, 10, 10, 10]
    assert timeline.seconds([0, 10]) == pytest.approx([0.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.005, 0.2), min_size=2, max_size=40))
def test_a_boundary_survives_the_way_to_seconds_and_back(steps: list[float]) -> None:
    timeline = Timeline(np.cumsum(steps))
    every = np.arange(len(timeline) + 1)
    np.testing.assert_array_equal(timeline.boundary(timeline.seconds(every)), every)


def test_timeline_rates() -> None:
    assert Timeline.uniform(100, 29.97).fps == pytest.approx(29.97)
    assert not Timeline.uniform(100, 29.97).variable
    assert Timeline(np.array([0.0, 0.1, 0.2, 0.5, 0.6])).variable
    for times in ([], [0.0, 0.0], [0.0, np.nan], [1.0, 0.5]):
        with pytest.raises(InputError):
            Timeline(np.array(times))
    with pytest.raises(InputError, match="frame rate"):
        Timeline.uniform(10, 0.0)


def test_pose_has_both_coordinates_or_none() -> None:
    xy = np.zeros((3, 1, 2, 2))
    xy[1, 0, 1, 0] = np.nan
    pose = Pose(xy, ("mouse",), ("nose", "tail"))
    assert np.isnan(pose.xy[1, 0, 1]).all()
    assert pose.missing.sum() == 1
    with pytest.raises(InputError):
        Pose(xy, ("mouse",), ("nose",))
    with pytest.raises(InputError, match="differ"):
        Pose(xy, ("mouse",), ("nose", "nose"))
    with pytest.raises(ValueError):
        pose.xy[0] = 1.0


def test_recordings_need_a_file_and_a_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="neither"):
        Recording("a")
    with pytest.raises(InputError, match="file name"):
        Recording("a/b", video=tmp_path)
    recording = Recording("a", video=tmp_path, groups={"cage": "1"}, choice=LabelChoice(stream="S1"))
    assert recording.group("cage") == "1"
    assert recording.group("recording") == "a"
    with pytest.raises(InputError, match=r"recordings\.csv"):
        recording.group("animal")


def test_predictions_cover_every_frame() -> None:
    timeline = Timeline.uniform(3, 10.0)
    Prediction("a", TWO, np.full((3, 2), 0.5), timeline)
    holes = np.full((3, 2), 0.5)
    holes[1] = np.nan
    with pytest.raises(InputError, match="frame 1"):
        Prediction("a", TWO, holes, timeline)
    with pytest.raises(InputError, match="outside"):
        Prediction("a", TWO, np.full((3, 2), 1.5), timeline)
    with pytest.raises(InputError, match="3 frames"):
        Prediction("a", TWO, np.zeros((4, 2)), timeline)
