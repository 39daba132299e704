"""Which windows are visited how often, what they are labelled, and how much a behaviour weighs.

N windows, S samples, C behaviours. Labels: 1 behaviour, 0 not this one, -1 unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.data.prepared import Prepared
from murine.errors import InputError
from murine.types import UNLABELLED, FloatArray, IntArray

Absent = Literal["error", "zero"]


def clip_labels(
    labels: NDArray[np.int8], start: IntArray, stop: IntArray, rule: str, *, exclusive: bool
) -> NDArray[np.int8]:
    """Return the one label (N, C) of each window [start, stop) over (S, C) labels, stop > S allowed.

    `rule`: "centre" and "last" take the label of sample start + size // 2 or stop - 1; "majority" what
    most annotated samples show (at a tie what the centre shows, if it is among the tied); "unanimous"
    what all annotated samples show, else -1. A row is -1 where the rule finds nothing annotated.
    """
    samples = len(labels)
    centre: NDArray[np.int8] = labels[np.minimum(start + (stop - start) // 2, samples - 1)]
    if rule == "centre":
        return centre
    if rule == "last":
        return np.asarray(labels[np.minimum(stop, samples) - 1])
    if rule not in ("majority", "unanimous"):
        raise InputError(f"unknown label rule '{rule}'; known: centre, last, majority, unanimous")
    end = np.minimum(stop, samples)
    shown = _between(labels == 1, start, end)
    known = _between(labels != UNLABELLED, start, end)
    result = np.full(shown.shape, UNLABELLED, dtype=np.int8)
    if rule == "unanimous":
        result[known > 0] = 0
        result[(known > 0) & (shown == known)] = 1
        mixed = (shown > 0) & (shown < known)
        result[mixed.any(axis=1) if exclusive else mixed] = UNLABELLED
        return result
    result[known > 0] = 0
    if exclusive:
        # Half a vote for the centre decides between equals and nothing else.
        winner = (2 * shown + (centre == 1)).argmax(axis=1)
        voted = shown.any(axis=1)
        result[voted, winner[voted]] = 1
        return result
    result[(known > 0) & (2 * shown + (centre == 1) > known)] = 1
    return result


def _between(flags: NDArray[np.bool_], start: IntArray, stop: IntArray) -> NDArray[np.int64]:
    """Return how many flags (S, C) are set in each interval, (N, C)."""
    total = np.zeros((len(flags) + 1, flags.shape[1]), dtype=np.int64)
    np.cumsum(flags, axis=0, out=total[1:])
    return np.asarray(total[stop] - total[start])


def class_counts(prepared: Sequence[Prepared]) -> IntArray:
    """Return (C,): the samples of all recordings that show each behaviour."""
    return np.asarray(sum((p.resolved == 1).sum(axis=0) for p in prepared), dtype=np.int64)


def effective_number(counts: FloatArray, beta: float) -> FloatArray:
    """Return (1 - beta^n) / (1 - beta) of each count n, how many samples that tell something new it stands for.

    Beta 1: n itself; beta 0: 1. Source: Cui et al. 2019, class-balanced loss, proposition 1.
    """
    if beta == 1:
        return counts
    if beta == 0:
        return np.minimum(counts, 1.0)
    return np.asarray(-np.expm1(counts * np.log(beta)) / (1 - beta))


def class_weights(
    counts: ArrayLike, behaviours: Sequence[str], *, absent: Absent = "error", beta: float = 1.0
) -> NDArray[np.float32]:
    """Return (C,) n / (classes x n_c) of exclusive behaviours, from (C,) counts.

    So weighted, every class counts the same and the mean weight of a sample is 1. A class without a
    sample raises InputError naming it, or weighs 0 and does not count as a class (`absent` = "zero").
    `beta` below 1: weights go with the reciprocal of the `effective_number` instead, their mean still 1.
    """
    values = np.asarray(counts, dtype=np.float64)
    missing = _missing(values, behaviours, "no training label shows", absent)
    shares = np.where(missing, 0, 1 / effective_number(np.where(missing, 1, values), beta))
    return np.asarray(shares * values.sum() / max((shares * values).sum(), 1e-300), dtype=np.float32)


def binary_weights(
    counts: ArrayLike,
    known: ArrayLike,
    behaviours: Sequence[str],
    *,
    absent: Absent = "error",
    beta: float = 1.0,
) -> NDArray[np.float32]:
    """Return (C, 2), what a sample without and with a behaviour weighs: n / (2 n_without), n / (2 n_with).

    For behaviours that may overlap (de Juan 2022). `counts`: (C,) samples with it; `known`: (C,) samples
    of which it is known. A behaviour never shown, or always, raises InputError naming it, or gets weight
    1 for what is there and 0 for what is not (`absent` = "zero"). `beta` as for `class_weights`.
    """
    positive = np.asarray(counts, dtype=np.float64)
    n = np.asarray(known, dtype=np.float64)
    never = _missing(positive, behaviours, "no training label shows", absent)
    always = _missing(n - positive, behaviours, "every training label shows", absent)
    both = np.stack([n - positive, positive], axis=1)
    shares = np.where(both > 0, 1 / effective_number(np.where(both > 0, both, 1), beta), 0)
    weights = shares * (n / np.maximum((shares * both).sum(axis=1), 1e-300))[:, None]
    weights[never | always] = 1
    return np.where(both > 0, weights, 0).astype(np.float32)


def _missing(
    values: FloatArray, behaviours: Sequence[str], what: str, absent: Absent
) -> NDArray[np.bool_]:
    if values.shape != (len(behaviours),):
        raise ValueError(f"{len(behaviours)} behaviours need as many counts; came {values.shape}")
    missing = values <= 0
    if absent == "error" and missing.any():
        names = ", ".join(b for b, gone in zip(behaviours, missing, strict=True) if gone)
        raise InputError(
            f"{what}: {names}. Label such bouts, take the behaviour out of the project, or train with "
            "training.class_weights = false"
        )
    return np.asarray(missing)


def windows_shown(labels: NDArray[np.int8], start: IntArray, stop: IntArray) -> NDArray[np.int8]:
    """Return (N, C) all that each window [start, stop) shows over (S, C) labels, stop > S allowed.

    1 where any of its samples shows the behaviour, else 0 where it is known of any, else -1.
    """
    end = np.minimum(stop, len(labels))
    known = _between(labels != UNLABELLED, start, end) > 0
    shown = _between(labels == 1, start, end) > 0
    return np.where(shown, 1, np.where(known, 0, UNLABELLED)).astype(np.int8)


def rarest_shown(labels: NDArray[np.int8], counts: ArrayLike) -> IntArray:
    """Return (N,) the rarest behaviour that each window shows, by (C,) counts; C for a window without any."""
    order = np.argsort(np.asarray(counts), kind="stable")
    ranked = labels[:, order] == 1
    shown = np.where(ranked.any(axis=1), order[ranked.argmax(axis=1)], labels.shape[1])
    return np.asarray(shown, dtype=np.int64)


def balanced_shares(labels: NDArray[np.int8]) -> FloatArray:
    """Return (N,) probabilities of drawing each window so that every behaviour is drawn equally often.

    `labels`: (N, C). A window with several behaviours counts for its rarest; one without any counts as
    a class of its own.
    """
    shown = labels == 1
    counts = np.append(shown.sum(axis=0), (~shown.any(axis=1)).sum())
    table = np.concatenate([shown, ~shown.any(axis=1, keepdims=True)], axis=1)
    weight = np.where(table, 1 / np.maximum(counts, 1), 0).max(axis=1)
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def duplicated(classes: IntArray, behaviours: int) -> IntArray:
    """Return indices (M,) of (N,) windows, in order, so repeated that each behaviour has as many as the
    commonest. `classes`: what each window counts for, `behaviours` for one without any, which is not repeated.

    All windows of a behaviour are repeated equally often, but for a rest spread evenly over them.
    """
    counts = np.bincount(classes, minlength=behaviours + 1)
    times = np.ones(len(classes), dtype=np.int64)
    for behaviour in np.flatnonzero(counts[:behaviours]):
        at = np.flatnonzero(classes == behaviour)
        wanted = int(counts.max())
        times[at] = wanted // len(at)
        times[at[_spread(len(at), wanted % len(at))]] += 1
    return np.repeat(np.arange(len(classes)), times)


def overlapping(
    classes: IntArray, dense: IntArray, behaviours: int
) -> tuple[NDArray[np.bool_], IntArray, IntArray]:
    """Choose windows so that each behaviour has as many as the commonest, from all that can be cut.

    `classes`: (N,) what the usual windows count for; `dense`: (M,) the same for the windows that start at
    every sample. Returns which of the usual ones stay (N,), which of the dense ones come instead (K,), and
    how many samples apart those of one behaviour lie on average (K,). A behaviour with fewer windows than
    the commonest gives its own up for dense ones, spread evenly, as many as the commonest has or as
    there are. (Le & Murari 2019: rarer classes are cut into more densely overlapping clips.)
    """
    counts = np.bincount(classes, minlength=behaviours + 1)
    wanted = int(counts.max())
    stay = np.ones(len(classes), dtype=np.bool_)
    taken: list[IntArray] = []
    apart: list[IntArray] = []
    for behaviour in np.flatnonzero(counts[:behaviours] < wanted):
        there = np.flatnonzero(dense == behaviour)
        number = min(wanted, len(there))
        stay[classes == behaviour] = False
        taken.append(there[_spread(len(there), number)])
        apart.append(np.full(number, max(1, round(len(there) / max(1, number)))))
    empty = np.zeros(0, dtype=np.int64)
    return stay, np.concatenate([empty, *taken]), np.concatenate([empty, *apart])


def _spread(n: int, number: int) -> IntArray:
    """Return `number` of the indices 0 to n - 1, evenly spread."""
    return ((np.arange(number) + 0.5) * n / max(1, number)).astype(np.int64)


def epoch_order(
    windows: int, rng: np.random.Generator, samples: int = 0, shares: FloatArray | None = None
) -> IntArray:
    """Return the order of one epoch over `windows` windows; index windows x k + i is window i again.

    Every window once in random order, or `samples` of them: without repetition before all have come,
    or drawn by `shares` (N,), where any may come again.
    """
    number = samples or windows
    if shares is None:
        rounds = [rng.permutation(windows) for _ in range(-(-number // windows))]
        chosen = np.concatenate(rounds)[:number]
    else:
        chosen = rng.choice(windows, number, p=shares)
    return _numbered(chosen, windows)


def task_turns(known: NDArray[np.bool_]) -> FloatArray:
    """Return (N,) how often each window comes in an epoch of `task_order`, on the average."""
    counts = known.sum(axis=0)
    shares = np.where(known, counts.max() / np.maximum(counts, 1), 0.0)
    return np.asarray(shares.sum(axis=1))


def task_order(known: NDArray[np.bool_], rng: np.random.Generator, samples: int = 0) -> IntArray:
    """Return the order of an epoch in which tasks take turns: a window of the first, of the second, ...

    `known`: (N, K) which windows carry labels of which tasks. Each task has as many turns as the one with most
    windows, those of tasks with fewer coming again in another order; a task without any has none. `samples`:
    windows in all, 0: all turns. Index N x k + i is window i for the k-th time again.
    """
    turns = int(known.sum(axis=0).max())
    rows = []
    for own in (np.flatnonzero(column) for column in known.T):
        if len(own):
            rounds = [rng.permutation(own) for _ in range(-(-turns // len(own)))]
            rows.append(np.concatenate(rounds)[:turns])
    chosen = np.stack(rows, axis=1).ravel()
    wanted = samples or len(chosen)
    return _numbered(np.resize(chosen, wanted), len(known))


def _numbered(chosen: IntArray, windows: int) -> IntArray:
    """Return windows with how often each has come before in its index, from which its random numbers follow."""
    order = np.argsort(chosen, kind="stable")
    ranked = chosen[order]
    first = np.searchsorted(ranked, ranked)
    repeat = np.empty(len(chosen), dtype=np.int64)
    repeat[order] = np.arange(len(chosen)) - first
    return np.asarray(chosen + windows * repeat)
