"""A project: recordings, their files and groups, and the behaviours they share; made, read, checked."""

from murine.project.checking import check, check_project
from murine.project.datasets import DATASETS, MadeProject, init_dataset
from murine.project.load import load_bouts, load_pose, timeline
from murine.project.report import CheckReport, ClassRow, Fault, PoseRow, RecordingRow, render_check
from murine.project.select import select, suffix
from murine.project.setup import init
from murine.project.store import PROJECT_FILE, TABLE_FILE, load_project, save_project
from murine.project.tasks import why_unlabelled
from murine.project.values import CLIP_COLUMN, Project

__all__ = [
    "CLIP_COLUMN",
    "DATASETS",
    "PROJECT_FILE",
    "TABLE_FILE",
    "CheckReport",
    "ClassRow",
    "Fault",
    "MadeProject",
    "PoseRow",
    "Project",
    "RecordingRow",
    "check",
    "check_project",
    "init",
    "init_dataset",
    "load_bouts",
    "load_pose",
    "load_project",
    "render_check",
    "save_project",
    "select",
    "suffix",
    "timeline",
    "why_unlabelled",
]
