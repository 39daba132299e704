"""A new project from folders of files: paired by name, behaviours read from the labels."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from murine import formats
from murine.errors import InputError, ProjectError, suggest
from murine.formats.clips import Clip, find_clips
from murine.progress import SILENT, Progress
from murine.project.gather import find_files, pose_files, unique_ids, with_columns
from murine.project.load import media_of, timeline
from murine.project.pairing import Named, natural, pair, plain_stem, stem
from murine.project.store import PROJECT_FILE, TABLE_FILE, load_project, save_project
from murine.project.values import CLIP_COLUMN, RESERVED, Project
from murine.types import Ethogram, LabelChoice, Recording, Timeline
from murine.video import VIDEO_SUFFIXES

BACKGROUND = "background"
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
    folders; files are paired by name. Or `clips`: a folder of clips, each with one label. `stream` and
    `subject` choose a part of each label file. `exclude`: behaviours left out. `background`: the name
    for annotated frames without a behaviour, added only where there are such. `fps`: the rate of pose
    without video. `id_pattern`: a regular expression whose named groups, searched in the id, fill
    columns to split by (`unmatched` where it finds nothing). `tolerance_s`: by how much labels and pose
    may end before or after the recording. `force` replaces a project that is there.

    Raises InputError or ProjectError (every fault found), StorageError; then nothing is written.
    """
    folder = Path(folder)
    refuse_existing(folder, force)
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
        choice = LabelChoice(stream=stream, subject=subject)
        project = _from_files(folder, found, choice, exclude, background, fps, progress)
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
    kept = _without(names, exclude)
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


def _without(names: Sequence[str], exclude: Sequence[str]) -> list[str]:
    for name in exclude:
        if name not in names:
            raise InputError(f"cannot leave out '{name}': no such behaviour.{suggest(name, names)}")
    return [name for name in names if name not in exclude]


def _from_files(
    folder: Path,
    found: Mapping[str, list[Path]],
    choice: LabelChoice,
    exclude: Sequence[str],
    background: str | None,
    fps: float | None,
    progress: Progress,
) -> Project:
    kind = "videos" if found["videos"] else "poses"
    if not found[kind]:
        raise InputError("a project needs videos, poses or a folder of clips; none came")
    if not found["labels"]:
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
    if faults:
        raise ProjectError(folder, faults)
    pose_at = {a: others[o][0] for o, a in pose_of.items()}
    labels_at = {a: items[o] for o, a in labels_of.items()}
    if kind == "poses" and fps is None:
        said = sorted({item.summary.fps for item in items if item.summary.fps is not None})
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
            )
        )
    labelled = [(r, labels_at[a].summary) for a, r in enumerate(recordings) if a in labels_at]
    ethogram = _ethogram(folder, labelled, exclude, background, progress)
    order = sorted(recordings, key=lambda r: natural(r.id))
    return Project(folder, project_name(folder), ethogram, tuple(order), ignore=tuple(exclude))


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
                    named = Named.of(path, media=_media(labels, choice))
                    items.append(_Labels(path, choice, summary, named))
                for name in summary.observations if len(summary.observations) > 1 else ():
                    chosen = replace(choice, observation=name)
                    part = formats.describe_labels(labels, chosen)
                    named = Named.of(path, observation=name, media=_media(labels, chosen))
                    items.append(_Labels(path, chosen, part, named))
            except InputError as error:
                wrong.setdefault(str(error).removeprefix(f"{path}: "), []).append(path)
            task.advance()
    faults += [_grouped(text, files) for text, files in wrong.items()]
    return items


def _media(labels: formats.LabelTable, choice: LabelChoice) -> list[str]:
    return [m.name for m in media_of(labels, choice)]


def _grouped(text: str, files: Sequence[Path]) -> str:
    # There is no table yet to fill a column of; the same choice is an option of init.
    text = re.sub(r"\(column '(\w+)' of recordings\.csv\)", r"(--\1)", text)
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0]}{more}: {text}"


def _ethogram(
    folder: Path,
    labelled: Sequence[tuple[Recording, formats.LabelSummary]],
    exclude: Sequence[str],
    background: str | None,
    progress: Progress,
) -> Ethogram:
    """Return the behaviours of all label files; exclusive if none ever overlaps another."""
    names = list(dict.fromkeys(b for _, summary in labelled for b in summary.behaviours))
    kept = _without(names, exclude)
    if not kept:
        raise InputError("the label files hold no behaviour that is not excluded; nothing to learn")
    overlap = empty = False
    wrong: dict[str, list[Path]] = {}
    with progress.task("labels", len(labelled), "recordings") as task:
        for recording, summary in labelled:
            assert recording.labels is not None
            try:
                clash, gap = _overlap_and_gap(recording, summary, kept, exclude)
                overlap, empty = overlap or clash, empty or gap
            except InputError as error:
                text = str(error).removeprefix(f"{recording.labels}: ")
                wrong.setdefault(text, []).append(recording.labels)
            task.advance()
    if wrong:
        raise ProjectError(folder, [_grouped(text, files) for text, files in wrong.items()])
    if overlap:
        if background is not None:
            raise InputError(
                "behaviours overlap in the label files, so several may hold in one frame and none can be "
                f"the background; take --background {background} out"
            )
        return Ethogram(tuple(kept), exclusive=False)
    if background not in kept:
        # Labels without a gap may still end before their recording: only its true length tells.
        if empty or any(_ends_early(r, kept, exclude) for r, _ in labelled):
            background = background or BACKGROUND
            kept.append(background)
        elif background is not None:
            raise InputError(
                f"no behaviour '{background}' to be the background, and no labelled frame without a "
                f"behaviour.{suggest(background, kept)}"
            )
    return Ethogram(tuple(kept), exclusive=True, background=background)


def _overlap_and_gap(
    recording: Recording, summary: formats.LabelSummary, kept: Sequence[str], exclude: Collection[str]
) -> tuple[bool, bool]:
    """Return whether behaviours overlap, and whether an annotated frame before the last label has none.

    Reads the labels on a made-up timeline that ends with them: decoding videos is for `check`.
    """
    rate = summary.fps or recording.fps or 30.0
    last = summary.last if summary.unit == "frames" else summary.last * rate
    media = "" if recording.video is None else recording.video.name
    made_up = Timeline.uniform(math.ceil(last) + 2, rate)
    labels = formats.parse_labels(recording.labels or Path())
    try:
        bouts = formats.read_labels(labels, made_up, recording.choice, media=media)
    except InputError:
        if recording.video is None or len(_media(labels, recording.choice)) < 2:
            raise
        # An observation of several videos needs the true length to tell which of them this is.
        bouts = formats.read_labels(labels, timeline(recording), recording.choice, media=media)
    loose = Ethogram(tuple(kept), exclusive=False)
    table = formats.align(bouts, loose, ignore=exclude).frames()[: max(1, math.floor(last))]
    count = (table == 1).sum(axis=1)
    return bool((count > 1).any()), bool(np.any((count == 0) & (table == 0).all(axis=1)))


def _ends_early(recording: Recording, kept: Sequence[str], exclude: Collection[str]) -> bool:
    """Return whether annotated frames of a recording have no behaviour; False where it cannot be read."""
    try:
        times = timeline(recording)
        media = "" if recording.video is None else recording.video.name
        bouts = formats.read_labels(
            recording.labels or Path(), times, recording.choice, media=media, tolerance_s=times.end
        )
    except InputError:
        return False  # for `check` to tell
    aligned = formats.align(bouts, Ethogram(tuple(kept), exclusive=False), ignore=exclude)
    return bool((aligned.frames() == 0).all(axis=1).any())


def project_name(folder: Path) -> str:
    """Return the name of a project in this folder."""
    return folder.resolve().name or "project"
