"""SLEAP analysis files (h5): tracks as arrays, read by h5py alone.

SLEAP writes `tracks` as (track, xy, node, frame); newer files of sleap-io name their axes in the
attribute `dims`, and older ones exist as (frame, node, xy, track). The axes that fit the names are taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.formats.base import FORMATS, PoseFormat, PoseSummary
from murine.formats.deeplabcut import SINGLE
from murine.formats.hdf5 import distinct, holds, make_pose, opened, text, texts
from murine.types import Pose

_WHAT = "a SLEAP analysis file"
_LAYOUTS = (
    ("track", "xy", "node", "frame"),
    ("frame", "track", "node", "xy"),
    ("frame", "node", "xy", "track"),
)


def read(path: Path) -> Pose:
    """Read a SLEAP analysis file; raises InputError."""
    path = Path(path)
    with opened(path, _WHAT) as file:
        tracks = file["tracks"][()]
        keypoints = texts(file["node_names"][()])
        named = texts(file["track_names"][()]) if "track_names" in file else []
        axes = _axes(path, file["tracks"], keypoints, named)
        xy = np.transpose(tracks, [axes.index(a) for a in ("frame", "track", "node", "xy")])
        scores = _scores(file, axes, xy.shape[:3])
    if named and len(named) != xy.shape[1]:
        raise InputError(f"{path}: {len(named)} names came for {xy.shape[1]} tracks. Export it again.")
    animals = distinct(named) or _numbered(xy.shape[1])
    return make_pose(path, xy, animals, keypoints, scores)


def _numbered(count: int) -> tuple[str, ...]:
    return (SINGLE,) if count == 1 else tuple(f"track_{i}" for i in range(count))


def _axes(path: Path, tracks: Any, keypoints: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the axes of `tracks`; raises InputError where no known order fits the names."""
    if "dims" in tracks.attrs:
        axes = tuple(str(name) for name in json.loads(text(tracks.attrs["dims"])))
        layouts: tuple[tuple[str, ...], ...] = (axes,) if sorted(axes) == sorted(_LAYOUTS[0]) else ()
    else:
        layouts = _LAYOUTS
    sizes = {"xy": 2, "node": len(keypoints)} | ({"track": len(named)} if named else {})
    for axes in layouts:
        if len(tracks.shape) == 4 and all(tracks.shape[axes.index(a)] == n for a, n in sizes.items()):
            return axes
    raise InputError(
        f"{path}: 'tracks' of shape {tracks.shape} does not fit {len(keypoints)} nodes and "
        f"{len(named)} tracks. Expected tracks x 2 x nodes x frames; export the analysis file again."
    )


def _scores(file: Any, axes: Sequence[str], shape: tuple[int, ...]) -> NDArray[np.floating[Any]] | None:
    """Return (T, A, K) scores of the points, None where there are none or they do not fit."""
    if "point_scores" not in file:
        return None
    scores = file["point_scores"][()]
    order = [a for a in axes if a != "xy"]
    if scores.ndim != 3:
        return None
    scores = np.transpose(scores, [order.index(a) for a in ("frame", "track", "node")])
    return scores if scores.shape == tuple(shape) else None


def describe(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of an analysis file."""
    pose = read(path)
    return PoseSummary.of("sleap-analysis", pose)


FORMATS.add(
    "sleap-analysis",
    PoseFormat(
        "sleap-analysis", "SLEAP analysis file", (".h5", ".hdf5"),
        lambda path, head: holds(path, head, "tracks", "node_names"), read, describe, None,
        lossy="scores of whole instances and of tracking; scores above 1 are cut to 1; the skeleton's edges",
    ),
)  # fmt: skip
