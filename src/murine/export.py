"""Predicted or human bouts as label files that other programs read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from murine.errors import InputError, suggest
from murine.files import results_folder
from murine.formats import FORMATS, LabelFormat, write_labels
from murine.postprocess import apply_own
from murine.predictions import find_predictions, read_prediction
from murine.progress import SILENT, Progress
from murine.project import PROJECT_FILE, load_bouts, load_project, timeline
from murine.types import Bouts, Timeline

ALIASES = {"boris": "boris-tabular", "csv": "bouts", "nwb": "nwb-intervals"}
"""Short names for the formats people mean most."""


@dataclass(frozen=True, eq=False)
class _Labels:
    recording: str
    bouts: Bouts
    timeline: Timeline
    media: str = ""
    subject: str = ""


def export(source: Path, to: str, out: Path | None = None, *, progress: Progress = SILENT) -> list[Path]:
    """Write the bouts of every recording in the format `to`; return the files, one per recording.

    `source`: a folder of predictions (or one of them), decided by the post-processing their recipe asked
    for; or a project, whose human labels are written. `to`: a label format's name, or "boris" or "csv".
    `out`: default SOURCE/TO. Raises InputError for a format that is unknown or only read, StorageError.
    """
    source = Path(source)
    name = ALIASES.get(to.lower(), to.lower())
    form = FORMATS[name] if name in FORMATS else None  # noqa: SIM401 (a registry's get raises)
    if not isinstance(form, LabelFormat) or form.write is None:
        able = [f.name for f in FORMATS.values() if isinstance(f, LabelFormat) and f.write]
        raise InputError(f"labels cannot be written as '{to}'.{suggest(to, [*able, *ALIASES])}")
    files = find_predictions(source) if not (source / PROJECT_FILE).exists() else []
    if out is None:
        out = (source if source.is_dir() else source.parent) / to
    # all are read before any is written: a fault of one leaves nothing behind
    everything = list(_predicted(files) if files else _human(source))
    if not everything:
        raise InputError(f"{source}: none of its recordings has labels to export.")
    names = [labels.recording for labels in everything]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"{source}: several predictions of one recording: {', '.join(twice)}. Keep one."
        )
    with (
        results_folder(Path(out)) as out,
        progress.task("exporting", len(everything), "recordings") as task,
    ):
        paths = [out / f"{labels.recording}{form.suffixes[0]}" for labels in everything]
        fresh = [path for path in paths if not path.exists()]
        try:
            for labels, path in zip(everything, paths, strict=True):
                write_labels(
                    path,
                    labels.bouts,
                    labels.timeline,
                    name,
                    subject=labels.subject,
                    recording=labels.recording,
                    media=labels.media,
                )
                task.advance()
        except BaseException:
            for path in fresh:  # some of the recordings would look like all of them
                path.unlink(missing_ok=True)
            raise
    return paths


def _predicted(files: list[Path]) -> Iterator[_Labels]:
    for path in files:
        prediction = read_prediction(path)
        bouts = apply_own(prediction, path)
        media = prediction.meta.get("files", {}).get("video", "")
        yield _Labels(prediction.recording, bouts, prediction.timeline, media)


def _human(folder: Path) -> Iterator[_Labels]:
    project = load_project(folder)
    for recording in project.labelled():
        bouts = load_bouts(project, recording)
        media = "" if recording.video is None else recording.video.name
        subject = recording.choice.subject or ""
        yield _Labels(recording.id, bouts, timeline(recording), media, subject)
