"""Files that hold several recordings: which one is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from murine.errors import InputError, suggest
from murine.formats.base import Media


def pick_part(path: Path, parts: Sequence[str], wanted: str | None = None, media: str = "") -> str:
    """Return the part of a file that is meant: the only one, the one called `wanted`, or like the video.

    Raises InputError where the choice is open or names nothing.
    """
    if not parts:
        raise InputError(f"{path}: holds no recording. Was the file cut short? Export it again.")
    if len(parts) == 1:
        return parts[0]
    if wanted in parts:
        return str(wanted)
    stem = Media(media).stem.casefold()
    named = [part for part in parts if stem and Media(part).stem.casefold() == stem]
    if len(named) == 1:
        return named[0]
    if wanted is not None:
        raise InputError(f"{path}: no recording '{wanted}'.{suggest(wanted, parts)}")
    shown = ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
    raise InputError(
        f"{path}: holds {len(parts)} recordings: {shown}. Say which one is meant (column 'observation' of "
        "recordings.csv)."
    )
