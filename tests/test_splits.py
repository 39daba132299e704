"""Splits: grouped, deterministic, bounded, and refused when they leak."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.config import SplitSettings
from murine.data.splits import Split, check_leak, group_names, make_splits, training_split
from murine.errors import InputError, LeakError
from murine.types import Recording


def study(groups: list[str], column: str = "animal") -> list[Recording]:
    return [
        Recording(f"r{i:03d}", video=Path(f"r{i:03d}.mp4"), groups={column: g})
        for i, g in enumerate(groups)
    ]


ANIMALS = study(["a", "b", "a", "c", "b", "d", "e", "c"])
BY_ANIMAL = SplitSettings(by="animal")


def sides(split: Split) -> list[set[str]]:
    return [set(split.train), set(split.validation), set(split.test)]


def test_leave_one_group_out_tests_every_group_once() -> None:
    splits = make_splits(ANIMALS, BY_ANIMAL)
    assert [s.side_groups("test") for s in splits] == [("a",), ("b",), ("c",), ("d",), ("e",)]
    assert [s.test for s in splits][:2] == [("r000", "r002"), ("r001", "r004")]
    assert all(len(s.side_groups("validation")) == 1 for s in splits)
    assert [s.name for s in splits] == ["fold-1", "fold-2", "fold-3", "fold-4", "fold-5"]
    assert len({s.name for s in make_splits(study([str(i) for i in range(12)]), BY_ANIMAL)}) == 12


@given(
    groups=st.lists(st.integers(0, 9), min_size=2, max_size=30),
    folds=st.sampled_from([0, 2, 3, 4, 5, 6]),
    validation=st.floats(0, 0.9),
    stratify=st.booleans(),
    seed=st.integers(0, 5),
)
@settings(max_examples=80, deadline=None)
def test_whatever_the_study_sides_are_apart_and_complete(
    groups: list[int], folds: int, validation: float, stratify: bool, seed: int
) -> None:
    recordings = study([f"g{g}" for g in groups])
    counts = np.random.default_rng(seed).integers(0, 50, size=(len(groups), 3))
    chosen = SplitSettings(by="animal", folds=folds, validation=validation, stratify=stratify, seed=seed)
    number = len(set(groups))
    if number < 2 or folds > number:
        with pytest.raises(InputError):
            make_splits(recordings, chosen, counts)
        return
    splits = make_splits(recordings, chosen, counts)
    assert len(splits) == (folds or number)
    tested = [r for s in splits for r in s.test]
    assert sorted(tested) == [r.id for r in recordings]
    for split in splits:
        train, held, test = sides(split)
        assert train
        assert test
        assert train | held | test == {r.id for r in recordings}
        names = [set(split.side_groups(side)) for side in ("train", "validation", "test")]
        assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])
        assert bool(held) == (validation > 0 and number - len(names[2]) >= 2)
    assert [s.to_dict() for s in make_splits(recordings, chosen, counts)] == [
        s.to_dict() for s in splits
    ]


def test_the_seed_changes_the_folds_and_nothing_else_does() -> None:
    recordings = study([str(i) for i in range(20)])
    made = [
        [set(s.test) for s in make_splits(recordings, SplitSettings(by="animal", folds=4, seed=seed))]
        for seed in (0, 0, 1)
    ]
    assert made[0] == made[1]
    assert made[0] != made[2]
    assert all(len(test) == 5 for test in made[0])


def test_large_groups_are_dealt_first_so_that_folds_are_alike() -> None:
    recordings = study(["big"] * 6 + ["b"] * 3 + ["c"] * 3 + ["d"] * 2 + ["e"] * 2 + ["f"] * 2)
    splits = make_splits(recordings, SplitSettings(by="animal", folds=3))
    assert sorted(len(s.test) for s in splits) == [5, 6, 7]


def test_stratifying_spreads_a_rare_behaviour() -> None:
    # Four groups of twelve show the rare behaviour; four folds can each have one.
    counts = np.array([[100, 10 if i < 4 else 0] for i in range(12)])
    recordings = study([str(i) for i in range(12)])
    for seed in range(10):
        chosen = SplitSettings(by="animal", folds=4, stratify=True, seed=seed)
        for split in make_splits(recordings, chosen, counts):
            rows = [int(r[1:]) for r in split.test]
            assert len(rows) == 3
            assert sum(i < 4 for i in rows) == 1
    plain = [
        sorted(sum(int(r[1:]) < 4 for r in s.test) for s in make_splits(recordings, chosen, counts))
        for chosen in [SplitSettings(by="animal", folds=4, seed=s) for s in range(5)]
    ]
    assert any(p != [1, 1, 1, 1] for p in plain)


def test_validation_never_takes_the_last_recording_of_a_behaviour() -> None:
    # Behaviour 1 is in one group only, behaviour 2 in two: training keeps them, whatever the seed.
    counts = np.array([[10, 0, 0], [10, 5, 0], [10, 0, 3], [10, 0, 3], [10, 0, 0], [10, 0, 0]])
    recordings = study([str(i) for i in range(6)])
    for seed in range(20):
        split = training_split(recordings, SplitSettings(validation=0.34, seed=seed), counts)
        train = [int(r[1:]) for r in split.train]
        held = [int(r[1:]) for r in split.validation]
        assert (counts[train].sum(axis=0) > 0).all()
        assert len(held) == 2
        assert counts[held, 2].sum() == 3
        assert not split.notes


def test_notes_tell_what_a_fold_cannot_learn() -> None:
    counts = np.array([[10, 5], [10, 0], [10, 0]])
    splits = make_splits(study(["a", "b", "c"]), BY_ANIMAL, counts, behaviours=("rest", "hang"))
    assert splits[0].notes == ("behaviour 'hang' is not in any training recording",)
    assert splits[1].notes == ()
    two = make_splits(study(["a", "b"]), BY_ANIMAL)
    assert two[0].notes == ("no validation: 'b' is the only group to train on",)
    assert two[0].validation == ()


def test_training_split_keeps_a_share_and_tests_nothing() -> None:
    split = training_split(study([str(i) for i in range(10)]), SplitSettings(validation=0.2))
    assert (len(split.train), len(split.validation), split.test) == (8, 2, ())
    assert training_split(ANIMALS, SplitSettings(validation=0)).validation == ()
    alone = training_split(ANIMALS[:1], SplitSettings())
    assert alone.train == ("r000",)
    assert "only group" in alone.notes[0]


def test_many_groups_take_no_time() -> None:
    recordings = study([str(i) for i in range(400)])
    counts = np.random.default_rng(0).integers(0, 9, size=(400, 8))
    splits = make_splits(recordings, SplitSettings(by="animal", folds=5, stratify=True), counts)
    assert [len(s.test) for s in splits] == pytest.approx([80] * 5, abs=8)
    shares = np.array([counts[[int(r[1:]) for r in s.test]].sum(axis=0) for s in splits]) / counts.sum(0)
    assert np.abs(shares - 0.2).max() < 0.01


# Patterns and fixed folds


def clips(*names: str) -> list[Recording]:
    return [Recording(name, video=Path(name)) for name in names]


def test_a_pattern_in_the_id_names_the_group() -> None:
    recordings = clips("cage1_3_14_9_30_1200", "cage2_3_14_9_30_80", "cage1_4_2_11_0_16", "10800")
    session = SplitSettings(pattern=r"^(cage\d+(?:_\d+){4})_\d+$|^\d+$")
    assert group_names(recordings, session) == (
        "cage1_3_14_9_30",
        "cage2_3_14_9_30",
        "cage1_4_2_11_0",
        "rest",
    )
    joined = SplitSettings(pattern=r"^cage\d+((?:_\d+){4})_\d+$|^\d+$")
    assert group_names(recordings, joined) == ("_3_14_9_30", "_3_14_9_30", "_4_2_11_0", "rest")


def test_patterns_that_do_not_work_are_refused() -> None:
    recordings = clips("cage1_a", "mouse7", "mouse8")
    with pytest.raises(InputError, match=r"does not match 2 of 3 ids: mouse7, mouse8"):
        group_names(recordings, SplitSettings(pattern=r"^(cage\d)"))
    with pytest.raises(InputError, match="no 'cage'"):
        group_names(recordings, SplitSettings(by="cage"))


def test_fixed_folds_are_taken_as_they_are_listed() -> None:
    fixed = SplitSettings(by="animal", fixed=(("a", "c"), ("e",)), validation=0)
    first, second = make_splits(ANIMALS, fixed)
    assert first.test == ("r000", "r002", "r003", "r007")
    assert second.test == ("r006",)
    assert set(second.train) == {r.id for r in ANIMALS} - {"r006"}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ((("a", "bb"), ("z",)), "no recording is in: bb, z"),
        ((("a", "b", "c", "d", "e"),), "every group"),
    ],
)
def test_fixed_folds_that_do_not_fit_are_refused(
    fixed: tuple[tuple[str, ...], ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_splits(ANIMALS, replace(BY_ANIMAL, fixed=fixed))


def test_studies_too_small_to_judge_are_refused_with_advice() -> None:
    with pytest.raises(InputError, match=r"one group.*another animal"):
        make_splits(study(["a", "a"]), BY_ANIMAL)
    with pytest.raises(InputError, match="choose 2 to 5 folds"):
        make_splits(ANIMALS, replace(BY_ANIMAL, folds=6))
    with pytest.raises(InputError, match="no labelled recording"):
        make_splits([], BY_ANIMAL)
    with pytest.raises(InputError, match="named twice: r000"):
        make_splits([ANIMALS[0], ANIMALS[0], ANIMALS[1]], BY_ANIMAL)
    with pytest.raises(InputError, match="stratify"):
        make_splits(ANIMALS, replace(BY_ANIMAL, folds=3, stratify=True))
    with pytest.raises(ValueError, match="label counts"):
        make_splits(ANIMALS, BY_ANIMAL, np.ones((3, 2)))


# Leaks


def test_a_group_on_two_sides_is_refused_by_name() -> None:
    groups = {"r000": "a", "r001": "b", "r002": "a"}
    with pytest.raises(LeakError, match="group 'a' is on two sides"):
        Split("fold-1", ("r000", "r001"), (), ("r002",), groups)
    with pytest.raises(LeakError, match="'b' is on two sides"):
        Split("fold-1", ("r000", "r001"), ("r001",), (), groups)
    with pytest.raises(InputError, match="has no group"):
        Split("fold-1", ("r009",), (), (), groups)


def test_a_recording_in_two_groups_is_refused() -> None:
    one = Split("fold-1", ("r000",), (), ("r001",), {"r000": "a", "r001": "b"})
    two = Split("fold-2", ("r001",), (), ("r000",), {"r000": "c", "r001": "b"})
    with pytest.raises(LeakError, match="'r000' is in two groups: 'a', and 'c'"):
        check_leak([one, two], ANIMALS)
    with pytest.raises(InputError, match="'r001', which the project does not have"):
        check_leak([one], ANIMALS[:1])


def test_two_animals_of_one_video_stay_together() -> None:
    pair = [
        Recording("m1", video=Path("pair.mp4"), groups={"cage": "1", "animal": "m1"}),
        Recording("m2", video=Path("pair.mp4"), groups={"cage": "1", "animal": "m2"}),
        Recording("m3", video=Path("other.mp4"), groups={"cage": "2", "animal": "m3"}),
    ]
    with pytest.raises(LeakError, match=r"'m2'.*'m1'|'m1'.*'m2'"):
        make_splits(pair, BY_ANIMAL)
    assert len(make_splits(pair, SplitSettings(by="cage"))) == 2


def test_a_split_survives_json() -> None:
    counts = np.array([[10, 5]] + [[10, 0]] * 7)
    for split in make_splits(ANIMALS, BY_ANIMAL, counts):
        assert Split.from_dict(json.loads(json.dumps(split.to_dict()))) == split
    with pytest.raises(InputError, match="a split needs"):
        Split.from_dict({"name": "x"})


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_share_of_the_training_recordings_keeps_every_behaviour(share: float) -> None:
    ids = [f"r{i:03d}" for i in range(60)]
    recordings = [Recording(id_, video=Path(f"{id_}.mp4")) for id_ in ids]
    counts = np.zeros((60, 3))
    counts[np.arange(60), np.repeat([0, 1, 2], [40, 15, 5])] = 10

    def folds(train_share: float) -> list[Split]:
        settings = SplitSettings(folds=5, validation=0.2, train_share=train_share)
        return make_splits(recordings, settings, counts)

    for whole, part, less in zip(folds(1.0), folds(share), folds(share / 2), strict=True):
        assert (part.test, part.validation) == (whole.test, whole.validation)
        assert set(less.train) < set(part.train) < set(whole.train)
        shown = counts[[ids.index(id_) for id_ in part.train]].argmax(axis=1)
        before = counts[[ids.index(id_) for id_ in whole.train]].argmax(axis=1)
        expected = np.ceil(share * np.bincount(before, minlength=3))
        np.testing.assert_array_equal(np.bincount(shown, minlength=3), expected)
        assert any("split.train_share" in note for note in part.notes)
