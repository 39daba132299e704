"""Bout tables, time budgets, segmental scores, one set of labels against another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError
from murine.metrics import (
    bout_table,
    score_bouts,
    score_frames,
    score_many,
    score_segments,
    time_budget,
)
from murine.metrics.segments import edit_score, hits, levenshtein, overlaps, segments
from murine.types import Bouts, Ethogram, Timeline

AB = Ethogram(("groom", "rear"), exclusive=False)


def row(text: str) -> np.ndarray:
    """Columns from letters: 'aab.' is 0, 0, 1, -1."""
    return np.array([ord(c) - ord("a") if c != "." else -1 for c in text])


def test_a_bout_table_at_a_variable_rate():
    timeline = Timeline(np.array([0.0, 0.1, 0.2, 0.5, 0.6]))
    bouts = Bouts.build(AB, 5, [(1, 3, "groom"), (2, 5, "rear")])
    first, second = bout_table(bouts, timeline)
    assert (first.behaviour, first.start_frame, first.stop_frame) == ("groom", 1, 3)
    assert (first.start_s, first.stop_s) == (0.1, 0.5)
    assert first.duration_s == pytest.approx(0.4)
    assert second.stop_s == pytest.approx(0.7)


def test_a_time_budget_by_hand():
    timeline = Timeline.uniform(100, 10.0)
    bouts = Bouts.build(
        AB, 100, [(20, 30, "groom"), (40, 60, "groom"), (70, 73, "groom")], [[10, 60], [65, 75]]
    )
    groom, rear = time_budget(bouts, timeline)
    assert groom.seconds == pytest.approx(3.3)
    assert groom.share == pytest.approx(3.3 / 6.0)
    assert groom.bouts == 3
    assert groom.mean_s == pytest.approx(1.1)
    assert groom.median_s == pytest.approx(1.0)
    assert groom.latency_s == pytest.approx(1.0)
    assert (rear.seconds, rear.share, rear.bouts) == (0.0, 0.0, 0)
    assert rear.mean_s is rear.median_s is rear.latency_s is None


def test_a_budget_of_nothing_annotated():
    empty = Bouts.build(AB, 10, [], annotated=np.zeros((0, 2)))
    assert [b.share for b in time_budget(empty, Timeline.uniform(10, 5.0))] == [None, None]
    with pytest.raises(InputError, match="different recordings"):
        time_budget(empty, Timeline.uniform(11, 5.0))


def test_segments_are_parted_by_frames_nobody_annotated():
    cut = segments(row("aa.abb.."))
    assert cut.start.tolist() == [0, 3, 4]
    assert cut.stop.tolist() == [2, 4, 6]
    assert cut.behaviour.tolist() == [0, 0, 1]


def slow_levenshtein(a: list[int], b: list[int]) -> int:
    table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
            )
    return table[-1][-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_levenshtein_is_the_textbook_one(a, b):
    assert levenshtein(a, b) == slow_levenshtein(a, b) == levenshtein(b, a)


def test_edit_by_hand():
    true, predicted = segments(row("aaabbbccc")), segments(row("aabababcc"))
    # a b c against a b a b a b c ... : four segments too many of seven
    assert len(predicted.behaviour) == 7
    assert edit_score(true, predicted) == pytest.approx(100 * (1 - 4 / 7))
    assert edit_score(true, segments(row("aabbbcccc"))) == 100.0
    assert edit_score(segments(row("..")), segments(row(".."))) is None


def test_f1_at_k_by_hand():
    #        0         1
    #        0123456789012345
    true = row("aaaaaaaabbbbbbbb")
    said = row("aaaaabbbbbbbabbb")
    # a: [0,5) IoU 5/8, [12,13) none. b: [5,12) 4/11, [13,16) 3/8, both with the only true b.
    shared = overlaps(segments(true), segments(said))
    assert shared == [[(5 / 8, 0)], [(4 / 11, 1)], [], [(3 / 8, 1)]]
    assert hits(shared, 2, 0.10).tp == 2
    assert hits(shared, 2, 0.25).tp == 2
    assert hits(shared, 2, 0.50).tp == 1
    scores = score_segments([true], [said])
    assert scores.f1_10 == pytest.approx(100 * 2 * 2 / (2 * 2 + 2 + 0))
    assert scores.f1_50 == pytest.approx(100 * 2 * 1 / (2 * 1 + 3 + 1))
    assert (scores.true, scores.predicted) == (2, 4)


def test_an_overlap_of_exactly_k_is_a_hit_and_a_true_segment_is_matched_once():
    true, halves = segments(row("bbaaaabb")), segments(row("bbaabaab"))
    found = hits(overlaps(true, halves), 3, 0.5)
    # [2,4) is half of [2,6): a hit; [5,7) shares 1 of 5; b [0,2) whole, [4,5) nothing, [7,8) half of [6,8)
    assert (found.tp, found.fp, found.fn) == (3, 2, 0)
    split = segments(row("aaaaaaaaaa")), segments(row("aaaa.aaaaa"))
    assert hits(overlaps(*split), 1, 0.25).tp == 1


def test_segments_pool_matches_over_recordings_and_average_the_edit():
    perfect, poor = row("aabb"), row("abab")
    scores = score_segments([perfect, row("aabb")], [perfect, poor])
    assert scores.edit == pytest.approx((100 + 50) / 2)
    both = score_segments([row("aabb")], [poor])
    assert scores.f1_50 == pytest.approx(100 * 2 * 4 / (2 * 4 + 2))
    assert both.f1_50 == pytest.approx(100 * 2 * 2 / (2 * 2 + 2))
    alone = score_segments([row("aabb")], [poor], without=[1])
    assert (alone.true, alone.predicted) == (1, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 2), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_perfect_segments_score_100_and_nothing_scores_more(values, seed):
    truth = np.array(values)
    other = np.random.default_rng(seed).integers(0, 3, len(truth))
    if (truth >= 0).any():
        assert score_segments([truth], [truth]).f1_50 == 100.0
        assert score_segments([truth], [truth]).edit == 100.0
        scores = score_segments([truth], [other])
        assert 0 <= scores.f1_50 <= scores.f1_25 <= scores.f1_10 <= 100
        assert 0 <= scores.edit <= 100


def test_labels_against_labels_meet_by_name():
    human = Bouts.from_classes(Ethogram(("groom", "rear", "rest")), row("aabbcc"))
    other = Bouts.from_classes(Ethogram(("rest", "rear", "groom")), row("ccbbba"))
    scores = score_bouts(human, other).frames
    assert scores.confusion == ((2, 0, 0), (0, 2, 0), (0, 1, 1))
    assert scores.auc_macro is None
    assert scores.accuracy == pytest.approx(5 / 6)
    direct = score_frames(
        human.frames(),
        None,
        human.ethogram,
        decided=Bouts.from_classes(human.ethogram, row("aabbbc")).frames(),
    )
    assert scores.to_dict() == direct.to_dict()


def test_labels_that_do_not_belong_together_are_refused():
    human = Bouts.from_classes(Ethogram(("groom", "rear")), row("aabb"))
    with pytest.raises(InputError, match="4 frames, the other labels 5"):
        score_bouts(human, Bouts.from_classes(Ethogram(("groom", "rear")), row("aabbb")))
    with pytest.raises(InputError, match=r"'rear' only in the truth\. Did you mean 'rearing'"):
        score_bouts(human, Bouts.from_classes(Ethogram(("groom", "rearing")), row("aabb")))
    with pytest.raises(InputError, match="recording 2 of 2"):
        score_many([human, human], [human, Bouts.from_classes(human.ethogram, row("a"))])
    with pytest.raises(InputError, match="do not pair"):
        score_many([human], [])


def test_frames_only_one_side_annotated_are_left_out():
    human = Bouts.from_classes(Ethogram(("groom", "rear")), row("aabb.."))
    other = Bouts.from_classes(Ethogram(("groom", "rear")), row("..bbaa"))
    scores = score_bouts(human, other)
    assert (scores.frames.n, scores.frames.ignored, scores.frames.accuracy) == (2, 4, 1.0)
    assert scores.segments.f1_50 == 100.0


def test_frames_without_a_behaviour_become_a_background_of_their_own():
    ethogram = Ethogram(("groom", "rear"))
    human = Bouts.build(ethogram, 10, [(0, 4, "groom"), (6, 8, "rear")])
    other = Bouts.build(ethogram, 10, [(0, 5, "groom"), (6, 8, "rear")])
    scores = score_bouts(human, other).frames
    assert scores.ethogram.background == "none of these"
    assert scores.confusion == ((4, 0, 0), (0, 2, 0), (1, 0, 3))
    named = Ethogram(("groom", "other", "rear"), background="other")
    predicted = Bouts.build(
        named, 10, [(0, 5, "groom"), (5, 6, "other"), (6, 8, "rear"), (8, 10, "other")]
    )
    scores = score_bouts(human, predicted).frames
    assert scores.ethogram == Ethogram(("groom", "rear", "other"), background="other")
    assert scores.confusion == ((4, 0, 0), (0, 2, 0), (1, 0, 3))


def test_overlapping_labels_on_one_side_make_it_multi_label():
    human = Bouts.build(AB, 10, [(0, 4, "groom"), (2, 8, "rear")])
    other = Bouts.build(Ethogram(("rear", "groom")), 10, [(0, 4, "groom"), (4, 8, "rear")])
    scores = score_bouts(human, other)
    assert scores.segments is None
    assert [(r.behaviour, r.tp, r.fn) for r in scores.frames.behaviours] == [
        ("groom", 4, 0),
        ("rear", 4, 2),
    ]
