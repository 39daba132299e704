"""Pose in NWB files (extension ndx-pose), read by h5py alone.

Files before ndx-pose 0.2 name the points in `nodes`, later ones link a skeleton; pynwb refuses or warns at
the older ones once the newer extension is loaded, and both are plain arrays underneath. Each `PoseEstimation`
is one animal; those of other videos (cameras) are recordings of their own. DeepLabCut's exporter puts all
animals into one and says in words which is whose: "Keypoint nose from individual m1."
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.formats.base import FORMATS, Media, PoseFormat, PoseSummary
from murine.formats.deeplabcut import SINGLE
from murine.formats.hdf5 import holds, make_pose, opened, text, texts
from murine.formats.parts import pick_part
from murine.types import Pose

_WHAT = "an NWB file with pose (ndx-pose)"
_WORDS = re.compile(r"^Keypoint (?P<point>.+) from individual (?P<animal>.+?)\.?$")
_CONTAINER = "PoseEstimation"
_SERIES = "PoseEstimationSeries"


@dataclass(frozen=True)
class _Points:
    """One keypoint of one animal: (T, 2) positions, (T,) confidence or None."""

    animal: str
    keypoint: str
    xy: NDArray[np.floating[Any]]
    confidence: NDArray[np.floating[Any]] | None


def _kind(node: Any) -> str:
    return text(node.attrs.get("neurodata_type", ""))


def containers(file: Any) -> list[Any]:
    """Return the groups of a file that hold pose, in the order of their names."""
    found: list[Any] = []

    def visit(_: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and _kind(node) == _CONTAINER:
            found.append(node)

    for top in ("processing", "acquisition", "analysis", "scratch"):
        if top in file:
            file[top].visititems(visit)
    return found


def _by_video(file: Any) -> dict[str, list[Any]]:
    """Return the containers of each recording: those of one video, or of one module where none is named."""
    groups: dict[str, list[Any]] = {}
    for node in containers(file):
        videos = _videos(node)
        camera = node.get("device")
        place = [node.parent.name, *([camera.name] if camera is not None else [])]
        name = "+".join(videos) or " ".join(str(p).rsplit("/", 1)[-1] for p in place)
        groups.setdefault(name, []).append(node)
    return groups


def _videos(node: Any) -> list[str]:
    """Return the names of a container's videos: as told in it, else those of the series it links."""
    source = node.get("source_video")
    if "original_videos" in node:
        named = texts(node["original_videos"][()])
    elif source is not None and "external_file" in source:
        named = texts(source["external_file"][()])
    else:
        named = [] if source is None else [str(source.name)]
    return [Media(name).name for name in named]


def parts(path: Path) -> tuple[str, ...]:
    """Return the recordings of a file, named after their videos; raises InputError."""
    with opened(Path(path), _WHAT) as file:
        return tuple(_by_video(file))


def read(path: Path) -> Pose:
    """Read the only recording of a file; raises InputError."""
    return read_part(path, pick_part(Path(path), parts(path)))


def read_part(path: Path, part: str) -> Pose:
    """Read one recording of a file; raises InputError."""
    path = Path(path)
    with opened(path, _WHAT) as file:
        nodes = _by_video(file)[part]
        points = [p for node in nodes for p in _points(path, node, len(nodes))]
    if not points:
        raise InputError(f"{path}: '{part}' holds no series of points.")
    lengths = {len(p.xy) for p in points}
    if len(lengths) > 1:
        raise InputError(
            f"{path}: its points have {min(lengths)} to {max(lengths)} frames; one length was expected. Export "
            "it again."
        )
    animals = list(dict.fromkeys(p.animal for p in points))
    keypoints = list(dict.fromkeys(p.keypoint for p in points))
    xy = np.full((lengths.pop(), len(animals), len(keypoints), 2), np.nan, dtype=np.float32)
    sure = np.full(xy.shape[:3], np.nan, dtype=np.float32)
    for p in points:
        at = animals.index(p.animal), keypoints.index(p.keypoint)
        xy[:, *at] = p.xy
        if p.confidence is not None:
            sure[:, *at] = p.confidence
    told = any(p.confidence is not None for p in points)
    return make_pose(path, xy, animals, keypoints, sure if told else None)


def _points(path: Path, node: Any, beside: int) -> list[_Points]:
    """Return the points of a container, in the order of its nodes."""
    series = {name: item for name, item in node.items() if _kind(item) == _SERIES}
    names = _node_names(node)
    order = sorted(series, key=lambda name: (_place(name, names), name))
    animal = _animal(node, beside)
    found = []
    for name in order:
        item = series[name]
        data = item["data"][()]
        if data.ndim != 2 or data.shape[1] != 2:
            # Which two of three axes lie in a camera's plane is not told: no choice would be right for all.
            deep = data.ndim == 2 and data.shape[1] == 3
            remedy = (
                " It is pose in three dimensions, which murine does not read. Save the two coordinates that are "
                "meant, as series of their own."
                if deep
                else ""
            )
            raise InputError(
                f"{path}: '{name}' has shape {data.shape}; two coordinates in each frame were expected.{remedy}"
            )
        told = _WORDS.match(text(item.attrs.get("description", "")))
        confidence = item["confidence"][()] if "confidence" in item else None
        if confidence is not None and confidence.shape != (len(data),):
            raise InputError(
                f"{path}: '{name}' has {len(data)} points and {confidence.shape} confidences."
            )
        place = _place(name, names)
        plain = (
            names[place]
            if place < len(names)
            else name.removeprefix(f"{_SERIES}_").removeprefix(_SERIES)
        )
        scale = float(item["data"].attrs.get("conversion", 1.0)) or 1.0
        found.append(
            _Points(
                told["animal"] if told else animal,
                told["point"] if told else plain or name,
                data * scale + float(item["data"].attrs.get("offset", 0.0)),
                confidence,
            )
        )
    return found


def _node_names(node: Any) -> list[str]:
    """Return the names of the points, from the container (old) or from its skeleton (new)."""
    for place in (node, node.get("skeleton")):
        if place is not None and "nodes" in place:
            return texts(place["nodes"][()])
    return []


def _place(series: str, nodes: list[str]) -> int:
    """Return which node a series is of: by its name, else by the end of its name; the number of nodes if none."""
    if series in nodes:
        return nodes.index(series)
    ends = [i for i, n in enumerate(nodes) if series.casefold().endswith(n.casefold()) and n]
    return max(ends, key=lambda i: len(nodes[i])) if ends else len(nodes)


def _animal(node: Any, beside: int) -> str:
    """Return the animal of a container: its skeleton's subject, else the container's own name."""
    skeleton = node.get("skeleton")
    if skeleton is not None and "subject" in skeleton and "subject_id" in skeleton["subject"]:
        return text(skeleton["subject"]["subject_id"][()])
    name = str(node.name).rsplit("/", 1)[-1]
    bare = re.sub(r"^track=|^PoseEstimation[_ ]?", "", name)
    return bare if bare and (beside > 1 or name.startswith("track=")) else SINGLE


def describe(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of a file of one recording."""
    pose = read(path)
    return PoseSummary.of("nwb-pose", pose)


def _sniff(path: Path, head: bytes) -> bool:
    if not holds(path, head, "specifications") and not holds(path, head, "session_description"):
        return False
    with opened(path, _WHAT) as file:
        return bool(containers(file))


FORMATS.add(
    "nwb-pose",
    PoseFormat(
        "nwb-pose", "pose in NWB files (ndx-pose, old and new)", (".nwb",), _sniff, read, describe, None,
        lossy="time stamps (rows are frames), scorer, edges; all but the two coordinates and the confidence",
        parts=parts, read_part=read_part,
    ),
)  # fmt: skip
