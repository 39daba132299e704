"""The best option of each stage of post-processing, on some folds, by what is learned without them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.data.splits import Split
from murine.ensemble.counting import count, score_counts, with_background
from murine.ensemble.options import Chain, Material, Option, best_thresholds
from murine.errors import InputError
from murine.postprocess import Decided, SemiMarkov, Step, decide, make_steps
from murine.postprocess.learning import BoutStatistics, bout_statistics, joined
from murine.postprocess.markov import decide_many
from murine.predictions import WITHIN, read_prediction
from murine.progress import Task
from murine.project import Project, load_bouts, timeline
from murine.types import Bouts, FloatArray, Prediction

PARTS = 5
"""Folds are left out together in so many parts, at most: with more folds the work would grow with their square."""

ROUNDS = 2
"""How often each stage is chosen anew, given the others."""

Ids = tuple[str, ...]

Chosen = Mapping[str, Option]
"""An option of every stage."""


class Source:
    """An evaluation's predictions beside their labels, by recording; its folds in at most five parts."""

    def __init__(self, folder: Path, project: Project, splits: Sequence[Split]) -> None:
        self.folder, self.project, self.splits = folder, project, splits
        self.fold_of = {id_: s.name for s in splits for id_ in s.test}
        self.group_of = {id_: s.groups[id_] for s in splits for id_ in s.groups}
        names = [s.name for s in splits]
        parts = [frozenset(names[i::PARTS]) for i in range(min(PARTS, len(names)))]
        self.part_of = {name: part for part in parts for name in sorted(part)}
        self.predictions: dict[str, Prediction] = {}
        self.truth: dict[str, Bouts] = {}
        for id_ in self.fold_of:
            prediction = read_prediction(folder / WITHIN / f"{id_}.parquet")
            truth = load_bouts(project, project.recording(id_))
            if prediction.ethogram != project.ethogram or len(prediction) != truth.n_frames:
                raise InputError(
                    f"{folder}: recording '{id_}' was predicted for other behaviours or frames than the project "
                    "now has. Evaluate again."
                )
            self.predictions[id_], self.truth[id_] = prediction, truth
        self.frames = {
            id_: with_background(truth.frames(), project.ethogram) for id_, truth in self.truth.items()
        }
        self._statistics: dict[str, BoutStatistics] = {}
        self._outside: dict[frozenset[str], tuple[Ids, Ids]] = {}

    def learned_from(self, split: Split) -> tuple[str, ...]:
        """Return the recordings whose labels a fold's network learned from."""
        return (*split.train, *split.validation)

    @cached_property
    def everyone(self) -> tuple[str, ...]:
        """Every recording that any fold learns from or is judged on."""
        ids = (id_ for s in self.splits for id_ in (*self.learned_from(s), *s.test))
        return tuple(dict.fromkeys(ids))

    def outside(self, hidden: frozenset[str]) -> tuple[Ids, Ids]:
        """Return the recordings with labels, and those with predictions, that none of some folds tests."""
        if hidden not in self._outside:
            shown = tuple(id_ for id_ in self.everyone if self.fold_of.get(id_) not in hidden)
            self._outside[hidden] = shown, tuple(id_ for id_ in shown if id_ in self.fold_of)
        return self._outside[hidden]

    def statistics(self, ids: Iterable[str]) -> BoutStatistics:
        """Return the bouts of some recordings' labels in numbers."""
        found = []
        for id_ in ids:
            if id_ not in self._statistics:
                recording = self.project.recording(id_)
                known = id_ in self.truth
                truth = self.truth[id_] if known else load_bouts(self.project, recording)
                times = self.predictions[id_].timeline if known else timeline(recording)
                self._statistics[id_] = bout_statistics(truth, times)
            found.append(self._statistics[id_])
        return joined(found)

    def rows(self, ids: Iterable[str], before: Chain) -> tuple[FloatArray, FloatArray]:
        """Return probabilities after some steps, and the truth, of all frames of some recordings."""
        values, truth = [], []
        for id_ in ids:
            prediction = self.predictions[id_]
            part: Any = prediction.probabilities
            for step in make_steps(before):
                part = step(part, prediction.timeline, prediction.ethogram)
            values.append(part)
            truth.append(self.frames[id_])
        return np.concatenate(values), np.concatenate(truth)


class Search:
    """The search for the best option of each stage, every decoding judged once."""

    def __init__(self, source: Source, stages: Mapping[str, Sequence[Option]], metric: str) -> None:
        self.source, self.stages, self.metric = source, stages, metric
        self.ethogram = source.project.ethogram
        self._counts: dict[tuple[str, str], FloatArray] = {}
        self._learned: dict[tuple[Any, ...], Chain] = {}
        self._bits: dict[tuple[str, tuple[Step, ...]], NDArray[np.uint8]] = {}
        self._limits: dict[tuple[Ids, str], FloatArray] = {}

    def choose(self, without: frozenset[str], task: Task) -> Chosen:
        """Return the options with the best score on all folds but some; of equals the first one.

        Stage after stage, given the options of the others, twice around.
        """
        chosen = {name: options[0] for name, options in self.stages.items()}
        for _ in range(ROUNDS):
            before = dict(chosen)
            for name, options in self.stages.items():
                best = -np.inf
                for option in options:
                    task.note(f"{name}: {option.label}")
                    score = self._score({**chosen, name: option}, without)
                    if score is not None and score > best + 1e-9:
                        best, chosen[name] = score, option
            if chosen == before:
                break
        return chosen

    def _score(self, chosen: Chosen, without: frozenset[str]) -> float | None:
        """Return the score of some options on all folds but some, None where nothing can be learned."""
        total = np.zeros(4 * len(self.ethogram) + 3)
        learns = any(option.learns for option in chosen.values())
        wanted: list[tuple[str, Chain]] = []
        for id_, fold in self.source.fold_of.items():
            if fold in without:
                continue
            labels, judged = self._apart(without, id_) if learns else ((), ())
            if learns and not (labels and judged):
                return None
            wanted.append((id_, self.resolve(chosen, labels, judged)))
        self._prepare(wanted)
        for id_, steps in wanted:
            total += self.counts(id_, steps)
        score = float(score_counts(total, self.metric, self.ethogram))
        return None if np.isnan(score) else score

    def _apart(self, without: frozenset[str], id_: str) -> tuple[Ids, Ids]:
        """Return whose labels, and whose predictions, may teach what a recording is judged by.

        Those of no fold in `without`, nor of its own part; where none is left (two folds), of its own fold but
        not its group.
        """
        source = self.source
        own = source.part_of[source.fold_of[id_]]
        found = source.outside(without | own)
        if not all(found):
            group = source.group_of[id_]
            labels, judged = source.outside(without)
            found = (
                tuple(other for other in labels if source.group_of[other] != group),
                tuple(other for other in judged if source.group_of[other] != group),
            )
        return found

    def resolve(self, chosen: Chosen, labels: Sequence[str], judged: Sequence[str]) -> Chain:
        """Return the steps of some options, learned from these labels and these predictions."""
        steps: Chain = ()
        for option in chosen.values():
            key = (option.label, tuple(labels), tuple(judged), _key(steps)) if option.learns else None
            if key is not None and key in self._learned:
                made = self._learned[key]
            else:
                material = Material(
                    self.ethogram,
                    lambda: self.source.statistics(labels),
                    lambda before: self._thresholds(tuple(judged), before),
                )
                made = option.steps(material, steps)
            if key is not None:
                self._learned[key] = made
            steps = (*steps, *made)
        return steps

    def _thresholds(self, judged: Ids, before: Chain) -> FloatArray:
        key = (judged, _key(before))
        if key not in self._limits:
            values, truth = self.source.rows(judged, before)
            self._limits[key] = best_thresholds(values, truth, self.ethogram)
        return self._limits[key]

    def counts(self, id_: str, steps: Chain) -> FloatArray:
        """Return what a recording adds to the scores, decided by some steps."""
        key = (id_, _key(steps))
        if key not in self._counts:
            made, prediction = make_steps(steps), self.source.predictions[id_]
            decided = self._decided(id_, made)
            for step in (s for s in made if s.kind == "bouts"):
                decided = step(decided, prediction.timeline, self.ethogram)
            frames = self.source.frames[id_]
            self._counts[key] = count(frames, decided.astype(np.int8), self.ethogram)
        return self._counts[key]

    def _smoothed(self, id_: str, steps: Sequence[Step]) -> NDArray[Any]:
        prediction = self.source.predictions[id_]
        values: NDArray[Any] = prediction.probabilities
        for step in steps:
            if step.kind == "probabilities":
                values = step(values, prediction.timeline, self.ethogram)
        return values

    def _prepare(self, wanted: Sequence[tuple[str, Chain]]) -> None:
        """Decide by semi-Markov models all recordings at once where they were not yet."""
        waiting: dict[tuple[str, tuple[Step, ...]], SemiMarkov] = {}
        for id_, steps in wanted:
            if (id_, _key(steps)) not in self._counts:
                first = tuple(step for step in make_steps(steps) if step.kind != "bouts")
                last = first[-1] if first else None
                if isinstance(last, SemiMarkov) and (id_, first) not in self._bits:
                    waiting[id_, first] = last
        if waiting:
            values = [self._smoothed(*key) for key in waiting]
            timelines = [self.source.predictions[id_].timeline for id_, _ in waiting]
            found = decide_many(list(waiting.values()), values, timelines, self.ethogram)
            for key, decided in zip(waiting, found, strict=True):
                self._bits[key] = np.packbits(decided)

    def _decided(self, id_: str, steps: Sequence[Step]) -> Decided:
        """Return (T, C) decisions before steps on bouts; the work of deciding is done once, and kept in bits."""
        first = tuple(step for step in steps if step.kind != "bouts")
        prediction = self.source.predictions[id_]
        shape = prediction.probabilities.shape
        key = (id_, first)
        if key not in self._bits:
            values = self._smoothed(id_, first)
            last = first[-1] if first and first[-1].kind == "decision" else None
            decided = (
                decide(values, self.ethogram)
                if last is None
                else last(values, prediction.timeline, self.ethogram)
            )
            self._bits[key] = np.packbits(decided)
        return np.unpackbits(self._bits[key], count=shape[0] * shape[1]).astype(bool).reshape(shape)


def _key(steps: Chain) -> str:
    return json.dumps(steps, sort_keys=True)
