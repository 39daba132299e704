"""What is told of a prediction besides its pooled frame scores: intervals, bouts, protocols, each task by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from murine.metrics.intervals import bootstrap_intervals
from murine.metrics.matching import BoutMatches, count_bouts, pool_matches
from murine.metrics.outcomes import Outcome, Pair, fill_background, outcome_of, task_parts
from murine.metrics.protocols import PROTOCOLS, follow, pooled_frames
from murine.metrics.segments import SegmentScores, pool_segments
from murine.types import Ethogram

OVER = "recording"
"""What is drawn for an interval where no groups are told."""


def score_details(
    pairs: Sequence[Pair], ethogram: Ethogram, *, groups: Sequence[str] = (), over: str = OVER
) -> dict[str, Any]:
    """Return more scores of labelled recordings as JSON-like values.

    `groups`: what each recording belongs to, `over`: the name of that (animal, session); whole groups are drawn for
    `intervals` (of 95 %). Keys besides: `bouts` (matched one by one, pooled), `drawn` (what is drawn and how many
    there are), `protocols` (published ways to score, by name), `tasks` (of each its `frames`, `segments` and all
    this again; empty where there are none).
    """
    kept = [i for i, pair in enumerate(pairs) if pair.labelled]
    names = [groups[i] for i in kept] if groups else [str(i) for i in kept]
    chosen = [pairs[i] for i in kept]
    if not chosen:
        return {"bouts": [], "intervals": {}, "drawn": None, "protocols": {}, "tasks": {}}
    outcomes = [outcome_of(pair, ethogram) for pair in chosen]
    intervals = bootstrap_intervals(outcomes, ethogram, groups=names)
    return {
        "bouts": [row.to_dict() for row in matched(outcomes, ethogram)],
        "intervals": {name: list(ends) for name, ends in intervals.items()},
        "drawn": {"over": over, "count": len(set(names))},
        "protocols": {name: follow(name, chosen, ethogram, names) for name in PROTOCOLS},
        "tasks": {
            task: _alone(own, rows, [names[i] for i in where], over)
            for task, (own, where, rows) in task_parts(chosen, ethogram).items()
            if rows
        },
    }


def bout_matches(pairs: Sequence[Pair], ethogram: Ethogram) -> tuple[BoutMatches, ...]:
    """Return how the bouts of recordings were met, pooled; none where there are no times."""
    counted = []
    for pair in pairs:
        if pair.timeline is None:
            return ()
        truth, said = (fill_background(x, ethogram) for x in (pair.truth, pair.decided))
        counted.append(count_bouts(truth, said, pair.timeline))
    return pool_matches(ethogram.behaviours, counted) if counted else ()


def matched(outcomes: Sequence[Outcome], ethogram: Ethogram) -> tuple[BoutMatches, ...]:
    """Return how bouts were met, a row per behaviour; none where there are no times."""
    counted = [(outcome.bouts, outcome.seconds) for outcome in outcomes]
    timed = counted and all(rows for rows, _ in counted)
    return pool_matches(ethogram.behaviours, counted) if timed else ()


def segments_of(outcomes: Sequence[Outcome]) -> SegmentScores | None:
    """Return segmental scores, None where behaviours may overlap."""
    counted = [outcome.segments for outcome in outcomes if outcome.segments is not None]
    return pool_segments(counted) if len(counted) == len(outcomes) else None


def _alone(
    ethogram: Ethogram, pairs: Sequence[Pair], groups: Sequence[str], over: str
) -> dict[str, Any]:
    """Return all scores of one task over the recordings that have labels of it."""
    segments = segments_of([outcome_of(pair, ethogram) for pair in pairs])
    return {
        "frames": pooled_frames(ethogram, pairs).to_dict(),
        "segments": None if segments is None else segments.to_dict(),
        **score_details(pairs, ethogram, groups=groups, over=over),
    }
