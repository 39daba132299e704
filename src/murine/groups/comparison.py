"""Groups of animals compared: the animal is the unit, whatever number of recordings it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from murine.errors import InputError, suggest
from murine.groups.measures import MEASURES, NEXT, Key, Observed, measure
from murine.groups.testing import (
    Ends,
    Tested,
    hedges_g,
    holm,
    intervals,
    overall_test,
    paired_test,
    permutation_test,
    rank_biserial,
)
from murine.types import FloatArray

ANIMAL = "animal"


@dataclass(frozen=True)
class Side:
    """One group's animals in one measure: those that have it, their mean and standard deviation."""

    group: str
    animals: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Row:
    """One measure of two groups. `difference`, `g`: first less second, with intervals of 95 %; `p_holm`: p
    corrected over its family (see `Comparison`); `p_least`: the least that p could be with so many animals; `exact`:
    all ways to deal the animals were tried. `paired`: the same animals in both. Nothing is tested where a group
    has fewer than two animals that have the measure.
    """

    behaviour: str
    measure: str
    bin: int | None
    first: Side
    second: Side
    difference: float | None = None
    difference_interval: Ends | None = None
    g: float | None = None
    g_interval: Ends | None = None
    rank_biserial: float | None = None
    p: float | None = None
    p_holm: float | None = None
    p_least: float | None = None
    exact: bool = False
    paired: bool = False


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups `by` a column. `groups`: the animals of each; `animals`: their values, a row each; `rows`: every pair of
    groups in every measure; `overall`: with three groups or more a test of all at once. Two families are corrected
    apart: what follows what (`next`), and all else, behaviours, measures, bins and pairs together.
    """

    by: str
    unit: str
    bin_s: float | None
    groups: dict[str, list[str]]
    animals: list[dict[str, Any]]
    rows: list[Row]
    overall: list[dict[str, Any]]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {**asdict(self), "measures": dict(MEASURES)}


Table = dict[str, dict[str, dict[Key, float]]]
"""Group to animal to values."""


def compare_observed(
    observed: Sequence[Observed], by: str, *, animal: str = "", bin_s: float | None = None
) -> Comparison:
    """Compare the groups that the column `by` makes; recordings of one animal are averaged first.

    `animal`: the column that names the animals; default "animal" where there is one, else each recording is one.
    An animal that is in both of two groups is compared with itself. `bin_s`: also measure stretches of so many
    seconds. Raises InputError where a column is missing or empty, or fewer than two groups have two animals.
    """
    if bin_s is not None and not bin_s > 0:
        raise InputError(f"a bin lasts longer than 0 minutes; came {bin_s / 60:g}")
    notes: list[str] = []
    known = dict.fromkeys(c for o in observed for c in o.groups)
    _check_column(observed, by, known, "--by")
    unit = animal or (ANIMAL if ANIMAL in known and by != ANIMAL else "recording")
    if unit != "recording":
        _check_column(observed, unit, known, "--animal")
    elif not animal:
        notes.append(
            "recordings.csv has no column 'animal': each recording counts as an animal of its own. If several "
            "are of one, name the column that tells with --animal"
        )
    for what, column in (("group", by), ("animal", unit)):
        lost = [o.id for o in observed if not _cell(o, column)]
        if lost:
            notes.append(f"left out, no {what} in column '{column}': {', '.join(lost)}")
    kept = [o for o in observed if _cell(o, by) and _cell(o, unit)]
    blind = [o.id for o in kept if not o.seconds]
    if blind:
        notes.append(f"left out, nothing annotated: {', '.join(blind)}")
    table = _animals([o for o in kept if o.seconds], by, unit, bin_s)
    table = _big_enough(table, by, unit, notes)
    lengths = [o.seconds for o in kept if o.seconds and _cell(o, by) in table]
    if max(lengths) > 1.05 * min(lengths):
        notes.append(
            f"recordings were watched for {min(lengths):.0f} to {max(lengths):.0f} s: a latency is at most that "
            "long, so it is lower where less was watched"
        )
    keys = list(
        dict.fromkeys(k for animals in table.values() for values in animals.values() for k in values)
    )
    keys = [k for k in keys if k.measure != NEXT or _happens(table, k)]
    rows = [
        _row(table, a, b, key, notes)
        for key in keys
        for a, b in combinations(table, 2)
    ]  # fmt: skip
    rows = _corrected(rows)
    least = min((row.p_least for row in rows if row.p_least is not None), default=1.0)
    if least > 0.05:
        notes.append(
            f"with so few animals no test can come below p = {least:.2g}: look at the effect sizes and record more"
        )
    return Comparison(
        by,
        unit,
        bin_s,
        {name: list(animals) for name, animals in table.items()},
        _values(table, keys),
        rows,
        _overall(table, keys),
        list(dict.fromkeys(notes)),
    )


def _cell(observed: Observed, column: str) -> str:
    return observed.id if column == "recording" else observed.groups.get(column, "").strip()


def _check_column(
    observed: Sequence[Observed], column: str, known: Mapping[str, None], option: str
) -> None:
    if column not in known and column != "recording":
        raise InputError(
            f"{option}: recordings.csv has no column '{column}'.{suggest(column, [*known, 'recording'])}"
        )
    if not any(_cell(o, column) for o in observed):
        raise InputError(
            f"{option}: the column '{column}' of recordings.csv is empty. Write each recording's {column} into it."
        )


def _animals(observed: Sequence[Observed], by: str, unit: str, bin_s: float | None) -> Table:
    """Return the mean over the recordings of each animal in each group."""
    found: dict[str, dict[str, list[dict[Key, float]]]] = {}
    for o in observed:
        rows = found.setdefault(_cell(o, by), {}).setdefault(_cell(o, unit), [])
        rows.append(measure(o, bin_s))
    return {
        group: {name: _mean(rows) for name, rows in sorted(animals.items())}
        for group, animals in sorted(found.items())
    }


def _mean(rows: Sequence[dict[Key, float]]) -> dict[Key, float]:
    result = {}
    for key in dict.fromkeys(k for row in rows for k in row):
        values = [row[key] for row in rows if key in row and np.isfinite(row[key])]
        result[key] = float(np.mean(values)) if values else np.nan
    return result


def _big_enough(table: Table, by: str, unit: str, notes: list[str]) -> Table:
    alone = {name: next(iter(animals)) for name, animals in table.items() if len(animals) < 2}
    kept = {name: animals for name, animals in table.items() if name not in alone}
    told = "; ".join(f"'{name}' has only {unit} {one}" for name, one in alone.items())
    if len(table) < 2:
        raise InputError(
            f"--by {by}: all recordings are in one group ({next(iter(table), 'none')}); two are needed."
        )
    if len(kept) < 2:
        raise InputError(
            f"--by {by}: a group needs two animals or more, for one tells nothing of how animals differ: {told}."
        )
    if alone:
        notes.append(f"left out, a group of one animal: {told}")
    return kept


def _happens(table: Table, key: Key) -> bool:
    return any(
        np.nan_to_num(values.get(key, 0.0)) > 0
        for animals in table.values()
        for values in animals.values()
    )


def _column(animals: Mapping[str, Mapping[Key, float]], key: Key) -> dict[str, float]:
    """Return the value of each animal that has the measure."""
    rows = {name: values.get(key, np.nan) for name, values in animals.items()}
    return {name: value for name, value in rows.items() if np.isfinite(value)}


def _side(group: str, values: FloatArray) -> Side:
    return Side(
        group,
        len(values),
        float(values.mean()) if len(values) else None,
        float(values.std(ddof=1)) if len(values) > 1 else None,
    )


def _row(table: Table, first: str, second: str, key: Key, notes: list[str]) -> Row:
    ours, theirs = _column(table[first], key), _column(table[second], key)
    paired = bool(set(table[first]) & set(table[second]))
    if paired:
        both = [name for name in table[first] if name in table[second]]
        lost = sorted((set(table[first]) ^ set(table[second])) - set(both))
        notes.append(f"'{first}' and '{second}' share animals: {len(both)} are compared with themselves")
        if lost:
            notes.append(f"left out of '{first}' against '{second}', only in one: {', '.join(lost)}")
        both = [name for name in both if name in ours and name in theirs]
        ours, theirs = ({name: side[name] for name in both} for side in (ours, theirs))
    a, b = (np.array(list(side.values()), dtype=np.float64) for side in (ours, theirs))
    sides = (_side(first, a), _side(second, b))
    if min(len(a), len(b)) < 2:
        return Row(key.behaviour, key.measure, key.bin, *sides, paired=paired)
    tested: Tested = paired_test(a, b) if paired else permutation_test(a, b)
    difference, effect = intervals(a, b, paired=paired)
    # the way that was found has a mirror image with the same difference where the groups are equally large
    mirrored = paired or len(a) == len(b)
    least = (2 if mirrored else 1) / tested.ways if tested.exact else 1e-4
    return Row(
        key.behaviour,
        key.measure,
        key.bin,
        *sides,
        difference=float(a.mean() - b.mean()),
        difference_interval=difference,
        g=hedges_g(a, b, paired=paired),
        g_interval=effect,
        rank_biserial=rank_biserial(a, b) if not paired else float(np.sign(a - b).mean()),
        p=tested.p,
        p_least=least,
        exact=tested.exact,
        paired=paired,
    )


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with p values corrected, what follows what apart from all else."""
    found: dict[int, float] = {}
    for follows in (True, False):
        family = [
            i for i, r in enumerate(rows) if r.p is not None and (r.measure == NEXT) == follows
        ]  # fmt: skip
        found |= dict(zip(family, holm([rows[i].p or 0.0 for i in family]), strict=True))
    return [replace(row, p_holm=found.get(i)) for i, row in enumerate(rows)]


def _overall(table: Table, keys: Sequence[Key]) -> list[dict[str, Any]]:
    """Return a test of all groups at once for each measure; none for two groups, or shared animals."""
    names = [name for animals in table.values() for name in animals]
    if len(table) < 3 or len(set(names)) < len(names):
        return []
    rows = []
    for key in keys:
        groups = [np.array(list(_column(animals, key).values())) for animals in table.values()]
        if all(len(group) > 1 for group in groups):
            rows.append({**asdict(key), "p": overall_test(groups)})
    for follows in (True, False):
        family = [row for row in rows if (row["measure"] == NEXT) == follows]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = p
    return rows


def _values(table: Table, keys: Sequence[Key]) -> list[dict[str, Any]]:
    return [
        {"group": group, "animal": name, **asdict(key), "value": _known(values.get(key))}
        for group, animals in table.items()
        for name, values in animals.items()
        for key in keys
    ]


def _known(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
