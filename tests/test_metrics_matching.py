"""Bouts one by one: found, missed, in pieces, run together, early, late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics import match_bouts
from murine.metrics.matching import shared_frames
from murine.metrics.segments import segments
from murine.types import Timeline

TEN_HERTZ = Timeline.uniform(40, 10.0)


def column(*bouts: tuple[int, int], frames: int = 40) -> NDArray[np.int8]:
    """Return (frames, 1) with 1 in the given half-open bouts."""
    values = np.zeros((frames, 1), dtype=np.int8)
    for start, stop in bouts:
        values[start:stop] = 1
    return values


def test_found_missed_and_made_up() -> None:
    truth, said = column((0, 10), (20, 24)), column((2, 11), (30, 35))
    (row,) = match_bouts(["rest"], [truth], [said], [TEN_HERTZ])
    # 8 of 11 frames are shared by the first pair.
    assert (row.true, row.predicted, row.matched) == (2, 2, 1)
    assert (row.precision, row.recall, row.f1) == (0.5, 0.5, 0.5)
    assert row.onset_s == pytest.approx(0.2)
    assert row.offset_s == pytest.approx(0.1)
    assert (row.true_s, row.predicted_s) == pytest.approx((1.4, 1.4))
    assert row.share_error == pytest.approx(0.0)
    (strict,) = match_bouts(["rest"], [truth], [said], [TEN_HERTZ], threshold=0.8)
    assert strict.matched == 0
    assert strict.onset_s is None


def test_too_early_and_too_late_do_not_cancel_in_the_error() -> None:
    truth = column((10, 20), (30, 38))
    said = column((8, 20), (32, 38))
    (row,) = match_bouts(["rest"], [truth], [said], [TEN_HERTZ])
    assert row.onset_s == pytest.approx(0.0)
    assert row.onset_error_s == pytest.approx(0.2)
    assert row.offset_error_s == pytest.approx(0.0)


def test_one_bout_in_pieces_and_two_run_together() -> None:
    whole, pieces = column((0, 20)), column((0, 6), (8, 12), (14, 20))
    (row,) = match_bouts(["rest"], [whole], [pieces], [TEN_HERTZ], by="overlap", threshold=0.3)
    assert (row.fragmented, row.merged, row.matched) == (1, 0, 1)
    (row,) = match_bouts(["rest"], [pieces], [whole], [TEN_HERTZ], by="overlap", threshold=0.0)
    assert (row.fragmented, row.merged, row.matched) == (0, 1, 1)


def test_the_largest_overlap_is_paired_first() -> None:
    truth, said = column((0, 10), (11, 20)), column((8, 20))
    (row,) = match_bouts(["rest"], [truth], [said], [TEN_HERTZ], threshold=0.0)
    assert row.matched == 1
    assert row.onset_s == pytest.approx(-0.3)


def test_what_one_side_did_not_annotate_parts_bouts_and_is_no_fault() -> None:
    truth, said = column((0, 30)), column((0, 10), (20, 30))
    truth[10:20] = -1
    (row,) = match_bouts(["rest"], [truth], [said], [TEN_HERTZ])
    assert (row.true, row.predicted, row.matched) == (2, 2, 2)
    assert row.true_s == pytest.approx(2.0)


def test_recordings_are_pooled_on_their_own_clocks() -> None:
    truth, said = [column((0, 10))] * 2, [column((1, 10))] * 2
    slow = Timeline.uniform(40, 1.0)
    (row,) = match_bouts(["rest"], truth, said, [TEN_HERTZ, slow])
    assert row.onset_s == pytest.approx((0.1 + 1.0) / 2)
    assert row.true_s == pytest.approx(11.0)
    assert row.share_error == pytest.approx(-1.1 / 44)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="recording 0"):
        match_bouts(["rest"], [column((0, 3))], [column((0, 3), frames=39)], [TEN_HERTZ])
    with pytest.raises(InputError, match="0 to 1"):
        match_bouts(["rest"], [column()], [column()], [TEN_HERTZ], threshold=2.0)
    with pytest.raises(InputError, match="do not go together"):
        match_bouts(["rest"], [column()], [column()], [])


masks = st.lists(st.booleans(), min_size=30, max_size=30).map(lambda x: np.array(x))


@given(masks, masks)
def test_shared_frames_are_those_of_every_pair(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> None:
    first, second = (segments(np.where(x, 1, -1)) for x in (a, b))
    expected = []
    for i, (start, stop) in enumerate(zip(first.start, first.stop, strict=True)):
        for j, (begin, end) in enumerate(zip(second.start, second.stop, strict=True)):
            frames = len(set(range(start, stop)) & set(range(begin, end)))
            if frames:
                expected.append((i, j, frames))
    assert shared_frames(first, second) == expected


@given(masks, masks)
def test_swapping_the_sides_swaps_the_row(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> None:
    one, two = (x.astype(np.int8)[:, None] for x in (a, b))
    clock = Timeline.uniform(30, 10.0)
    (row,), (back,) = (match_bouts(["x"], [p], [q], [clock]) for p, q in ((one, two), (two, one)))
    assert (row.matched, row.f1, row.fragmented) == (back.matched, back.f1, back.merged)
    assert (row.precision, row.true_s) == (back.recall, back.predicted_s)
