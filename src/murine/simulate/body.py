"""The articulated mouse: from a state per frame to points in the cage, in three dimensions.

Axes: T frames, then a point's x, y, z in cage widths. The spine is a chain of segments bent up or down
(hunch) and sideways (curl); each paw is drawn to the floor, the face, the air or the lid by a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from murine.simulate.behaviours import COLUMN, DEPTH, LID
from murine.types import FloatArray

SPINE = ("hip", "loin", "chest", "neck", "head", "nose")
SEGMENTS = (0.26, 0.26, 0.2, 0.15, 0.15)
RADII = {"hip": 0.2, "loin": 0.205, "chest": 0.165, "neck": 0.12, "head": 0.12, "nose": 0.04}
TAIL_POINTS = 8
TAIL_LENGTH = 0.85
PAWS = ("left_fore", "right_fore", "left_hind", "right_hind")


@dataclass(frozen=True)
class Animal:
    """What makes one animal differ from another: body length (cage widths), girth, coat (0 dark, 1 white)."""

    length: float
    girth: float
    coat: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Animal:
        """Return a random animal."""
        dark = rng.random() < 0.6
        coat = float(rng.uniform(0.0, 0.2) if dark else rng.uniform(0.9, 1.0))
        return cls(float(rng.uniform(0.27, 0.33)), float(rng.uniform(0.92, 1.15)), coat)


def points(state: FloatArray, animal: Animal) -> dict[str, FloatArray]:
    """Return each named point as (T, 3): the spine, ears, paws and `tail_0` .. `tail_7`."""
    get = {name: state[:, column] for name, column in COLUMN.items()}
    size = animal.length
    lid = np.clip(get["lid"], 0, 1)
    body = _spine(get, size)
    side = np.stack([-np.sin(get["heading"]), np.cos(get["heading"]), np.zeros(len(state))], axis=1)
    up = np.array([0.0, 0.0, 1.0]) * (1 - 2 * lid[:, None])
    for sign, name in ((1.0, "left"), (-1.0, "right")):
        body[f"{name}_ear"] = (
            body["head"] + size * (0.11 * sign * side + 0.13 * up) - 0.3 * (body["nose"] - body["head"])
        )
        lateral = 0.11 * sign * size * side
        stroke = 0.07 * size * get["stroke"][:, None] * sign
        ahead = _unit(body["nose"] - body["neck"])
        face = body["nose"] + 0.4 * lateral - 0.03 * size * ahead + stroke * np.array([0.3, 0.3, 1.0])
        air = body["chest"] + 0.24 * size * ahead + 0.8 * lateral - np.array([0, 0, 0.05]) * size
        fore = _step(
            get, body["chest"] + 0.05 * size * _flat(ahead), lateral, size, 0.0 if sign > 0 else np.pi
        )
        body[f"{name}_fore"] = _blend(get, fore, face, air, body["chest"] + lateral, size)
        hind = _step(get, body["hip"], 1.1 * lateral, size, np.pi if sign > 0 else 0.0)
        hind[:, 2] = np.maximum(hind[:, 2], body["hip"][:, 2] - 0.3 * size)
        body[f"{name}_hind"] = _blend(
            {**get, "face": 0 * lid, "air": 0 * lid}, hind, hind, hind, body["hip"] + lateral, size
        )
    body |= _tail(get, body["hip"], size)
    return body


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-9))


def _flat(vector: FloatArray) -> FloatArray:
    return np.asarray(vector * np.array([1.0, 1.0, 0.0]))


def _direction(pitch: FloatArray, heading: FloatArray) -> FloatArray:
    level = np.cos(pitch)
    return np.stack([level * np.cos(heading), level * np.sin(heading), np.sin(pitch)], axis=1)


def _spine(get: dict[str, FloatArray], size: float) -> dict[str, FloatArray]:
    """Lay the spine so that its middle stands over (x, y) when level; the hip stays low when upright."""
    bend = (0.9, 0.1, -0.8, -1.0, -1.2)
    turn = (-0.8, 0.0, 0.8, 1.2, 1.4)
    joints = [np.zeros((len(get["x"]), 3))]
    for i, length in enumerate(SEGMENTS):
        pitch = get["pitch"] + get["hunch"] * bend[i]
        heading = get["heading"] + get["curl"] * turn[i]
        if i >= 3:
            pitch = pitch + get["head_pitch"]
            heading = heading + get["head_yaw"]
        joints.append(joints[-1] + size * length * get["stretch"][:, None] * _direction(pitch, heading))
    level = 0.45 * size * get["stretch"] * np.cos(get["pitch"])
    hip = np.stack(
        [
            get["x"] - level * np.cos(get["heading"]),
            get["y"] - level * np.sin(get["heading"]),
            get["z"],
        ],
        axis=1,
    )
    return {name: hip + joint for name, joint in zip(SPINE, joints, strict=True)}


def _step(
    get: dict[str, FloatArray], above: FloatArray, lateral: FloatArray, size: float, phase: float
) -> FloatArray:
    """Return where a paw stands or swings on the floor below a joint."""
    swing = get["gait_phase"] + phase
    reach = 0.16 * size * np.clip(get["gait"], 0, 1)
    ahead = _direction(np.zeros_like(swing), get["heading"])
    paw = above + lateral + (reach * np.cos(swing))[:, None] * ahead
    paw[:, 2] = 0.35 * reach * np.maximum(0.0, np.sin(swing))
    return np.asarray(paw)


def _blend(
    get: dict[str, FloatArray],
    floor: FloatArray,
    face: FloatArray,
    air: FloatArray,
    below_lid: FloatArray,
    size: float,
) -> FloatArray:
    """Mix where a paw may hold on to, by the state's weights; the rest goes to the floor."""
    lid = below_lid.copy()
    lid[:, 2] = np.minimum(LID, below_lid[:, 2] + 0.35 * size)
    weights = np.clip(np.stack([get["face"], get["air"], get["lid"]]), 0, 1)
    weights = weights / np.maximum(weights.sum(axis=0), 1.0)
    rest = 1 - weights.sum(axis=0)
    mixed = floor * rest[:, None]
    for weight, place in zip(weights, (face, air, lid), strict=True):
        mixed = mixed + weight[:, None] * place
    return np.asarray(mixed)


def _tail(get: dict[str, FloatArray], hip: FloatArray, size: float) -> dict[str, FloatArray]:
    """Let the tail trail behind, wave with the stride, wrap round a resting animal, hang from the lid."""
    lid = np.clip(get["lid"], 0, 1)
    step = size * TAIL_LENGTH / (TAIL_POINTS - 1)
    place = hip - 0.13 * size * _direction(get["pitch"] + 0.9 * get["hunch"], get["heading"])
    tail = {"tail_0": place}
    heading = get["heading"] + np.pi - 0.8 * get["curl"]
    for i in range(1, TAIL_POINTS):
        wave = 0.12 * np.sin(get["gait_phase"] - 0.7 * i) * np.clip(get["gait"], 0, 1)
        heading = (
            heading + wave + 0.42 * get["tail_wrap"] * np.sign(get["curl"]) + 0.05 * get["head_yaw"]
        )
        fall = -0.5 * (1 - lid) * np.exp(-0.6 * (i - 1)) - 1.1 * lid
        place = place + step * _direction(fall, heading)
        # A tail bends at the wall: it stays in the cage, and above the floor unless the animal hangs.
        place = np.clip(place, [0.01, 0.01, 0.015], [0.99, DEPTH - 0.01, LID])
        tail[f"tail_{i}"] = place
    return tail
