"""How good: frame scores, bout scores, one label set against another."""

from murine.metrics.baseline import majority_baseline
from murine.metrics.bouts import Bout, Budget, bout_table, time_budget
from murine.metrics.frames import (
    METRICS,
    BehaviourScores,
    FrameScores,
    Metric,
    score_frames,
)
from murine.metrics.score import LabelScores, score_bouts, score_many
from murine.metrics.segments import SegmentScores, score_segments

__all__ = [
    "METRICS",
    "BehaviourScores",
    "Bout",
    "Budget",
    "FrameScores",
    "LabelScores",
    "Metric",
    "SegmentScores",
    "bout_table",
    "majority_baseline",
    "score_bouts",
    "score_frames",
    "score_many",
    "score_segments",
    "time_budget",
]
