"""Resizing, rows, windows around a point, brightness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError
from murine.video.geometry import crop_at, crop_rows, interpolate_centres, resize, window_at

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_resize_averages_whole_blocks() -> None:
    expected = FRAME.reshape(30, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize(FRAME, (30, 40)).astype(float) - expected).max() <= 0.5
    stack = np.stack([FRAME, FRAME[::-1]])
    assert np.array_equal(resize(stack, (30, 40))[1], resize(FRAME[::-1].copy(), (30, 40)))
    assert resize(FRAME[..., 0], (30, 40)).shape == (30, 40)
    assert resize(FRAME, (60, 80)) is FRAME
    assert resize(FRAME, (120, 160)).shape == (120, 160, 3)
    assert resize(stack[..., :1], (30, 40)).shape == (2, 30, 40, 1)


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="0x40"):
        resize(FRAME, (0, 40))


def test_crop_rows() -> None:
    assert np.array_equal(crop_rows(FRAME, 10, 15), FRAME[10:45])
    assert np.array_equal(crop_rows(FRAME[None], 0, 0), FRAME[None])
    for top, bottom in ((30, 30), (-1, 0), (61, 0)):
        with pytest.raises(InputError, match="leaves nothing"):
            crop_rows(FRAME, top, bottom)


@pytest.mark.parametrize(
    ("centre", "corner"),
    [
        ((40, 30), (20, 30)),
        ((0, 0), (0, 0)),
        ((79, 59), (40, 60)),
        ((-50, 500), (40, 0)),
        ((40.4, 29.6), (20, 30)),
    ],
)
def test_a_window_is_shifted_inwards(centre: tuple[float, float], corner: tuple[int, int]) -> None:
    row, column = window_at(centre, 20, 60, 80)
    assert abs(row - corner[0]) <= 1
    assert abs(column - corner[1]) <= 1
    assert np.array_equal(crop_at(FRAME, centre, 20), FRAME[row : row + 20, column : column + 20])


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(-200, 300), y=st.floats(-200, 300), height=st.integers(1, 90), width=st.integers(1, 90),
    size=st.integers(1, 90),
)  # fmt: skip
def test_a_window_never_leaves_the_frame(x: float, y: float, height: int, width: int, size: int) -> None:
    if size > min(height, width):
        with pytest.raises(InputError, match="does not fit"):
            window_at((x, y), size, height, width)
        return
    row, column = window_at((x, y), size, height, width)
    assert 0 <= row <= height - size
    assert 0 <= column <= width - size
    # Away from the borders the point is the middle of the window, to half a pixel.
    if size / 2 < x < width - 1 - size / 2:
        assert abs(column + (size - 1) / 2 - x) <= 0.5 + 1e-9


def test_an_odd_window_has_its_point_in_the_middle() -> None:
    assert np.array_equal(crop_at(FRAME, (30, 20), 11)[5, 5], FRAME[20, 30])


def test_a_missing_centre_is_refused() -> None:
    with pytest.raises(InputError, match="missing"):
        crop_at(FRAME, (np.nan, 3), 10)


def test_centres_are_interpolated_within_the_limit() -> None:
    nan = np.nan
    xy = np.array(
        [[nan, nan], [0, 10], [nan, 3], [nan, nan], [6, 40], [nan, nan], [nan, nan], [nan, nan], [9, 9]]
    )
    filled = interpolate_centres(xy, limit=3)
    assert filled[:5] == pytest.approx(np.array([[0, 10], [0, 10], [2, 20], [4, 30], [6, 40]]))
    assert filled[5:8] == pytest.approx(np.array([[6.75, 32.25], [7.5, 24.5], [8.25, 16.75]]))
    assert filled[8] == pytest.approx(np.array([9, 9]))
    assert np.isnan(xy[0]).all()
    whole = np.arange(12.0).reshape(6, 2)
    assert np.array_equal(interpolate_centres(whole, limit=0), whole)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ([(5, 8)], r"frames 5 to 7 have no point to crop around \(3 frames\), and gaps of at most 2 "),
        ([(0, 3)], r"frames 0 to 2 have no point"),
        ([(17, 20)], r"frames 17 to 19 have no point"),
        ([(2, 5), (9, 13)], r"frames 9 to 12 .*\(4 frames, as in 1 other stretches\)"),
    ],
)
def test_a_longer_gap_is_refused_by_its_frames(gone: list[tuple[int, int]], message: str) -> None:
    """At the beginning and the end too: nobody knows where the animal was."""
    xy = np.ones((20, 2))
    for start, stop in gone:
        xy[start:stop, 0] = np.nan
    with pytest.raises(InputError, match=message):
        interpolate_centres(xy, limit=2)
    assert np.array_equal(interpolate_centres(xy, limit=4), np.ones((20, 2)))


def test_centres_need_a_point_and_two_columns() -> None:
    with pytest.raises(InputError, match="no frame has a point"):
        interpolate_centres(np.full((4, 2), np.nan), 3)
    with pytest.raises(InputError, match=r"\(T, 2\)"):
        interpolate_centres(np.zeros((4, 3)), 3)
