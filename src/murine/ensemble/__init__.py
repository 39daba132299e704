"""Several networks heard together: means, weights, the fusion of two, the cameras of one scene; and how what they
say is decided.
"""

from murine.ensemble.calibrating import Calibrated, calibrate
from murine.ensemble.committee import predict_committee
from murine.ensemble.folders import Combined, combine
from murine.ensemble.members import open_members
from murine.ensemble.sweep import METRICS, RATIOS, Fusion, sweep
from murine.ensemble.tuning import Tuned, tune
from murine.ensemble.values import COMBINED, SCALES, combine_predictions
from murine.ensemble.weighing import Weighed, weigh

__all__ = [
    "COMBINED",
    "METRICS",
    "RATIOS",
    "SCALES",
    "Calibrated",
    "Combined",
    "Fusion",
    "Tuned",
    "Weighed",
    "calibrate",
    "combine",
    "combine_predictions",
    "open_members",
    "predict_committee",
    "sweep",
    "tune",
    "weigh",
]
