"""Groups compared: numbers by hand, the animal as the unit, what cannot be told is told."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from murine.cli import app
from murine.errors import InputError
from murine.groups import Key, Observed, compare_groups, compare_observed, measure
from murine.groups.measures import BOUTS, LATENCY, LENGTH, NEXT, SHARE, followed
from murine.groups.testing import (
    hedges_g,
    holm,
    intervals,
    overall_test,
    paired_test,
    permutation_test,
    rank_biserial,
)
from murine.types import Bouts, Ethogram, Timeline

ABC = Ethogram(("groom", "rear", "rest"), background="rest")
FPS = 10.0


def observed(name: str, runs: list[tuple[int, str]], annotated=None, **groups: str) -> Observed:
    rows, at = [], 0
    for length, behaviour in runs:
        if behaviour:
            rows.append((at, at + length, behaviour))
        at += length
    return Observed(name, Bouts.build(ABC, at, rows, annotated), Timeline.uniform(at, FPS), groups)


def test_measures_by_hand() -> None:
    one = observed(
        "a", [(100, "rest"), (50, "groom"), (50, "rear"), (150, "rest"), (50, "groom"), (200, "rest")]
    )
    found = measure(one, 20.0)
    assert found[Key("groom", SHARE)] == pytest.approx(100 / 600)
    assert found[Key("groom", BOUTS)] == pytest.approx(2.0)  # two in a minute
    assert found[Key("groom", LENGTH)] == pytest.approx(5.0)
    assert found[Key("groom", LATENCY)] == pytest.approx(10.0)
    assert found[Key("rear", LATENCY)] == pytest.approx(15.0)
    assert found[Key("groom → rear", NEXT)] == 1.0
    assert found[Key("rear → groom", NEXT)] == 1.0
    assert [found[Key("groom", SHARE, b)] for b in range(3)] == pytest.approx([0.25, 0.25, 0.0])
    # the last bout begins at 35 s, in the second bin
    assert [found[Key("groom", BOUTS, b)] for b in range(3)] == pytest.approx([3.0, 3.0, 0.0])
    assert np.isnan(found[Key("groom", LENGTH, 2)])
    assert not any(key.behaviour == "rest" for key in found)


def test_what_never_came_has_the_whole_time_as_latency_and_gaps_break_the_line() -> None:
    one = observed(
        "a", [(100, "rest"), (50, "groom"), (50, ""), (100, "groom")], annotated=[[0, 150], [200, 300]]
    )
    found = measure(one)
    assert found[Key("rear", LATENCY)] == pytest.approx(30.0)
    assert found[Key("groom", SHARE)] == pytest.approx(150 / 250)
    assert np.isnan(found[Key("groom → groom", NEXT)])
    assert followed(one.bouts).sum() == 0
    assert one.seconds == pytest.approx(25.0)


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_an_exact_test_tries_every_way(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, n).astype(float), rng.integers(0, 5, m).astype(float)
    pooled, every = np.concatenate([a, b]), set(range(n + m))
    far = sum(
        abs(pooled[list(one)].mean() - pooled[list(every - set(one))].mean())
        >= abs(a.mean() - b.mean()) - 1e-9
        for one in combinations(range(n + m), n)
    )
    found = permutation_test(a, b)
    assert found.exact
    assert found.p == pytest.approx(far / comb(n + m, n))
    assert found.p == pytest.approx(permutation_test(b, a).p)


def test_many_animals_are_dealt_at_random_close_to_all_ways() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 12), rng.normal(0.8, 1, 12)
    found = permutation_test(a, b)
    assert not found.exact
    ours = stats.permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), n_resamples=20_000, random_state=2
    )
    assert found.p == pytest.approx(ours.pvalue, abs=0.012)
    groups = [a, b, rng.normal(2, 1, 12)]
    assert overall_test(groups) < 0.001
    assert overall_test([a, a + 0.0, a + 0.0]) == 1.0


def test_paired_numbers_turn_their_signs() -> None:
    a = np.array([3.0, 5.0, 4.0, 7.0, 9.0])
    b = np.array([2.0, 3.0, 3.5, 4.0, 5.0])
    found = paired_test(a, b)
    assert found.exact
    assert found.p == pytest.approx(2 / 32)  # all five go the same way
    assert paired_test(a, a).p == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_and_keeps_the_order(values: list[float]) -> None:
    found = holm(values)
    assert all(low <= high <= 1.0 for low, high in zip(values, found, strict=True))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()


def test_effect_sizes_by_hand() -> None:
    a, b = np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])
    # pooled deviation sqrt((4 + 1) / 2); Hedges 1981 for 4 degrees of freedom: 0.797885
    assert hedges_g(a, b) == pytest.approx(2 / np.sqrt(2.5) * 0.7978846, abs=1e-6)
    assert hedges_g(b, a) == pytest.approx(-(hedges_g(a, b) or 0))
    assert hedges_g(a, a) == 0.0
    assert hedges_g(np.ones(3), np.ones(3)) is None
    u = stats.mannwhitneyu(a, b).statistic
    assert rank_biserial(a, b) == pytest.approx(2 * u / 9 - 1)
    difference, effect = intervals(np.arange(10.0) + 8, np.arange(10.0))
    assert difference is not None
    assert difference[0] > 4
    assert effect is not None
    assert effect[0] < (hedges_g(np.arange(10.0) + 8, np.arange(10.0)) or 0) < effect[1]
    assert intervals(a[:2], b) == (None, None)


def animals(shares: dict[str, list[int]], per: int = 1) -> list[Observed]:
    """A recording of 60 s for each share: so many frames of grooming, in `per` recordings of an animal."""
    return [
        observed(
            f"{g}{i}_{k}",
            [(20 + i, "rest"), (frames, "groom"), (580 - i - frames, "rest")],
            genotype=g,
            animal=f"{g}{i}",
        )
        for g, every in shares.items()
        for i, frames in enumerate(every)
        for k in range(per)
    ]


def test_the_animal_is_the_unit_whatever_its_recordings() -> None:
    shares = {"ko": [200, 220, 240, 260], "wt": [100, 110, 120, 130]}
    once = compare_observed(animals(shares), "genotype")
    thrice = compare_observed(animals(shares, per=3), "genotype")
    row, again = (
        next(r for r in c.rows if (r.behaviour, r.measure) == ("groom", SHARE)) for c in (once, thrice)
    )
    assert (again.first.animals, again.p, again.p_holm) == (4, row.p, row.p_holm)
    assert again.g == pytest.approx(row.g)
    assert again.g_interval == pytest.approx(row.g_interval)
    assert row.first.group == "ko"
    assert row.first.mean == pytest.approx(230 / 600)
    assert row.difference == pytest.approx(115 / 600)
    assert row.p == pytest.approx(2 / 70)
    assert row.exact
    assert row.p_holm is not None
    assert row.p_holm >= row.p
    assert row.rank_biserial == 1.0
    assert once.groups == {"ko": ["ko0", "ko1", "ko2", "ko3"], "wt": ["wt0", "wt1", "wt2", "wt3"]}
    assert not any("counts as an animal" in note for note in once.notes)


def test_the_same_animals_in_both_are_compared_with_themselves() -> None:
    every = [
        observed(
            f"m{i}{g}",
            [(20, "rest"), (50 + 40 * i + more, "groom"), (400, "rest")],
            drug=g,
            animal=f"m{i}",
        )
        for i in range(5)
        for g, more in (("saline", 0), ("drug", 20 + i))
    ]
    found = compare_observed(every, "drug")
    row = next(r for r in found.rows if (r.behaviour, r.measure) == ("groom", LENGTH))
    assert row.paired
    assert row.p == pytest.approx(2 / 32)
    assert row.difference == pytest.approx(2.2)
    assert any("compared with themselves" in note for note in found.notes)


def test_three_groups_pair_by_pair_and_all_at_once() -> None:
    shares = {"a": [100, 110, 120], "b": [105, 115, 118], "c": [300, 310, 330]}
    found = compare_observed(animals(shares), "genotype", bin_s=30.0)
    pairs = {(r.first.group, r.second.group) for r in found.rows}
    assert pairs == {("a", "b"), ("a", "c"), ("b", "c")}
    whole = next(
        r for r in found.overall if (r["behaviour"], r["measure"], r["bin"]) == ("groom", SHARE, None)
    )
    assert whole["p"] < 0.05
    assert {r.bin for r in found.rows} == {None, 0, 1}
    assert any("no test can come below p = 0.1" in note for note in found.notes)


def test_what_cannot_be_compared_is_told() -> None:
    every = animals({"ko": [200, 220], "wt": [100, 110]})
    with pytest.raises(InputError, match=r"no column 'genotpe'\. Did you mean 'genotype'"):
        compare_observed(every, "genotpe")
    with pytest.raises(InputError, match=r"--animal: recordings\.csv has no column 'mouse'"):
        compare_observed(every, "genotype", animal="mouse")
    empty = [Observed(o.id, o.bouts, o.timeline, {**o.groups, "drug": ""}) for o in every]
    with pytest.raises(InputError, match=r"the column 'drug' of recordings\.csv is empty"):
        compare_observed(empty, "drug")
    with pytest.raises(InputError, match=r"two animals or more.*'ko' has only animal ko0"):
        compare_observed(every[:1] + every[2:], "genotype")
    with pytest.raises(InputError, match="all recordings are in one group \\(wt\\)"):
        compare_observed(every[2:], "genotype")
    with pytest.raises(InputError, match="longer than 0 minutes"):
        compare_observed(every, "genotype", bin_s=0.0)
    three = [*every, *animals({"het": [150]})]
    found = compare_observed(three, "genotype")
    assert list(found.groups) == ["ko", "wt"]
    assert any("a group of one animal: 'het' has only animal het0" in note for note in found.notes)
    lost = Observed("new", every[0].bouts, every[0].timeline, {"animal": "x"})
    assert any(
        "left out, no group" in note for note in compare_observed([*every, lost], "genotype").notes
    )
    alone = [Observed(o.id, o.bouts, o.timeline, {"genotype": o.groups["genotype"]}) for o in every]
    assert any("counts as an animal" in n for n in compare_observed(alone, "genotype").notes)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataclasses import replace

    from small_study import pose_study

    from murine.project import load_project, save_project

    root = pose_study(tmp_path_factory.mktemp("groups") / "study", recordings=6)
    project = load_project(root)
    marked = [
        replace(r, groups={"genotype": "ko" if i % 2 else "wt", "animal": f"a{i}"})
        for i, r in enumerate(project.recordings)
    ]
    save_project(replace(project, recordings=tuple(marked)))
    return root


def test_a_study_is_compared_and_written(study: Path, tmp_path: Path) -> None:
    found = compare_groups(study, "genotype", out=tmp_path / "g")
    assert {len(animals) for animals in found.groups.values()} == {3}
    told = json.loads((tmp_path / "g" / "groups.json").read_text())
    with (tmp_path / "g" / "groups.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [float(row["p"]) for row in rows if row["p"]] == [
        row["p"] for row in told["rows"] if row["p"] is not None
    ]
    with (tmp_path / "g" / "animals.csv").open(encoding="utf-8") as handle:
        values = [row for row in csv.DictReader(handle) if row["measure"] == SHARE]
    assert len(values) == 6 * 2
    for kind in ("png", "svg"):
        assert (tmp_path / "g" / f"groups.{kind}").stat().st_size > 2000


def test_the_command_and_predictions_without_a_study(study: Path, tmp_path: Path) -> None:
    words = [
        "groups",
        str(study),
        "--by",
        "genotype",
        "-o",
        str(tmp_path / "g"),
        "--json",
        "--bin",
        "0.1",
    ]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    assert told["by"] == "genotype"
    assert {row["bin"] for row in told["rows"]} == {None, 0, 1}
    shown = CliRunner().invoke(app, words[:-3])
    assert "Hedges' g" in shown.stdout
    assert "the animal is the unit" in shown.stdout
    (tmp_path / "p").mkdir()
    with pytest.raises(InputError, match="Name the project with --study"):
        compare_groups(tmp_path / "p", "genotype")
