"""What Optuna says: which combination next, and whether a trial is worth going on with.

Its studies are made anew from the trials' own records each time, so an interrupted search goes on to the same
numbers, and nothing is kept in a form that only Optuna reads. Sources: tree-structured Parzen estimator
(Bergstra et al. 2011); Optuna (Akiba et al. 2019), MIT licence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from murine.errors import MissingExtraError
from murine.search.settings import Search
from murine.search.space import Axis, Choice, Range, combinations, draw
from murine.search.trials import FAILED, FINISHED, PRUNED, RUNNING, Trial

_TRIES = 30
"""Suggestions asked for before a combination that was tried already is replaced by one drawn at random."""

_P = 0.1
"""Of Wilcoxon's test, below which a trial counts as worse than the best."""


def require_optuna(search: Search) -> None:
    """Raise MissingExtraError where a search needs Optuna and it is not installed."""
    if search.method != "bayes" and search.pruning == "none":
        return
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        what = "a Bayesian search" if search.method == "bayes" else "giving up trials early (pruning)"
        raise MissingExtraError(what, "search") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's own lines off the terminal, and its notes on what is new in it."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # a fold that the best trial has no value of is left out of the comparison: nothing to tell
            warnings.filterwarnings("ignore", message="WilcoxonPruner finds steps", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def propose(search: Search, number: int, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the combination of trial `number`, given those before it; none that was tried already.

    The same trials give the same combination. There must be one left.
    """
    tried = [dict(trial.values) for trial in trials]
    random = search.method == "random"
    for attempt in range(_TRIES):
        rng = np.random.default_rng([search.seed, number, attempt])
        values = draw(search.space, rng) if random else _suggest(search, number, attempt, trials)
        if values not in tried:
            return values
    if search.size is None:
        return values  # of numbers without end: met again by chance, and harmless
    left = [v for v in combinations(search.space) if v not in tried]
    rng = np.random.default_rng([search.seed, number, _TRIES])
    return left[int(rng.integers(len(left)))]


def _suggest(search: Search, number: int, attempt: int, trials: Sequence[Trial]) -> dict[str, Any]:
    import optuna

    seed = int(np.random.SeedSequence([search.seed, number, attempt]).generate_state(1)[0])
    with _quiet():
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup)
        study = _study(search, trials, sampler)
        asked = study.ask({axis.key: _distribution(axis) for axis in search.space})
    return {axis.key: _value(axis, asked.params[axis.key]) for axis in search.space}


def is_hopeless(search: Search, trial: Trial, trials: Sequence[Trial]) -> str:
    """Return why a running trial is to be given up, or "".

    `trials`: those before it. A trial is judged by its folds so far, at the same place as theirs.
    """
    finished = [t for t in trials if t.state == FINISHED]
    steps = trial.steps
    enough = len(finished) >= search.prune_after and len(steps) >= search.prune_folds
    if search.pruning == "none" or not enough or len(trial.folds) >= len(finished[0].folds):
        return ""  # after the last fold there is nothing left to save
    import optuna

    with _quiet():
        study = _study(search, finished, optuna.samplers.RandomSampler(seed=0))
        if search.pruning == "median":
            pruner: Any = optuna.pruners.MedianPruner(
                n_startup_trials=search.prune_after, n_warmup_steps=0
            )
            why = "after {0} folds below the median of the trials before"
            # the last mean alone: Optuna would compare the best of all so far
            running = _frozen(search, trial, dict([list(_means(trial).items())[-1]]))
        else:
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=_P, n_startup_steps=search.prune_folds)
            why = "after {0} folds worse than the best trial, fold by fold (Wilcoxon, p below 0.1)"
            running = _frozen(search, trial, _each(trial))
        hopeless = pruner.prune(study, running)
    return why.format(len(steps)) if hopeless else ""


def _each(trial: Trial) -> dict[int, float]:
    """Return the folds' values by the place of the fold, the same in every trial."""
    return {at: value for at, value in enumerate(trial.folds.values()) if value is not None}


def _means(trial: Trial) -> dict[int, float]:
    """Return the mean of the first fold, of the first two, ..., by the place of the last."""
    each = _each(trial)
    means = np.cumsum(list(each.values())) / np.arange(1, len(each) + 1)
    return dict(zip(each, means.tolist(), strict=True))


def _study(search: Search, trials: Sequence[Trial], sampler: Any) -> Any:
    import optuna

    directions = optuna.study.StudyDirection
    direction = directions.MINIMIZE if search.minimized else directions.MAXIMIZE
    study = optuna.create_study(sampler=sampler, direction=direction)
    for trial in trials:
        if trial.state != RUNNING:
            steps = _each(trial) if search.pruning == "wilcoxon" else _means(trial)
            study.add_trial(_frozen(search, trial, steps))
    return study


def _frozen(search: Search, trial: Trial, steps: Mapping[int, float]) -> Any:
    import optuna

    states = optuna.trial.TrialState
    state = {
        FINISHED: states.COMPLETE,
        PRUNED: states.PRUNED,
        FAILED: states.FAIL,
        RUNNING: states.RUNNING,
    }
    return optuna.trial.create_trial(
        state=state[trial.state],
        value=trial.value if trial.state == FINISHED else None,
        params={axis.key: _param(axis, trial.values[axis.key]) for axis in search.space},
        distributions={axis.key: _distribution(axis) for axis in search.space},
        intermediate_values=dict(steps),
    )


def _distribution(axis: Axis) -> Any:
    """Return an axis in Optuna's words; listed values by their places, as they may be lists."""
    import optuna

    if isinstance(axis, Range) and not axis.count:
        # a whole number of steps: Optuna would cut the rest off, and say so each time
        high = axis.grid()[-1] if axis.step else axis.high
        kinds = optuna.distributions
        if axis.whole:
            step = int(axis.step) or 1
            return kinds.IntDistribution(int(axis.low), int(high), log=axis.log, step=step)
        return kinds.FloatDistribution(axis.low, high, log=axis.log, step=axis.step or None)
    return optuna.distributions.CategoricalDistribution(tuple(range(len(axis.grid()))))


def _param(axis: Axis, value: Any) -> Any:
    return value if isinstance(axis, Range) and not axis.count else axis.grid().index(value)


def _value(axis: Axis, param: Any) -> Any:
    if isinstance(axis, Choice) or (isinstance(axis, Range) and axis.count):
        return axis.grid()[param]
    return param
