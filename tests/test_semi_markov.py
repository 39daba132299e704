"""Decoding with durations: against every possible segmentation, and against an ordinary Markov chain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from murine.errors import InputError
from murine.postprocess import SemiMarkov, decide, make_steps
from murine.postprocess.durations import Durations, make_durations, shares_of_time
from murine.postprocess.markov import decide_many
from murine.types import Ethogram, Task, Timeline

RATE = 10.0
THREE = Ethogram(("groom", "rear", "rest"))


def learned(
    shape: str, longest: float, seed: int, names: tuple[str, ...] = THREE.behaviours
) -> SemiMarkov:
    """A step with made-up statistics of some behaviours."""
    rng = np.random.default_rng(seed)
    n = len(names)
    following = rng.random((n, n)) + 0.05
    np.fill_diagonal(following, 0.0)
    following /= following.sum(axis=1, keepdims=True)
    lists = [tuple(rng.uniform(0.1, 0.6, n).tolist()) for _ in range(4)]
    return SemiMarkov(
        emission=0.7, shape=shape, longest_s=longest, behaviours=names, means_s=lists[0], spreads=lists[1],
        gaps_s=lists[2], gap_spreads=lists[3], following=tuple(map(tuple, following.tolist())),
    )  # fmt: skip


def random_values(length: int, columns: int, seed: int, exclusive: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if exclusive:
        return rng.dirichlet(np.full(columns, 0.6), length).astype(np.float32)
    return rng.random((length, columns)).astype(np.float32)


def left_exactly(law: Durations, steps: int) -> np.ndarray:
    longest = law.left.shape[1]
    if steps <= longest:
        return law.left[:, steps - 1]
    return law.left_beyond + (steps - longest - 1) * law.goes_on + law.stops


def left_at_least(law: Durations, steps: int) -> np.ndarray:
    longest = law.left.shape[1]
    if steps <= longest:
        return law.left_reaches[:, steps - 1]
    return law.left_beyond + (steps - longest - 1) * law.goes_on


def score(path: tuple[int, ...], logs: np.ndarray, law: Durations, following: np.ndarray) -> float:
    """The definition: what each bout's length, each change and each frame adds."""
    total = sum(logs[t, state] for t, state in enumerate(path))
    bouts = [(state, len(list(run))) for state, run in itertools.groupby(path)]
    first = shares_of_time(law, following)
    total += np.log(first[bouts[0][0]])
    longest = law.ends.shape[1]
    for i, (state, length) in enumerate(bouts):
        is_last = i == len(bouts) - 1
        if i == 0:
            part = left_at_least(law, length) if is_last else left_exactly(law, length)
            total += part[state]
        elif length <= longest:
            total += (law.reaches if is_last else law.ends)[state, length - 1]
        else:
            total += law.beyond[state] + (length - longest - 1) * law.goes_on[state]
            total += 0.0 if is_last else law.stops[state]
        if not is_last:
            total += np.log(following[state, bouts[i + 1][0]])
    return float(total)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 6), st.sampled_from([0.1, 0.3, 0.5, 5.0]), st.sampled_from(["lognormal", "geometric"]),
    st.integers(0, 10_000),
)  # fmt: skip
def test_it_is_the_best_of_all_segmentations(length, longest, shape, seed):
    step, values = learned(shape, longest, seed), random_values(length, 3, seed + 1)
    law, following = step.law((0, 1, 2), THREE, RATE)
    logs = 0.7 * np.log(np.clip(values.astype(np.float64), 1e-6, 1.0))
    paths = list(itertools.product(range(3), repeat=length))
    scores = np.array([score(path, logs, law, following) for path in paths])
    found = step(values, Timeline.uniform(length, RATE), THREE).argmax(axis=1)
    assert scores[paths.index(tuple(found.tolist()))] == pytest.approx(scores.max(), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10_000))
def test_geometric_is_the_ordinary_markov_chain(length, seed):
    """Against the textbook recursion over (T, S), with a stay of 1 - 1 / mean."""
    step, values = learned("geometric", 10.0, seed), random_values(length, 3, seed + 1)
    _, following = step.law((0, 1, 2), THREE, RATE)
    stop = 1.0 / np.maximum(np.array(step.means_s) * RATE, 1.0)
    stop = np.clip(stop, 1e-9, 1 - 1e-9)
    chain = following * stop[:, None] + np.diag(1 - stop)
    equations = np.vstack([chain.T - np.eye(3), np.ones(3)])
    share = np.linalg.lstsq(equations, np.array([0, 0, 0, 1.0]), rcond=None)[0]
    logs = 0.7 * np.log(np.clip(values.astype(np.float64), 1e-6, 1.0))

    def total(path: np.ndarray) -> float:
        return float(
            np.log(share[path[0]]) + logs[np.arange(length), path].sum()
            + np.log(chain[path[:-1], path[1:]]).sum()
        )  # fmt: skip

    best, came = np.log(share) + logs[0], []
    for row in logs[1:]:
        arrived = best[:, None] + np.log(chain)
        came.append(arrived.argmax(axis=0))
        best = arrived.max(axis=0) + row
    found = step(values, Timeline.uniform(length, RATE), THREE).argmax(axis=1)
    assert total(found) == pytest.approx(best.max(), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(1, 400),
    st.floats(0.05, 2.0),
    st.integers(1, 60),
    st.sampled_from(["lognormal", "geometric"]),
)
def test_chances_of_durations_are_whole(mean, spread, longest, shape):
    law = make_durations([mean], [spread], longest, shape)
    assert np.exp(law.ends).sum() + np.exp(law.beyond[0]) == pytest.approx(1.0, abs=1e-6)
    every = range(1, 20_000)
    left = np.exp([left_exactly(law, n)[0] for n in every])
    if law.goes_on[0] < -1e-3:
        assert left.sum() == pytest.approx(1.0, abs=1e-3)
    for n in (1, 2, longest, longest + 1, longest + 5):
        assert np.exp(left_at_least(law, n)[0]) == pytest.approx(
            left[n - 1 :].sum() + np.exp(left_at_least(law, 20_000)[0]), abs=1e-6
        )


def test_lognormal_chances_against_scipy():
    law = make_durations([20.0], [0.5], 80, "lognormal")
    exact = stats.lognorm(0.5, scale=20.0 * np.exp(-0.125))
    at = np.arange(2, 81)
    np.testing.assert_allclose(
        np.exp(law.ends[0, 1:]), np.maximum(exact.cdf(at + 0.5) - exact.cdf(at - 0.5), 1e-12), rtol=1e-6
    )
    assert law.mean[0] == pytest.approx(20.0, rel=0.01)


def test_typical_durations_beat_a_chain_without_them():
    """Bouts last 2 s, never much else: half a second of the other inside is noise."""
    truth = np.repeat(np.arange(8) % 2, 20)
    sure = np.where(truth == 1, 0.65, 0.35)
    sure[28:33], sure[47:52] = 0.1, 0.9
    values = np.stack([1 - sure, sure], axis=1).astype(np.float32)
    two = Ethogram(("rest", "walk"))
    common = {
        "behaviours": two.behaviours, "means_s": (2.0, 2.0), "spreads": (0.1, 0.1), "gaps_s": (2.0, 2.0),
        "gap_spreads": (0.1, 0.1), "following": ((0.0, 1.0), (1.0, 0.0)),
    }  # fmt: skip
    timeline = Timeline.uniform(len(truth), RATE)
    found = SemiMarkov(**common)(values, timeline, two).argmax(axis=1)
    plain = SemiMarkov(shape="geometric", **common)(values, timeline, two).argmax(axis=1)
    assert np.array_equal(found, truth)
    assert (plain != truth).sum() >= 12


def test_pieces_and_order_of_behaviours_change_nothing():
    step, values = learned("lognormal", 0.4, 3), random_values(500, 3, 5)
    timeline = Timeline.uniform(500, RATE)
    whole = step(values, timeline, THREE)
    pieces = [values[:7], values[7:8], values[8:300], values[300:]]
    assert np.array_equal(step.over(pieces, timeline, THREE), whole)
    turned = Ethogram(("rest", "groom", "rear"))
    assert np.array_equal(step(values[:, [2, 0, 1]], timeline, turned), whole[:, [2, 0, 1]])


def test_many_recordings_at_once_are_each_by_itself():
    both = Ethogram(THREE.behaviours, exclusive=False)
    for ethogram in (THREE, both):
        steps = [learned("lognormal", 0.4, n) for n in range(5)] + [learned("geometric", 1.0, 7)]
        lengths = (100, 1, 57, 100, 230, 40)
        values = [random_values(n, 3, n, ethogram.exclusive) for n in lengths]
        timelines = [Timeline.uniform(n, 30.0 if n == 57 else RATE) for n in lengths]
        got = decide_many(steps, values, timelines, ethogram)
        for step, own, timeline, result in zip(steps, values, timelines, got, strict=True):
            assert np.array_equal(result, step(own, timeline, ethogram))
    one = Ethogram(("a",))
    (only,) = decide_many([steps[0]], [values[0][:, :1]], timelines[:1], one)
    assert only.all()


def test_a_resolution_decides_groups_of_frames():
    step = learned("lognormal", 2.0, 3)
    values = random_values(103, 3, 5)
    coarse = SemiMarkov(**{**step.__dict__, "resolution_s": 0.5})
    result = coarse(values, Timeline.uniform(103, RATE), THREE)
    found = result.argmax(axis=1)
    assert all(len(set(found[i : i + 5].tolist())) == 1 for i in range(0, 103, 5))
    logs = np.log(np.clip(values[:100].astype(np.float64), 1e-6, 1)).reshape(20, 5, 3).sum(axis=1)
    means = np.exp(logs / 5)  # five frames' mean logarithm, counted five times as much
    slow = SemiMarkov(**{**step.__dict__, "emission": 0.7 * 5})
    other = slow(means, Timeline.uniform(20, RATE / 5), THREE).argmax(axis=1)
    assert np.array_equal(
        coarse(values[:100], Timeline.uniform(100, RATE), THREE).argmax(axis=1)[::5], other
    )


def test_behaviours_that_may_overlap_are_decided_each_by_itself():
    both = Ethogram(("groom", "rear"), exclusive=False)
    step = learned("lognormal", 1.0, 1, both.behaviours)
    values, timeline = random_values(300, 2, 2, exclusive=False), Timeline.uniform(300, RATE)
    result = step(values, timeline, both)
    for c, name in enumerate(both.behaviours):
        one = Ethogram((name,), exclusive=False)
        assert np.array_equal(step(values[:, [c]], timeline, one)[:, 0], result[:, c])
    tasks = Ethogram.of_tasks([Task("a", ("x", "y")), Task("b", ("z",), exclusive=False)])
    step = learned("lognormal", 1.0, 1, tasks.behaviours)
    values = random_values(300, 3, 4, exclusive=False)
    result = step(values, timeline, tasks)
    assert (result[:, :2].sum(axis=1) == 1).all()
    pair = Ethogram(("a/x", "a/y"))
    assert np.array_equal(step(values[:, :2], timeline, pair), result[:, :2])
    assert 0 < result[:, 2].sum() < 300


def test_nothing_learned_and_nothing_said_is_the_plain_decision():
    values = random_values(40, 3, 0)
    assert np.array_equal(SemiMarkov()(values, Timeline.uniform(40, RATE), THREE), decide(values, THREE))


def test_what_came_and_what_was_expected():
    step, timeline = learned("lognormal", 1.0, 1, ("groom", "rear", "sleep")), Timeline.uniform(4, RATE)
    with pytest.raises(InputError, match="nothing was learned of rest, only of groom, rear, sleep"):
        step(random_values(4, 3, 0), timeline, THREE)
    for wrong, words in (
        ({"shape": "gamma"}, "shape must be lognormal or geometric"),
        ({"emission": 0}, "emission must be a number above 0"),
        ({"spread": True}, "spread must be a number above 0"),
        ({"behaviours": ["a"]}, "means_s needs a number above 0 for each of 1 behaviours"),
        ({"behaviours": "a"}, "behaviours must be a list of names"),
        ({"following": [[1.0]]}, "following needs a row for each of 0"),
    ):
        with pytest.raises(InputError, match=words):
            SemiMarkov(**wrong)
    table = {"name": "semi_markov", **step.__dict__}
    assert make_steps([table]) == (step,)
    with pytest.raises(InputError, match="chances are numbers from 0 to 1"):
        SemiMarkov(**{**step.__dict__, "following": [[2.0, 0, 0]] * 3})
    with pytest.raises(InputError, match="a row of following needs 3 chances"):
        SemiMarkov(**{**step.__dict__, "following": [[1.0, 0.0]] * 3})
