"""Cleaning a pose: what is missing, what is filled, what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError
from murine.pose import centre, drop_origin, drop_unsure, fill_gaps, scale
from murine.pose.skeleton import body_axis
from murine.types import Pose

NAN = np.nan


def track(values: list[float], confidence: list[float] | None = None) -> Pose:
    """One animal, one keypoint on the diagonal: x as given, y ten times that."""
    x = np.array(values, dtype=np.float32)
    sure = None if confidence is None else np.array(confidence, dtype=np.float32)[:, None, None]
    return Pose(np.stack([x, 10 * x], axis=-1)[:, None, None], ("mouse",), ("nose",), sure)


def test_gap_is_filled_along_the_line_between_its_ends() -> None:
    pose, filled = fill_gaps(track([0.5, NAN, NAN, NAN, 4.5, 5]), limit_frames=3)
    np.testing.assert_allclose(pose.xy[:, 0, 0, 0], [0.5, 1.5, 2.5, 3.5, 4.5, 5])
    np.testing.assert_allclose(pose.xy[:, 0, 0, 1], [5, 15, 25, 35, 45, 50])
    assert filled[:, 0, 0].tolist() == [False, True, True, True, False, False]


def test_gap_longer_than_the_limit_stays_missing_as_a_whole() -> None:
    given = track([1, NAN, 2, NAN, NAN, NAN, 4])
    pose, filled = fill_gaps(given, limit_frames=2)
    assert np.isnan(pose.xy[3:6]).all()
    assert filled.sum() == 1
    assert pose.xy[1, 0, 0, 0] == pytest.approx(1.5)


def test_nothing_is_extrapolated() -> None:
    pose, filled = fill_gaps(track([NAN, 1, 2, NAN]), limit_frames=10)
    assert np.isnan(pose.xy[[0, 3]]).all()
    assert not filled.any()


def test_filled_points_have_no_confidence_and_the_input_stays() -> None:
    given = track([1, NAN, 3], [0.9, NAN, 0.7])
    pose, _ = fill_gaps(given, 1)
    assert pose.confidence is not None
    np.testing.assert_array_equal(pose.confidence[:, 0, 0], np.float32([0.9, NAN, 0.7]))
    assert np.isnan(given.xy[1]).all()


def test_pose_without_any_point_comes_back() -> None:
    pose, filled = fill_gaps(track([NAN, NAN]), 5)
    assert np.isnan(pose.xy).all()
    assert not filled.any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 6), st.integers(0, 2**31))
def test_filling_agrees_with_interpolation_gap_by_gap(
    missing: list[bool], limit: int, seed: int
) -> None:
    values = np.random.default_rng(seed).uniform(1, 100, len(missing))
    values[missing] = NAN
    expected = values.copy()
    known = np.flatnonzero(~np.isnan(values))
    for left, right in zip(known, known[1:], strict=False):
        if 1 < right - left <= limit + 1:
            inside = np.arange(left + 1, right)
            expected[inside] = np.interp(inside, [left, right], values[[left, right]])
    pose, filled = fill_gaps(track(values.tolist()), limit)
    np.testing.assert_allclose(pose.xy[:, 0, 0, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(filled[:, 0, 0], np.isnan(values) & ~np.isnan(expected))


def test_unsure_points_are_dropped_and_unknown_confidences_kept() -> None:
    pose = drop_unsure(track([1, 2, 3, 4], [0.2, 0.6, 0.59, NAN]), 0.6)
    np.testing.assert_array_equal(pose.xy[:, 0, 0, 0], np.float32([NAN, 2, NAN, 4]))
    plain = track([1, 2])
    assert drop_unsure(plain, 0.6) is plain


def test_points_in_the_corner_are_missing_but_not_points_on_an_edge() -> None:
    xy = np.array([[0, 0], [0, 5], [5, 0], [1, 1]], dtype=np.float32)[:, None, None]
    pose = drop_origin(Pose(xy, ("mouse",), ("nose",)))
    assert pose.missing[:, 0, 0].tolist() == [True, False, False, False]


def test_centre_and_scale() -> None:
    pose = scale(centre(track([10, NAN, 30]), (4, 20)), 2)
    np.testing.assert_array_equal(pose.xy[:, 0, 0], np.float32([[3, 40], [NAN, NAN], [13, 140]]))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda p: fill_gaps(p, -1), "0 frames or more; came -1"),
        (lambda p: drop_unsure(p, 1.5), "between 0 .* came 1.5"),
        (lambda p: centre(p, (1, 2, 3)), "two numbers"),
        (lambda p: centre(p, (1, NAN)), "two numbers"),
        (lambda p: scale(p, 0), "positive number of pixels; came 0"),
    ],
)
def test_wrong_settings_are_refused(work, words: str) -> None:
    with pytest.raises(InputError, match=words):
        work(track([1, 2]))


@pytest.mark.parametrize(
    ("keypoints", "expected"),
    [
        (("nose", "left_ear", "right_ear", "neck", "left_hip", "right_hip", "tail_base"), (0, 6, 3)),
        (("top", "body", "tail", "tail-m", "tail-e"), (0, 2, 1)),
        (("Tail_base", "Nose", "Spine_1", "Center"), (1, 0, 3)),
        (("nose", "tailbase"), (0, 1, None)),
        (("a", "b", "c"), (0, 2, None)),
        (("a", "b", "nose"), (2, 0, None)),
        (("body", "a"), (0, 1, None)),
    ],
)
def test_ends_of_the_body_are_known_by_name(keypoints, expected) -> None:
    axis = body_axis(keypoints)
    assert axis is not None
    assert (axis.front, axis.back, axis.middle) == expected


def test_one_keypoint_has_no_axis() -> None:
    assert body_axis(("nose",)) is None
