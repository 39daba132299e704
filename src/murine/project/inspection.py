"""One recording looked at from end to end: every frame decoded, pose and labels laid on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from murine import formats, video
from murine.errors import InputError
from murine.metrics import fill_background
from murine.project.load import align_bouts, fit_pose, media_of, read_bouts, timeline
from murine.project.pairing import contained, stem, tokens
from murine.project.report import RecordingRow, Severity
from murine.project.tasks import load_task_bouts
from murine.project.values import CLIP_COLUMN, Project
from murine.types import BoolArray, Bouts, IntArray, Recording, Timeline
from murine.video.views import check_same_frames

_ANY_LENGTH_S = 1e9


@dataclass(frozen=True)
class Finding:
    """A fault of one recording; `path` is the file, as it stands in `text`."""

    severity: Severity
    text: str
    path: Path | None = None


@dataclass
class Inspection:
    """What one recording holds. Per behaviour (C,): frames, seconds, bouts; per animal and keypoint
    (A, K) and per animal (A,): frames without a position. `tasks`: those it has labels of.
    """

    recording: Recording
    row: RecordingRow
    findings: list[Finding] = field(default_factory=list)
    frames: IntArray | None = None
    seconds: np.ndarray | None = None
    bouts: IntArray | None = None
    annotated: int = 0
    animals: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    missing: IntArray | None = None
    absent: IntArray | None = None
    tasks: tuple[str, ...] = ()

    def add(self, severity: Severity, text: str, path: Path | None = None) -> None:
        """Note a fault."""
        self.findings.append(Finding(severity, text, path))

    def failed(self, error: Exception, path: Path | None) -> None:
        """Note what kept a file from being read."""
        if isinstance(error, OSError):
            self.add("error", f"{path}: cannot be read ({error.strerror or error})", path)
        else:
            self.add("error", str(error), path)


def inspect(project: Project, recording: Recording) -> Inspection:
    """Read everything a recording has; nothing found stops what can still be read."""
    result = Inspection(recording, RecordingRow(recording.id))
    times = _times(recording, result)
    if recording.pose is not None:
        _pose(project, recording, times, result)
    if project.unit == "recording":
        _clip(project, recording, times, result)
    elif project.sources:
        _tasks(project, recording, times, result)
    elif recording.labels is not None:
        _labels(project, recording, times, result)
    return result


def _times(recording: Recording, result: Inspection) -> Timeline | None:
    try:
        if recording.video is None:
            times = timeline(recording)
        else:
            with video.open_video(recording.video) as opened:
                times = opened.timeline
                result.row = replace(result.row, width=opened.width, height=opened.height)
                for note in opened.notes:
                    result.add("note", f"{recording.video}: {note}", recording.video)
                _views(recording, opened, result)
    except (InputError, OSError) as error:
        # A pose that cannot be read is told once, where it is looked at.
        if recording.video is not None or recording.fps is None:
            result.failed(error, recording.video)
        return None
    if times.variable:
        steps = 1000 * np.diff(times.times)
        result.add(
            "note",
            f"variable frame rate: frames are {steps.min():.1f} to {steps.max():.1f} ms apart; the times of "
            "the frames are used as they are",
        )
    result.row = replace(
        result.row,
        frames=len(times),
        seconds=times.end - float(times.times[0]),
        fps=times.fps,
        variable=times.variable,
    )
    return times


def _views(recording: Recording, first: video.Video, result: Inspection) -> None:
    """Decode the videos of further cameras, which must show the same frames."""
    for path in recording.views.values():
        try:
            with video.open_video(path) as other:
                check_same_frames(first, other)
                for note in other.notes:
                    result.add("note", f"{path}: {note}", path)
        except (InputError, OSError) as error:
            result.failed(error, path)


def _pose(project: Project, recording: Recording, times: Timeline | None, result: Inspection) -> None:
    path = recording.pose
    assert path is not None
    try:
        pose = formats.read_pose(path, formats.chosen_part(recording))
    except (InputError, OSError) as error:
        result.failed(error, path)
        return
    missing = pose.missing
    gone: BoolArray = np.asarray(missing.all(axis=2))
    result.animals, result.keypoints = pose.animals, pose.keypoints
    result.missing, result.absent = missing.sum(axis=0), gone.sum(axis=0)
    result.row = replace(
        result.row,
        pose_frames=len(pose),
        missing=float(missing.mean()),
        absent=float(gone.any(axis=1).mean()),
    )
    if missing.all():
        result.add("error", f"{path}: no keypoint has a position in any frame", path)
    else:
        for a, animal in enumerate(pose.animals):
            if gone[:, a].all():
                result.add("error", f"{path}: animal '{animal}' is absent in every frame", path)
                continue
            never = [k for i, k in enumerate(pose.keypoints) if missing[:, a, i].all()]
            if never:
                names = ", ".join(never)
                result.add("warning", f"{path}: never seen on '{animal}': {names}", path)
    if times is None or recording.video is None:
        return
    try:
        fit_pose(project, recording, pose, times)
    except InputError as error:
        result.failed(error, path)
        return
    if difference := len(pose) - len(times):
        done = "are cut" if difference > 0 else "count as missing"
        more = "more" if difference > 0 else "fewer"
        text = f"pose has {abs(difference)} frames {more} than the video; they {done} (tolerance_s)"
        result.add("note", text)


def _clip(project: Project, recording: Recording, times: Timeline | None, result: Inspection) -> None:
    name = recording.groups.get(CLIP_COLUMN, "")
    if times is not None and name:
        span = (0, len(times), name)
        _count(result, Bouts.build(project.ethogram, len(times), [span]), times)


def _labels(project: Project, recording: Recording, times: Timeline | None, result: Inspection) -> None:
    path = recording.labels
    assert path is not None
    try:
        labels = formats.parse_labels(path)
        summary = formats.describe_labels(labels, recording.choice)
    except (InputError, OSError) as error:
        result.failed(error, path)
        return
    _media(recording, times, labels, summary, result)
    if times is None:
        return
    bouts = None
    try:
        bouts = read_bouts(project, recording, labels, times)
        media = "" if recording.video is None else recording.video.name
        offset = formats.label_offset(labels, times, recording.choice, media=media)
        result.row = replace(result.row, label_offset_s=offset)
        excess = summary.last - (len(times) if summary.unit == "frames" else times.end)
        seconds = excess / times.fps if summary.unit == "frames" else excess
        frames = round(seconds * times.fps)
        # More than is cut: the labels go on in the next video of their observation.
        if frames > 0 and seconds <= max(project.tolerance_s, 0.5 / times.fps) + 1e-6:
            result.add("note", f"labels run {frames} frames past the end; they are cut (tolerance_s)")
    except InputError as error:
        result.failed(error, path)
        # Counted all the same where only their end is at fault, so that one fault does not hide others.
        try:
            bouts = read_bouts(project, recording, labels, times, tolerance_s=_ANY_LENGTH_S)
        except InputError:
            return
    try:
        aligned = align_bouts(project, recording, bouts)
    except InputError as error:
        result.failed(error, path)
        return
    none = int(((aligned.frames() == 0).all(axis=1)).sum())
    if none and project.ethogram.exclusive and project.ethogram.background is None:
        first = int((aligned.frames() == 0).all(axis=1).argmax())
        result.add(
            "error",
            f"{path}: {none} frames (the first is {first}) are labelled as none of the behaviours. Name a "
            'behaviour for them in project.toml: add "background" to behaviours, and background = '
            '"background"',
            path,
        )
    _count(result, aligned, times)


def _tasks(project: Project, recording: Recording, times: Timeline | None, result: Inspection) -> None:
    """Count the labels of all tasks of a recording, and name those it has none of."""
    if times is None or not project.is_labelled(recording):
        return
    try:
        bouts = load_task_bouts(project, recording, times)
    except (InputError, OSError) as error:
        result.failed(error, recording.labels)
        return
    ethogram = project.ethogram
    absent = [t.name for t in ethogram.tasks if ethogram.columns(t).start in bouts.unknown]
    result.tasks = tuple(t.name for t in ethogram.tasks if t.name not in absent)
    if absent:
        result.add("note", f"has no labels of {', '.join(absent)}", recording.labels)
    _count(result, bouts, times)


def _media(
    recording: Recording,
    times: Timeline | None,
    labels: formats.LabelTable,
    summary: formats.LabelSummary,
    result: Inspection,
) -> None:
    """Compare what a label file says of its video with the recording: name, length, rate."""
    path = recording.labels
    assert path is not None
    own = stem(recording.video or recording.pose or Path(recording.id))
    media = media_of(labels, recording.choice)
    named = [stem(Path(m.name)) for m in media]
    related = [n.casefold() == own.casefold() or contained(tokens(n), tokens(own)) for n in named]
    if named and not any(related):
        files = ", ".join(m.name for m in media[:3])
        text = f"{path}: was made on '{files}', and this recording is '{own}'. Do they belong together?"
        result.add("warning", text, path)
    if times is None:
        return
    length = media[0].length if len(media) == 1 else None
    if length is not None and abs(length - times.end) > max(0.5, 0.005 * length):
        result.add(
            "warning" if abs(length - times.end) <= 0.02 * length else "error",
            f"{path}: was made on a video of {length:.2f} s, and this recording has {times.end:.2f} s. These "
            "may be the labels of another video; check the column 'labels' of recordings.csv",
            path,
        )
    if summary.fps is not None and abs(summary.fps / times.fps - 1) > 0.01:
        result.add(
            "warning",
            f"{path}: says {summary.fps:g} frames/s, and the recording has {times.fps:.6g}. Labels in frames "
            "would drift; check that they belong together",
            path,
        )


def _count(result: Inspection, bouts: Bouts, times: Timeline) -> None:
    """Count frames, seconds and bouts of each behaviour; frames with none go to the background."""
    table = bouts.frames()
    positive = fill_background(table, bouts.ethogram) == 1
    durations = np.append(np.diff(times.times), 1.0 / times.fps)
    starts = positive[:1].sum(axis=0) + (positive[1:] & ~positive[:-1]).sum(axis=0)
    result.frames = positive.sum(axis=0)
    result.seconds = durations @ positive
    result.bouts = starts
    result.annotated = int((table != -1).any(axis=1).sum())
    result.row = replace(
        result.row, bouts=len(bouts), annotated=result.annotated / max(1, bouts.n_frames)
    )
