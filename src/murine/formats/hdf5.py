"""What all formats that are HDF5 share: opening, recognising, names, a pose out of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike

from murine.errors import InputError
from murine.files import require_file
from murine.types import Pose

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, IndexError, TypeError, AttributeError)
"""What h5py raises somewhere inside a damaged file."""


@contextmanager
def opened(path: Path, what: str, kind: str = "pose file") -> Iterator[Any]:
    """Give an HDF5 file open for reading.

    Whatever is wrong inside it becomes an InputError that names the file and `what` was expected.
    """
    path = require_file(path, kind)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DAMAGE as error:
        raise InputError(
            f"{path}: cannot be read as {what} ({error}). It is of another kind, cut short or damaged; copy "
            "it again, or export it anew."
        ) from None


def holds(path: Path, head: bytes, *names: str) -> bool:
    """Say whether a file is HDF5 and holds all these names."""
    if not head.startswith(SIGNATURE):
        return False
    try:
        with h5py.File(path, "r") as file:
            return all(name in file for name in names)
    except DAMAGE:
        return False


def contents(path: Path) -> str:
    """Return the names on the top of an HDF5 file, for messages."""
    with h5py.File(path, "r") as file:
        names = sorted(file)
    return ", ".join(names[:8]) + (" and more" if len(names) > 8 else "") or "nothing"


def text(value: Any) -> str:
    """Return a text of an HDF5 file, whichever way it was stored."""
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def texts(values: Any) -> list[str]:
    """Return a list of texts."""
    return [text(value) for value in np.asarray(values, dtype=object).ravel()]


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that all differ: a repeated one gets a number."""
    taken: list[str] = []
    for name in names:
        new, number = name, 2
        while new in taken:
            new, number = f"{name}_{number}", number + 1
        taken.append(new)
    return tuple(taken)


def make_pose(
    path: Path,
    xy: ArrayLike,
    animals: Sequence[str],
    keypoints: Sequence[str],
    confidence: ArrayLike | None = None,
) -> Pose:
    """Return a pose as the house wants it: confidence within 0..1, and NaN where the point is missing.

    `xy` (T, A, K, 2), `confidence` (T, A, K). Raises InputError that names the file.
    """
    points = np.array(xy, dtype=np.float32)
    if points.ndim != 4 or len(points) == 0:
        raise InputError(f"{path}: holds no frame with a pose. Was the file cut short?")
    if points.shape[1] == 0 or points.shape[2] == 0:
        raise InputError(f"{path}: holds no {'animal' if points.shape[1] == 0 else 'keypoint'}.")
    sure = None
    if confidence is not None:
        sure = np.clip(np.array(confidence, dtype=np.float32), 0.0, 1.0)
        sure[~np.isfinite(points).all(axis=-1)] = np.nan
    try:
        return Pose(points, tuple(animals), tuple(keypoints), sure)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
