"""Windows: all lengths x sizes x strides, sampling by time, stitching in memory and handed out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from murine.data.windows import (
    PREDICTS,
    Predicts,
    Stitcher,
    Windows,
    plan,
    sample_frames,
    samples_per,
    taper,
)
from murine.errors import InputError
from murine.types import Timeline

SMALL = [
    (n, size, stride, predicts)
    for n, size, stride in itertools.product(range(1, 18), range(0, 9), range(1, 10))
    for predicts in PREDICTS
    if not (predicts == "all" and size and stride > size and n > size)
]


def covered(windows: Windows) -> np.ndarray:
    count = np.zeros(windows.n, dtype=int)
    for a, b in zip(windows.target_start, windows.target_stop, strict=True):
        count[a:b] += 1
    return count


def test_every_small_plan_keeps_its_promises() -> None:
    for n, size, stride, predicts in SMALL:
        w = plan(n, size, stride, predicts)
        case = (n, size, stride, predicts)
        assert (w.stop - w.start == (size or n)).all(), case
        assert w.start[0] == 0, case
        assert (np.diff(w.start) > 0).all(), case
        assert w.stop[-1] == max(n, size), case
        assert (np.diff(w.start)[:-1] == stride).all(), case
        assert (w.target_stop > w.target_start).all(), case
        if predicts == "all":
            assert (covered(w) >= 1).all(), case
            assert (w.target_stop <= n).all(), case
        else:
            assert (covered(w) == 1).all(), case
            assert (w.target_start[1:] == w.target_stop[:-1]).all(), case
        # A window sees what it answers for, but for the clips a long stride leaves out and the margins
        # a clip model cannot be centred on.
        if stride == 1 and predicts != "all":
            at = w.start + size // 2 if predicts == "centre" else w.stop - 1
            if size and n >= size:
                assert ((w.target_start <= at) & (at < w.target_stop)).all(), case
                assert (np.diff(w.target_start[1:]) == 1).all(), case


def test_centre_answers_for_the_nearest_samples() -> None:
    for n, size, stride in itertools.product(range(4, 20), range(1, 5), range(1, 7)):
        w = plan(n, size, stride, "centre")
        centres = w.start + size // 2
        for i, (a, b) in enumerate(zip(w.target_start, w.target_stop, strict=True)):
            for sample in range(a, b):
                assert abs(sample - centres[i]) == np.abs(sample - centres).min()


def test_last_never_answers_from_the_past_of_a_sample() -> None:
    w = plan(20, 6, 4, "last")
    assert (w.target_stop == w.stop).all()
    assert w.target_start.tolist() == [0, 6, 10, 14, 18]
    assert w.start.tolist() == [0, 4, 8, 12, 14]


def test_a_worked_plan() -> None:
    w = plan(10, 4, 3)
    assert w.start.tolist() == [0, 3, 6]
    assert w.stop.tolist() == [4, 7, 10]
    w = plan(11, 4, 3)
    assert w.start.tolist() == [0, 3, 6, 7]
    short = plan(3, 8, 8)
    assert (short.start.tolist(), short.stop.tolist(), short.target_stop.tolist()) == ([0], [8], [3])
    whole = plan(7, 0, 1)
    assert (whole.start.tolist(), whole.stop.tolist()) == ([0], [7])


@pytest.mark.parametrize(("n", "size", "stride"), [(0, 4, 4), (-1, 4, 4), (10, -1, 1), (10, 4, 0)])
def test_numbers_that_make_no_sense_are_refused(n: int, size: int, stride: int) -> None:
    with pytest.raises(InputError, match="cannot cut"):
        plan(n, size, stride)


def test_gaps_and_unknown_words_are_refused() -> None:
    with pytest.raises(InputError, match="at most 4 samples"):
        plan(20, 4, 5)
    with pytest.raises(InputError, match="middle"):
        plan(20, 4, 4, "middle")  # type: ignore[arg-type]


def test_first_touching_finds_where_to_resume() -> None:
    for n, size, stride, predicts in SMALL[::7]:
        w = plan(n, size, stride, predicts)
        for sample in range(n + 1):
            expected = [i for i in range(len(w)) if w.target_stop[i] > sample]
            assert w.first_touching(sample) == (expected[0] if expected else len(w))


# Sampling


def test_sampling_by_hand() -> None:
    thirty = Timeline.uniform(10, 30.0)
    assert sample_frames(thirty, 0).samples.tolist() == list(range(10))
    assert sample_frames(thirty, 0.1).samples.tolist() == [0, 3, 6, 9]
    # 0.05 s is 1.5 frames: ties go to the earlier frame, whatever the rounding.
    assert sample_frames(thirty, 0.05).samples.tolist() == [0, 1, 3, 4, 6, 7, 9]
    assert sample_frames(thirty, 0.1).owner.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert sample_frames(thirty, 100.0).samples.tolist() == [0]
    assert sample_frames(thirty, 1e-12).samples.tolist() == list(range(10))
    assert sample_frames(Timeline.uniform(1, 30.0), 0.5).samples.tolist() == [0]


def test_sampling_a_variable_rate_follows_time_not_frames() -> None:
    timeline = Timeline(np.array([5.0, 5.1, 5.2, 5.3, 6.3, 6.4]))
    sampling = sample_frames(timeline, 0.2)
    assert sampling.samples.tolist() == [0, 2, 3, 4, 5]
    assert sampling.owner.tolist() == [0, 0, 1, 2, 3, 4]


@given(
    steps=arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0.001, 2.0)),
    spacing=st.floats(0.0005, 5.0),
)
@settings(max_examples=60, deadline=None)
def test_samples_are_the_frames_nearest_to_the_multiples(steps: np.ndarray, spacing: float) -> None:
    timeline = Timeline(np.concatenate([[0.0], np.cumsum(steps)]))
    sampling = sample_frames(timeline, spacing)
    samples, owner, times = sampling.samples, sampling.owner, timeline.times
    assert samples[0] == 0
    assert (np.diff(samples) > 0).all()
    for k in range(int(times[-1] / spacing) + 1):
        assert np.abs(times[samples] - k * spacing).min() <= np.abs(times - k * spacing).min() + 1e-5
    away = np.abs(times[:, None] - times[None, samples])
    assert (np.take_along_axis(away, owner[:, None], 1)[:, 0] <= away.min(axis=1) + 1e-5).all()
    assert (owner[samples] == np.arange(len(samples))).all()
    assert (np.diff(owner) >= 0).all()


def test_durations_become_samples() -> None:
    timeline = Timeline.uniform(100, 30.0)
    assert samples_per(1.0, timeline, sample_frames(timeline, 0)) == 30
    assert samples_per(1.0, timeline, sample_frames(timeline, 0.1)) == 10
    assert samples_per(0.0, timeline, sample_frames(timeline, 0.1)) == 1
    assert samples_per(5.0, timeline, sample_frames(timeline, 99.0)) == 1


@pytest.mark.parametrize("spacing", [-0.1, float("nan"), float("inf")])
def test_a_spacing_that_is_no_time_is_refused(spacing: float) -> None:
    with pytest.raises(InputError, match="spacing_s"):
        sample_frames(Timeline.uniform(3, 1.0), spacing)


# Stitching


def outputs(windows: Windows, classes: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = windows.stop - windows.start if windows.predicts == "all" else np.ones(len(windows), int)
    return [rng.normal(size=(int(k), classes)).astype(np.float32) for k in rows]


def test_a_uniform_field_stays_uniform() -> None:
    for n, size, stride, predicts in SMALL[::5]:
        w = plan(n, size, stride, predicts)
        stitcher = Stitcher(n, 2)
        for i in range(len(w)):
            rows = int(w.stop[i] - w.start[i]) if predicts == "all" else 1
            start, values = w.place(i, np.tile(np.float32([0.3, -7.0]), (rows, 1)))
            stitcher.add(start, values, taper(len(values)))
        assert np.allclose(stitcher.result(), [0.3, -7.0], rtol=1e-6), (n, size, stride, predicts)


def test_stitching_equals_the_plain_mean() -> None:
    for n, size, stride, predicts in SMALL[::11]:
        w = plan(n, size, stride, predicts)
        values = outputs(w, 3)
        stitcher = Stitcher(n, 3)
        for i in np.random.default_rng(1).permutation(len(w)):
            stitcher.add(*w.place(i, values[i]))
        seen: list[list[np.ndarray]] = [[] for _ in range(n)]
        for i in range(len(w)):
            for row, sample in enumerate(range(w.target_start[i], w.target_stop[i])):
                seen[sample].append(values[i][row if predicts == "all" else 0])
        expected = np.array([np.mean(v, axis=0) for v in seen])
        assert np.allclose(stitcher.result(), expected, atol=1e-6)


@given(
    n=st.integers(1, 60),
    size=st.integers(0, 12),
    stride=st.integers(1, 12),
    predicts=st.sampled_from(PREDICTS),
    every=st.integers(1, 5),
    weighted=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_handing_out_rows_gives_the_same_as_keeping_them(
    n: int, size: int, stride: int, predicts: Predicts, every: int, weighted: bool
) -> None:
    stride = min(stride, size) if size else stride
    w = plan(n, size, stride, predicts)
    values = outputs(w, 2)
    whole, handed = Stitcher(n, 2), Stitcher(n, 2)
    rows: list[np.ndarray] = []
    at = 0
    for i in range(len(w)):
        start, placed = w.place(i, values[i])
        weight = taper(len(placed)) if weighted else None
        whole.add(start, placed, weight)
        handed.add(start, placed, weight)
        if i % every == 0:
            first, part = handed.finished()
            assert first == at
            at += len(part)
            rows.append(part)
    first, part = handed.rest()
    assert first == at
    assert np.array_equal(np.concatenate([*rows, part]), whole.result())


def test_memory_is_bounded_by_the_window() -> None:
    stitcher = Stitcher(100_000, 3)
    largest = 0
    for start in range(0, 99_901, 50):
        stitcher.add(start, np.ones((100, 3), dtype=np.float32))
        stitcher.finished()
        largest = max(largest, len(stitcher._sum))
    assert largest <= 200


@pytest.mark.parametrize(("n", "size", "stride"), [(50, 10, 4), (50, 10, 10), (23, 8, 3), (9, 20, 5)])
def test_an_interrupted_run_resumes_to_the_same_rows(n: int, size: int, stride: int) -> None:
    w = plan(n, size, stride)
    values = outputs(w, 2)
    whole = Stitcher(n, 2)
    for i in range(len(w)):
        whole.add(*w.place(i, values[i]))
    for stop in range(len(w)):
        first_run = Stitcher(n, 2)
        for i in range(stop + 1):
            first_run.add(*w.place(i, values[i]))
        _, known = first_run.finished()
        second = Stitcher(n, 2, first=len(known))
        parts = [known]
        for i in range(w.first_touching(len(known)), len(w)):
            second.add(*w.place(i, values[i]))
            parts.append(second.finished()[1])
        parts.append(second.rest()[1])
        assert np.array_equal(np.concatenate(parts), whole.result())


def test_what_is_not_covered_or_not_finite_is_refused() -> None:
    stitcher = Stitcher(5, 1)
    stitcher.add(0, np.ones((2, 1)))
    stitcher.add(3, np.ones((2, 1)))
    with pytest.raises(InputError, match="sample 2 of 5"):
        stitcher.result()
    with pytest.raises(InputError, match="sample 2 of 5"):
        stitcher.finished()
    with pytest.raises(InputError, match="not a number at sample 4"):
        stitcher.add(3, np.array([[1.0], [np.nan]]))


def test_misuse_is_refused() -> None:
    stitcher = Stitcher(5, 2)
    for start, shape in [(4, (2, 2)), (-1, (2, 2)), (0, (2, 3))]:
        with pytest.raises(ValueError, match="do not fit"):
            stitcher.add(start, np.ones(shape))
    with pytest.raises(ValueError, match="from 0 up"):
        stitcher.add(0, np.ones((2, 2)), [1.0, -0.1])
    stitcher.add(0, np.ones((3, 2)))
    stitcher.add(2, np.ones((3, 2)))
    assert stitcher.finished()[1].shape == (2, 2)
    with pytest.raises(ValueError, match="in order of start"):
        stitcher.add(1, np.ones((2, 2)))
    with pytest.raises(ValueError, match="collect"):
        stitcher.result()
    with pytest.raises(ValueError, match="cannot stitch"):
        Stitcher(3, 1, first=4)


def test_taper_is_symmetric_positive_and_highest_in_the_middle() -> None:
    assert taper(1).tolist() == [1.0]
    assert taper(4).tolist() == [0.5, 1.0, 1.0, 0.5]
    for length in range(1, 12):
        weights = taper(length)
        assert np.array_equal(weights, weights[::-1])
        assert weights.min() > 0
        assert weights.max() == 1
