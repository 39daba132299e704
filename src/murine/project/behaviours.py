"""The behaviours of a new project, read from its label files: which there are, which exclude each other, gaps."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from murine import formats
from murine.errors import InputError, ProjectError, suggest
from murine.progress import Progress
from murine.project.load import media_of, timeline
from murine.types import Ethogram, LabelChoice, Recording, Timeline

BACKGROUND = "background"

Labelled = tuple[Recording, formats.LabelSummary]
"""A recording and what its label file holds."""


def without(names: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Return names less those left out; raises InputError for one that is not there."""
    for name in exclude:
        if name not in names:
            raise InputError(f"cannot leave out '{name}': no such behaviour.{suggest(name, names)}")
    return [name for name in names if name not in exclude]


def ethogram_of(
    folder: Path,
    labelled: Sequence[Labelled],
    exclude: Sequence[str],
    background: str | None,
    progress: Progress,
) -> Ethogram:
    """Return the behaviours of all label files; exclusive if none ever overlaps another.

    Raises InputError for a background that cannot be one, ProjectError with the faults of all files.
    """
    names = list(dict.fromkeys(b for _, summary in labelled for b in summary.behaviours))
    kept = without(names, exclude)
    if not kept:
        raise InputError("the label files hold no behaviour that is not excluded; nothing to learn")
    overlap, empty = look_through(folder, labelled, kept, exclude, progress)
    if overlap:
        if background is not None:
            raise InputError(
                "behaviours overlap in the label files, so several may hold in one frame and none can be "
                f"the background; take --background {background} out"
            )
        return Ethogram(tuple(kept), exclusive=False)
    if background not in kept:
        # Labels without a gap may still end before their recording: only its true length tells.
        if empty or ends_early(labelled, kept, exclude):
            background = background or BACKGROUND
            kept.append(background)
        elif background is not None:
            raise InputError(
                f"no behaviour '{background}' to be the background, and no labelled frame without a "
                f"behaviour.{suggest(background, kept)}"
            )
    return Ethogram(tuple(kept), exclusive=True, background=background)


def look_through(
    folder: Path,
    labelled: Sequence[Labelled],
    kept: Sequence[str],
    exclude: Collection[str],
    progress: Progress,
) -> tuple[bool, bool]:
    """Return whether behaviours overlap anywhere, and whether an annotated frame has none; raises ProjectError."""
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
        raise ProjectError(folder, [grouped(text, files) for text, files in wrong.items()])
    return overlap, empty


def ends_early(labelled: Sequence[Labelled], kept: Sequence[str], exclude: Collection[str]) -> bool:
    """Return whether the labels of any recording end before it does, so that frames are left without one."""
    return any(_ends_early(recording, kept, exclude) for recording, _ in labelled)


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
        if recording.video is None or len(media_names(labels, recording.choice)) < 2:
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


def media_names(labels: formats.LabelTable, choice: LabelChoice) -> list[str]:
    """Return the videos that a label file, or the chosen part of it, says it was made on."""
    return [m.name for m in media_of(labels, choice)]


def grouped(text: str, files: Sequence[Path]) -> str:
    """Return one fault of several files."""
    # There is no table yet to fill a column of; the same choice is an option of init.
    open_choice = "(column 'stream' of recordings.csv)" in text
    text = re.sub(r"\(column '(\w+)' of recordings\.csv\)", r"(--\1)", text)
    text += " Or take each as a task of its own: --tasks streams." if open_choice else ""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0]}{more}: {text}"
