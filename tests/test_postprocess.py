"""Each step by hand, as a rule, and against a slow and plain version of itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from murine.errors import ConfigError, InputError
from murine.postprocess import (
    Box,
    Closing,
    Median,
    MinimumBout,
    Viterbi,
    apply,
    apply_pieces,
    decide,
    make_steps,
)
from murine.postprocess.shortest import Opening
from murine.postprocess.smoothing import smoothed
from murine.types import Bouts, Ethogram, Prediction, Task, Timeline

RATE = 10.0
MULTI = Ethogram(("groom", "rear"), exclusive=False)
PLAIN = Ethogram(("groom", "rear", "rest"))
WITH_REST = Ethogram(("groom", "rear", "rest"), background="rest")


def decided(text: str, ethogram: Ethogram = PLAIN) -> np.ndarray:
    """Decisions from letters, 'a' for the first behaviour."""
    return np.array([[c == chr(97 + i) for i in range(len(ethogram))] for c in text])


def letters(values: np.ndarray) -> str:
    assert (values.sum(axis=1) == 1).all()
    return "".join(chr(97 + c) for c in values.argmax(axis=1))


def mask(text: str) -> np.ndarray:
    """One multi-label column from x and ., the second one empty."""
    return np.array([[c == "x", False] for c in text])


def marks(values: np.ndarray) -> str:
    assert not values[:, 1].any()
    return "".join("x" if v else "." for v in values[:, 0])


def run(step, values, ethogram, timeline=None):
    timeline = timeline or Timeline.uniform(len(values), RATE)
    before = values.copy()
    result = step(values, timeline, ethogram)
    assert np.array_equal(values, before), "what came was changed"
    return result


def test_median_takes_out_a_flicker_and_keeps_an_edge():
    values = np.array([0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1], dtype=np.float32)[:, None].repeat(2, axis=1)
    smooth = run(Median(0.2), values, MULTI)  # three frames
    assert smooth[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert smooth.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_median_then_threshold_is_threshold_then_majority(length, half, seed):
    values = np.random.default_rng(seed).random((length, 2)).astype(np.float32)
    seconds = 2 * half / RATE
    first = run(Median(seconds), values, MULTI) >= 0.5
    second = run(Median(seconds), (values >= 0.5).astype(np.float32), MULTI) >= 0.5
    assert np.array_equal(first, second)


def test_median_is_the_plain_one_inside():
    values = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    smooth = run(Median(1.0), values, PLAIN)
    for t in (5, 40, 294):
        assert np.array_equal(smooth[t], np.median(values[t - 5 : t + 6], axis=0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_box_is_the_mirrored_mean_and_rows_keep_their_sum(length, half, seed):
    values = np.random.default_rng(seed).dirichlet(np.ones(3), length)
    smooth = run(Box(2 * half / RATE), values, PLAIN)
    padded = np.pad(values, ((half, half), (0, 0)), mode="symmetric")
    for t in range(length):
        assert smooth[t] == pytest.approx(padded[t : t + 2 * half + 1].mean(axis=0), abs=1e-12)
    assert smooth.sum(axis=1) == pytest.approx(np.ones(length))


def test_windows_follow_the_frame_rate():
    one = np.zeros((241, 2))
    one[120] = 1.0
    for rate in (10.0, 30.0):
        smooth = Box(4.0)(one, Timeline.uniform(241, rate), MULTI)
        assert np.count_nonzero(smooth[:, 0] > 1e-9) == 4 * rate + 1


@pytest.mark.parametrize(
    ("before", "seconds", "after"),
    [
        ("aaabaaa", 0.2, "aaaaaaa"),
        ("aaabbaaa", 0.2, "aaabbaaa"),  # two frames last 0.2 s: not shorter
        ("aabccc", 0.2, "aacccc"),  # the longer neighbour
        ("aaabccc", 0.2, "aaaaccc"),  # of equals the earlier
        ("baaaa", 0.2, "aaaaa"),
        ("aaaab", 0.2, "aaaaa"),
        ("ab", 9.0, "bb"),  # the earliest short one goes first; one bout stays
        ("abacacccc", 0.3, "bbbbbcccc"),
        ("abcabc", 0.0, "abcabc"),
    ],
)
def test_minimum_bout_gives_short_bouts_to_a_neighbour(before, seconds, after):
    assert letters(run(MinimumBout(seconds), decided(before), PLAIN)) == after


def test_minimum_bout_of_chosen_behaviours():
    step = MinimumBout(0.3, ("rear",))
    assert letters(run(step, decided("aaabaacaaa"), PLAIN)) == "aaaaaacaaa"
    with pytest.raises(InputError, match="unknown behaviour 'walk'"):
        run(MinimumBout(0.3, ("walk",)), decided("ab"), PLAIN)


def test_minimum_bout_of_overlapping_behaviours():
    assert marks(run(MinimumBout(0.3), mask("x..xx.xxx.xx"), MULTI)) == "......xxx..."


def slow_minimum(text: str, frames: int) -> str:
    """The rule as its docstring says it, one bout at a time."""
    while True:
        bouts = [(c, len(list(g))) for c, g in itertools.groupby(text)]
        short = [(n, i) for i, (_, n) in enumerate(bouts) if n < frames]
        if not short or len(bouts) == 1:
            return text
        i = min(short)[1]
        sides = [j for j in (i - 1, i + 1) if 0 <= j < len(bouts)]
        heir = max(sides, key=lambda j: (bouts[j][1], -j))
        bouts[i] = (bouts[heir][0], bouts[i][1])
        text = "".join(c * n for c, n in bouts)


@settings(max_examples=150, deadline=None)
@given(st.text("abc", min_size=1, max_size=40), st.integers(0, 6))
def test_minimum_bout_is_the_slow_rule(text, frames):
    got = letters(run(MinimumBout(frames / RATE), decided(text), PLAIN))
    assert got == slow_minimum(text, frames)
    assert letters(run(MinimumBout(frames / RATE), decided(got), PLAIN)) == got


def test_closing_of_overlapping_behaviours():
    assert marks(run(Closing(0.2), mask(".x..x...xx.x."), MULTI)) == ".xxxx...xxxx."


def test_closing_fills_only_background():
    assert letters(run(Closing(0.2), decided("acacbcacca"), WITH_REST)) == "aaacbcaaaa"
    assert letters(run(Closing(0.2, ("rear",)), decided("acabcb"), WITH_REST)) == "acabbb"


def test_closing_without_a_background_takes_the_shortest_first():
    assert letters(run(Closing(0.2), decided("abbababbbaa"), PLAIN)) == "abbbbbbbbaa"
    assert letters(run(Closing(0.2), decided("aaabcaaa"), PLAIN)) == "aaabcaaa"


@settings(max_examples=40, deadline=None)
@given(st.text("x.", min_size=1, max_size=40), st.integers(0, 5))
def test_closing_only_adds_and_twice_is_once(text, frames):
    values = mask(text)
    once = run(Closing(frames / RATE), values, MULTI)
    assert (once >= values).all()
    assert np.array_equal(run(Closing(frames / RATE), once, MULTI), once)
    inner = marks(once).strip(".")
    assert all(len(gap) == 0 or len(gap) > frames for gap in inner.split("x"))


def test_durations_follow_the_time_stamps():
    timeline = Timeline(np.array([0.0, 0.1, 0.2, 0.3, 1.3, 1.4, 1.5]))
    values = decided("aababaa")  # by frames the two bouts of b are alike; the second lasts a second
    timeline = Timeline(np.array([0.0, 0.5, 1.0, 1.1, 1.2, 2.2, 2.7]))
    # b [2, 3) lasts 0.1 s, a [3, 4) 0.1 s, b [4, 5) 1.0 s
    assert letters(run(MinimumBout(0.5), values, PLAIN, timeline)) == "aaaabaa"
    assert letters(run(MinimumBout(0.05), values, PLAIN, timeline)) == "aababaa"


def slow_viterbi(values: np.ndarray, timeline: Timeline, seconds: float, emission: float) -> tuple:
    """Every sequence there is, the best of them."""
    length, count = values.shape
    log = emission * np.log(np.clip(values, 1e-6, 1))
    rates = (np.ones((count, count)) / (count - 1) - np.eye(count) * count / (count - 1)) / seconds
    prior = [np.log(linalg.expm(rates * dt)) for dt in np.diff(timeline.times)]
    best = None
    for path in itertools.product(range(count), repeat=length):
        score = sum(log[t, c] for t, c in enumerate(path))
        for t in range(1, length):
            score += prior[t - 1][path[t - 1], path[t]]
        if best is None or score > best[0] + 1e-12:
            best = (score, path)
    return best[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 2.0]))
def test_viterbi_finds_the_best_of_all_sequences(length, seed, seconds):
    rng = np.random.default_rng(seed)
    timeline = Timeline(np.cumsum(rng.uniform(0.05, 0.3, length)))
    values = rng.dirichlet(np.ones(3), length)
    got = Viterbi(seconds, 0.5)(values, timeline, PLAIN).argmax(axis=1)
    assert tuple(got) == slow_viterbi(values, timeline, seconds, 0.5)
    on = rng.random((length, 2))
    got = Viterbi(seconds, 0.5)(on, timeline, MULTI)
    for c in range(2):
        both = np.column_stack([1 - on[:, c], on[:, c]])
        assert tuple(got[:, c]) == slow_viterbi(both, timeline, seconds, 0.5)


def test_viterbi_takes_out_flicker():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2, 0, 1], 60)
    values = rng.dirichlet(np.ones(3), 300)
    values[np.arange(300), truth] += 0.5
    values /= values.sum(axis=1, keepdims=True)
    plain = decide(values, PLAIN).argmax(axis=1)
    smooth = run(Viterbi(5.0), values, PLAIN).argmax(axis=1)
    assert (plain != truth).mean() > 0.1
    assert (smooth != truth).mean() < 0.02
    assert np.count_nonzero(np.diff(smooth)) == 4


def test_plain_decision_and_bouts():
    values = np.array([[0.2, 0.5], [0.6, 0.4], [0.6, 0.1], [0.3, 0.2]])
    timeline = Timeline.uniform(4, RATE)
    several = apply(Prediction("r", MULTI, values, timeline))
    assert several.intervals() == [(0, 1, "rear"), (1, 3, "groom")]
    one = apply(Prediction("r", Ethogram(("groom", "rear")), values, timeline))
    assert one.intervals() == [(0, 1, "rear"), (1, 4, "groom")]
    assert one.annotated.tolist() == [[0, 4]]


def test_a_list_of_steps_is_applied_in_order():
    rng = np.random.default_rng(5)
    values = rng.dirichlet(np.ones(3) * 0.3, 400)
    prediction = Prediction("r", WITH_REST, values, Timeline.uniform(400, RATE))
    tables = [
        {"name": "box", "seconds": 0.6},
        {"name": "closing", "seconds": 0.3},
        {"name": "minimum_bout", "seconds": 0.5},
    ]
    bouts = apply(prediction, make_steps(tables))
    timeline = prediction.timeline
    by_hand = decide(Box(0.6)(prediction.probabilities, timeline, WITH_REST), WITH_REST)
    by_hand = Closing(0.3)(by_hand, timeline, WITH_REST)
    by_hand = MinimumBout(0.5)(by_hand, timeline, WITH_REST)
    assert bouts.intervals() == Bouts.from_frames(WITH_REST, by_hand.astype(int)).intervals()
    assert min(stop - start for start, stop, _ in bouts.intervals()) >= 5


def cut(values: np.ndarray, seed: int) -> list[np.ndarray]:
    """Pieces of lengths drawn, some of them a single row."""
    rng = np.random.default_rng(seed)
    places = np.flatnonzero(rng.random(len(values) - 1) < rng.choice([0.02, 0.2, 0.9])) + 1
    return np.split(values, places)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.sampled_from([Median, Box]), st.integers(0, 40)), max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_a_recording_in_pieces_is_smoothed_like_the_whole(length, chosen, seed):
    values = np.random.default_rng(seed).random((length, 2)).astype(np.float32)
    timeline = Timeline.uniform(length, RATE)
    steps = [kind(2 * half / RATE) for kind, half in chosen]
    whole = values
    for step in steps:
        whole = step(whole, timeline, MULTI)
    pieces = list(smoothed(cut(values, seed), steps, timeline, MULTI))
    together = np.concatenate(pieces)
    if any(isinstance(step, Box) for step in steps):
        assert together == pytest.approx(whole, abs=1e-12)  # running sums round by where they begin
    else:
        assert np.array_equal(together, whole)


def test_smoothing_in_pieces_holds_little():
    """What is held at once is a few windows, however long the recording."""
    seen = []

    class Told(Median):
        def __call__(self, values, timeline, ethogram):
            seen.append(len(values))
            return super().__call__(values, timeline, ethogram)

    values = np.random.default_rng(0).random((20_000, 2)).astype(np.float32)
    timeline = Timeline.uniform(len(values), RATE)
    list(smoothed(np.split(values, 200), [Told(4.0), Told(2.0)], timeline, MULTI))  # 100 rows each
    assert max(seen) <= 4 * 30 + 100 + 2 * 30
    assert sum(seen) < 2 * 2 * len(values)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.sampled_from([MULTI, PLAIN, WITH_REST]), st.integers(0, 2**32 - 1))
def test_bouts_of_pieces_are_the_bouts_of_the_whole(length, ethogram, seed):
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(len(ethogram)) * 0.5, length).astype(np.float32)
    timeline = Timeline(np.cumsum(rng.uniform(0.05, 0.15, length)))
    steps = [Median(0.5), Viterbi(float(rng.choice([0.0, 0.8]))), Closing(0.3), MinimumBout(0.4)]
    got = apply_pieces(cut(values, seed), timeline, ethogram, steps)
    by_hand = values
    for step in steps:
        by_hand = step(by_hand, timeline, ethogram)
    expected = Bouts.from_frames(ethogram, by_hand.astype(int))
    assert got.intervals() == expected.intervals()
    assert got.annotated.tolist() == expected.annotated.tolist()
    assert apply(Prediction("r", ethogram, values, timeline), steps).intervals() == got.intervals()


def test_all_faults_of_a_list_come_together():
    tables = [
        {"name": "minimum_bout", "seconds": -1},
        {"name": "medain", "seconds": 1},
        {"name": "box", "second": 1},
        {"seconds": 1},
        {"name": "median", "seconds": "long"},
        {"name": "viterbi", "emission": 0},
        {"name": "closing", "behaviours": "groom"},
    ]
    with pytest.raises(ConfigError) as caught:
        make_steps(tables)
    text = str(caught.value)
    assert len(caught.value.faults) == 7
    for words in (
        "minimum_bout: seconds must be 0 or more seconds; came -1",
        "Did you mean 'median'?",
        "(box): unknown setting 'second'. Did you mean 'seconds'?",
        "step 4: name = None",
        "must be a number of seconds; came 'long'",
        "emission must be a number above 0",
        "behaviours must be a list of names; came 'groom'",
    ):
        assert words in text


def test_steps_out_of_order_are_refused():
    with pytest.raises(ConfigError, match="steps come in the order"):
        make_steps([{"name": "closing", "seconds": 1}, {"name": "median", "seconds": 1}])
    with pytest.raises(ConfigError, match="only one decision"):
        make_steps([{"name": "viterbi"}, {"name": "viterbi"}])


TASKS = Ethogram.of_tasks(
    [
        Task("S1", ("groom", "rear", "rest"), background="rest"),
        Task("S2", ("wall", "centre")),
        Task("S3", ("sniff", "chew"), exclusive=False),
        Task("S4", ("only",)),
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.4, 1.0]))
def test_each_task_is_decided_as_if_it_were_alone(seed, seconds):
    rng = np.random.default_rng(seed)
    timeline = Timeline(np.cumsum(rng.uniform(0.05, 0.3, 60)))
    values = rng.random((60, len(TASKS)))
    plain = TASKS.plain_decision(values)
    cut = [values[:25], values[25:26], values[26:]]
    whole = {
        "viterbi": Viterbi(seconds, 0.5)(values, timeline, TASKS),
        "pieces": Viterbi(seconds, 0.5).over(iter(cut), timeline, TASKS),
        "closing": Closing(seconds)(plain, timeline, TASKS),
        "minimum": MinimumBout(seconds)(plain, timeline, TASKS),
        "opening": Opening(seconds)(plain, timeline, TASKS),
    }
    np.testing.assert_array_equal(whole["viterbi"], whole["pieces"])
    for task in TASKS.tasks:
        part = TASKS.columns(task)
        own = Ethogram(task.behaviours, task.exclusive, task.background)
        alone = {
            "viterbi": Viterbi(seconds, 0.5)(values[:, part], timeline, own),
            "closing": Closing(seconds)(plain[:, part], timeline, own),
            "minimum": MinimumBout(seconds)(plain[:, part], timeline, own),
            "opening": Opening(seconds)(plain[:, part], timeline, own),
        }
        for name, expected in alone.items():
            np.testing.assert_array_equal(whole[name][:, part], expected, err_msg=name)


def test_a_step_for_one_behaviour_leaves_other_tasks_alone():
    timeline = Timeline.uniform(20, 10.0)
    held = np.zeros((20, len(TASKS)), dtype=bool)
    held[:, 2] = held[:, 3] = held[:, 7] = True
    held[5, [1, 2]] = held[9, [4, 3]] = [True, False]
    out = MinimumBout(0.3, ("S2/centre",))(held, timeline, TASKS)
    assert out[5, 1], "of S1 nothing was asked"
    assert not out[9, 4]
    assert out[9, 3], "the frame goes to the neighbour, as behaviours of S2 exclude each other"
    with pytest.raises(InputError, match="unknown behaviour 'centre'"):
        MinimumBout(0.3, ("centre",))(held, timeline, TASKS)
