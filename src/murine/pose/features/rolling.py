"""Running means and standard deviations of the features that tell most, over several windows."""

from __future__ import annotations

import numpy as np

from murine.pose.features.motion import body_velocity, turning_rate
from murine.pose.features.running import RunningSums
from murine.pose.features.scene import FAMILIES, Family, Part, Scene, length
from murine.pose.features.social import centre_distance, nearest_distance

WINDOWS_S = (0.5, 1.0, 2.0, 4.0)
"""Lengths of the windows, each a family of its own: 15, 30, 60 and 120 frames at 30 per second."""


def rolling(scene: Scene, window_s: float) -> list[Part]:
    """Running mean and standard deviation over a window centred on the frame, leaving out what is unknown.

    Of each animal: its speed (px/s, over 1/6 s), turning (rad/s), box diagonal (px), share of missed points.
    Of two animals: distance of their centres and least distance (px), size of their relative velocity (px/s).
    At both ends of the recording the window is what there is of it.
    """
    parts = [_part(own_signals(scene), scene, window_s)]
    if scene.pairs:
        parts.append(_part(pair_signals(scene), scene, window_s))
    return parts


def own_signals(scene: Scene) -> Part:
    """Return each animal's speed, box diagonal, share of missed points and, if it has a heading, turning."""
    return scene.once("own signals", lambda: _own_signals(scene))


def _own_signals(scene: Scene) -> Part:
    vx, vy = body_velocity(scene)
    wide, high = (np.fmax.reduce(v, axis=1) - np.fmin.reduce(v, axis=1) for v in (scene.x, scene.y))
    missed = 1 - scene.found.mean(axis=1, dtype=np.float32)
    names = ["speed", "size", "missing"]
    rows = [length(vx, vy), length(wide, high), missed]
    if scene.whole.axis is not None:
        names, rows = [*names, "turning"], [*rows, turning_rate(scene)]
    return Part("animal", np.stack(rows, axis=1), tuple(names))


def pair_signals(scene: Scene) -> Part:
    """Return the distance of two animals' centres, their least distance and the size of their relative velocity."""
    return scene.once("pair signals", lambda: _pair_signals(scene))


def _pair_signals(scene: Scene) -> Part:
    vx, vy = body_velocity(scene)
    both = [
        [
            centre_distance(scene, a, b),
            nearest_distance(scene, a, b),
            length(vx[a] - vx[b], vy[a] - vy[b]),
        ]
        for a, b in scene.pairs
    ]
    return Part("pair", np.array(both, dtype=np.float32), ("centres", "nearest", "relative"))


def _part(part: Part, scene: Scene, window_s: float) -> Part:
    sums = scene.once(
        f"sums of {part.kind} signals", lambda: RunningSums(part.values, scene.half(max(WINDOWS_S)))
    )
    mean, deviation = sums.over(scene.half(window_s))
    labels = tuple(f"{name}.{what}" for what in ("mean", "sd") for name in part.names)
    return Part(part.kind, np.concatenate([mean, deviation], axis=1), labels)


def _family(window_s: float) -> Family:
    def compute(scene: Scene) -> list[Part]:
        return rolling(scene, window_s)

    compute.__doc__ = f"Running mean and sd over {window_s:g} s of speed, turning, size, distances."
    return Family(f"rolling_{window_s:g}s", compute, window_s / 2 + 0.2)


for _window_s in WINDOWS_S:
    FAMILIES.add(f"rolling_{_window_s:g}s", _family(_window_s))
