"""Pose to and from datasets of `movement` (xarray), in both spellings of their dimensions.

movement names the dimensions time, space, keypoints, individuals; newer versions say keypoint and
individual. A dataset is read by what it holds, so neither movement nor xarray is needed for that; making one
needs xarray (extra 'movement'), and movement itself reads what comes out.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, MissingExtraError
from murine.formats.deeplabcut import SINGLE
from murine.types import Pose

_KEYPOINT = ("keypoints", "keypoint")
_INDIVIDUAL = ("individuals", "individual")
_SOURCE = "a movement dataset"


def pose_from_movement(dataset: Any) -> tuple[Pose, float | None]:
    """Return the pose of a movement dataset of poses, and its frames per second where it says so.

    `dataset`: position (time, space, keypoints, individuals), confidence where there is any; the order and
    the number (one individual alone) of dimensions do not matter. Raises InputError for bounding boxes,
    pose in three dimensions, and anything else.
    """
    if "position" not in getattr(dataset, "data_vars", {}):
        raise InputError(
            f"{_SOURCE} with the variable 'position' was expected; came {type(dataset).__name__}."
        )
    position = dataset["position"]
    names = {
        "time": "time",
        "space": "space",
        "keypoint": next((n for n in _KEYPOINT if n in position.dims), ""),
        "individual": next((n for n in _INDIVIDUAL if n in position.dims), ""),
    }
    missing = [k for k in ("time", "space", "keypoint") if names[k] not in position.dims]
    if missing:
        raise InputError(
            f"{_SOURCE} of poses was expected, with time, space, keypoints and individuals; came dimensions "
            f"{', '.join(map(str, position.dims))}. Bounding boxes are no pose."
        )
    space = (
        [str(v) for v in np.asarray(dataset.coords["space"].values)]
        if "space" in dataset.coords
        else ["x", "y"]
    )
    if sorted(space) != ["x", "y"]:
        raise InputError(f"{_SOURCE} in the plane was expected, space x and y; came {', '.join(space)}.")
    points = _ordered(position, names, ("time", "individual", "keypoint", "space"))
    points = points[..., [space.index("x"), space.index("y")]]
    confidence = None
    if "confidence" in dataset.data_vars:
        given = _ordered(dataset["confidence"], names, ("time", "individual", "keypoint"))
        confidence = np.clip(given, 0.0, 1.0) if np.isfinite(given).any() else None
    animals = _labels(dataset, names["individual"], points.shape[1], "individual")
    keypoints = _labels(dataset, names["keypoint"], points.shape[2], "keypoint")
    pose = Pose(points, animals, keypoints, confidence)
    return pose, _rate(dataset)


def _ordered(array: Any, names: dict[str, str], order: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the values of an array with its axes in the order given; an individual alone gets its axis."""
    there = [names[axis] for axis in order if names[axis] in array.dims]
    extra = [str(d) for d in array.dims if d not in there]
    if extra:
        raise InputError(f"{_SOURCE} has the dimension '{extra[0]}' besides; choose one of it first.")
    values = np.asarray(array.transpose(*there).values, dtype=np.float32)
    return (
        values
        if names["individual"] in array.dims
        else np.expand_dims(values, order.index("individual"))
    )


def _labels(dataset: Any, name: str, count: int, word: str) -> tuple[str, ...]:
    if name and name in dataset.coords:
        return tuple(str(v) for v in np.atleast_1d(dataset.coords[name].values))
    return (
        (SINGLE,) if word == "individual" and count == 1 else tuple(f"{word}_{i}" for i in range(count))
    )


def _rate(dataset: Any) -> float | None:
    """Return frames per second: as told, else from times in seconds."""
    told = dataset.attrs.get("fps")
    if told is not None and np.isfinite(float(told)) and float(told) > 0:
        return float(told)
    times = np.asarray(dataset.coords["time"].values) if "time" in dataset.coords else np.array([])
    if dataset.attrs.get("time_unit") == "seconds" and len(times) > 1:
        return float(1.0 / np.median(np.diff(times)))
    return None


def pose_to_movement(
    pose: Pose, fps: float | None = None, *, spelling: Literal["plural", "singular"] = "plural"
) -> Any:
    """Return a pose as a movement dataset; times are seconds with `fps`, else frame numbers.

    `spelling`: dimensions `keypoints` and `individuals`, or `keypoint` and `individual` as newer versions of
    movement say. Raises MissingExtraError without xarray.
    """
    try:
        import xarray
    except ImportError:
        raise MissingExtraError("making a movement dataset", "movement") from None
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise InputError(f"frames per second must be a positive number; came {fps}")
    which = 0 if spelling == "plural" else 1
    keypoint, individual = _KEYPOINT[which], _INDIVIDUAL[which]
    times = np.arange(len(pose)) / fps if fps else np.arange(len(pose))
    confidence = (
        np.full(pose.xy.shape[:3], np.nan, np.float32) if pose.confidence is None else pose.confidence
    )
    return xarray.Dataset(
        {
            "position": (("time", "space", keypoint, individual), pose.xy.transpose(0, 3, 2, 1)),
            "confidence": (("time", keypoint, individual), confidence.transpose(0, 2, 1)),
        },
        coords={
            "time": times,
            "space": ["x", "y"],
            keypoint: list(pose.keypoints),
            individual: list(pose.animals),
        },
        # Nothing is None: a netCDF file, movement's own way to keep a dataset, has no place for it.
        attrs={
            **({"fps": fps} if fps else {}),
            "time_unit": "seconds" if fps else "frames",
            "source_software": "murine",
            "ds_type": "poses",
        },
    )
