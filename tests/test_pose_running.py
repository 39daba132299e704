"""Window statistics against the plain formulas, value by value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.pose.features.running import RunningSums, extremes, running

NAN = np.float32(np.nan)


def plain(values: np.ndarray, half: int) -> list[np.ndarray]:
    """Return mean, deviation, least and greatest of each window in float64, one window after another."""
    found = np.full((4, *values.shape), np.nan)
    for row in np.ndindex(values.shape[:-1]):
        for t in range(values.shape[-1]):
            window = values[row][max(t - half, 0) : t + half + 1].astype(np.float64)
            window = window[~np.isnan(window)]
            if len(window):
                found[(slice(None), *row, t)] = window.mean(), window.std(), window.min(), window.max()
    return list(found)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(1, 70),
    half=st.integers(1, 90),
    missing=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    offset=st.sampled_from([0.0, -300.0, 5000.0]),
)
def test_any_window_of_any_row(seed: int, length: int, half: int, missing: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    values = (offset + rng.normal(0, 20, (2, 3, length))).astype(np.float32)
    values[rng.random(values.shape) < missing] = NAN
    mean, deviation, least, greatest = plain(values, half)
    own = running(values, half)
    np.testing.assert_allclose(own[0], mean, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(own[1], deviation, rtol=1e-5, atol=1e-3 if offset else 1e-4)
    for ours, theirs in zip(extremes(values, half), (least, greatest), strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float32))


def test_several_windows_of_the_same_sums() -> None:
    values = np.random.default_rng(0).normal(3, 1, (2, 500)).astype(np.float32)
    values[0, 100:180] = NAN
    sums = RunningSums(values, 60)
    for half in (1, 7, 30, 60):
        mean, deviation, *_ = plain(values, half)
        found = sums.over(half)
        np.testing.assert_allclose(found[0], mean, rtol=1e-6)
        np.testing.assert_allclose(found[1], deviation, rtol=1e-5, atol=1e-6)
    assert np.isnan(sums.over(7)[0][0, 110:170]).all()  # nothing known in the window
    assert not np.isnan(sums.over(60)[0]).any()


def test_a_still_animal_after_a_jump_keeps_its_digits() -> None:
    """Sums of squares of numbers far from 0 would lose a small deviation."""
    values = np.full((1, 4000), 900, np.float32)
    values[0, 2000:] = 100
    values[0, 2500:3000] += np.resize([0.25, -0.25], 500).astype(np.float32)
    mean, deviation = running(values, 15)
    assert deviation[0, 2700] == pytest.approx(0.25, rel=2e-3)
    assert mean[0, 2700] == pytest.approx(100, abs=0.02)
    assert deviation[0, 1000] == pytest.approx(0, abs=1e-3)
    assert deviation[0, 1999] == pytest.approx(np.std(values[0, 1984:2015]), rel=1e-5)
