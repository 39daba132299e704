"""Features of one animal's movement. Speeds over one animal's path: see `pose.identity` for swaps."""

from __future__ import annotations

import numpy as np

from murine.pose.features.scene import FAMILIES, Part, Rows, Scene, length

SLOW_S = 1 / 6
"""The longer span of the speeds: 5 frames at 30 frames per second."""


@FAMILIES.family("speeds")
def speeds(scene: Scene) -> list[Part]:
    """Speed of each keypoint from the frame before to this one, px/s: |p(t) - p(t-1)| / (time between).

    Unknown in the first frame.
    """
    elapsed = np.diff(scene.times).astype(np.float32)
    values = np.full(scene.x.shape, np.nan, dtype=np.float32)
    values[..., 1:] = length(np.diff(scene.x), np.diff(scene.y)) / elapsed
    return [Part("animal", values, scene.whole.pose.keypoints)]


@FAMILIES.family("speeds_slow", reach_s=SLOW_S)
def speeds_slow(scene: Scene) -> list[Part]:
    """Speed of each keypoint over 1/6 s centred on the frame, px/s: distance covered / time between."""
    values = length(scene.change(scene.x, SLOW_S), scene.change(scene.y, SLOW_S))
    return [Part("animal", values, scene.whole.pose.keypoints)]


@FAMILIES.family("velocity", reach_s=SLOW_S)
def velocity(scene: Scene) -> list[Part]:
    """Velocity of the animal over 1/6 s: its size, its part along the heading and across it, px/s.

    The animal's velocity is the mean over the keypoints known at both ends of the span, which does not jump
    when a point is lost as the centre does. Across is taken without its sign.
    """
    vx, vy = body_velocity(scene)
    forward_x, forward_y = scene.heading
    along = vx * forward_x + vy * forward_y
    across = np.abs(vy * forward_x - vx * forward_y)
    return [
        Part("animal", np.stack([length(vx, vy), along, across], axis=1), ("speed", "along", "across"))
    ]


def body_velocity(scene: Scene) -> tuple[Rows, Rows]:
    """Return vx and vy (A, T) of each animal, px/s: the mean over its keypoints, over 1/6 s."""
    return scene.once("velocity", lambda: _body_velocity(scene))


def _body_velocity(scene: Scene) -> tuple[Rows, Rows]:
    return scene.mean(scene.change(scene.x, SLOW_S)), scene.mean(scene.change(scene.y, SLOW_S))


@FAMILIES.family("turning", reach_s=SLOW_S)
def turning(scene: Scene) -> list[Part]:
    """Rate of turning of the heading over 1/6 s without its sign, rad/s."""
    return [Part("animal", turning_rate(scene)[:, None], ("rate",))]


def turning_rate(scene: Scene) -> Rows:
    """Return (A, T) |change of heading| / (time between) over 1/6 s, rad/s; at most pi in a span."""
    forward_x, forward_y = scene.heading
    # Sum and difference of the headings at both ends: the half angle is atan(|difference| / |sum|).
    half = scene.half(SLOW_S)
    ends = [_both_ends(side, half) for side in (forward_x, forward_y)]
    apart = length(ends[0][1] - ends[0][0], ends[1][1] - ends[1][0])
    joint = length(ends[0][1] + ends[0][0], ends[1][1] + ends[1][0])
    angle = 2 * np.arctan2(apart, joint)
    before, after = _both_ends(scene.times, half)
    elapsed = (after - before).astype(np.float32)
    return np.asarray(angle / np.where(elapsed > 0, elapsed, np.float32(np.nan)), dtype=np.float32)


@FAMILIES.family("heading_rate", reach_s=SLOW_S)
def heading_rate(scene: Scene) -> list[Part]:
    """Rate of turning of the heading over 1/6 s with its sign, rad/s: positive clockwise in the picture."""
    forward_x, forward_y = scene.heading
    half = scene.half(SLOW_S)
    (old_x, new_x), (old_y, new_y) = (_both_ends(side, half) for side in (forward_x, forward_y))
    angle = np.arctan2(old_x * new_y - old_y * new_x, old_x * new_x + old_y * new_y)
    return [Part("animal", (angle * _per_second(scene, half))[:, None], ("rate",))]


@FAMILIES.family("acceleration", reach_s=2 * SLOW_S)
def acceleration(scene: Scene) -> list[Part]:
    """Change of the animal's velocity over 1/6 s: its size, its part along the heading and across it, px/s^2.

    The velocity is itself taken over 1/6 s. Across is taken without its sign.
    """
    ax, ay = (scene.change(part, SLOW_S) for part in body_velocity(scene))
    forward_x, forward_y = scene.heading
    along = ax * forward_x + ay * forward_y
    across = np.abs(ay * forward_x - ax * forward_y)
    return [
        Part("animal", np.stack([length(ax, ay), along, across], axis=1), ("size", "along", "across"))
    ]


def _per_second(scene: Scene, half: int) -> Rows:
    """Return (T,) one over the time between both ends of a span; NaN where there is none."""
    before, after = _both_ends(scene.times, half)
    elapsed = (after - before).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(elapsed > 0, 1 / elapsed, np.float32(np.nan))


def _both_ends(values: Rows, half: int) -> tuple[Rows, Rows]:
    count = values.shape[-1]
    frame = np.arange(count)
    behind, ahead = np.maximum(frame - half, 0), np.minimum(frame + half, count - 1)
    return values[..., behind], values[..., ahead]
