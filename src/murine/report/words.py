"""Numbers in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

NOTHING = "–"


def score(value: float | None) -> str:
    """Return a score with three places, or a dash."""
    return NOTHING if value is None else f"{value:.3f}"


def between(ends: Sequence[float] | None) -> str:
    """Return an interval as "0.712 to 0.803", or a dash."""
    return NOTHING if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def small(value: float | None) -> str:
    """Return a probability with four places, or a dash."""
    return NOTHING if value is None else f"{value:.4f}"


def percent(value: float | None, places: int = 1) -> str:
    """Return a share as per cent, or a dash."""
    return NOTHING if value is None else f"{100 * value:.{places}f} %"


def duration(seconds: float | None) -> str:
    """Return a time as one reads it aloud: 0.84 s, 12.3 s, 3 min 20 s, 5 h 12 min."""
    if seconds is None:
        return NOTHING
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """Return "1 recording", "44 recordings"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listing(names: Sequence[str], limit: int = 4) -> str:
    """Return names in a sentence: a, b and c; the rest of a long list as a number."""
    names = list(names)
    if len(names) > limit:
        return f"{', '.join(names[: limit - 1])} and {len(names) - limit + 1} more"
    return (
        names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
    )


def plain(value: Any) -> Any:
    """Return a JSON-like copy: arrays as lists, paths and unknown things as text, NaN as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.as_posix() if isinstance(value, Path) else str(value)


def flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return (dotted name, text) rows of a nested table."""
    rows: list[tuple[str, str]] = []
    for key, value in plain(table).items():
        name = f"{prefix}{key}"
        tables = isinstance(value, list) and any(isinstance(v, dict) for v in value)
        if isinstance(value, dict):
            rows += flatten(value, f"{name}.")
        elif tables:
            for i, item in enumerate(value, 1):
                rows += flatten(item, f"{name}.{i}.") if isinstance(item, dict) else [(name, str(item))]
        else:
            rows.append((name, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value) if value else NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return NOTHING
    return f"{value:g}" if isinstance(value, float) else str(value)
