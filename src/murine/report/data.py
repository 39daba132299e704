"""What a report is made of: recordings with their labels and predictions, scores, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics import (
    Pair,
    fill_background,
    majority_baseline,
    score_details,
    score_frames,
    score_segments,
)
from murine.metrics.frames import one_class
from murine.postprocess import decide
from murine.types import Bouts, Ethogram, Timeline

Kind = Literal["evaluation", "prediction", "labels"]
Frames = NDArray[np.int8]

MAX_OVERVIEW = 150
"""Recordings that one overview can hold; of more, the first are shown."""


@dataclass(frozen=True, eq=False)
class ReportRecording:
    """One recording: human labels, predicted bouts and (T, C) probabilities, each where there is one.

    `groups`: its animal, cage, session; `scores`: its own frame scores as `FrameScores.to_dict` gives
    them (worked out where None and there is something to compare). `note`: a remark shown with it.
    """

    id: str
    timeline: Timeline
    truth: Bouts | None = None
    predicted: Bouts | None = None
    probabilities: NDArray[np.floating[Any]] | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Any] | None = None
    note: str = ""

    @cached_property
    def true_frames(self) -> Frames | None:
        """(T, C) human labels; -1 where not annotated."""
        return None if self.truth is None else _filled(self.truth)

    @cached_property
    def predicted_frames(self) -> Frames | None:
        """(T, C) predicted behaviours."""
        return None if self.predicted is None else _filled(self.predicted)

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return float(self.timeline.end - self.timeline.times[0])


def _filled(bouts: Bouts) -> Frames:
    """Frames of `bouts`; annotated as none of the others becomes the background, where there is one."""
    return fill_background(bouts.frames(), bouts.ethogram)


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything a report shows. Scores that are None are worked out where labels and predictions are.

    `scores`, `baseline`: pooled frame scores and those of always saying the commonest behaviour, as
    `FrameScores.to_dict` gives them; `segments`: `SegmentScores.to_dict`; `details`: what
    `metrics.score_details` tells besides (bouts, intervals, protocols, tasks). `unit`: what is counted, a
    "frame" or (clip projects) a whole "recording". `splits`: `Split.to_dict` of each fold.
    `fusion`: what fusion.json holds; `calibration`: `Reliability` of ensembles by name, as a table; `learning`: of
    each fold the columns of metrics.csv; `groups`: what `Comparison.to_dict` gives.
    `settings`, `provenance`: nested tables (the recipe; versions and hashes).
    Raises InputError where a recording does not fit the ethogram or its own length.
    """

    title: str
    kind: Kind
    ethogram: Ethogram
    recordings: Sequence[ReportRecording]
    scores: Mapping[str, Any] | None = None
    baseline: Mapping[str, Any] | None = None
    segments: Mapping[str, Any] | None = None
    details: Mapping[str, Any] | None = None
    splits: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    unit: Literal["frame", "recording"] = "frame"
    fusion: Mapping[str, Any] | None = None
    calibration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    learning: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    groups: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("evaluation", "prediction", "labels"):
            raise InputError(f"a report is of evaluation, prediction or labels; came '{self.kind}'")
        if not self.recordings:
            raise InputError("a report needs at least one recording; none came")
        for r in self.recordings:
            length = len(r.timeline)
            for what, bouts in (("labels", r.truth), ("predicted bouts", r.predicted)):
                if bouts is None:
                    continue
                if bouts.ethogram != self.ethogram:
                    raise InputError(
                        f"recording '{r.id}': {what} have the behaviours "
                        f"{', '.join(bouts.ethogram.behaviours)}, the report "
                        f"{', '.join(self.ethogram.behaviours)}. Align them first"
                    )
                if bouts.n_frames != length:
                    raise InputError(
                        f"recording '{r.id}': {what} cover {bouts.n_frames} frames, its times {length}"
                    )
            shape = (length, len(self.ethogram))
            if r.probabilities is not None and r.probabilities.shape != shape:
                raise InputError(
                    f"recording '{r.id}': probabilities are {r.probabilities.shape}, not {shape}"
                )
            if self.kind == "evaluation" and (r.truth is None or r.predicted is None):
                raise InputError(f"recording '{r.id}': an evaluation needs labels and predicted bouts")

    @property
    def judged(self) -> bool:
        """True where there is a recording with both labels and predictions."""
        return any(r.truth is not None and r.predicted is not None for r in self.recordings)

    @cached_property
    def judged_rows(self) -> tuple[Frames, Frames, NDArray[Any] | None] | None:
        """Labels, decisions (N, C) and probabilities of all that has both, a row a frame or clip; None without.

        Probabilities are None unless every such recording has them.
        """
        both = [r for r in self.recordings if r.truth is not None and r.predicted is not None]
        if not both:
            return None
        rows = [self._unit(r) for r in both]
        values = [row[2] for row in rows if row[2] is not None]
        truth, said = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
        return truth, said, np.concatenate(values) if len(values) == len(rows) else None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that stand beside figures; one margin for all lines them up in the page."""
        ids = (r.id for r in self.recordings) if len(self.recordings) <= MAX_OVERVIEW else ()
        return (*self.ethogram.behaviours, *ids)

    def complete(self) -> ReportData:
        """Return the same with the scores that were missing worked out, where they can be."""
        both = [r for r in self.recordings if r.truth is not None and r.predicted is not None]
        seen = [r for r in both if r.true_frames is not None and (r.true_frames != -1).any()]
        if not seen:
            return self
        # A clip by itself is right or wrong; a table of scores for each would say no more.
        single = [] if self.unit == "recording" else seen
        recordings = tuple(
            r if r.scores is not None or r not in single else replace(r, scores=self._own(r))
            for r in self.recordings
        )
        changes: dict[str, Any] = {"recordings": recordings}
        if self.scores is None:
            changes["scores"] = self._score(seen)
        if self.baseline is None:
            truth = np.concatenate([self._unit(r)[0] for r in seen])
            changes["baseline"] = majority_baseline(truth, self.ethogram).to_dict()
        if self.segments is None and self.ethogram.exclusive and self.unit == "frame":
            changes["segments"] = self._segments(seen)
        if self.details is None:
            changes["details"] = self._details(seen)
        return replace(self, **changes)

    def _own(self, r: ReportRecording) -> dict[str, Any]:
        """Return one recording's own scores; `segments` where behaviours exclude each other."""
        return self._score([r]) | {"segments": self._segments([r]) if self.ethogram.exclusive else None}

    def _segments(self, recordings: Sequence[ReportRecording]) -> dict[str, Any]:
        true = [one_class(_frames(r.true_frames), self.ethogram, r.id) for r in recordings]
        said = [one_class(_frames(r.predicted_frames), self.ethogram, r.id) for r in recordings]
        return score_segments(true, said).to_dict()

    def _details(self, recordings: Sequence[ReportRecording]) -> dict[str, Any]:
        """Return what is told besides, groups drawn as the folds were made (also of older evaluations)."""
        groups = {id_: str(group) for s in self.splits for id_, group in s.get("groups", {}).items()}
        split = self.settings.get("split", {})
        alone = all(id_ == group for id_, group in groups.items())
        over = "recording" if alone else "group" if split.get("pattern") else split.get("by", "group")
        pairs = []
        for r in recordings:
            true, said, values = self._unit(r)
            pairs.append(Pair(true, said, values, r.timeline if self.unit == "frame" else None))
        names = [groups.get(r.id, r.id) for r in recordings]
        return score_details(pairs, self.ethogram, groups=names, over=over)

    def _unit(self, r: ReportRecording) -> tuple[Frames, Frames, NDArray[Any] | None]:
        """Return truth, decisions and probabilities of one recording, a row per unit."""
        true, said = _frames(r.true_frames), _frames(r.predicted_frames)
        if self.unit == "frame":
            return true, said, r.probabilities
        kept = (true != -1).any(axis=1)
        if not kept.any():
            return true[:1], said[:1], None if r.probabilities is None else r.probabilities[:1]
        share = (true[kept] == 1).mean(axis=0)[None]
        votes = (said == 1).mean(axis=0)[None]
        values = None if r.probabilities is None else r.probabilities.mean(axis=0)[None]
        decided = decide(votes if values is None else values, self.ethogram).astype(np.int8)
        return decide(share, self.ethogram).astype(np.int8), decided, values

    def _score(self, recordings: Sequence[ReportRecording]) -> dict[str, Any]:
        rows = [self._unit(r) for r in recordings]
        truth, said = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
        values = [row[2] for row in rows if row[2] is not None]
        pooled = np.concatenate(values) if len(values) == len(rows) else None
        return score_frames(truth, pooled, self.ethogram, decided=said).to_dict()


def _frames(frames: Frames | None) -> Frames:
    if frames is None:
        raise InputError("a recording without labels or predictions cannot be scored")
    return frames
