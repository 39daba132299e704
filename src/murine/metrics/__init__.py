"""How good: frame scores, bout scores, one label set against another."""

from murine.metrics.agreement import Agreement, agree, fleiss_kappa
from murine.metrics.baseline import majority_baseline
from murine.metrics.bouts import Bout, Budget, bout_table, time_budget
from murine.metrics.details import bout_matches, score_details
from murine.metrics.frames import (
    METRICS,
    BehaviourScores,
    FrameScores,
    Metric,
    score_frames,
)
from murine.metrics.intervals import Difference, bootstrap_differences, bootstrap_intervals
from murine.metrics.matching import BoutMatches, match_bouts
from murine.metrics.outcomes import Outcome, Pair, fill_background, outcome_of
from murine.metrics.pool import Pool
from murine.metrics.protocols import PROTOCOLS, Protocol, follow
from murine.metrics.score import LabelScores, score_bouts, score_many
from murine.metrics.segments import SegmentScores, score_segments

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "Agreement",
    "BehaviourScores",
    "Bout",
    "BoutMatches",
    "Budget",
    "Difference",
    "FrameScores",
    "LabelScores",
    "Metric",
    "Outcome",
    "Pair",
    "Pool",
    "Protocol",
    "SegmentScores",
    "agree",
    "bootstrap_differences",
    "bootstrap_intervals",
    "bout_matches",
    "bout_table",
    "fill_background",
    "fleiss_kappa",
    "follow",
    "majority_baseline",
    "match_bouts",
    "outcome_of",
    "score_bouts",
    "score_details",
    "score_frames",
    "score_many",
    "score_segments",
    "time_budget",
]
