"""Which recordings teach, which tell when to stop, which are only looked at in the end.

Splits are made of groups of recordings (animals, cages, sessions, or single recordings), never of
frames. R recordings, G groups, C behaviours. The same recordings, settings and seed give the same splits,
and every search below is bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.config import SplitSettings
from murine.data.shares import kept_share
from murine.errors import InputError, LeakError, suggest
from murine.types import FloatArray, Recording

REST = "rest"
"""The group of the ids that a split pattern matches without its group taking part."""

SIDES = ("train", "validation", "test")

_TRIALS = 200
"""Choices of validation groups compared with each other; all of them if there are fewer."""


@dataclass(frozen=True)
class Split:
    """One division of recordings, by id. `groups`: the group of every recording in it. `notes`: what a
    reader of the result should know, such as a behaviour that no training recording shows.

    Raises LeakError when a recording or a group is on two sides.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    groups: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        where: dict[str, tuple[str, str]] = {}
        for side in SIDES:
            for recording in getattr(self, side):
                if recording not in self.groups:
                    raise InputError(f"split '{self.name}': recording '{recording}' has no group")
                group = self.groups[recording]
                other, first = where.setdefault(group, (side, recording))
                if other != side:
                    raise LeakError(
                        f"split '{self.name}' leaks: group '{group}' is on two sides, {other} "
                        f"('{first}') and {side} ('{recording}'). A score made with it would be too good"
                    )

    def side_groups(self, side: str) -> tuple[str, ...]:
        """Return the groups of one of "train", "validation", "test", in order of first appearance."""
        return tuple(dict.fromkeys(self.groups[r] for r in getattr(self, side)))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `Split.from_dict` gives the split back."""
        sides = {side: list(getattr(self, side)) for side in SIDES}
        return {"name": self.name, **sides, "groups": dict(self.groups), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Split:
        """Return the split that `to_dict` described; raises InputError when something is missing."""
        try:
            train, validation, test = (tuple(form[side]) for side in SIDES)
            return cls(form["name"], train, validation, test, dict(form["groups"]), tuple(form["notes"]))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"a split needs name, {', '.join(SIDES)}, groups, notes ({error})"
            ) from error


def group_names(recordings: Sequence[Recording], settings: SplitSettings) -> tuple[str, ...]:
    r"""Return the group of each recording: its column `by`, or the pattern's first group in its id.

    An id that the pattern matches without the group taking part (``cage(\d+)|\d+``) joins the one
    group "rest". Raises InputError for ids the pattern does not match, or an empty column.
    """
    if not settings.pattern:
        return tuple(recording.group(settings.by) for recording in recordings)
    pattern = re.compile(settings.pattern)
    found = [pattern.search(recording.id) for recording in recordings]
    missed = [r.id for r, match in zip(recordings, found, strict=True) if match is None]
    if missed:
        more = f" and {len(missed) - 5} more" if len(missed) > 5 else ""
        raise InputError(
            f"split.pattern '{settings.pattern}' does not match {len(missed)} of {len(recordings)} ids: "
            f"{', '.join(missed[:5])}{more}"
        )
    return tuple(match.group(1) or REST for match in found if match is not None)


def make_splits(
    recordings: Sequence[Recording],
    settings: SplitSettings,
    label_counts: ArrayLike | None = None,
    *,
    behaviours: Sequence[str] = (),
) -> list[Split]:
    """Return the splits of an evaluation: fixed folds, k folds of groups, or one split per group.

    `label_counts`: (R, C) labelled frames of each behaviour, needed to stratify and to keep every
    behaviour in training when validation groups are chosen; `behaviours` names its columns in notes.
    Raises InputError when the groups do not allow it, LeakError when related recordings are parted.
    """
    table = _Groups(recordings, settings, label_counts, behaviours)
    if len(table.names) < 2:
        raise InputError(
            f"all {len(recordings)} recordings are in one group ('{table.names[0]}'), so none is left "
            "to test on. Label a recording of another animal or session, or split by a finer column "
            f"(split.by, now '{settings.pattern or settings.by}')"
        )
    folds = _fixed_folds(table) if settings.fixed else _folds(table)
    splits = []
    for i, test in enumerate(folds):
        name = f"fold-{i + 1:0{len(str(len(folds)))}d}"
        splits.append(table.split(name, test, np.random.default_rng([settings.seed, i + 1])))
    check_leak(splits, recordings)
    return splits


def training_split(
    recordings: Sequence[Recording],
    settings: SplitSettings,
    label_counts: ArrayLike | None = None,
    *,
    behaviours: Sequence[str] = (),
) -> Split:
    """Return the split of a final training: nothing is tested, the validation share is kept apart.

    With one group there is no validation, and a note says so. Raises as `make_splits` does.
    """
    table = _Groups(recordings, settings, label_counts, behaviours)
    split = table.split("all", (), np.random.default_rng([settings.seed, 0]))
    check_leak([split], recordings)
    return split


def check_leak(splits: Sequence[Split], recordings: Sequence[Recording]) -> None:
    """Raise LeakError if related recordings are on two sides of a split, naming them.

    Related: of one group, or read from one video or pose file (two animals filmed together). A
    recording that changes its group between splits is refused too. Raises InputError for an unknown id.
    """
    known = {recording.id: recording for recording in recordings}
    group_of: dict[str, str] = {}
    for split in splits:
        file_side: dict[object, tuple[str, str]] = {}
        for side in SIDES:
            for id_ in getattr(split, side):
                if id_ not in known:
                    raise InputError(
                        f"split '{split.name}' names recording '{id_}', which the project does not have."
                        + suggest(id_, known)
                    )
                group = split.groups[id_]
                if group_of.setdefault(id_, group) != group:
                    raise LeakError(
                        f"recording '{id_}' is in two groups: '{group_of[id_]}', and '{group}' in "
                        f"split '{split.name}'"
                    )
                for path in {*known[id_].videos.values(), known[id_].pose} - {None}:
                    other, first = file_side.setdefault(path, (side, id_))
                    if other != side:
                        raise LeakError(
                            f"split '{split.name}' leaks: '{first}' ({other}) and '{id_}' ({side}) are "
                            f"both read from {path}. Split by a column that keeps them together"
                        )


class _Groups:
    """Recordings gathered into groups, with how much of each behaviour a group holds."""

    def __init__(
        self,
        recordings: Sequence[Recording],
        settings: SplitSettings,
        label_counts: ArrayLike | None,
        behaviours: Sequence[str],
    ) -> None:
        if not recordings:
            raise InputError("there is no labelled recording to split. Add one to recordings.csv")
        self.ids = tuple(recording.id for recording in recordings)
        twice = sorted(id_ for id_, count in Counter(self.ids).items() if count > 1)
        if twice:
            raise InputError(f"recording ids must differ; named twice: {', '.join(twice)}")
        self.settings = settings
        self.of = group_names(recordings, settings)
        self.names = tuple(dict.fromkeys(self.of))
        column = {name: g for g, name in enumerate(self.names)}
        self.index = np.array([column[name] for name in self.of])
        self.sizes = np.bincount(self.index)
        self.behaviours = tuple(behaviours)
        self.counts: FloatArray | None = None
        self.rows: FloatArray | None = None
        if label_counts is not None:
            counts = np.asarray(label_counts, dtype=np.float64)
            if counts.ndim != 2 or len(counts) != len(recordings) or (counts < 0).any():
                raise ValueError(f"label counts must be ({len(recordings)}, C); came {counts.shape}")
            self.counts = np.zeros((len(self.names), counts.shape[1]))
            np.add.at(self.counts, self.index, counts)
            self.rows = counts

    def split(self, name: str, test: Sequence[int], rng: np.random.Generator) -> Split:
        """Make a split that tests on some groups and takes validation groups out of the others."""
        pool = [g for g in range(len(self.names)) if g not in test]
        if not pool:
            raise InputError(f"split '{name}' tests on every group; none is left to train on")
        notes: list[str] = []
        validation = self._validation(pool, rng)
        if self.settings.validation > 0 and not validation:
            notes.append(f"no validation: '{self.names[pool[0]]}' is the only group to train on")
        train = [g for g in pool if g not in validation]
        sides = self._ids(train), self._ids(validation), self._ids(test)
        if self.counts is not None:
            for c in np.flatnonzero(
                (self.counts.sum(axis=0) > 0) & (self.counts[train].sum(axis=0) == 0)
            ):
                what = f"'{self.behaviours[c]}'" if self.behaviours else f"number {c}"
                notes.append(f"behaviour {what} is not in any training recording")
        train_ids = self._share(sides[0], notes)
        return Split(
            name, train_ids, *sides[1:], dict(zip(self.ids, self.of, strict=True)), tuple(notes)
        )

    def _share(self, ids: tuple[str, ...], notes: list[str]) -> tuple[str, ...]:
        """Return the training recordings that the recipe uses, and note it where it is not all."""
        if self.settings.train_share >= 1:
            return ids
        every = np.ones((len(self.ids), 1)) if self.rows is None else self.rows
        counts = every[[self.ids.index(id_) for id_ in ids]]
        kept = kept_share(ids, counts, self.settings.train_share, self.settings.seed)
        notes.append(f"{len(kept)} of {len(ids)} training recordings are used (split.train_share)")
        return kept

    def _ids(self, groups: Sequence[int]) -> tuple[str, ...]:
        inside = np.isin(self.index, groups)
        return tuple(id_ for id_, there in zip(self.ids, inside, strict=True) if there)

    def _validation(self, pool: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
        """Choose the validation share of the groups of `pool`: no behaviour is taken from training where
        that can be helped, as few as possible are missing from validation, shares are alike.
        """
        share = self.settings.validation
        if share == 0 or len(pool) < 2:
            return ()
        number = min(max(1, round(share * len(pool))), len(pool) - 1)
        shuffled = [pool[i] for i in rng.permutation(len(pool))]
        if comb(len(pool), number) <= _TRIALS:
            candidates = list(combinations(shuffled, number))
        else:
            draws = [rng.choice(len(pool), number, replace=False) for _ in range(_TRIALS)]
            candidates = [tuple(shuffled[i] for i in draw) for draw in draws]
        return min(candidates, key=lambda chosen: self._validation_cost(chosen, pool))

    def _validation_cost(self, chosen: Sequence[int], pool: Sequence[int]) -> tuple[int, int, float]:
        sizes = self.sizes[list(chosen)].sum() / self.sizes[list(pool)].sum()
        uneven = (sizes - self.settings.validation) ** 2
        if self.counts is None:
            return 0, 0, float(uneven)
        total = self.counts[list(pool)].sum(axis=0)
        kept = self.counts[list(chosen)].sum(axis=0)
        there = total > 0
        shares = kept[there] / total[there]
        uneven += ((shares - self.settings.validation) ** 2).sum()
        return int((shares == 1).sum()), int((shares == 0).sum()), float(uneven)


def _folds(table: _Groups) -> list[tuple[int, ...]]:
    """Return the test groups of each fold: every group once."""
    groups, folds = len(table.names), table.settings.folds
    if folds == 0:
        return [(g,) for g in range(groups)]
    if folds > groups:
        raise InputError(
            f"split.folds is {folds}, but there are {groups} groups: choose 2 to {groups} folds, or 0 "
            "to leave one group out at a time"
        )
    weights: NDArray[np.float64] = table.sizes[:, None].astype(np.float64)
    if table.settings.stratify:
        if table.counts is None:
            raise InputError("split.stratify needs labels, and none came. Set it to false")
        # Recordings stay one of the things to balance, so that unlabelled groups are spread too.
        weights = np.concatenate([table.counts, weights], axis=1)
    return _balance(weights, folds, np.random.default_rng([table.settings.seed, 0]))


def _balance(weights: FloatArray, folds: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Deal (G, C) groups into folds, largest first, each to the fold that keeps all columns most even.

    A group's size is its length when each column is divided by its total, so that a rare behaviour
    counts as much as a frequent one.
    """
    total = weights.sum(axis=0)
    shares = weights[:, total > 0] / total[total > 0]
    shuffled = rng.permutation(len(shares))
    order = shuffled[np.argsort(-np.linalg.norm(shares[shuffled], axis=1), kind="stable")]
    held = np.zeros((folds, shares.shape[1]))
    dealt: list[list[int]] = [[] for _ in range(folds)]
    for position, group in enumerate(order):
        empty = [f for f in range(folds) if not dealt[f]]
        # Once there are only as many groups as empty folds, each of those gets one.
        open_folds = empty if len(order) - position <= len(empty) else list(range(folds))
        # Adding s to h changes sum h^2 over folds by 2 h.s + s.s: the smallest h.s is the most even.
        cost = [(float(held[f] @ shares[group]), len(dealt[f]), f) for f in open_folds]
        chosen = min(cost)[2]
        held[chosen] += shares[group]
        dealt[chosen].append(int(group))
    return [tuple(sorted(fold)) for fold in dealt]


def _fixed_folds(table: _Groups) -> list[tuple[int, ...]]:
    """Return the test groups of each fold as the settings list them; groups not named always train."""
    unknown = [name for fold in table.settings.fixed for name in fold if name not in table.names]
    if unknown:
        raise InputError(
            f"split.fixed names groups that no recording is in: {', '.join(unknown)}."
            + suggest(unknown[0], table.names)
        )
    return [tuple(table.names.index(name) for name in fold) for fold in table.settings.fixed]
