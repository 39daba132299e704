"""File formats: recognise, read and write pose and label files.

A format is one module here and one import line below. `read_pose`, `read_labels` and `detect` judge a
file by its content, never by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from murine.errors import InputError, suggest
from murine.files import require_file
from murine.formats import behaviordepot as behaviordepot
from murine.formats import bento as bento
from murine.formats import boris as boris
from murine.formats import calms21 as calms21
from murine.formats import caltech as caltech
from murine.formats import clips as clips
from murine.formats import deepethogram as deepethogram
from murine.formats import deeplabcut as deeplabcut
from murine.formats import jabs as jabs
from murine.formats import mit as mit
from murine.formats import nwb_intervals as nwb_intervals
from murine.formats import nwb_pose as nwb_pose
from murine.formats import perframe as perframe
from murine.formats import raters as raters
from murine.formats import simba as simba
from murine.formats import sleap_analysis as sleap_analysis
from murine.formats import slp as slp
from murine.formats import table as table
from murine.formats.alignment import edge_offset
from murine.formats.base import (
    FORMATS,
    NOT_ANNOTATED,
    Format,
    LabelFormat,
    LabelSummary,
    LabelTable,
    LabelTarget,
    PoseFormat,
    PoseSummary,
)
from murine.formats.hdf5 import DAMAGE, contents
from murine.formats.labels import align, summarise, to_bouts
from murine.formats.matlab import is_matlab, variables
from murine.formats.movement import pose_from_movement, pose_to_movement
from murine.formats.parts import pick_part
from murine.formats.text import read_head
from murine.types import Bouts, LabelChoice, Pose, Recording, Timeline

__all__ = [
    "FORMATS",
    "NOT_ANNOTATED",
    "Format",
    "LabelFormat",
    "LabelSummary",
    "LabelTable",
    "PoseFormat",
    "PoseSummary",
    "align",
    "chosen_part",
    "describe_labels",
    "describe_pose",
    "detect",
    "label_offset",
    "parse_labels",
    "pose_from_movement",
    "pose_parts",
    "pose_to_movement",
    "read_labels",
    "read_pose",
    "write_labels",
    "write_pose",
]


def detect(path: Path, kind: str | None = None) -> Format:
    """Return the format of a file, judged by its content.

    `kind` "pose" or "labels" is what was expected; a file that holds both is taken for pose where nothing
    is said. Raises InputError when the file is missing or empty, when nothing fits (listing what is known),
    when several fit, or when it is of the other kind.
    """
    path = require_file(
        Path(path), {"pose": "pose file", "labels": "label file"}.get(kind or "", "file")
    )
    head = read_head(path)
    found = [f for f in FORMATS.values() if f.sniff(path, head)]
    right = [f for f in found if kind in (None, f.kind)] or found
    right = [f for f in right if f.kind == "pose"] or right
    if len(right) > 1:
        names = ", ".join(f.name for f in right)
        raise InputError(f"{path}: could be any of {names}. Report this file to the authors of murine.")
    if not found:
        known = ", ".join(f"{f.name} ({f.summary})" for f in FORMATS.values() if kind in (None, f.kind))
        raise InputError(f"{path}: the format was not recognised.{_hint(path, head)} Known: {known}.")
    if kind is not None and right[0].kind != kind:
        what = "holds labels" if right[0].kind == "labels" else "holds pose"
        raise InputError(f"{path}: {what} ({right[0].name}) where {kind} was expected.")
    return right[0]


def _hint(path: Path, head: bytes) -> str:
    """Return what a file of no known format seems to be."""
    if head.startswith(b"PK"):
        return " It is a zip or Excel file: save the sheet as csv."
    if head.startswith(b"\x89HDF"):
        whole = h5py.is_hdf5(path) and _opens(path)
        if not whole:
            return " The HDF5 file is cut short or damaged."
        return f" It is an HDF5 file of another program; it holds: {contents(path)}."
    if is_matlab(head):
        held = ", ".join(variables(path)[:8])
        return f" It is a MATLAB file; it holds: {held}." if held else " The MATLAB file is damaged."
    if head[4:8] == b"ftyp" or head.startswith((b"\x1aE\xdf\xa3", b"RIFF", b"\0\0\x01\xba")):
        return " It is a video."
    if head.startswith(b"\x1f\x8b"):
        return " The gzip file is damaged."
    return ""


def _opens(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda name, node: None)
            return True
    except DAMAGE:
        return False


def _pose_format(path: Path) -> PoseFormat:
    found = detect(path, "pose")
    assert isinstance(found, PoseFormat)
    return found


def _label_format(path: Path) -> LabelFormat:
    found = detect(path, "labels")
    assert isinstance(found, LabelFormat)
    return found


def read_pose(path: Path, part: str | None = None) -> Pose:
    """Read a pose file of any known format.

    `part` says which recording is meant in a file that holds several (a sequence of CalMS21, a video of
    SLEAP); see `chosen_part`. Raises InputError that names the file and the fault.
    """
    path = Path(path)
    form = _pose_format(path)
    if form.parts is None or form.read_part is None:
        return form.read(path)
    return form.read_part(path, pick_part(path, form.parts(path), part))


def chosen_part(recording: Recording) -> str | None:
    """Return which recording of its pose file is meant, None where the file holds only one.

    Raises InputError as `read_pose`.
    """
    if recording.pose is None:
        return None
    parts = pose_parts(recording.pose)
    media = "" if recording.video is None else recording.video.name
    return pick_part(recording.pose, parts, recording.choice.observation, media) if parts else None


def pose_parts(path: Path) -> tuple[str, ...]:
    """Return the names of the recordings in a pose file, () where its format holds only one."""
    path = Path(path)
    form = _pose_format(path)
    return () if form.parts is None else form.parts(path)


def describe_pose(path: Path, part: str | None = None) -> PoseSummary:
    """Return animals, keypoints and length of a pose file; arguments and errors as of `read_pose`."""
    path = Path(path)
    form = _pose_format(path)
    if form.parts is None or form.read_part is None or len(form.parts(path)) == 1:
        return form.describe(path)
    pose = read_pose(path, part)
    return PoseSummary.of(form.name, pose)


def parse_labels(path: Path) -> LabelTable:
    """Return a label file as parsed, for who asks several things of it; raises InputError."""
    path = Path(path)
    return _label_format(path).parse(path)


def _table(source: Path | LabelTable) -> LabelTable:
    return source if isinstance(source, LabelTable) else parse_labels(source)


def read_labels(
    path: Path | LabelTable,
    timeline: Timeline,
    choice: LabelChoice = LabelChoice(),
    *,
    tolerance_s: float = 0.0,
    media: str = "",
    known: Sequence[str] = (),
) -> Bouts:
    """Read a label file of any known format, or one that is parsed, onto a timeline, with its own ethogram.

    `choice` says which stream, observation and subject is meant where there are several ("all" joins
    streams or subjects). Labels up to `tolerance_s` past the end are cut. `media` is the name of the
    recording's video, for observations of several videos. `known` are the behaviours of a file without
    any label. The ethogram is exclusive if no two behaviours overlap. Raises InputError.
    """
    return to_bouts(_table(path), timeline, choice, tolerance_s=tolerance_s, media=media, known=known)


def describe_labels(path: Path | LabelTable, choice: LabelChoice = LabelChoice()) -> LabelSummary:
    """Return what a label file holds; behaviours, counts and `last` only of what `choice` names so far.

    Raises InputError for a file that cannot be read or a choice it does not have.
    """
    table = _table(path)
    summary = summarise(table, choice)
    for what, wanted, there in (
        ("observation", choice.observation, summary.observations),
        (table.stream_word, choice.stream, summary.streams),
    ):
        if wanted not in (None, "all") and wanted not in there:
            raise InputError(f"{table.path}: no {what} '{wanted}'.{suggest(wanted or '', there)}")
    return summary


def label_offset(
    path: Path | LabelTable, timeline: Timeline, choice: LabelChoice = LabelChoice(), *, media: str = ""
) -> float | None:
    """Return how far, at most, a label's edge lies from the frame boundary it was put on, in seconds.

    None for labels that count frames. Raises InputError as `read_labels` does.
    """
    return edge_offset(_table(path), timeline, choice, media=media)


def write_labels(
    path: Path,
    bouts: Bouts,
    timeline: Timeline,
    format: str,
    *,
    subject: str = "",
    recording: str = "",
    media: str = "",
) -> None:
    """Write bouts in the format of that name, in one piece.

    `subject` and `recording` are written where the format has a place for them; `media` is the video's
    path for BORIS (the recording's name if empty). Raises InputError when bouts and timeline differ in
    length or the format cannot be written, StorageError when the file cannot be.
    """
    form = FORMATS[format]
    if not isinstance(form, LabelFormat) or form.write is None:
        able = [f.name for f in FORMATS.values() if isinstance(f, LabelFormat) and f.write]
        raise InputError(f"labels cannot be written as '{format}'; choose one of {', '.join(able)}")
    if bouts.n_frames != len(timeline):
        raise InputError(f"bouts of {bouts.n_frames} frames do not fit a timeline of {len(timeline)}")
    form.write(Path(path), bouts, LabelTarget(timeline, subject, recording, media))


def write_pose(
    path: Path, pose: Pose, format: str = "deeplabcut-csv", *, scorer: str = "murine"
) -> None:
    """Write a pose in the format of that name, in one piece; raises InputError or StorageError."""
    form = FORMATS[format]
    if not isinstance(form, PoseFormat) or form.write is None:
        able = [f.name for f in FORMATS.values() if isinstance(f, PoseFormat) and f.write]
        raise InputError(f"pose cannot be written as '{format}'; choose one of {', '.join(able)}")
    form.write(Path(path), pose, scorer)
