"""Small lawful changes to a training clip; all its frames and all its streams change together.

A clip is a dictionary of uint8 pictures: `rgb` (T, H, W, 3), `flow` (T, H, W, 2 or 3). Every function
gives a new clip and draws only from the generator it is given. Flow of two channels is u and v, of three
an RGB picture of direction (hue) and length (`video.flow`). What is done to a pose: `pose.augment`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.data.posed import Change
from murine.data.prepared import PICTURES, Prepared
from murine.errors import InputError
from murine.pose.augment import (
    displace,
    lose_points,
    mirror,
    rescale,
    rotate,
    shift,
    stretch,
    swap_animals,
)
from murine.pose.skeleton import mirror_order
from murine.registry import Registry
from murine.types import FloatArray

Pixels = NDArray[np.uint8]
Clip = Mapping[str, Pixels]

PHASE = "phase"
"""Windows start anywhere within a stride, another place in every epoch; the data set does this itself."""


CROP = "random_crop"
"""Which part of the pictures a window shows (input.cut_size) is drawn; the data set does this itself, first."""


@dataclass(frozen=True)
class Augmentation:
    """`apply` changes the pictures among `streams` of a clip. `geometric`: it moves things in the picture,
    so that a pose that stays as it is would no longer belong to it. `move`: what it does to a pose that a model sees
    without pictures; features are then worked out anew.
    """

    apply: Callable[[Clip, np.random.Generator], Clip]
    streams: tuple[str, ...]
    geometric: bool = False
    summary: str = ""
    move: Change | None = None


SEEN = (*PICTURES, "pose")
"""What a camera sees of animals, itself or as points."""

AUGMENT: Registry[Augmentation] = Registry("augmentation")


def check_augment(names: Collection[str], streams: Collection[str]) -> None:
    """Raise InputError for an unknown augmentation, or one that these streams do not allow."""
    for name in names:
        augmentation = AUGMENT[name]
        if name == PHASE:
            continue
        if not set(augmentation.streams) & set(streams):
            raise InputError(
                f"augmentation '{name}' changes {' and '.join(augmentation.streams)}, and the model sees "
                f"{', '.join(sorted(streams))}. Take it out of training.augment"
            )
        moved = set(PICTURES) if augmentation.move is None or set(streams) & set(PICTURES) else {"pose"}
        other = sorted(set(streams) - moved)
        if augmentation.geometric and other:
            raise InputError(
                f"augmentation '{name}' moves things in the picture, and {', '.join(other)} would stay as "
                "it is. Take it out of training.augment"
            )


def pose_changes(names: Sequence[str], streams: Collection[str]) -> tuple[Change, ...]:
    """Return what the named augmentations do to the pose of a model that sees these streams."""
    if set(streams) != {"pose"}:
        return ()
    return tuple(move for name in names if (move := AUGMENT[name].move) is not None)


def check_movable(prepared: Sequence[Prepared], names: Collection[str]) -> None:
    """Raise InputError where the pose of a recording cannot be moved by these augmentations."""
    for recording in prepared:
        if recording.posed is None:
            raise InputError(
                f"recording '{recording.recording_id}' was prepared without its pose, which {', '.join(names)} moves: "
                "prepare it with movable = True"
            )
        # Cleaned here, once, and not again by each process that loads windows.
        keypoints = recording.posed.track.pose.keypoints
        if "mirror" in names:
            mirror_order(keypoints)


def augment_clip(clip: Clip, names: Sequence[str], rng: np.random.Generator) -> Clip:
    """Return the clip changed by the named augmentations, in their order."""
    for name in names:
        clip = AUGMENT[name].apply(clip, rng)
    return clip


def cut_clip(clip: Clip, size: tuple[int, int], rng: np.random.Generator | None = None) -> Clip:
    """Return the part of a clip of this height and width: the middle, or any with a generator."""
    places = []
    for whole, part in zip(next(iter(clip.values())).shape[1:3], size, strict=True):
        first = (whole - part) // 2 if rng is None else int(rng.integers(whole - part + 1))
        places.append(slice(first, first + part))
    return {name: values[:, places[0], places[1]] for name, values in clip.items()}


def mirror_clip(clip: Clip) -> Clip:
    """Return the clip with left and right exchanged; motion to the right becomes motion to the left."""
    mirrored = {name: values[:, :, ::-1] for name, values in clip.items()}
    if "flow" in mirrored:
        mirrored["flow"] = negate(mirrored["flow"], 0)
    return mirrored


def flip_clip(clip: Clip) -> Clip:
    """Return the clip upside down, motion too."""
    flipped = {name: values[:, ::-1] for name, values in clip.items()}
    if "flow" in flipped:
        flipped["flow"] = negate(flipped["flow"], 1)
    return flipped


def negate(flow: Pixels, axis: int) -> Pixels:
    """Return flow pictures (..., 2 or 3) with u (axis 0) or v (axis 1) of the opposite sign.

    Two channels: 128, which is no motion, stays; otherwise x becomes 255 - x. Three: the angle a becomes
    180 - a, or -a. A channel of a hue is a trapezoid f of the angle with f(180 - a) = 1 - f(a), so with
    red at 0, green at 120 and blue at 240 degrees both are exact exchanges of channels.
    """
    if flow.shape[-1] == 2:
        result = flow.copy()
        part = result[..., axis]
        part[...] = np.where(part == 128, part, 255 - part)
        return result
    red, green, blue = (flow[..., c] for c in range(3))
    if axis == 1:
        return np.stack([red, blue, green], axis=-1)
    # Full saturation makes the smallest channel 0; adding it keeps paler colours right as well.
    span = np.maximum(np.maximum(red, green), blue) + np.minimum(np.minimum(red, green), blue)
    return np.stack([span - red, span - blue, span - green], axis=-1)


def _mirror(clip: Clip, rng: np.random.Generator) -> Clip:
    return mirror_clip(clip) if rng.random() < 0.5 else clip


def _flip(clip: Clip, rng: np.random.Generator) -> Clip:
    return flip_clip(clip) if rng.random() < 0.5 else clip


def _shift(clip: Clip, rng: np.random.Generator) -> Clip:
    """Move the picture by up to a sixteenth of its sides, repeating its borders."""
    height, width = next(iter(clip.values())).shape[1:3]
    down, right = (int(rng.integers(-(side // 16), side // 16 + 1)) for side in (height, width))
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return {name: values[:, rows][:, :, columns] for name, values in clip.items()}


def _through(clip: Clip, levels: FloatArray) -> Clip:
    """Return the clip with every rgb value looked up in 256 new levels."""
    table = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    return {name: table[values] if name == "rgb" else values for name, values in clip.items()}


def _brightness(clip: Clip, rng: np.random.Generator) -> Clip:
    return _through(clip, np.arange(256) + rng.uniform(-32, 32))


def _contrast(clip: Clip, rng: np.random.Generator) -> Clip:
    """Spread values around the clip's mean by 0.8 to 1.25, as often less as more."""
    factor = 1.25 ** rng.uniform(-1, 1)
    mean = float(clip["rgb"].mean()) if "rgb" in clip else 0.0
    return _through(clip, (np.arange(256) - mean) * factor + mean)


def _noise(clip: Clip, rng: np.random.Generator) -> Clip:
    """Add sensor noise of a standard deviation of up to 8 levels, new in every pixel and frame."""
    deviation = np.float32(rng.uniform(0, 8))
    changed = dict(clip)
    if "rgb" in clip:
        noise = rng.standard_normal(clip["rgb"].shape, dtype=np.float32) * deviation
        changed["rgb"] = np.clip(clip["rgb"] + noise + np.float32(0.5), 0, 255).astype(np.uint8)
    return changed


AUGMENT.add(
    PHASE, Augmentation(lambda clip, rng: clip, (), summary="windows start anywhere in a stride")
)
AUGMENT.add(
    CROP, Augmentation(lambda clip, rng: clip, PICTURES, True, "any part of the size input.cut_size")
)
AUGMENT.add(
    "mirror",
    Augmentation(
        _mirror,
        SEEN,
        True,
        "left and right, every other time; keypoints of both sides change names",
        mirror,
    ),
)
AUGMENT.add(
    "flip", Augmentation(_flip, PICTURES, True, "upside down (camera above or below), every other")
)
AUGMENT.add(
    "shift",
    Augmentation(
        _shift, SEEN, True, "moved by up to 1/16 of height and width (pose: of the arena's sides)", shift
    ),
)
AUGMENT.add("brightness", Augmentation(_brightness, ("rgb",), summary="up to 32 levels up or down"))
AUGMENT.add("contrast", Augmentation(_contrast, ("rgb",), summary="times 0.8 to 1.25"))
AUGMENT.add(
    "noise",
    Augmentation(
        _noise,
        ("rgb", "pose"),
        summary="sensor noise, sd up to 8 levels; each keypoint elsewhere on its body, sd up to 1/20 of its length",
        move=displace,
    ),
)
for _name, _move, _summary in (
    ("rotate", rotate, "by any angle around the middle of the arena, which turns with the animals"),
    ("scale", rescale, "all lengths times 1/1.2 to 1.2"),
    ("stretch", stretch, "slower or faster by 1/1.2 to 1.2, labels with it"),
    (
        "lose_points",
        lose_points,
        "each keypoint of each animal, with probability 1/10, missing for a stretch of any length",
    ),
    ("swap_animals", swap_animals, "the animals in any order"),
):
    AUGMENT.add(_name, Augmentation(lambda clip, rng: clip, ("pose",), True, _summary, _move))
