"""What became of each trial, kept in a file of its own folder: who comes back goes on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import stdev
from typing import Any

from murine.config.convert import freeze, show
from murine.errors import InputError
from murine.files import read_json, write_json

TRIALS = "trials"
TRIAL_FILE = "trial.json"

RUNNING, FINISHED, PRUNED, FAILED = "running", "finished", "pruned", "failed"
STATES = (RUNNING, FINISHED, PRUNED, FAILED)


@dataclass(frozen=True)
class Trial:
    """One combination tried. `folds`: the criterion of each fold alone, by name, in the order they ended.
    `value`: the criterion, None unless finished; `seeds`: of each seed alone, where a search has some. `why`: of a
    trial that was given up or failed. `scores`: the main ones of a finished trial.
    """

    number: int
    values: Mapping[str, Any]
    state: str = RUNNING
    value: float | None = None
    folds: Mapping[str, float | None] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    seeds: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    why: str = ""

    @property
    def steps(self) -> list[float]:
        """The folds' own values, those left out that have none."""
        return [value for value in self.folds.values() if value is not None]

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds (n - 1), None of fewer than two."""
        return stdev(self.seeds.values()) if len(self.seeds) > 1 else None

    @property
    def told(self) -> float | None:
        """What is known of it: its value, or the mean of its folds so far."""
        if self.value is not None or not self.steps:
            return self.value
        return sum(self.steps) / len(self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return asdict(self)


def trial_folder(out: Path, number: int) -> Path:
    """Return the folder of a trial, counted from 1."""
    return out / TRIALS / f"{number:04d}"


def write_trial(out: Path, trial: Trial) -> None:
    """Write what is known of a trial."""
    write_json(trial_folder(out, trial.number) / TRIAL_FILE, trial.to_dict())


def read_trials(out: Path) -> list[Trial]:
    """Return the trials of a search's folder, in order; raises InputError for a folder that is none of its own."""
    found = []
    for folder in sorted((out / TRIALS).glob("*")):
        if not folder.is_dir():
            continue
        if not (folder / TRIAL_FILE).is_file():
            if not any(folder.iterdir()):
                continue  # was about to begin
            raise InputError(
                f"{folder}: holds something that this search did not make ({TRIAL_FILE} is missing). Move it away, "
                "or choose another folder (--out)."
            )
        found.append(_read(folder))
    return sorted(found, key=lambda trial: trial.number)


def _read(folder: Path) -> Trial:
    form = read_json(folder / TRIAL_FILE, "a trial of a search")
    try:
        trial = Trial(**{**form, "values": freeze(form["values"])})
    except (TypeError, KeyError) as error:
        raise InputError(
            f"{folder / TRIAL_FILE}: damaged ({error}). Delete {folder}; the trial runs again."
        ) from error
    if trial.state not in STATES or folder.name != f"{trial.number:04d}":
        raise InputError(
            f"{folder}: is not the folder of trial {trial.number} ({trial.state}). Delete it; the trial runs again."
        )
    return trial


def check_same(trial: Trial, values: Mapping[str, Any], out: Path) -> None:
    """Raise InputError where a folder holds a trial of other values than this search gives that number."""
    if dict(trial.values) != dict(values):
        raise InputError(
            f"{trial_folder(out, trial.number)}: a trial of another search ({_words(trial.values)}; expected "
            f"{_words(values)}). Choose another folder (--out), or begin anew (--restart)."
        )


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {show(value)}" for key, value in values.items())


def check_ethograms(ethograms: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Raise InputError where the seeds of a trial were judged on different behaviours: their mean says nothing."""
    names = {seed: tuple(form["behaviours"]) for seed, form in ethograms.items()}
    first = next(iter(names))
    for seed, behaviours in names.items():
        if behaviours != names[first]:
            raise InputError(
                f"{folder}: {first} was judged on {', '.join(names[first])}, {seed} on {', '.join(behaviours)}. "
                "The ethogram changed between them; begin the search anew (--restart)."
            )


def best_trial(trials: Sequence[Trial], *, minimized: bool) -> Trial | None:
    """Return the finished trial with the best value, of equals the first; None where none is finished."""
    done = [t for t in trials if t.state == FINISHED and t.value is not None]
    sign = 1.0 if minimized else -1.0
    return min(done, key=lambda t: (sign * float(t.value or 0.0), t.number), default=None)
