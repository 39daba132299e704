"""Small lawful changes to a stretch of a cleaned pose, from which features are then worked out anew.

Each function draws once for the whole stretch, from the generator it is given, and moves all animals together:
drawn anew in every frame, or for each animal, a change would destroy what they do. Lengths are in the track's own
unit. Source of the first four: EPFL report on CalMS21, section III-E, whose release drew in every frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from murine.pose.features.scene import Scene
from murine.pose.place import View
from murine.pose.skeleton import mirror_order
from murine.pose.track import Track
from murine.types import FloatArray

SHIFT = 1 / 16
"""Of the arena's sides, at most."""

FACTOR = 1.2
"""Largest change of lengths, and of time; as often less as more."""

NOISE = 0.05
"""Of the body's length: largest standard deviation of where a keypoint sits on the body."""

LOST = 0.1
"""Probability of each keypoint to be lost for a while."""


def rotate(track: Track, rng: np.random.Generator) -> Track:
    """Turn the scene, walls and all, by any angle around the middle of the arena."""
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    return _about_middle(track, np.array([[cos, -sin], [sin, cos]]), 1.0)


def mirror(track: Track, rng: np.random.Generator) -> Track:
    """Exchange left and right of the picture, every other time; keypoints of left and right change names."""
    if rng.random() < 0.5:
        return track
    moved = _about_middle(track, np.diag([-1.0, 1.0]), 1.0)
    order = mirror_order(track.pose.keypoints)
    pose = moved.pose
    confidence = None if pose.confidence is None else pose.confidence[:, :, order]
    pose = replace(pose, xy=pose.xy[:, :, order], confidence=confidence)
    return replace(moved, pose=pose, found=moved.found[:, :, order])


def shift(track: Track, rng: np.random.Generator) -> Track:
    """Move the scene, walls and all, by up to a sixteenth of the arena's sides."""
    low, high = track.bounds.T
    offset = rng.uniform(-SHIFT, SHIFT, 2) * (high - low)
    return _moved(track, np.eye(2), np.nan_to_num(offset), 1.0)


def rescale(track: Track, rng: np.random.Generator) -> Track:
    """Make everything larger or smaller, by up to a fifth, as a camera nearer or farther would show it."""
    factor = FACTOR ** rng.uniform(-1, 1)
    return _about_middle(track, np.eye(2) * factor, factor)


def displace(track: Track, rng: np.random.Generator) -> Track:
    """Put each keypoint of each animal elsewhere on its body: an offset along and across the heading, drawn once.

    Normal, of a standard deviation of up to a twentieth of the body's length.
    """
    size = track.whole.body_length * (1.0 if track.view is None else track.view.factor)
    deviation = rng.uniform(0, NOISE) * (size if size > 0 else 0.0)
    animals, keypoints = track.pose.xy.shape[1:3]
    along, across = rng.normal(0, deviation, (2, animals, keypoints))
    cos, sin = (side[:, :, None] for side in _headings(track))
    offset = np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)
    return replace(track, pose=replace(track.pose, xy=track.pose.xy + offset.astype(np.float32)))


def lose_points(track: Track, rng: np.random.Generator) -> Track:
    """Lose each keypoint of each animal, with a probability of a tenth, for one stretch of any length.

    An animal keeps at least one of its keypoints.
    """
    length, animals, keypoints = track.found.shape
    lost = rng.random((animals, keypoints)) < LOST
    lost[np.arange(animals), rng.integers(keypoints, size=animals)] = False
    spans = np.sort(rng.integers(length + 1, size=(2, animals, keypoints)), axis=0)
    frame = np.arange(length)[:, None, None]
    gone = lost & (frame >= spans[0]) & (frame < spans[1])
    xy = np.where(gone[..., None], np.float32(np.nan), track.pose.xy)
    return replace(track, pose=replace(track.pose, xy=xy), found=track.found & ~gone)


def swap_animals(track: Track, rng: np.random.Generator) -> Track:
    """Put the animals in any order, throughout."""
    order = rng.permutation(len(track.pose.animals))
    pose = track.pose
    confidence = None if pose.confidence is None else pose.confidence[:, order]
    return replace(
        track,
        pose=replace(pose, xy=pose.xy[:, order], confidence=confidence),
        found=track.found[:, order],
    )


def stretch(track: Track, rng: np.random.Generator) -> Track:
    """Let everything happen slower or faster, by up to a fifth: frames are taken from between frames.

    Between two frames a point moves straight; where one of them lacks it, it is missing.
    """
    factor = FACTOR ** rng.uniform(-1, 1)
    last = len(track) - 1
    at = np.arange(int(last * factor + 1e-9) + 1) / factor
    below = np.minimum(at.astype(np.int64), last)
    above = np.minimum(below + 1, last)
    share = (at - below).astype(np.float32)
    above = np.where(share == 0, below, above)
    weights = share[:, None, None, None]
    xy = track.pose.xy[below] * (1 - weights) + track.pose.xy[above] * weights
    near = np.where(share < 0.5, below, above)
    confidence = None if track.pose.confidence is None else track.pose.confidence[near]
    clock = track.times if track.clock is None else track.clock
    return replace(
        track,
        pose=replace(track.pose, xy=xy, confidence=confidence),
        found=track.found[below] & track.found[above],
        times=track.times[0] + np.arange(len(at)) / track.whole.fps,
        clock=clock[below] * (1 - share) + clock[above] * share,
    )


def _about_middle(track: Track, matrix: FloatArray, factor: float) -> Track:
    middle = np.nan_to_num(track.middle)
    return _moved(track, matrix, middle - matrix @ middle, factor)


def _moved(track: Track, matrix: FloatArray, offset: FloatArray, factor: float) -> Track:
    view = track.view or View(np.eye(2), np.zeros(2), 1.0)
    xy = track.pose.xy @ matrix.T + offset
    return replace(
        track,
        pose=replace(track.pose, xy=xy.astype(np.float32)),
        view=view.after(matrix, offset, factor),
    )


def _headings(track: Track) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cosine and sine (T, A) of each animal's heading; where it is unknown, of the last known one."""
    length, animals = track.found.shape[:2]
    if track.whole.axis is None:
        return np.ones((length, animals)), np.zeros((length, animals))
    scene: Scene = track.scene(0, length)
    cos, sin = (side.T.astype(np.float64) for side in scene.heading)
    known = ~np.isnan(cos)
    frame = np.where(known, np.arange(length)[:, None], -1)
    last = np.maximum.accumulate(frame, axis=0)
    first = np.where(known.any(axis=0), known.argmax(axis=0), 0)
    last = np.where(last < 0, first, last)
    held = [np.take_along_axis(side, last, axis=0) for side in (cos, sin)]
    return np.nan_to_num(held[0], nan=1.0), np.nan_to_num(held[1], nan=0.0)
