"""The papers' protocols are settings of [split]: each as docs/recipes.md writes it, on recordings named as theirs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from murine.config import SplitSettings
from murine.config.tomlfile import parse_value
from murine.data.splits import Split, make_splits
from murine.types import Recording

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"


def told(protocol: str) -> SplitSettings:
    """Return the settings that the page gives for a protocol."""
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {protocol} |"))
    pairs = re.findall(r"`(\w+) = ([^`]+)`", row)
    assert pairs, row
    values = {key: parse_value(value) for key, value in pairs}
    if "fixed" in values:
        values["fixed"] = tuple(tuple(fold) for fold in values["fixed"])
    return SplitSettings(**values)


def recordings(count: int, **groups: list[str]) -> list[Recording]:
    return [
        Recording(f"v{i:02d}", video=Path(f"v{i:02d}.mp4"), groups={k: v[i] for k, v in groups.items()})
        for i in range(count)
    ]


def judged_in(splits: list[Split]) -> list[tuple[str, ...]]:
    return [split.test for split in splits]


def test_twelve_fold_leave_one_video_out():
    splits = make_splits(recordings(12), told("leave one of 12 videos out"))
    assert judged_in(splits) == [(f"v{i:02d}",) for i in range(12)]
    assert all(len(s.train) == 11 and not s.validation for s in splits)


def test_train_on_the_full_database_and_test_on_the_clipped_one():
    which = ["full"] * 12 + ["clipped"] * 5
    (split,) = make_splits(recordings(17, set=which), told("train on full, test on clipped"))
    assert split.test == tuple(f"v{i:02d}" for i in range(12, 17))
    assert split.train == tuple(f"v{i:02d}" for i in range(12))


def test_twelve_and_five_videos():
    use = ["train"] * 12 + ["test"] * 5
    (split,) = make_splits(recordings(17, use=use), told("12 + 5 videos"))
    assert len(split.train) == 12
    assert split.test == tuple(f"v{i:02d}" for i in range(12, 17))


def test_ten_folds():
    splits = make_splits(recordings(20), told("10 folds"))
    assert len(splits) == 10
    assert all(len(test) == 2 for test in judged_in(splits))
    assert sorted(id_ for test in judged_in(splits) for id_ in test) == [f"v{i:02d}" for i in range(20)]


def test_an_official_split():
    use = ["train", "test", "train", "test", "train"]
    (split,) = make_splits(recordings(5, split=use), told("official split"))
    assert (split.train, split.test) == (("v00", "v02", "v04"), ("v01", "v03"))


@pytest.mark.parametrize("column", ["recording", "animal", "cage", "session", "setup"])
def test_leave_one_of_any_column_out(column):
    values = ["a", "b", "c", "a", "b", "c"]
    columns = {} if column == "recording" else {column: values}
    splits = make_splits(recordings(6, **columns), SplitSettings(by=column, validation=0.0))
    assert len(splits) == (6 if column == "recording" else 3)
    for split in splits:
        assert not {split.groups[r] for r in split.test} & {split.groups[r] for r in split.train}


def test_stratified_folds_of_groups():
    """A behaviour that four of twelve animals show is dealt out one to each of four folds."""
    rows = recordings(12, animal=[f"a{i}" for i in range(12)])
    counts = np.array([[100, 50 if i % 3 == 0 else 0] for i in range(12)])
    settings = SplitSettings(by="animal", folds=4, stratify=True, validation=0.0)
    for split in make_splits(rows, settings, counts):
        shown = [counts[int(id_[1:]), 1] for id_ in split.test]
        assert sum(value > 0 for value in shown) == 1
