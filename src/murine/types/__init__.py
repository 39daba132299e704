"""The values everything else passes around: frozen, checking themselves, axis order written once.

Axis letters: T time (frames), A animal, K keypoint, D coordinate (x, y), C behaviour.
Frames count from 0; intervals are half-open, ``[start, stop)``.
"""

from murine.types.arrays import UNLABELLED, BoolArray, FloatArray, IntArray
from murine.types.bouts import Bouts, runs
from murine.types.ethogram import Ethogram, Task
from murine.types.pose import Pose
from murine.types.recording import (
    VIEW_COLUMN,
    LabelChoice,
    Prediction,
    Recording,
    check_probabilities,
)
from murine.types.timeline import Timeline

__all__ = [
    "UNLABELLED",
    "VIEW_COLUMN",
    "BoolArray",
    "Bouts",
    "Ethogram",
    "FloatArray",
    "IntArray",
    "LabelChoice",
    "Pose",
    "Prediction",
    "Recording",
    "Task",
    "Timeline",
    "check_probabilities",
    "runs",
]
