"""Day and night: which recordings were made at night, and what night looks like in a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from murine.cache import Cache
from murine.config import InputSettings
from murine.errors import InputError
from murine.files import file_hash, value_hash
from murine.progress import SILENT, Progress
from murine.project import Project
from murine.types import Recording
from murine.video import Video, open_video
from murine.video.photometry import NIGHTIFY, Light, Night, measure_light

MEASURED = "measured"
"""Instead of a column: a recording is one of the night if its pictures are without colour, or dark."""

_YES = {"yes", "y", "true", "1", "night", "dark"}
_NO = {"no", "n", "false", "0", "day", "light"}
_VERSION = 1


def night_reference(
    project: Project, settings: InputSettings, *, progress: Progress = SILENT
) -> Night | None:
    """Return the mean R, G, B of a project's night recordings, each counted once; None where not asked for.

    No label is looked at. Raises InputError where no recording is one of the night, or the column does not
    tell.
    """
    if settings.photometry != NIGHTIFY:
        return None
    recordings = [r for r in project.recordings if _seen(r, settings)]
    column = settings.night
    if column != MEASURED and (bare := [r.id for r in recordings if _said(r, column) is None]):
        more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
        raise InputError(
            f"photometry 'nightify' asks which recordings were made at night, and column '{column}' of "
            f"recordings.csv does not tell for {', '.join(bare[:3])}{more}. Write yes or no there, name another "
            "column (input.night), or let it be measured: input.night=measured"
        )
    lights: list[Night] = []
    nights: list[str] = []
    with progress.task("looking for the night", len(recordings), "recordings") as task:
        for recording in recordings:
            task.note(recording.id)
            if _is_night(recording, column):
                lights.append(_mean([_light(path).mean for path in _seen(recording, settings)]))
                nights.append(recording.id)
            task.advance()
    if column == MEASURED and lights:
        progress.message(
            f"measured to be made at night (dark or without colour): {len(lights)} of {len(recordings)} recordings, "
            f"{', '.join(nights[:3])}{f' and {len(nights) - 3} more' if len(nights) > 3 else ''} (input.night)"
        )
    if not lights:
        how = "dark or without colour" if column == MEASURED else f"marked so in column '{column}'"
        raise InputError(
            f"photometry 'nightify' needs at least one recording made at night to take its colours from, and "
            f"none of {len(recordings)} is {how}. Add one, or leave the colours as they are: "
            "input.photometry=raw (or grey)"
        )
    return _mean(lights)


def night_of(
    recording: Recording, settings: InputSettings, videos: Mapping[str, Video], night: Night | None
) -> Night | None:
    """Return what a recording is made to look like; None leaves it as it is.

    Where its column says nothing (a file that is in no project), day or night is measured.
    """
    if settings.photometry != NIGHTIFY:
        return None
    if night is None:
        raise InputError(
            "photometry 'nightify' needs the mean colours of the night; none came (night_reference)"
        )
    return None if _is_night(recording, settings.night, next(iter(videos.values()))) else night


def _is_night(recording: Recording, column: str, video: Video | None = None) -> bool:
    said = None if column == MEASURED else _said(recording, column)
    if said is not None:
        return said
    assert recording.video is not None
    return _light(recording.video if video is None else video.path).is_night


def _said(recording: Recording, column: str) -> bool | None:
    """Return what a recording's column says, None for an empty cell; raises InputError for another word."""
    cell = recording.groups.get(column, "").strip().casefold()
    if not cell:
        return None
    if cell not in _YES | _NO:
        raise InputError(
            f"recording '{recording.id}': column '{column}' of recordings.csv tells night from day; expected "
            f"yes or no, came '{recording.groups[column]}'"
        )
    return cell in _YES


def _seen(recording: Recording, settings: InputSettings) -> list[Path]:
    """Return the videos of a recording that a model looks at."""
    names = settings.views or ("video",)
    return [path for name, path in recording.videos.items() if name in names]


def _light(path: Path) -> Light:
    """Return the light of a video, remembered in the cache by its content."""
    cache, key = Cache(), value_hash(["light", _VERSION, file_hash(path)])
    kept = cache.get(key)
    if kept is None:
        with open_video(path) as video:
            light = measure_light(video)
        with cache.build(key, {"light": ((4,), np.float64)}) as arrays:
            arrays["light"][:] = [*light.mean, light.colour]
        return light
    red, green, blue, colour = (float(value) for value in kept["light"])
    return Light((red, green, blue), colour)


def _mean(colours: Sequence[Night]) -> Night:
    red, green, blue = (float(value) for value in np.mean(colours, axis=0))
    return red, green, blue
