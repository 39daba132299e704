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
    frames = sorted(labels.find(labels.videos[place]), key=lambda f: f.frame_idx)
    found = [(int(f.frame_idx), i) for f in frames for i in _instances(f)]
    if not found:
        raise InputError(f"{path}: no frame of '{part}' is labelled. Run SLEAP's inference first.")
    tracks = [t for t in labels.tracks if any(i.track is t for _, i in found)]
    most = max(len(_instances(f)) for f in frames)
    if not tracks and most > 1:
        raise InputError(
            f"{path}: frames hold up to {most} animals without tracks, so nothing says which is which from frame "
            "to frame. Track them in SLEAP and save again."
        )
    nodes = skeletons[0].node_names
    values = np.full((found[-1][0] + 1, max(len(tracks), 1), len(nodes), 3), np.nan, dtype=np.float32)
    for frame, instance in found:
        if not tracks or instance.track is not None:
            animal = tracks.index(instance.track) if tracks else 0
            values[frame, animal] = _points(instance)
    named = [t.name or f"track_{i}" for i, t in enumerate(tracks)]
    animals = distinct(named) if tracks else (SINGLE,)
    return make_pose(path, values[..., :2], animals, nodes, values[..., 2])


def _instances(frame: Any) -> list[Any]:
    """Return the instances of a frame, predicted ones first; a person's replaces the prediction of its track."""
    placed = list(frame.user_instances)
    stood = {id(i.from_predicted) for i in placed if i.from_predicted is not None}
    stood |= {
        id(p) for p in frame.predicted_instances if p.track in [i.track for i in placed if i.track]
    }
    return [p for p in frame.predicted_instances if id(p) not in stood] + placed


def _points(instance: Any) -> NDArray[np.float32]:
    """Return (K, 3) x, y and score; what a person placed is sure."""
    points = np.asarray(instance.numpy(), dtype=np.float32)
    scores = (
        instance.points["score"]
        if "score" in (instance.points.dtype.names or ())
        else np.ones(len(points))
    )
    return np.column_stack([points, scores]).astype(np.float32)


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
    return PoseSummary.of("sleap", pose)


FORMATS.add(
    "sleap",
    PoseFormat(
        "sleap", "SLEAP labels and predictions (extra 'sleap')", (".slp",),
        lambda path, head: holds(path, head, "videos_json", "instances", "pred_points"), read, describe, None,
        lossy="scores of whole instances, the skeleton's edges, frames after the last labelled one",
        parts=parts, read_part=read_part,
    ),
)  # fmt: skip
