"""Bootstrap over recordings: the numbers of the scores themselves, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics import bootstrap_intervals, count_outcomes, score_frames
from murine.types import Ethogram

THREE = Ethogram(("base", "groom", "rear"), background="base")
LOOSE = Ethogram(("groom", "rear"), exclusive=False)


def exclusive(generator: np.random.Generator, n: int, right: float) -> tuple[NDArray[np.int8], ...]:
    truth = generator.integers(0, 3, n)
    said = np.where(generator.random(n) < right, truth, generator.integers(0, 3, n))
    return tuple((x[:, None] == np.arange(3)).astype(np.int8) for x in (truth, said))


def test_equal_recordings_leave_no_doubt_and_give_the_score_itself() -> None:
    truth, said = exclusive(np.random.default_rng(0), 200, 0.7)
    scores = score_frames(truth, None, THREE, decided=said)
    found = bootstrap_intervals([count_outcomes(truth, said, THREE)] * 5, THREE, draws=50)
    for name in ("accuracy", "balanced_accuracy", "kappa", "macro_f1", "macro_f1_foreground"):
        assert found[name] == pytest.approx((getattr(scores, name),) * 2)
    assert found["f1 rear"] == pytest.approx((scores.behaviour("rear").f1,) * 2)


def test_the_same_where_behaviours_overlap_and_frames_are_not_annotated() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(-1, 2, (300, 2)).astype(np.int8)
    said = generator.integers(0, 2, (300, 2)).astype(np.int8)
    scores = score_frames(truth, None, LOOSE, decided=said)
    found = bootstrap_intervals([count_outcomes(truth, said, LOOSE)] * 3, LOOSE, draws=20)
    for name in ("accuracy", "balanced_accuracy", "kappa", "macro_f1"):
        assert found[name] == pytest.approx((getattr(scores, name),) * 2)


def test_the_spread_of_the_mean_of_recordings_is_that_of_theory() -> None:
    # One frame a recording, right with a chance of .7: accuracy is a mean of 400 coins.
    generator = np.random.default_rng(2)
    counts = [count_outcomes(*exclusive(generator, 1, 0.55), THREE) for _ in range(400)]
    low, high = bootstrap_intervals(counts, THREE)["accuracy"]
    share = float(np.trace(np.sum(counts, axis=0)) / 400)
    width = 2 * 1.96 * np.sqrt(share * (1 - share) / 400)
    assert low < share < high
    assert high - low == pytest.approx(width, rel=0.1)


def test_recordings_are_drawn_and_not_frames() -> None:
    right = np.eye(3, dtype=np.int8)[np.arange(3000) % 3]
    wrong = np.roll(right, 1, axis=1)
    counts = [count_outcomes(right, x, THREE) for x in (right, right, right, wrong)]
    low, high = bootstrap_intervals(counts, THREE)["accuracy"]
    assert low <= 0.25
    assert high == 1.0


def test_one_recording_has_no_interval_and_odd_settings_are_refused() -> None:
    counts = [np.ones((3, 3), dtype=np.int64)]
    assert bootstrap_intervals(counts, THREE) == {}
    with pytest.raises(InputError, match="level"):
        bootstrap_intervals(counts * 2, THREE, level=1.0)


def test_a_behaviour_that_never_happens_has_none() -> None:
    table = np.zeros((3, 3), dtype=np.int64)
    table[0, 0], table[1, 1] = 8, 2
    found = bootstrap_intervals([table, table], THREE)
    assert "f1 rear" not in found
    assert found["f1 groom"] == (1.0, 1.0)
