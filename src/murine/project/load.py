"""What the files of a recording hold, on the recording's own frames."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from murine import formats, video
from murine.errors import InputError
from murine.formats.base import Media
from murine.project.tasks import load_task_bouts
from murine.project.values import CLIP_COLUMN, Project
from murine.types import Bouts, LabelChoice, Pose, Recording, Timeline


def timeline(recording: Recording) -> Timeline:
    """Return the time of each frame: as decoded from the video, else pose frames at a constant rate.

    Raises InputError for a video that cannot be decoded whole, or pose alone without `fps`.
    """
    if recording.video is not None:
        with video.open_video(recording.video) as opened:
            return opened.timeline
    assert recording.pose is not None  # a Recording has one or the other
    if recording.fps is None:
        raise InputError(
            f"recording '{recording.id}' has pose and no video, so its frame rate is not known. Fill the "
            f"column 'fps' of recordings.csv{_suggested_fps(recording)}."
        )
    summary = formats.describe_pose(recording.pose, formats.chosen_part(recording))
    return Timeline.uniform(summary.n_frames, recording.fps)


def load_pose(project: Project, recording: Recording) -> Pose:
    """Return a recording's pose, as long as the recording.

    Frames too many are cut and frames too few become missing, within `project.tolerance_s`; beyond it
    InputError says by how much they differ.
    """
    if recording.pose is None:
        raise InputError(f"recording '{recording.id}' has no pose file; fill the column 'pose'")
    pose = formats.read_pose(recording.pose, formats.chosen_part(recording))
    return pose if recording.video is None else fit_pose(project, recording, pose, timeline(recording))


def fit_pose(project: Project, recording: Recording, pose: Pose, times: Timeline) -> Pose:
    """Return a pose cut or filled with missing frames to a timeline; raises InputError as `load_pose`."""
    difference = len(pose) - len(times)
    if difference == 0:
        return pose
    seconds = abs(difference) / times.fps
    if seconds > project.tolerance_s + 1e-9:
        raise InputError(
            f"{recording.pose}: pose has {len(pose)} frames and the video {len(times)}: {abs(difference)} "
            f"frames ({seconds:.2f} s) too {'many' if difference > 0 else 'few'}. If they belong together, "
            f"allow it with tolerance_s = {math.ceil(seconds * 10) / 10:g} in project.toml; if not, check "
            "which pose belongs to which recording."
        )
    n = min(len(pose), len(times))
    xy = np.full((len(times), *pose.xy.shape[1:]), np.nan, dtype=np.float32)
    xy[:n] = pose.xy[:n]
    confidence = None
    if pose.confidence is not None:
        confidence = np.full(xy.shape[:3], np.nan, dtype=np.float32)
        confidence[:n] = pose.confidence[:n]
    return Pose(xy, pose.animals, pose.keypoints, confidence)


def load_bouts(project: Project, recording: Recording) -> Bouts:
    """Return a recording's labels on its frames, in the project's behaviours.

    Raises InputError where it has none, or they do not fit the recording or the ethogram.
    """
    if not project.is_labelled(recording):
        column = CLIP_COLUMN if project.unit == "recording" else "labels"
        raise InputError(f"recording '{recording.id}' has no labels; fill the column '{column}'")
    times = timeline(recording)
    if project.unit == "recording":
        span = (0, len(times), recording.groups[CLIP_COLUMN])
        return Bouts.build(project.ethogram, len(times), [span])
    if project.sources:
        return load_task_bouts(project, recording, times)
    return align_bouts(project, recording, read_bouts(project, recording, recording.labels, times))


def read_bouts(
    project: Project,
    recording: Recording,
    labels: Path | formats.LabelTable | None,
    times: Timeline,
    tolerance_s: float | None = None,
) -> Bouts:
    """Return the bouts of the label file, or of it as parsed, on a timeline, in the file's own behaviours.

    `tolerance_s` stands in for the project's.
    """
    assert labels is not None
    return formats.read_labels(
        labels,
        times,
        recording.choice,
        tolerance_s=project.tolerance_s if tolerance_s is None else tolerance_s,
        media="" if recording.video is None else recording.video.name,
        known=project.ethogram.behaviours,
    )


def align_bouts(project: Project, recording: Recording, bouts: Bouts) -> Bouts:
    """Return bouts carried over to the project's behaviours; raises InputError naming what does not fit."""
    return formats.align(
        bouts,
        project.ethogram,
        rename=project.rename,
        ignore=project.ignore,
        source=recording.labels or recording.id,
    )


def media_of(labels: formats.LabelTable, choice: LabelChoice) -> tuple[Media, ...]:
    """Return the videos a label file (or the chosen observation in it) says it was made on."""
    media = labels.media
    if choice.observation is not None:
        return tuple(media.get(choice.observation, ()))
    return tuple(m for files in media.values() for m in files)


def _suggested_fps(recording: Recording) -> str:
    if recording.labels is None:
        return ""
    try:
        fps = formats.describe_labels(recording.labels, recording.choice).fps
    except InputError:
        return ""
    return "" if fps is None else f" (its label file says {fps:g})"
