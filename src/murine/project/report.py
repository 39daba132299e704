"""What `check` found: faults, and what the recordings hold; as values, as JSON, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from murine.columns import table

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Fault:
    """Something wrong or worth knowing. An error must be mended, a warning looked at.

    `recordings`: the ids it concerns; empty where it is the whole project.
    """

    severity: Severity
    text: str
    recordings: tuple[str, ...] = ()

    @property
    def recording(self) -> str:
        """The recordings in few words, empty for the whole project."""
        more = len(self.recordings) - 3
        return ", ".join(self.recordings[:3]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class RecordingRow:
    """One recording in numbers; None for what it does not have or what cannot be read.

    `missing`: share of pose cells (frame, animal, keypoint) without a position; `absent`: share of frames
    in which at least one animal has none at all; `annotated`: share of frames somebody labelled;
    `label_offset_s`: largest time between an edge of a label in seconds and the frame it was put on.
    """

    id: str
    frames: int | None = None
    seconds: float | None = None
    fps: float | None = None
    variable: bool = False
    width: int | None = None
    height: int | None = None
    pose_frames: int | None = None
    missing: float | None = None
    absent: float | None = None
    bouts: int | None = None
    annotated: float | None = None
    label_offset_s: float | None = None


@dataclass(frozen=True)
class ClassRow:
    """One behaviour over all labelled recordings; `share` is of annotated frames."""

    behaviour: str
    frames: int
    seconds: float
    bouts: int
    recordings: int
    share: float


@dataclass(frozen=True)
class PoseRow:
    """How often an animal (`keypoint` empty) or a keypoint of it has no position, over all recordings."""

    animal: str
    keypoint: str
    missing: float


@dataclass(frozen=True)
class CheckReport:
    """The result of checking a project; `ok` unless there is an error."""

    project: str
    unit: str
    faults: tuple[Fault, ...]
    recordings: tuple[RecordingRow, ...]
    classes: tuple[ClassRow, ...]
    pose: tuple[PoseRow, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return not any(fault.severity == "error" for fault in self.faults)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-like values."""
        return {"ok": self.ok, **asdict(self)}


def render_check(report: CheckReport) -> str:
    """Return the report as plain text: recordings, behaviours, pose, then all faults, errors first."""
    blocks = [_recordings(report), _classes(report), _pose(report), _faults(report)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _columns(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the first to the left, the others to the right."""
    return table(heading, rows, right=[False] + [True] * (len(heading) - 1), ruled=False)


def _recordings(report: CheckReport) -> str:
    rows = report.recordings
    if report.unit == "recording":
        return _clips(report)
    heading = ["recording", "frames", "length", "fps", "picture", "pose", "missing", "absent"]
    heading += ["bouts", "labelled", "off by"]
    cells = [
        [
            r.id,
            _number(r.frames),
            _clock(r.seconds),
            "-" if r.fps is None else f"{r.fps:.6g}{'~' if r.variable else ''}",
            "-" if r.width is None else f"{r.width}x{r.height}",
            _number(r.pose_frames),
            _percent(r.missing),
            _percent(r.absent),
            _number(r.bouts),
            _percent(r.annotated),
            "-" if r.label_offset_s is None else f"{1000 * r.label_offset_s:.0f} ms",
        ]
        for r in rows
    ]
    used = [i for i in range(len(heading)) if i == 0 or any(row[i] != "-" for row in cells)]
    text = _columns([heading[i] for i in used], [[row[i] for i in used] for row in cells])
    legend = {
        "~": "~: the rate varies" if any(r.variable for r in rows) else "",
        "missing": "missing: share of keypoints without a position",
        "absent": "absent: share of frames in which an animal has none",
        "off by": "off by: largest time from a label's edge to the frame it was put on",
    }
    told = [
        words for name, words in legend.items() if name in ["~", *(heading[i] for i in used)] and words
    ]
    return "\n".join([text, *([f"({'; '.join(told)})"] if told else [])])


def _clips(report: CheckReport) -> str:
    """Say what hundreds of clips are in one line, not one line for each."""
    rows = [r for r in report.recordings if r.frames is not None]
    if not rows:
        return f"{len(report.recordings)} clips, none of which can be read"
    sizes = sorted({f"{r.width}x{r.height}" for r in rows})
    rates = sorted({f"{r.fps:.6g}" for r in rows if r.fps is not None}, key=float)
    lengths = [r.frames for r in rows if r.frames is not None]
    return (
        f"{len(report.recordings)} clips of {min(lengths)} to {max(lengths)} frames, "
        f"{_clock(sum(r.seconds or 0.0 for r in rows))} in all, "
        f"{_few(rates)} frames/s, {_few(sizes)} pixels"
    )


def _few(values: Sequence[str]) -> str:
    return ", ".join(values) if len(values) < 4 else f"{values[0]} to {values[-1]}"


def _classes(report: CheckReport) -> str:
    if not report.classes:
        return ""
    rows = [
        [
            c.behaviour,
            str(c.frames),
            _clock(c.seconds),
            _percent(c.share),
            str(c.bouts),
            str(c.recordings),
        ]
        for c in report.classes
    ]
    return _columns(["behaviour", "frames", "time", "share", "bouts", "recordings"], rows)


def _pose(report: CheckReport) -> str:
    rows = [[f"{r.animal} {r.keypoint}".strip(), _percent(r.missing)] for r in report.pose]
    return _columns(["pose", "missing"], rows) if rows else ""


def _faults(report: CheckReport) -> str:
    lines = []
    for severity in SEVERITIES:
        for fault in (f for f in report.faults if f.severity == severity):
            where = f"{fault.recording}: " if fault.recordings else ""
            lines.append(f"{severity}: {where}{fault.text}")
    counts = {s: sum(f.severity == s for f in report.faults) for s in SEVERITIES}
    verdict = f"{_count(counts['error'], 'error')} to mend" if counts["error"] else "ready"
    if counts["warning"]:
        verdict += f", {_count(counts['warning'], 'warning')}"
    return "\n".join([*lines, "", f"{report.project}: {verdict}."]).strip()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.1f} %" if 0 < share < 1 else f"{100 * share:.0f} %"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{clock.zfill(7)}" if hours else clock
