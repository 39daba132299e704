"""What a user may hand to a prediction, and the recordings it means."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from murine import formats
from murine.data.embedding import Embedder
from murine.data.prepared import PICTURES
from murine.data.source import Source, open_source
from murine.errors import InputError
from murine.files import require_file
from murine.project import PROJECT_FILE, Project, load_pose, load_project, select, timeline
from murine.project.gather import expand
from murine.train.runs import TrainedRun
from murine.types import LabelChoice, Recording
from murine.video import VIDEO_SUFFIXES

_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\n]')


@dataclass(frozen=True)
class Job:
    """A recording to predict; `project` is the one it stands in, if any; `given`: what was handed over."""

    recording: Recording
    given: Path
    project: Project | None = None


def find_jobs(
    run: TrainedRun, inputs: Sequence[Path], fps: float | None, only: Sequence[str] = ()
) -> list[Job]:
    """Return the recordings that some files and folders mean, each name once.

    A project folder means its recordings, those without labels first; another folder its videos; a pose file
    of several recordings each of them; a pattern the files it finds, for shells that do not look. `fps`:
    frames per second of pose files. `only`: of a project, the recordings with these values in these columns,
    such as "camera=left".
    Raises InputError for inputs (all of them) that are missing or do not suit the model's streams, or
    two of one name.
    """
    jobs: list[Job] = []
    faults: list[str] = []
    # a file that two patterns find is meant once
    places = {p.absolute(): p for given in map(str, inputs) for p in expand(given) or [Path(given)]}
    for path in places.values():
        try:
            jobs += _jobs_of(run, path, fps, only)
        except InputError as error:
            faults.append(str(error))
    if len(faults) == 1:
        raise InputError(faults[0])
    if faults:
        raise InputError(
            "\n".join([f"{len(faults)} inputs cannot be used", *(f"  - {f}" for f in faults)])
        )
    if not jobs:
        raise InputError("nothing to predict: give videos, pose files or a project folder.")
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.recording.id.casefold(), job)
        if other is not job:
            raise InputError(
                f"{other.given} and {job.given} would both be called '{job.recording.id}'. Rename one, or "
                "predict them into different folders."
            )
    return jobs


def _jobs_of(run: TrainedRun, path: Path, fps: float | None, only: Sequence[str]) -> list[Job]:
    if path.is_dir() and (path / PROJECT_FILE).exists():
        project = select(load_project(path), only)
        ordered = sorted(project.recordings, key=project.is_labelled)
        return [Job(recording, path, project) for recording in ordered]
    if only:
        raise InputError(
            f"{path}: --only chooses recordings of a project by its columns, and this is no project "
            f"(no {PROJECT_FILE}). Give the project's folder, or leave --only out."
        )
    if path.is_dir():
        return [_file_job(run, found, fps) for found in _videos_in(run, path)]
    if not path.exists() and glob.has_magic(str(path)):
        raise InputError(
            f"{path}: no file is found by this pattern (from {Path.cwd()}). Check the folder."
        )
    return _by_part(_file_job(run, path, fps))


def _by_part(job: Job) -> list[Job]:
    """Return a job for each recording of a pose file that holds several, else the job itself."""
    recording = job.recording
    parts = formats.pose_parts(recording.pose) if recording.pose is not None else ()
    if len(parts) < 2:
        return [job]
    named = [(_NOT_IN_NAMES.sub("_", part), LabelChoice(observation=part)) for part in parts]
    return [replace(job, recording=replace(recording, id=name, choice=c)) for name, c in named]


def open_job(run: TrainedRun, job: Job, embedder: Embedder | None = None) -> Source:
    """Open the files of a recording as the network sees them; `embedder` as `run_embedder` returns it.

    Raises InputError for files that cannot be read, lack a keypoint or do not fit each other.
    """
    animals, keypoints = ((), ()) if run.pose is None else (run.pose.animals, run.pose.keypoints)
    settings, streams, recording = run.recipe.input, run.model.streams, job.recording
    times = pose = None
    if job.project is not None:
        times = timeline(recording)
        if recording.pose is not None and run.tracks:
            pose = load_pose(job.project, recording)
    return open_source(
        recording, settings, streams, timeline=times, pose=pose, animals=animals, keypoints=keypoints,
        night=run.night, embedder=embedder, learned_fps=run.fps,
    )  # fmt: skip


def _sees(run: TrainedRun) -> bool:
    return bool(set(run.sees) & set(PICTURES))


def _file_job(run: TrainedRun, path: Path, fps: float | None) -> Job:
    require_file(path, "video" if _sees(run) else "pose file")
    if _sees(run) and run.tracks:
        raise InputError(
            f"{path}: model '{run.name}' needs a video and its pose together, which one file cannot say. "
            "Pair them with 'murine init', then predict the project folder."
        )
    others = [name for name in run.recipe.input.views if name != "video"]
    if _sees(run) and others:
        raise InputError(
            f"{path}: model '{run.name}' sees the views {', '.join(run.recipe.input.views)} of a recording, which "
            f"one file cannot say. Name them in recordings.csv of a project (columns video, {', '.join(others)}) "
            "and predict the project folder."
        )
    is_video = path.suffix.lower() in VIDEO_SUFFIXES
    if _sees(run):
        if not is_video and _is_pose(path):
            raise InputError(
                f"{path}: model '{run.name}' sees video ({' and '.join(run.sees)}), and a pose file "
                "came. Give the video it was tracked in."
            )
        return Job(Recording(_name(path), video=path), path)
    if is_video:
        raise InputError(
            f"{path}: model '{run.name}' sees pose, and a video came. Track the animals first (DeepLabCut, "
            "for example) and give the pose file."
        )
    rate = fps if fps is not None else run.fps
    if rate is None:
        raise InputError(
            f"{path}: its frame rate is not known. Give frames per second (--fps), or predict a project, "
            "whose recordings.csv has a column 'fps'."
        )
    return Job(Recording(_name(path), pose=path, fps=rate), path)


def _is_pose(path: Path) -> bool:
    try:
        formats.detect(path, "pose")
    except InputError:
        return False
    return True


def _videos_in(run: TrainedRun, folder: Path) -> list[Path]:
    if not _sees(run):
        raise InputError(
            f"{folder}: not a project (no {PROJECT_FILE}). Name the pose files one by one, such as "
            f"{folder}/*.csv."
        )
    # names with a dot in front are what macOS leaves on foreign disks
    files = (p for p in folder.iterdir() if not p.name.startswith("."))
    found = sorted(p for p in files if p.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: neither a project (no {PROJECT_FILE}) nor a folder with videos.")
    return found


def _name(path: Path) -> str:
    stem = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return _NOT_IN_NAMES.sub("_", Path(stem).stem)
