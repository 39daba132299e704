"""BORIS project files (.boris, JSON): several observations, each with its own videos.

Events are `[time, subject, code, modifiers, comment, ...]`; state events start and stop in turns. Times
include the observation's time offset. A queue of videos in player 1 plays one after another; a video in
another player begins `media_info.offset` seconds after the observation.
"""

from __future__ import annotations

import json
import math
import string
from datetime import datetime
from pathlib import Path
from typing import Any

from murine.errors import InputError
from murine.formats.base import FORMATS, Fault, LabelFormat, LabelTable, LabelTarget, Media, marked
from murine.formats.boris.common import LOSSY, Event, pair, subject_name
from murine.formats.text import head_text, read_text, write_bytes
from murine.types import Bouts

_VERSION = "7.0"
_PLAYERS = 8


def parse(path: Path) -> LabelTable:
    """Read a project file; raises InputError that names the file and, later, the observation."""
    text = read_text(path, "label file")
    try:
        project = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not a whole BORIS project ({error.msg}, line {error.lineno}). Was it cut short? Copy it again."
        ) from None
    if not isinstance(project, dict) or not {"observations", "behaviors_conf"} <= set(project):
        raise InputError(f"{path}: no 'observations' and 'behaviors_conf'; this is no BORIS project.")
    try:
        return _table(path, project)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{path}: not as BORIS writes it ({type(error).__name__}: {error}). Open and save it in BORIS."
        ) from None


def _table(path: Path, project: dict[str, Any]) -> LabelTable:
    kinds = {b["code"]: b["type"].lower() for b in project["behaviors_conf"].values()}
    events: list[Event] = []
    faults: list[Fault] = []
    media: dict[str, tuple[Media, ...]] = {}
    annotated: dict[str, tuple[tuple[float, float], ...]] = {}
    rates: set[float] = set()
    for name, observation in project["observations"].items():
        media[name] = _media(observation)
        info = observation.get("media_info") or {}
        rates |= {float(f) for f in (info.get("fps") or {}).values() if f}
        offset = float(observation.get("time offset") or 0) + _creation(observation, media[name])
        begin, end = (float(v or 0) for v in observation.get("observation time interval") or (0, 0))
        if begin or end:
            annotated[name] = ((begin, end or math.inf),)
        for number, event in enumerate(observation["events"], start=1):
            where = f"observation '{name}', event {number}"
            time, subject, code = event[0], subject_name(str(event[1])), str(event[2])
            if not isinstance(time, int | float) or not math.isfinite(time):
                faults.append(
                    Fault(
                        f"{where}: has no time in seconds (an observation of pictures?)", name, subject
                    )
                )
            elif code not in kinds:
                faults.append(
                    Fault(f"{where}: behaviour '{code}' is not in the project's ethogram", name, subject)
                )
            else:
                kind = "POINT" if kinds[code].startswith("point") else "STATE"
                events.append(Event(time - offset, code, kind, subject, str(event[3]), name, where))
    events.sort(key=lambda e: e.time)
    rows, unpaired = pair(events)
    subjects = [str(s["name"]) for s in (project.get("subjects_conf") or {}).values()]
    return LabelTable(
        "boris-project", path, "seconds", tuple(rows), tuple(media), declared=tuple(kinds), subjects=tuple(subjects),
        media=media, fps=rates.pop() if len(rates) == 1 else None, annotated=annotated,
        faults=(*faults, *unpaired),
    )  # fmt: skip


def _media(observation: dict[str, Any]) -> tuple[Media, ...]:
    files = observation.get("file") or {}
    info = observation.get("media_info") or {}
    lengths, offsets = info.get("length") or {}, info.get("offset") or {}
    found: list[Media] = []
    for player in sorted(files, key=int):
        begin: float | None = float(offsets.get(player) or 0)
        for name in files[player]:
            length = float(lengths[name]) if lengths.get(name) else None
            found.append(Media(str(name), begin, length))
            begin = None if begin is None or length is None else begin + length
    return tuple(found)


def _creation(observation: dict[str, Any], media: tuple[Media, ...]) -> float:
    """Return the creation time of the first video where event times count from it."""
    if not observation.get("media_creation_date_as_offset") or not media:
        return 0.0
    created = (observation.get("media_info") or {}).get("media_creation_time") or {}
    return float(created.get(media[0].path) or 0)


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write a project of one observation, in the layout of version 7.0, which newer BORIS opens too."""
    clock = target.clock()
    video = target.media or target.recording or "video"
    rows = marked(bouts)
    names = dict.fromkeys([*bouts.ethogram.behaviours, *(name for _, _, name in rows)])
    free = list(string.ascii_lowercase + string.digits)
    behaviours = {}
    for position, name in enumerate(names):
        key = next((k for k in [*name.lower(), *free] if k in free), "")
        if key:
            free.remove(key)
        behaviours[str(position)] = {
            "type": "State event", "key": key, "code": name, "description": "", "category": "",
            "modifiers": "", "excluded": "", "coding map": "",
        }  # fmt: skip
    events = [
        (float(clock(frame)), order, name) for s, e, name in rows for frame, order in ((s, 1), (e, 0))
    ]
    now = datetime.now().replace(microsecond=0).isoformat()
    observation = {
        "file": {str(player): [video] if player == 1 else [] for player in range(1, _PLAYERS + 1)},
        "type": "MEDIA", "date": now, "description": "", "time offset": 0.0,
        "events": [[time, target.subject, name, "", ""] for time, _, name in sorted(events)],
        "observation time interval": [0, 0], "independent_variables": {},
        "visualize_spectrogram": False, "visualize_waveform": False, "close_behaviors_between_videos": False,
        "media_info": {
            "length": {video: float(clock(bouts.n_frames))}, "fps": {video: round(target.timeline.fps, 6)},
            "hasVideo": {video: True}, "hasAudio": {video: False}, "offset": {"1": 0.0},
        },
    }  # fmt: skip
    subjects = {"0": {"key": "", "name": target.subject, "description": ""}} if target.subject else {}
    project = {
        "time_format": "hh:mm:ss", "project_date": now, "project_name": target.recording or "murine",
        "project_description": "", "project_format_version": _VERSION, "subjects_conf": subjects,
        "behaviors_conf": behaviours, "observations": {target.recording or "observation": observation},
        "behavioral_categories": [], "independent_variables": {}, "coding_map": {},
        "behaviors_coding_map": [], "converters": {},
    }  # fmt: skip
    write_bytes(path, json.dumps(project, indent=1, ensure_ascii=False).encode())


def _sniff(path: Path, head: bytes) -> bool:
    text = head_text(head)
    return text.lstrip().startswith("{") and any(
        f'"{word}"' in text for word in ("behaviors_conf", "subjects_conf", "project_format_version")
    )


FORMATS.add(
    "boris-project",
    LabelFormat(
        "boris-project", "BORIS project, one or several observations", (".boris", ".boris.gz"),
        _sniff, parse, write, lossy=LOSSY,
    ),
)  # fmt: skip
