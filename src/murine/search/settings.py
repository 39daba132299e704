"""What a search file says: what is tried, how it is chosen, by which score, and when a trial is given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from murine.config.convert import rule, value_faults
from murine.errors import ConfigError
from murine.search.space import Axis

METHODS = ("grid", "random", "bayes")
PRUNINGS = ("none", "median", "wilcoxon")

DEFAULT_TRIALS = 50
"""Trials of a search that has no end of its own, as a grid has."""


@dataclass(frozen=True)
class Search:
    """A search. `recipe`: what stays as it is but for `fixed` (settings by key, such as "training.epochs") and what
    `space` varies. `method`: "grid" tries every combination in the file's order, "random" draws, "bayes" draws
    where the trials before promise most (Optuna's TPE), after `startup` drawn at random.

    `criterion`: a score by its name in scores.json, or of metrics.csv such as "validation_loss"; `direction`:
    "auto" (losses and errors fall, all else rises), "maximize" or "minimize". `over`: the score of all folds'
    frames together ("pooled") or the mean of the folds' own ("folds"). `trials`: how many (0: all of a grid,
    50 of another). `seeds`: of training; a trial is evaluated with each, its score is their mean (none: the
    recipe's). `seed`: of what is drawn. `only`: recordings, as "camera=left".

    `pruning`: a trial is given up after a fold if the mean of its folds so far is worse than the "median" of the
    finished trials at that fold, or if fold by fold it is worse than the best trial ("wilcoxon", p below 0.1);
    not before `prune_after` trials are finished, nor before `prune_folds` folds. `keep`: whose networks stay on
    disk, those of the "best" trial or of "all"; scores and predictions always do.
    """

    name: str
    recipe: str = ""
    description: str = ""
    source: str = ""
    method: str = rule("grid", choices=METHODS)
    criterion: str = "macro_f1"
    direction: str = rule("auto", choices=("auto", "maximize", "minimize"))
    over: str = rule("pooled", choices=("pooled", "folds"))
    trials: int = rule(0, low=0)
    startup: int = rule(10, low=1)
    seed: int = rule(0, low=0)
    seeds: tuple[int, ...] = rule((), low=0)
    only: tuple[str, ...] = ()
    pruning: str = rule("none", choices=PRUNINGS)
    prune_after: int = rule(5, low=1)
    prune_folds: int = rule(1, low=1)
    keep: str = rule("best", choices=("best", "all"))
    fixed: Mapping[str, Any] = field(default_factory=dict)
    space: tuple[Axis, ...] = ()

    def __post_init__(self) -> None:
        faults = value_faults(self)
        if len(set(self.seeds)) < len(self.seeds):
            faults.append(f"seeds: one is named twice: {list(self.seeds)}")
        if self.seeds and any(a.key == "training.seed" for a in self.space):
            faults.append("seeds: the space varies training.seed too; leave one of them out")
        both = [a.key for a in self.space if a.key in self.fixed]
        faults += [f"set: {key} is searched (space); leave it out of one of them" for key in both]
        if not self.space:
            faults.append(
                "space: nothing is varied; name settings and their values, such as window.frames = [64, 128]"
            )
        if self.method == "grid":
            faults += [f"space: {a.key}: {fault}" for a in self.space if (fault := a.grid_fault())]
        if faults:
            raise ConfigError(f"search '{self.name}'", faults)

    @property
    def minimized(self) -> bool:
        """Whether the smallest value of the criterion is the best."""
        if self.direction != "auto":
            return self.direction == "minimize"
        last = self.criterion.rsplit(".", 1)[-1]
        return last.endswith("loss") or "error" in last

    @property
    def size(self) -> int | None:
        """The number of combinations there are; None where a range has no end of values."""
        total = 1
        for axis in self.space:
            if axis.grid_fault():
                return None
            total *= len(axis.grid())
        return total

    @property
    def wanted(self) -> int:
        """The number of trials asked for, as far as there are combinations."""
        number = self.trials or (self.size or 0 if self.method == "grid" else DEFAULT_TRIALS)
        return number if self.size is None else min(number, self.size)
