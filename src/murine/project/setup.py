"""A new project from folders of files: paired by name, behaviours read from the labels."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from murine import formats
from murine.errors import InputError, ProjectError, suggest
from murine.formats.clips import Clip, find_clips
from murine.progress import SILENT, Progress
from murine.project.behaviours import ethogram_of, grouped, media_names, without
from murine.project.gather import find_files, pose_files, unique_ids, with_columns
from murine.project.pairing import Named, natural, pair, plain_stem, stem
from murine.project.store import (
    PROJECT_FILE,
    TABLE_FILE,
    load_project,
    relative_path,
    save_project,
)
from murine.project.tasking import COLUMN, STREAMS, file_tasks, stream_tasks
from murine.project.values import CLIP_COLUMN, RESERVED, Project, TaskLabels
from murine.types import Ethogram, LabelChoice, Recording
from murine.video import VIDEO_SUFFIXES

_FILE_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".h5", ".hdf5", ".gz", ".parquet", ".boris", ".slp", ".annot", ".nwb", ".json",
    ".npy", ".mat",
)  # fmt: skip


@dataclass(frozen=True)
class _Labels:
    """A label file, or one observation in it, and what it holds."""

    path: Path
    choice: LabelChoice
    summary: formats.LabelSummary
    named: Named


def init(
    folder: Path,
    *,
    videos: Sequence[str] = (),
    poses: Sequence[str] = (),
    labels: Sequence[str] = (),
    tasks: str = "",
    task_labels: Mapping[str, Sequence[str]] | None = None,
    clips: Path | None = None,
    stream: str | None = None,
    subject: str | None = None,
    exclude: Sequence[str] = (),
    background: str | None = None,
    fps: float | None = None,
    id_pattern: str | None = None,
    unmatched: str = "unknown",
    tolerance_s: float = 0.0,
    force: bool = False,
    progress: Progress = SILENT,
) -> Project:
    """Write project.toml and recordings.csv and return the project.

    `videos`, `poses`, `labels`: patterns such as "videos/*.mp4" (`**` goes into folders), file names or
    folders; files are paired by name. `tasks` "streams": each stream of the label files becomes a task of its
    own; `task_labels`: instead of `labels`, the label files of each task (an annotator, a question) by its name.
    Or `clips`: a folder of clips, each with one label. `stream` and `subject` choose a part of each label file.
    `exclude`: behaviours left out. `background`: the name
    for annotated frames without a behaviour, added only where there are such. `fps`: the rate of pose
    without video. `id_pattern`: a regular expression whose named groups, searched in the id, fill
    columns to split by (`unmatched` where it finds nothing). `tolerance_s`: by how much labels and pose
    may end before or after the recording. `force` replaces a project that is there.

    Raises InputError or ProjectError (every fault found), StorageError; then nothing is written.
    """
    folder = Path(folder)
    refuse_existing(folder, force)
    _check_tasks(tasks, task_labels, labels, clips, stream)
    if clips is not None:
        if videos or poses or labels:
            raise InputError("give either a folder of clips, or videos, poses and labels; not both")
        project = _from_clips(folder, Path(clips), exclude, background)
    else:
        found = {
            "videos": find_files(videos, "videos", tuple(VIDEO_SUFFIXES)),
            "poses": find_files(poses, "poses", _FILE_SUFFIXES),
            "labels": find_files(labels, "labels", _FILE_SUFFIXES),
        }
        of_tasks = {
            name: find_files(patterns, f"task {name}", _FILE_SUFFIXES)
            for name, patterns in (task_labels or {}).items()
        }
        choice = LabelChoice(stream=stream, subject=subject)
        settings = _Settings(choice, tuple(exclude), background, fps, tasks)
        project = _from_files(folder, found, of_tasks, settings, progress)
    recordings = with_columns(project.recordings, id_pattern, unmatched)
    fresh = not folder.exists()
    try:
        save_project(replace(project, recordings=recordings, tolerance_s=float(tolerance_s)))
    except BaseException:
        if fresh:
            with suppress(OSError):
                folder.rmdir()
        raise
    return load_project(folder)


def _check_tasks(
    tasks: str,
    task_labels: Mapping[str, Sequence[str]] | None,
    labels: Sequence[str],
    clips: Path | None,
    stream: str | None,
) -> None:
    """Raise InputError for ways to make tasks that do not go together."""
    if not tasks and not task_labels:
        return
    if clips is not None:
        raise InputError(
            "clips have one label each, so there are no tasks; leave --tasks and --task out"
        )
    if tasks and tasks != STREAMS:
        raise InputError(
            f"tasks are made of '{STREAMS}'; came '{tasks}'. Or name files: --task NAME=PATTERN"
        )
    if tasks and task_labels:
        raise InputError(
            f"give either --tasks {STREAMS}, or the files of each task with --task; not both"
        )
    if tasks and stream is not None:
        raise InputError(
            f"--tasks {STREAMS} takes every stream; leave --stream {stream} out, or --tasks"
        )
    if task_labels and labels:
        raise InputError(
            "the label files of tasks come with --task NAME=PATTERN each; leave --labels out"
        )
    if bad := [name for name in task_labels or {} if not re.fullmatch(r"[\w-]+", name)]:
        raise InputError(
            f"'{bad[0]}' cannot name a task: it becomes part of a column. Use letters, digits, - and _"
        )


def refuse_existing(folder: Path, force: bool) -> None:
    """Raise InputError where there is a project already, unless `force` says that it may be replaced."""
    there = [name for name in (PROJECT_FILE, TABLE_FILE) if (folder / name).exists()]
    if there and not force:
        raise InputError(
            f"{folder}: there is a project already ({', '.join(there)}). Choose another folder, or "
            "replace it with --force (columns filled in by hand are lost)."
        )


def _from_clips(folder: Path, clips: Path, exclude: Sequence[str], background: str | None) -> Project:
    found = find_clips(clips)
    names = list(dict.fromkeys(clip.behaviour for clip in found))
    kept = without(names, exclude)
    if not kept:
        raise InputError(f"{clips}: every behaviour is excluded; nothing is left to learn")
    if background is not None and background not in kept:
        raise InputError(f"no behaviour '{background}' to be the background.{suggest(background, kept)}")
    wanted = [clip for clip in found if clip.behaviour in kept]
    ids = unique_ids(
        [_clip_id(clip.path, clips) for clip in wanted], [clip.path for clip in wanted], folder
    )
    recordings = [
        Recording(id, video=clip.path.absolute(), groups={CLIP_COLUMN: clip.behaviour, **_groups(clip)})
        for id, clip in zip(ids, wanted, strict=True)
    ]
    ethogram = Ethogram(tuple(kept), exclusive=True, background=background)
    # Excluded clips are not in the table, so there is nothing to ignore later.
    return Project(folder, project_name(folder), ethogram, tuple(recordings), unit="recording")


def _clip_id(path: Path, root: Path) -> str:
    # Class folders may hold clips of one name, so the folder is part of the id.
    return "__".join([*path.relative_to(root).parent.parts, stem(path)])


def _groups(clip: Clip) -> dict[str, str]:
    # What MIT names call "video" is the film a clip was cut from; our column "video" is the clip's file.
    return {("source" if name in RESERVED else name): value for name, value in clip.groups.items()}


@dataclass(frozen=True)
class _Settings:
    """What `init` was asked for, besides files."""

    choice: LabelChoice
    exclude: tuple[str, ...]
    background: str | None
    fps: float | None
    tasks: str


def _from_files(
    folder: Path,
    found: Mapping[str, list[Path]],
    of_tasks: Mapping[str, list[Path]],
    settings: _Settings,
    progress: Progress,
) -> Project:
    choice, fps = settings.choice, settings.fps
    kind = "videos" if found["videos"] else "poses"
    if not found[kind]:
        raise InputError("a project needs videos, poses or a folder of clips; none came")
    if not found["labels"] and not of_tasks:
        raise InputError(
            "a project needs labels for some of its recordings; none came. To predict with a trained model "
            "no project is needed: murine predict MODEL VIDEOS"
        )
    what = {"videos": "video", "poses": "pose file"}[kind]
    faults: list[str] = []
    files = [(p, "") for p in found["videos"]] or pose_files(found["poses"], faults)
    anchors = [Named.of(path, observation=part) for path, part in files]
    ids = unique_ids(
        [part or (stem(p) if kind == "videos" else plain_stem(p)) for p, part in files],
        [p for p, _ in files],
        folder,
    )
    others = pose_files(found["poses"], faults) if kind == "videos" else []
    poses = [Named.of(p, observation=part, media=[part] if part else ()) for p, part in others]
    pose_of, unpaired = pair(anchors, poses, "pose file", what)
    faults += _mistakes(unpaired, [others[o][0] for o in pose_of], [p for p, _ in others])
    items = _describe(found["labels"], choice, faults, progress)
    subjects = {subject for item in items for subject in item.summary.subjects}
    if items and choice.subject not in (None, "all", *subjects):
        faults.append(
            f"no label file has a subject '{choice.subject}'.{suggest(choice.subject or '', subjects)}"
        )
    labels_of, unpaired = pair(anchors, [item.named for item in items], "label file", what)
    faults += _mistakes(unpaired, [items[o].path for o in labels_of], [item.path for item in items])
    tasks_at = {
        name: _paired(paths, choice, anchors, what, faults, progress) for name, paths in of_tasks.items()
    }
    if faults:
        raise ProjectError(folder, faults)
    pose_at = {a: others[o][0] for o, a in pose_of.items()}
    labels_at = {a: items[o] for o, a in labels_of.items()}
    if kind == "poses" and fps is None:
        every = [*items, *(item for own in tasks_at.values() for item in own.values())]
        said = sorted({item.summary.fps for item in every if item.summary.fps is not None})
        hint = f" The label files say {', '.join(f'{f:g}' for f in said)}." if said else ""
        raise InputError(f"pose without video has no frame rate: give it with --fps.{hint}")
    recordings = []
    for a, (id, (path, part)) in enumerate(zip(ids, files, strict=True)):
        item = labels_at.get(a)
        chosen = item.choice if item else LabelChoice()
        recordings.append(
            Recording(
                id,
                video=path if kind == "videos" else None,
                pose=pose_at.get(a) if kind == "videos" else path,
                labels=item.path if item else None,
                fps=fps if kind == "poses" else None,
                choice=replace(chosen, observation=part) if part else chosen,
                groups={
                    COLUMN.format(name): relative_path(own[a].path, folder) if a in own else ""
                    for name, own in tasks_at.items()
                },
            )
        )
    labelled = [(r, labels_at[a].summary) for a, r in enumerate(recordings) if a in labels_at]
    sources: tuple[TaskLabels, ...] = ()
    asked = (settings.exclude, settings.background, progress)
    if tasks_at:
        parts = {
            name: [(replace(recordings[a], labels=item.path), item.summary) for a, item in own.items()]
            for name, own in tasks_at.items()
        }
        sources = file_tasks(folder, parts, *asked)
    elif settings.tasks:
        sources = stream_tasks(folder, labelled, *asked)
    ethogram = Ethogram.of_tasks([source.task for source in sources]) if sources else None
    return Project(
        folder,
        project_name(folder),
        ethogram or ethogram_of(folder, labelled, *asked),
        tuple(sorted(recordings, key=lambda r: natural(r.id))),
        ignore=settings.exclude,
        sources=sources,
    )


def _paired(
    paths: Sequence[Path],
    choice: LabelChoice,
    anchors: Sequence[Named],
    what: str,
    faults: list[str],
    progress: Progress,
) -> dict[int, _Labels]:
    """Return the label file of one task of each recording that has one, by the recording's place."""
    items = _describe(paths, choice, faults, progress)
    for item in items:
        if item.choice.observation is not None:
            faults.append(
                f"{item.path}: holds several observations; a task needs a file of each recording"
            )
            return {}
    found, unpaired = pair(anchors, [item.named for item in items], "label file", what)
    faults += _mistakes(unpaired, [items[o].path for o in found], [item.path for item in items])
    return {a: items[o] for o, a in found.items()}


def _mistakes(unpaired: Mapping[int, str], taken: Collection[Path], paths: Sequence[Path]) -> list[str]:
    """Return the faults of files that fit nothing: one of many recordings may hold some of other videos."""
    return [text for o, text in unpaired.items() if paths[o] not in taken]


def _describe(
    paths: Sequence[Path], choice: LabelChoice, faults: list[str], progress: Progress
) -> list[_Labels]:
    """Look into label files; one with several observations counts as several."""
    items: list[_Labels] = []
    wrong: dict[str, list[Path]] = {}
    with progress.task("label files", len(paths), "files") as task:
        for path in paths:
            try:
                labels = formats.parse_labels(path)
                summary = formats.describe_labels(labels, choice)
                if len(summary.observations) < 2:
                    named = Named.of(path, media=media_names(labels, choice))
                    items.append(_Labels(path, choice, summary, named))
                for name in summary.observations if len(summary.observations) > 1 else ():
                    chosen = replace(choice, observation=name)
                    part = formats.describe_labels(labels, chosen)
                    named = Named.of(path, observation=name, media=media_names(labels, chosen))
                    items.append(_Labels(path, chosen, part, named))
            except InputError as error:
                wrong.setdefault(str(error).removeprefix(f"{path}: "), []).append(path)
            task.advance()
    faults += [grouped(text, files) for text, files in wrong.items()]
    return items


def project_name(folder: Path) -> str:
    """Return the name of a project in this folder."""
    return folder.resolve().name or "project"
