"""The guide's part on searches: its example is a search, its table has every key with its default."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from test_docs import blocks, code, page, part, rows

from murine.config.tomlfile import parse_value
from murine.search import Search, load_search
from murine.search.making import check_space
from murine.search.settings import DEFAULT_TRIALS, METHODS, PRUNINGS

GUIDE = part(page("guide"), "## Searching for settings")


def test_the_example_is_a_search(tmp_path: Path) -> None:
    (example,) = blocks(GUIDE, "toml")
    (tmp_path / "my-search.toml").write_text(example)
    one = load_search(tmp_path / "my-search.toml")
    check_space(one)
    assert (one.method, one.wanted, one.size) == ("bayes", 40, None)
    assert [axis.key for axis in one.space][-1] == "postprocess"
    assert one.fixed == {"training.epochs": 30}


def test_the_table_has_every_key_with_its_default() -> None:
    told = {key: row for row in rows(GUIDE) for key in code(row[0])}
    there = {f.name: f for f in fields(Search) if f.name not in ("fixed", "space")}
    assert sorted(told) == sorted([*there, "[set]", "[space]"])
    for row in rows(GUIDE):
        for key, shown in zip(code(row[0]), code(row[1]), strict=False):
            default = there[key].default
            assert parse_value(shown) == (list(default) if isinstance(default, tuple) else default)
    for choice in METHODS:
        assert f'`"{choice}"`' in told["method"][2]
    for choice in PRUNINGS[1:]:
        assert f'`"{choice}"`' in told["pruning"][2]
    assert str(DEFAULT_TRIALS) in told["trials"][2]


@pytest.mark.parametrize("number", ["81", "648"])
def test_the_sizes_of_the_thesis_grids_are_told(number: str) -> None:
    sizes = {str(load_search(f"embeddings/resnet50v2-{head}").size) for head in ("lstm", "tcn")}
    assert number in sizes
    assert number in GUIDE
