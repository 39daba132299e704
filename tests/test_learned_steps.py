"""Thresholds, hysteresis, opening, shortest bouts; and what is learned from labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from test_postprocess import MULTI, PLAIN, RATE, WITH_REST, decided, letters, marks, mask, run

from murine.errors import InputError
from murine.postprocess import MinimumBout, decide, make_steps
from murine.postprocess.learning import bout_statistics, joined, learn_semi_markov, learn_shortest_bout
from murine.postprocess.shortest import Opening, ShortestBout
from murine.postprocess.thresholds import Thresholds
from murine.types import Bouts, Ethogram, Task, Timeline


def column(*values: float) -> np.ndarray:
    return np.array([[v, 0.0] for v in values], dtype=np.float32)


def test_thresholds_of_overlapping_behaviours():
    step = Thresholds(("groom",), (0.3,))
    assert marks(run(step, column(0.2, 0.31, 0.6, 0.29, 0.3001), MULTI)) == ".xx.x"


def test_thresholds_among_behaviours_that_exclude_each_other():
    values = np.array([[0.5, 0.3, 0.2], [0.6, 0.25, 0.15], [0.2, 0.2, 0.6]], dtype=np.float32)
    assert letters(run(Thresholds(("rear",), (0.25,)), values, PLAIN)) == "bac"
    assert letters(run(Thresholds(("groom", "rear"), (0.2, 0.1)), values, PLAIN)) == "bab"


def test_hysteresis_of_one_behaviour():
    values = column(0.55, 0.65, 0.5, 0.41, 0.39, 0.55, 0.61, 0.45, 0.1, 0.45)
    assert marks(run(Thresholds(margin=0.2), values, MULTI)) == "xxxx..xx.."
    assert marks(run(Thresholds(("groom",), (0.25,), margin=0.2), values, MULTI)) == "xxxxxxxx.x"


def test_hysteresis_among_behaviours_that_exclude_each_other():
    values = np.array([[0.5, 0.4, 0.1], [0.45, 0.5, 0.05], [0.38, 0.57, 0.05], [0.5, 0.45, 0.05]])
    assert letters(run(Thresholds(margin=0.2), values.astype(np.float32), PLAIN)) == "aabb"
    assert letters(run(Thresholds(), values.astype(np.float32), PLAIN)) == "abba"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.4]), st.booleans())
def test_thresholds_in_pieces_are_those_of_the_whole(length, seed, margin, exclusive):
    rng = np.random.default_rng(seed)
    ethogram = PLAIN if exclusive else Ethogram(PLAIN.behaviours, exclusive=False)
    values = rng.random((length, 3)).astype(np.float32)
    step = Thresholds(("rear", "groom"), (0.3, 0.6), margin)
    timeline = Timeline.uniform(length, RATE)
    whole = step(values, timeline, ethogram)
    cuts = sorted({0, length, *rng.integers(0, length + 1, 4).tolist()})
    pieces = [values[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    assert np.array_equal(step.over(pieces, timeline, ethogram), whole)
    if not margin:
        ratios = values / np.array([0.6, 0.3, 0.5])
        plain = decide(ratios, ethogram) if exclusive else ratios >= 1.0
        assert np.array_equal(whole, plain)


def test_tasks_have_their_own_hysteresis():
    tasks = Ethogram.of_tasks([Task("a", ("x", "y")), Task("b", ("z",), exclusive=False)])
    values = np.array([[0.6, 0.4, 0.7], [0.45, 0.55, 0.45], [0.3, 0.7, 0.3]], dtype=np.float32)
    got = Thresholds(margin=0.2)(values, Timeline.uniform(3, RATE), tasks)
    assert got.tolist() == [[True, False, True], [True, False, True], [False, True, False]]


def test_opening_leaves_background_behind():
    assert letters(run(Opening(0.3), decided("cabbbaaccbbcc"), WITH_REST)) == "ccbbbcccccccc"
    assert letters(run(Opening(0.3, ("rear",)), decided("abbac"), WITH_REST)) == "accac"
    before = decided("aaabaaacc")
    assert np.array_equal(run(Opening(0.2), before, PLAIN), run(MinimumBout(0.2), before, PLAIN))


@settings(max_examples=60, deadline=None)
@given(st.text("x.", min_size=2, max_size=40), st.integers(1, 6))
def test_opening_is_that_of_morphology(text, frames):
    wanted = ndimage.binary_opening(mask(text)[:, 0], np.ones(frames))
    assert np.array_equal(run(Opening(frames / RATE), mask(text), MULTI)[:, 0], wanted)


def test_shortest_bouts_by_behaviour():
    step = ShortestBout(behaviours=("groom", "rear"), each_s=(0.2, 0.4))
    assert letters(run(step, decided("ccccaccccaacccbbbcccbbbbc"), PLAIN)) == "cccccccccaacccccccccbbbbc"
    assert letters(run(ShortestBout(0.2, ("rear",), (0.0,)), decided("ccabcc"), PLAIN)) == "cccbcc"


def text_bouts(text: str, ethogram: Ethogram = PLAIN, annotated: list[list[int]] | None = None) -> Bouts:
    classes = np.array(["abc".find(c) for c in text])
    made = Bouts.from_classes(ethogram, classes)
    return made if annotated is None else Bouts.build(ethogram, len(text), made.intervals(), annotated)


def test_statistics_count_whole_bouts_and_direct_changes():
    timeline = Timeline.uniform(16, RATE)
    found = bout_statistics(text_bouts("aabbbaacc.abbaab"), timeline)
    np.testing.assert_allclose(
        found.lengths[0], [0.2, 0.2]
    )  # the first, and those before and after '.', are cut
    np.testing.assert_allclose(found.lengths[1], [0.3, 0.2])
    np.testing.assert_allclose(found.lengths[2], [0.2])  # only a cut one is there
    assert found.changes.tolist() == [[0, 3, 1], [2, 0, 0], [0, 0, 0]]


def test_statistics_of_behaviours_that_may_overlap():
    frames = np.array([[0, 1], [1, 1], [1, 1], [0, 0], [0, 1], [1, 0], [0, 0], [0, 0]])
    found = bout_statistics(Bouts.from_frames(MULTI, frames), Timeline.uniform(8, RATE))
    np.testing.assert_allclose(found.lengths[0], [0.2, 0.1])
    np.testing.assert_allclose(found.gaps[0], [0.2])
    np.testing.assert_allclose(found.lengths[1], [0.1])
    np.testing.assert_allclose(found.gaps[1], [0.1])


def test_learned_durations_are_those_that_made_the_labels():
    rng = np.random.default_rng(0)
    means, spread = np.array([2.0, 8.0, 0.5]), 0.4
    chances = np.array([[0, 0.8, 0.2], [0.1, 0, 0.9], [0.5, 0.5, 0]])
    labels = []
    for _ in range(4):
        state, text = 0, ""
        for _ in range(250):
            seconds = rng.lognormal(np.log(means[state]) - spread**2 / 2, spread)
            text += "abc"[state] * max(1, round(seconds * 30))
            state = int(rng.choice(3, p=chances[state]))
        labels.append(bout_statistics(text_bouts(text), Timeline.uniform(len(text), 30.0)))
    step = learn_semi_markov(joined(labels), emission=0.5)
    np.testing.assert_allclose(step.means_s, means, rtol=0.1)
    np.testing.assert_allclose(step.spreads, spread, atol=0.05)
    np.testing.assert_allclose(step.following, chances, atol=0.06)
    assert make_steps([{"name": "semi_markov", **step.__dict__}]) == (step,)
    shortest = learn_shortest_bout(joined(labels), 0.05)
    wanted = np.exp(np.log(means) - spread**2 / 2 - 1.645 * spread)
    np.testing.assert_allclose(shortest.each_s, wanted, rtol=0.12)


def test_a_behaviour_of_one_bout_leans_on_the_others():
    text = "a" * 20 + ("b" * 10 + "a" * 10) * 20 + "c" + "a" * 20
    step = learn_semi_markov(bout_statistics(text_bouts(text), Timeline.uniform(len(text), RATE)))
    assert 0.1 < step.means_s[2] < 1.0
    assert step.spreads[2] >= 0.05
    assert all(row[c] == 0 for c, row in enumerate(step.following))
    assert step.following[1][2] > 0


def test_nothing_to_learn_from_and_wrong_settings():
    with pytest.raises(InputError, match="no labels"):
        joined([])
    for step, wrong, words in (
        (Thresholds, {"behaviours": ["a"]}, "values needs a number between 0 and 1 for each of 1"),
        (Thresholds, {"behaviours": ["a"], "values": [1.0]}, "between 0 and 1"),
        (Thresholds, {"margin": 1.0}, "margin must be a number from 0 to below 1"),
        (ShortestBout, {"behaviours": ["a"], "each_s": []}, "a duration for each of 1"),
        (ShortestBout, {"behaviours": ["a"], "each_s": [-1.0]}, "each_s must be 0 or more"),
        (Opening, {"behaviours": "a"}, "must be a list of names"),
    ):
        with pytest.raises(InputError, match=words):
            step(**wrong)
    with pytest.raises(InputError, match="unknown behaviour 'walk'"):
        run(Thresholds(("walk",), (0.3,)), column(0.5), MULTI)
    with pytest.raises(InputError, match="unknown behaviour 'walk'"):
        run(ShortestBout(0.1, ("walk",), (0.3,)), decided("ab"), PLAIN)
