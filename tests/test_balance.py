"""Each way to balance behaviours, counted: drawn, cut closer together, repeated."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dataset import OPEN, dataset, recording, table

from murine.config import Recipe, TrainingSettings, WindowSettings
from murine.data.augment import PHASE
from murine.data.dataset import WindowDataset
from murine.data.sampling import duplicated, overlapping, rarest_shown, windows_shown
from murine.train.checking import recipe_faults

# 0: 360 samples, 1: 36, 2: 12 in one bout
CLASSES = [0] * 180 + [1] * 36 + [0] * 180 + [2] * 12
CLIP = WindowSettings(4, 0.0, 0.0, "centre")


def cut(
    balance: str, predicts: str = "centre", window: WindowSettings = CLIP, **extra: object
) -> object:
    data = [recording(table(CLASSES), streams=("pose",))]
    return dataset(data, window, predicts, train=True, balance=balance, **extra)


def labels(data: WindowDataset) -> list[int]:
    return [int(data[i]["target"][0]) for i in range(len(data))]


def starts(data: WindowDataset, behaviour: int) -> list[int]:
    return [int(item["start"]) for item in data if int(item["target"][0]) == behaviour]


def test_side_by_side_they_are_as_rare_as_they_are() -> None:
    assert Counter(labels(cut("none"))) == {0: 90, 1: 9, 2: 3}


def test_duplicates_bring_every_behaviour_up_to_the_commonest() -> None:
    data = cut("duplicate")
    assert Counter(labels(data)) == {0: 90, 1: 90, 2: 90}
    assert set(Counter(starts(data, 1)).values()) == {10}
    assert set(Counter(starts(data, 2)).values()) == {30}
    assert data.label_counts().tolist() == [90, 90, 90]


def test_overlap_cuts_rarer_ones_closer_together_as_far_as_that_goes() -> None:
    data = cut("overlap")
    # behaviour 1 is the centre (start + 2) of 36 windows, behaviour 2 of 11 (the last start is 404), not 90
    assert Counter(labels(data)) == {0: 90, 1: 36, 2: 11}
    assert starts(data, 1) == list(range(178, 214))
    assert starts(data, 0) == starts(cut("none"), 0)


def test_overlap_takes_no_more_than_the_commonest_has_evenly_spread() -> None:
    classes = [0] * 40 + [1] * 36
    data = dataset(
        [recording(table(classes), streams=("pose",))], CLIP, "centre", train=True, balance="overlap"
    )
    assert Counter(labels(data)) == {0: 10, 1: 10}
    gaps = np.diff(starts(data, 1))
    assert gaps.min() >= 3
    assert gaps.max() <= 4
    assert labels(data) == labels(
        dataset(
            [recording(table(classes), streams=("pose",))], CLIP, "centre", train=True, balance="overlap"
        )
    )


def test_overlap_finds_a_behaviour_that_no_usual_window_shows() -> None:
    classes = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    given_ = [recording(table(classes), streams=("pose",))]
    assert 1 not in labels(dataset(given_, CLIP, "centre", train=True))
    data = dataset(given_, CLIP, "centre", train=True, balance="overlap")
    assert starts(data, 1) == [1]


def test_windows_of_sequences_count_for_the_rarest_they_show() -> None:
    window = WindowSettings(24)
    plain, doubled = cut("none", "all", window), cut("duplicate", "all", window)

    def rarest(data: WindowDataset) -> Counter[int]:
        return Counter(max(int(v) for v in item["target"]) for item in data)

    assert rarest(plain) == {0: 14, 1: 2, 2: 1}
    assert rarest(doubled) == {0: 14, 1: 14, 2: 14}
    assert rarest(cut("overlap", "all", window)) == {0: 14, 1: 14, 2: 12}
    total = sum((np.bincount(item["target"].numpy(), minlength=3) for item in doubled), np.zeros(3))
    assert doubled.label_counts().tolist() == total.tolist()


def test_overlapping_behaviours_balance_by_the_rarest_and_none_stays() -> None:
    target = np.zeros((400, 2), np.int8)
    target[:100, 0] = 1
    target[80:92, 1] = 1  # within the first behaviour
    target[200:] = [0, 0]
    data = dataset(
        [recording(target, OPEN, streams=("pose",))], CLIP, "centre", train=True, balance="duplicate"
    )
    rows = Counter(tuple(int(v) for v in item["target"][0]) for item in data)
    assert rows == {(0, 0): 75, (1, 0): 75, (1, 1): 75}
    assert data.known_counts().tolist() == [225, 225]
    assert data.label_counts().tolist() == [150, 75]


def test_drawn_windows_are_counted_as_they_are_drawn() -> None:
    data = cut("draw", samples_per_epoch=6000)
    assert data.label_counts() == pytest.approx([34, 34, 34])
    seen = Counter(int(data[i]["target"][0]) for i in data.order())
    assert [seen[c] / 6000 for c in range(3)] == pytest.approx([1 / 3] * 3, abs=0.03)


def test_phase_moves_a_dense_window_by_no_more_than_its_own_step() -> None:
    still, moving = cut("overlap"), cut("overlap", augment=(PHASE,))
    for before, after in zip(still, moving, strict=True):
        reach = 4 if int(before["target"][0]) == 0 else 1
        assert 0 <= int(after["start"]) - int(before["start"]) < reach


def test_repeated_windows_are_changed_each_in_its_own_way() -> None:
    bright = dataset(
        [recording(table([0] * 16 + [1] * 4))], CLIP, "centre", train=True, balance="duplicate",
        augment=("brightness",),
    )  # fmt: skip
    levels = [int(item["rgb"][0, 0, 0, 0]) for item in bright if int(item["target"][0]) == 1]
    assert len(levels) == 4
    assert len(set(levels)) > 1


def test_validation_is_never_balanced() -> None:
    data = dataset([recording(table(CLASSES), streams=("pose",))], CLIP, "centre", train=False)
    assert Counter(labels(data)) == {0: 90, 1: 9, 2: 3}


def test_whole_recordings_cannot_overlap() -> None:
    given_ = Recipe("x", model="ms_tcn_pp", window=WindowSettings(0),
                    training=TrainingSettings(balance="overlap", loss="cross_entropy"))  # fmt: skip
    assert any("choose 'draw' or 'duplicate'" in fault for fault in recipe_faults(given_))


# The arithmetic


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_repeats_balance_all_but_those_without_behaviour(values: list[int]) -> None:
    classes = np.array(values)
    index = duplicated(classes, 3)
    counts, after = np.bincount(classes, minlength=4), np.bincount(classes[index], minlength=4)
    assert (np.diff(index) >= 0).all()
    assert after[3] == counts[3]
    assert all(after[c] == (counts.max() if counts[c] else 0) for c in range(3))
    times = np.bincount(index, minlength=len(classes))
    for c in range(3):
        assert counts[c] == 0 or np.ptp(times[classes == c]) <= 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.lists(st.integers(0, 3), max_size=60))
@settings(max_examples=60, deadline=None)
def test_overlap_takes_what_is_there_up_to_the_commonest(usual: list[int], more: list[int]) -> None:
    classes, dense = np.array(usual), np.array(usual + more)
    stay, taken, apart = overlapping(classes, dense, 3)
    counts, there = np.bincount(classes, minlength=4), np.bincount(dense, minlength=4)
    after = np.bincount(classes[stay], minlength=4) + np.bincount(dense[taken], minlength=4)
    assert after[3] == counts[3]
    for c in range(3):
        assert after[c] == (counts[c] if counts[c] == counts.max() else min(counts.max(), there[c]))
    assert len(set(taken.tolist())) == len(taken) == len(apart)
    assert (apart >= 1).all()


def test_what_windows_show() -> None:
    target = np.array([[1, 0], [0, -1], [-1, -1], [-1, -1], [0, 1]], np.int8)
    shown = windows_shown(target, np.array([0, 1, 2, 3]), np.array([2, 3, 4, 8]))
    assert shown.tolist() == [[1, 0], [0, -1], [-1, -1], [0, 1]]
    assert rarest_shown(shown, [5, 2]).tolist() == [0, 2, 2, 1]
    assert rarest_shown(np.array([[1, 1]], np.int8), [5, 2]).tolist() == [1]
    assert rarest_shown(np.array([[1, 1]], np.int8), [1, 2]).tolist() == [0]
