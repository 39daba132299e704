"""How good: frame scores, bout scores, one label set against another."""

from murine.metrics.agreement import Agreement, agree, fleiss_kappa
from murine.metrics.baseline import majority_baseline
from murine.metrics.bouts import Bout, Budget, bout_table, time_budget
from murine.metrics.frames import (
    METRICS,
    BehaviourScores,
    FrameScores,
    Metric,
    score_frames,
)
from murine.metrics.intervals import bootstrap_intervals, count_outcomes
from murine.metrics.matching import BoutMatches, match_bouts
from murine.metrics.score import LabelScores, score_bouts, score_many
from murine.metrics.segments import SegmentScores, score_segments

__all__ = [
    "METRICS",
    "Agreement",
    "BehaviourScores",
    "Bout",
    "BoutMatches",
    "Budget",
    "FrameScores",
    "LabelScores",
    "Metric",
    "SegmentScores",
    "agree",
    "bootstrap_intervals",
    "bout_table",
    "count_outcomes",
    "fleiss_kappa",
    "majority_baseline",
    "match_bouts",
    "score_bouts",
    "score_frames",
    "score_many",
    "score_segments",
    "time_budget",
]
