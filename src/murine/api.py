"""Everything a notebook needs, by one name each; every command of the command line is one of these.

The functions live in rooms of their own, some of which bear their names (`murine.predict` is a folder): this
page is where they meet.
"""

from murine.comparing import compare_paths as compare
from murine.config import list_recipes, load_recipe, save_recipe
from murine.demo import demo
from murine.ensemble import calibrate, combine, combine_predictions, predict_committee, tune, weigh
from murine.ensemble import sweep as sweep_fusion
from murine.export import export
from murine.formats import (
    FORMATS,
    pose_from_movement,
    pose_to_movement,
    read_labels,
    read_pose,
    write_labels,
    write_pose,
)
from murine.groups import compare_groups
from murine.models import MODELS, create_model, describe_models, load_model
from murine.models.backbones import BACKBONES, create_backbone, describe_backbones
from murine.postprocess import apply, make_steps
from murine.predict import predict
from murine.predictions import read_prediction, write_prediction
from murine.project import (
    DATASETS,
    check,
    init,
    init_dataset,
    load_bouts,
    load_pose,
    load_project,
    save_project,
    timeline,
)
from murine.rating import agree_paths as agree
from murine.reporting import report, write_evaluation_report
from murine.reproduce import list_reproductions, reproduce
from murine.scoring import score_paths as score
from murine.search import list_searches, load_search, search, search_nested
from murine.simulate import simulate
from murine.train.crossval import evaluate
from murine.train.run import train
from murine.types import Bouts, Ethogram, LabelChoice, Pose, Prediction, Recording, Timeline
from murine.video import open_video

__all__ = [
    "BACKBONES",
    "DATASETS",
    "FORMATS",
    "MODELS",
    "Bouts",
    "Ethogram",
    "LabelChoice",
    "Pose",
    "Prediction",
    "Recording",
    "Timeline",
    "agree",
    "apply",
    "calibrate",
    "check",
    "combine",
    "combine_predictions",
    "compare",
    "compare_groups",
    "create_backbone",
    "create_model",
    "demo",
    "describe_backbones",
    "describe_models",
    "evaluate",
    "export",
    "init",
    "init_dataset",
    "list_recipes",
    "list_reproductions",
    "list_searches",
    "load_bouts",
    "load_model",
    "load_pose",
    "load_project",
    "load_recipe",
    "load_search",
    "make_steps",
    "open_video",
    "pose_from_movement",
    "pose_to_movement",
    "predict",
    "predict_committee",
    "read_labels",
    "read_pose",
    "read_prediction",
    "report",
    "reproduce",
    "save_project",
    "save_recipe",
    "score",
    "search",
    "search_nested",
    "simulate",
    "sweep_fusion",
    "timeline",
    "train",
    "tune",
    "weigh",
    "write_evaluation_report",
    "write_labels",
    "write_pose",
    "write_prediction",
]
