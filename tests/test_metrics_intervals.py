"""Bootstrap over recordings: the numbers of the scores themselves, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics import (
    Outcome,
    Pair,
    bootstrap_differences,
    bootstrap_intervals,
    outcome_of,
    score_frames,
)
from murine.types import Ethogram

THREE = Ethogram(("base", "groom", "rear"), background="base")
LOOSE = Ethogram(("groom", "rear"), exclusive=False)


def counted(truth: NDArray[np.int8], said: NDArray[np.int8], ethogram: Ethogram = THREE) -> Outcome:
    return outcome_of(Pair(truth, said), ethogram)


def exclusive(generator: np.random.Generator, n: int, right: float) -> tuple[NDArray[np.int8], ...]:
    truth = generator.integers(0, 3, n)
    said = np.where(generator.random(n) < right, truth, generator.integers(0, 3, n))
    return tuple((x[:, None] == np.arange(3)).astype(np.int8) for x in (truth, said))


def test_equal_recordings_leave_no_doubt_and_give_the_score_itself() -> None:
    truth, said = exclusive(np.random.default_rng(0), 200, 0.7)
    scores = score_frames(truth, None, THREE, decided=said)
    found = bootstrap_intervals([counted(truth, said)] * 5, THREE, draws=50)
    for name in ("accuracy", "balanced_accuracy", "kappa", "macro_f1", "macro_f1_foreground"):
        assert found[name] == pytest.approx((getattr(scores, name),) * 2)
    assert found["f1 rear"] == pytest.approx((scores.behaviour("rear").f1,) * 2)


def test_the_same_where_behaviours_overlap_and_frames_are_not_annotated() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(-1, 2, (300, 2)).astype(np.int8)
    said = generator.integers(0, 2, (300, 2)).astype(np.int8)
    scores = score_frames(truth, None, LOOSE, decided=said)
    found = bootstrap_intervals([counted(truth, said, LOOSE)] * 3, LOOSE, draws=20)
    for name in ("accuracy", "balanced_accuracy", "kappa", "macro_f1"):
        assert found[name] == pytest.approx((getattr(scores, name),) * 2)


def test_the_spread_of_the_mean_of_recordings_is_that_of_theory() -> None:
    # One frame a recording, right with a chance of .7: accuracy is a mean of 400 coins.
    generator = np.random.default_rng(2)
    counts = [counted(*exclusive(generator, 1, 0.55)) for _ in range(400)]
    low, high = bootstrap_intervals(counts, THREE)["accuracy"]
    share = sum(int(one.frames[:, 0].sum()) for one in counts) / 400
    width = 2 * 1.96 * np.sqrt(share * (1 - share) / 400)
    assert low < share < high
    assert high - low == pytest.approx(width, rel=0.1)


def test_recordings_are_drawn_and_not_frames() -> None:
    right = np.eye(3, dtype=np.int8)[np.arange(3000) % 3]
    wrong = np.roll(right, 1, axis=1)
    counts = [counted(right, x) for x in (right, right, right, wrong)]
    low, high = bootstrap_intervals(counts, THREE)["accuracy"]
    assert low <= 0.25
    assert high == 1.0


def test_groups_are_drawn_whole() -> None:
    right = np.eye(3, dtype=np.int8)[np.arange(300) % 3]
    wrong = np.roll(right, 1, axis=1)
    counts = [counted(right, x) for x in (right, right, wrong, wrong)]
    alone = bootstrap_intervals(counts, THREE)["accuracy"]
    assert alone == (0.0, 1.0)
    # One good and one bad recording in each group: whatever is drawn, half is right.
    assert bootstrap_intervals(counts, THREE, groups=["a", "b", "a", "b"])["accuracy"] == (0.5, 0.5)
    assert bootstrap_intervals(counts, THREE, groups=["a"] * 4) == {}
    with pytest.raises(InputError, match="4 recordings came with the groups of 2"):
        bootstrap_intervals(counts, THREE, groups=["a", "b"])


def test_a_difference_is_paired() -> None:
    # Recordings differ far more than the two evaluations do: only the paired difference sees it.
    generator = np.random.default_rng(3)
    first, second = [], []
    for right in (0.1, 0.3, 0.5, 0.7, 0.9) * 4:
        truth, said = exclusive(generator, 400, right)
        better = said.copy()
        better[::20] = truth[::20]
        first.append(counted(truth, said))
        second.append(counted(truth, better))
    found = bootstrap_differences(first, second, THREE)["accuracy"]
    assert found.difference == pytest.approx(found.second - found.first)
    assert found.interval is not None
    assert 0 < found.interval[0] < found.difference < found.interval[1] < 0.06
    assert found.better == 1.0
    low, high = bootstrap_intervals(first, THREE)["accuracy"]
    assert high - low > 0.12
    back = bootstrap_differences(second, first, THREE)["accuracy"]
    assert back.interval == pytest.approx([-x for x in reversed(found.interval)])
    same = bootstrap_differences(first, first, THREE)["macro_f1"]
    assert (same.difference, same.interval, same.better) == (0.0, (0.0, 0.0), 0.5)
    one = bootstrap_differences(first, second, THREE, groups=["rat"] * 20)["accuracy"]
    assert (one.interval, one.better) == (None, None)
    with pytest.raises(InputError, match="20 and 19"):
        bootstrap_differences(first, second[1:], THREE)


def test_one_recording_has_no_interval_and_odd_settings_are_refused() -> None:
    counts = [counted(*exclusive(np.random.default_rng(4), 20, 0.5))]
    assert bootstrap_intervals(counts, THREE) == {}
    with pytest.raises(InputError, match="level"):
        bootstrap_intervals(counts * 2, THREE, level=1.0)


def test_a_behaviour_that_never_happens_has_none() -> None:
    truth = np.eye(3, dtype=np.int8)[[0] * 8 + [1] * 2]
    found = bootstrap_intervals([counted(truth, truth)] * 2, THREE)
    assert "f1 rear" not in found
    assert found["f1 groom"] == (1.0, 1.0)
