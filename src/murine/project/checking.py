"""A whole project looked at once, with every fault in one list."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from murine.files import file_hash
from murine.progress import SILENT, Progress
from murine.project.inspection import Finding, Inspection, inspect
from murine.project.report import SEVERITIES, CheckReport, ClassRow, Fault, PoseRow
from murine.project.store import load_project
from murine.project.tasks import why_unlabelled
from murine.project.values import Project
from murine.types import Recording

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 2


def check(folder: Path, *, progress: Progress = SILENT) -> CheckReport:
    """Read every file of a project and report everything found.

    Every frame of every video is decoded (once: the times are remembered). Raises only where project.toml
    or recordings.csv cannot be understood: InputError, ProjectError, VersionError.
    """
    return check_project(load_project(folder), progress=progress)


def check_project(project: Project, *, progress: Progress = SILENT) -> CheckReport:
    """Check a project that is already loaded; see `check`."""
    found: dict[int, Inspection] = {}
    with progress.task("check", len(project), "recordings") as task:
        for index, result in in_threads(lambda r: inspect(project, r), project.recordings, WORKERS):
            found[index] = result
            task.note(result.recording.id)
            task.advance()
    results = [found[i] for i in range(len(project))]
    faults = [
        *_grouped(results, project.unit == "recording"),
        *_duplicates(project),
        *_study(project, results),
    ]
    order = {severity: i for i, severity in enumerate(SEVERITIES)}
    return CheckReport(
        project=project.name,
        unit=project.unit,
        faults=tuple(sorted(faults, key=lambda f: order[f.severity])),
        recordings=tuple(r.row for r in results),
        classes=_classes(project, results),
        pose=_pose(results),
    )


def in_threads(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """Yield (index, result) as they come ready; an exception in a worker is raised here.

    The threads are daemons: Ctrl-C must not wait for an hour of video to be decoded.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()
    for index in range(len(items)):
        todo.put(index)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                index = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, function(items[index]), None))
            except BaseException as error:  # handed to the caller, who raises it
                done.put((index, None, error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            index, result, error = done.get()
            if error is not None:
                raise error
            yield index, result  # type: ignore[misc]
    except Exception:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    finally:
        stop.set()


def _grouped(results: Sequence[Inspection], clips: bool) -> list[Fault]:
    """Join equal findings of several recordings; of clips, also those that differ only in numbers."""
    groups: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for result in results:
        for finding in result.findings:
            key = finding.text if finding.path is None else finding.text.replace(str(finding.path), "*")
            if clips:
                key = re.sub(r"\d+(\.\d+)?", "#", key)
            groups.setdefault((finding.severity, key), []).append((result.recording.id, finding))
    faults = []
    for members in groups.values():
        ids = tuple(id for id, _ in members)
        first = members[0][1]
        text = first.text
        if len(members) > 1 and first.path is not None:
            text = text.replace(str(first.path), first.path.name, 1)
            text = f"{text.removeprefix(f'{first.path.name}: ')} (first: {first.path})"
        if len({f.text for _, f in members}) > 1 and clips:
            text += " (and the like)"
        faults.append(Fault(first.severity, text, ids))
    return faults


def _duplicates(project: Project) -> list[Fault]:
    """Return a warning for files of equal content under different names."""
    faults = []
    for kind in ("video", "pose", "labels"):
        owners: dict[Path, str] = {}
        for recording in project.recordings:
            for path in _files(recording, kind):
                if path.is_file():
                    owners.setdefault(path, recording.id)
        sizes: dict[int, list[Path]] = {}
        for path in owners:
            sizes.setdefault(path.stat().st_size, []).append(path)
        same: dict[str, list[Path]] = {}
        for size, paths in sizes.items():
            # Only files of one size can be equal; the others need not be read.
            for path in paths if len(paths) > 1 and size > 0 else ():
                try:
                    same.setdefault(file_hash(path), []).append(path)
                except OSError:
                    continue
        for paths in same.values():
            if len(paths) > 1:
                names = ", ".join(str(p) for p in paths)
                text = (
                    f"{kind}: the same content {len(paths)} times ({names}). Copies on both sides of a split make "
                    "a result look better than it is; keep one"
                )
                faults.append(Fault("warning", text, tuple(owners[p] for p in paths)))
    return faults


def _files(recording: Recording, kind: str) -> list[Path]:
    """Return the files of one kind, "video" (of all views), "pose" or "labels"."""
    if kind == "video":
        return list(recording.videos.values())
    path = recording.pose if kind == "pose" else recording.labels
    return [] if path is None else [path]


def _study(project: Project, results: Sequence[Inspection]) -> list[Fault]:
    """Return what is wrong with the recordings as a whole."""
    faults: list[Fault] = []
    labelled = [r for r in results if project.is_labelled(r.recording)]
    counted = [r for r in labelled if r.frames is not None]
    without = tuple(r.recording.id for r in results if not project.is_labelled(r.recording))
    if not labelled:
        faults.append(
            Fault("error", "no recording has labels; fill the column 'labels' of recordings.csv")
        )
    elif without:
        faults.append(
            Fault("note", f"{_many(len(without))} without labels: for prediction only", without)
        )
    if len(labelled) == 1:
        text = (
            "only one recording is labelled: a model can be trained, and nothing can say how good it is. "
            "Label at least one more"
        )
        faults.append(Fault("warning", text))
    if len(project.ethogram) == 1 and project.ethogram.exclusive:
        text = (
            f"only one behaviour, '{project.ethogram.behaviours[0]}': there is nothing to tell it from. Name a "
            "background in project.toml, or label others"
        )
        faults.append(Fault("error", text))
    faults += _class_faults(project, labelled, counted)
    faults += _task_notes(project, results)
    faults += _pose_faults(results)
    for column in project.group_columns():
        empty = tuple(r.id for r in project.recordings if not r.groups.get(column))
        if empty:
            text = f"column '{column}' of recordings.csv is empty; it cannot be split by"
            faults.append(Fault("note", text, empty))
    frames = sum(r.row.frames or 0 for r in counted)
    unannotated = frames - sum(r.annotated for r in counted)
    if unannotated > 0:
        share = f"{100 * unannotated / frames:.1f} % of the frames"
        faults.append(Fault("note", f"{share} are not annotated; they are neither learned nor scored"))
    return faults


def _class_faults(
    project: Project, labelled: Sequence[Inspection], counted: Sequence[Inspection]
) -> list[Fault]:
    if not counted:
        return []
    unread = len(labelled) - len(counted)
    aside = f" (labels of {_many(unread)} could not be read)" if unread else ""
    faults = []
    for c, name in enumerate(project.ethogram.behaviours):
        holders = [r.recording.id for r in counted if r.frames is not None and r.frames[c] > 0]
        if not holders:
            text = (
                f"behaviour '{name}' has no frame in any recording{aside}. Label it, or take it out of behaviours "
                "in project.toml"
            )
            faults.append(Fault("error", text))
        elif len(holders) == 1 and len(counted) > 1:
            text = f"behaviour '{name}' occurs only here: it cannot be learned and tested at once"
            faults.append(Fault("warning", text, tuple(holders)))
    return faults


def _task_notes(project: Project, results: Sequence[Inspection]) -> list[Fault]:
    """Say of each task how many recordings have labels of it, and whether its behaviours exclude each other."""
    notes = []
    for source, task in zip(project.sources, project.ethogram.tasks, strict=True):
        count = sum(task.name in r.tasks for r in results)
        kind = "one behaviour at a time" if task.exclusive else "behaviours may overlap"
        text = f"task '{task.name}': labels in {count} of {_many(len(results))}; {kind}"
        if not count:
            why = why_unlabelled(project, source)
            text = f"task '{task.name}': no recording has labels of it" + (f": {why}" if why else "")
        notes.append(Fault("note" if count else "error", text))
    return notes


def _pose_faults(results: Sequence[Inspection]) -> list[Fault]:
    layouts: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for r in results:
        if r.missing is not None:
            layouts.setdefault((r.animals, r.keypoints), []).append(r.recording.id)
    if len(layouts) < 2:
        return []
    (animals, keypoints), _ = max(layouts.items(), key=lambda item: len(item[1]))
    faults = []
    for (a, k), ids in layouts.items():
        if (a, k) != (animals, keypoints):
            text = (
                f"pose has animals {', '.join(a)} and keypoints {', '.join(k)}; other recordings have "
                f"{', '.join(animals)} and {', '.join(keypoints)}. One model needs one layout"
            )
            faults.append(Fault("error", text, tuple(ids)))
    return faults


def _many(number: int) -> str:
    return f"{number} recording{'' if number == 1 else 's'}"


def _classes(project: Project, results: Sequence[Inspection]) -> tuple[ClassRow, ...]:
    counted = [r for r in results if r.frames is not None]
    annotated = sum(r.annotated for r in counted)
    rows = []
    for c, name in enumerate(project.ethogram.behaviours):
        frames = [int(r.frames[c]) for r in counted if r.frames is not None]
        seconds = sum(float(r.seconds[c]) for r in counted if r.seconds is not None)
        bouts = sum(int(r.bouts[c]) for r in counted if r.bouts is not None)
        share = sum(frames) / annotated if annotated else 0.0
        rows.append(ClassRow(name, sum(frames), seconds, bouts, int(np.count_nonzero(frames)), share))
    return tuple(rows)


def _pose(results: Sequence[Inspection]) -> tuple[PoseRow, ...]:
    """Return the share of frames without a position, per animal and keypoint, by name."""
    gone: dict[tuple[str, str], list[int]] = {}
    for r in results:
        if r.missing is None or r.absent is None:
            continue
        frames = r.row.pose_frames or 0
        for a, animal in enumerate(r.animals):
            columns = [("", int(r.absent[a])), *zip(r.keypoints, r.missing[a].tolist(), strict=True)]
            for keypoint, count in columns:
                total = gone.setdefault((animal, keypoint), [0, 0])
                total[0] += count
                total[1] += frames
    return tuple(PoseRow(a, k, count / max(1, n)) for (a, k), (count, n) in gone.items())
