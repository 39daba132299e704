"""SLEAP label files (.slp), read by sleap-io, which is an extra.

Points a person placed stand before predicted ones of the same track. Frames run from 0 to the last one
with a label: the file does not say how long its video is. A file of several videos holds as many
recordings, each named after its video.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, MissingExtraError
from murine.formats.base import FORMATS, Media, PoseFormat, PoseSummary
from murine.formats.deeplabcut import SINGLE
from murine.formats.hdf5 import DAMAGE, distinct, holds, make_pose, opened, text
from murine.formats.parts import pick_part
from murine.types import Pose

_WHAT = "a SLEAP label file (.slp)"


def parts(path: Path) -> tuple[str, ...]:
    """Return the names of the videos of a file; raises InputError."""
    with opened(Path(path), _WHAT) as file:
        videos = [json.loads(text(v)) for v in file["videos_json"][()]]
    names = [_name(v.get("backend") or v) for v in videos]
    return distinct(names)


def _name(video: dict[str, Any]) -> str:
    source = video.get("filename") or video.get("shape") or "video"
    return Media(str(source[0] if isinstance(source, list) and source else source)).name


def read(path: Path) -> Pose:
    """Read a file of one video; raises InputError, MissingExtraError without sleap-io."""
    return read_part(path, pick_part(Path(path), parts(path)))


def read_part(path: Path, part: str) -> Pose:
    """Read the labels of one of a file's videos; raises InputError, MissingExtraError without sleap-io."""
    path = Path(path)
    place = parts(path).index(part)
    labels = _load(path)
    skeletons = labels.skeletons
    if len(skeletons) != 1:
        raise InputError(f"{path}: holds {len(skeletons)} skeletons; one was expected.")
    video = labels.videos[place]
    tracked = any(i.track is not None for frame in labels.find(video) for i in frame.instances)
    values = np.asarray(labels.numpy(video=video, untracked=not tracked, return_confidence=True))
    if values.ndim != 4 or not len(values):
        raise InputError(f"{path}: no frame of '{part}' is labelled. Run SLEAP's inference first.")
    if tracked:
        animals = distinct([t.name or f"track_{i}" for i, t in enumerate(labels.tracks)])
    elif values.shape[1] == 1:
        animals = (SINGLE,)
    else:
        raise InputError(
            f"{path}: frames hold up to {values.shape[1]} animals without tracks, so nothing says which is which "
            "from frame to frame. Track them in SLEAP and save again."
        )
    seen = _seen(values) if tracked else np.ones(values.shape[1], dtype=bool)
    kept = [a for a, there in zip(animals, seen, strict=True) if there]
    values = values[:, seen]
    return make_pose(path, values[..., :2], kept, skeletons[0].node_names, values[..., 2])


def _seen(values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Return which tracks occur: those of a file's other videos do not."""
    seen = np.isfinite(values[..., 0]).any(axis=(0, 2))
    return seen if seen.any() else np.ones_like(seen)


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sleap_io
    except ImportError:
        raise MissingExtraError(f"{path}: reading SLEAP's .slp files", "sleap") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sleap_io.load_slp(str(path), open_videos=False)
    except DAMAGE as error:
        raise InputError(
            f"{path}: sleap-io cannot read it ({error}). It is cut short or damaged; save it again in SLEAP, or "
            "export an analysis file."
        ) from None


def describe(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of a file of one video."""
    pose = read(path)
    return PoseSummary("sleap", pose.animals, pose.keypoints, len(pose))


FORMATS.add(
    "sleap",
    PoseFormat(
        "sleap", "SLEAP labels and predictions (extra 'sleap')", (".slp",),
        lambda path, head: holds(path, head, "videos_json", "instances", "pred_points"), read, describe, None,
        lossy="scores of whole instances, the skeleton's edges, frames after the last labelled one",
        parts=parts, read_part=read_part,
    ),
)  # fmt: skip
