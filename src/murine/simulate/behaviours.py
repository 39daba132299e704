"""What a simulated mouse does, and when: bouts by a Markov chain, and the movement that goes with each.

Lengths are in cage widths: the cage is 1 wide (x), `DEPTH` deep (y) and `LID` high (z).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from murine.types import FloatArray, IntArray

DEPTH = 0.6
LID = 0.62
SPOUT = np.array([0.94, 0.3, 0.2])
HOPPER = np.array([0.36, 0.3, 0.27])

BEHAVIOURS = ("drink", "eat", "groom", "hang", "micromovement", "rear", "rest", "walk")

# Median bout length in seconds, and how often each follows where the animal may choose.
MEDIAN_S = {
    "drink": 3.0,
    "eat": 5.0,
    "groom": 4.0,
    "hang": 3.0,
    "micromovement": 2.5,
    "rear": 1.6,
    "rest": 6.0,
}
PREFERENCE = {
    "drink": 1.0,
    "eat": 1.4,
    "groom": 1.6,
    "hang": 0.8,
    "micromovement": 2.2,
    "rear": 1.8,
    "rest": 0.9,
}
SPREAD = 0.35
WALK_SPEED = (0.22, 0.42)
SHORTEST_S = 0.6

# The columns of a state: where the hip is, how the spine lies, what the paws hold on to.
STATE = (
    "x", "y", "z", "heading", "pitch", "hunch", "curl", "stretch", "head_pitch", "head_yaw",
    "face", "air", "lid", "gait", "gait_phase", "nod_hz", "nod", "stroke", "scan", "tail_wrap",
)  # fmt: skip
COLUMN = {name: i for i, name in enumerate(STATE)}


@dataclass(frozen=True)
class Bout:
    """One behaviour from `start` to `stop` (frames), begun and ended at a place (x, y)."""

    behaviour: str
    start: int
    stop: int
    origin: tuple[float, float]
    goal: tuple[float, float]
    heading: float


def draw_bouts(rng: np.random.Generator, n_frames: int, fps: float, length: float) -> list[Bout]:
    """Return bouts that cover every frame once; travel between places is walking.

    Each behaviour is visited once, in random order, before the chain runs free, so that a recording of
    a minute holds all of them. `length` is the animal's body length.
    """
    first = list(rng.permutation(list(MEDIAN_S)))
    names = list(PREFERENCE)
    weights = np.array([PREFERENCE[n] for n in names])
    hurry = min(1.0, n_frames / fps / 60.0)
    place = (float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.15, 0.45)))
    heading = float(rng.choice([0.0, np.pi]))
    bouts: list[Bout] = []
    now, last = 0, ""
    while now < n_frames:
        if first:
            name = str(first.pop())
        else:
            share = weights * np.array([n != last for n in names])
            name = str(rng.choice(names, p=share / share.sum()))
        goal, facing = _place(rng, name, place, length)
        distance = float(np.hypot(goal[0] - place[0], goal[1] - place[1]))
        if distance > 0.4 * length:
            stop = now + max(round(SHORTEST_S * fps), round(distance / rng.uniform(*WALK_SPEED) * fps))
            heading = float(np.arctan2(goal[1] - place[1], goal[0] - place[0]))
            bouts.append(Bout("walk", now, min(stop, n_frames), place, goal, heading))
            now, place = stop, goal
        heading = heading if facing is None else facing
        seconds = max(SHORTEST_S, hurry * MEDIAN_S[name] * float(np.exp(SPREAD * rng.standard_normal())))
        stop = now + round(seconds * fps)
        if now < n_frames:
            bouts.append(Bout(name, now, min(stop, n_frames), place, goal, heading))
        now, last, place = stop, name, goal
    return bouts


def _place(
    rng: np.random.Generator, name: str, here: tuple[float, float], length: float
) -> tuple[tuple[float, float], float | None]:
    """Return where a behaviour is done and which way the animal faces there (None: as it comes)."""
    if name == "drink":
        return (float(SPOUT[0]) - 0.47 * length, float(SPOUT[1])), 0.0
    if name == "eat":
        side = float(rng.choice([-1.0, 1.0]))
        return (float(HOPPER[0]) - side * 0.32 * length, float(HOPPER[1])), 0.0 if side > 0 else np.pi
    if name == "rear":
        left = rng.random() < 0.5
        x = 0.03 + 0.25 * length if left else 0.97 - 0.25 * length
        return (x, float(rng.uniform(0.1, 0.5))), np.pi if left else 0.0
    if name == "rest":
        return (0.2 + float(rng.uniform(0, 0.08)), 0.42), float(rng.choice([0.0, np.pi]))
    if name == "hang":
        x = float(np.clip(here[0] + rng.uniform(-0.2, 0.2), 0.25, 0.75))
        return (x, here[1]), float(rng.choice([0.0, np.pi]))
    if rng.random() < 0.5:
        return (float(np.clip(here[0], 0.2, 0.8)), here[1]), None
    return (float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.1, 0.5))), None


def labels_of(bouts: list[Bout], n_frames: int) -> IntArray:
    """Return (T,) the column in BEHAVIOURS of each frame."""
    classes = np.empty(n_frames, dtype=np.int64)
    for bout in bouts:
        classes[bout.start : bout.stop] = BEHAVIOURS.index(bout.behaviour)
    return classes


def _target(bout: Bout, rng: np.random.Generator, length: float) -> dict[str, float]:
    """Return the posture a behaviour tends to; what is not named is a standing animal's."""
    jitter = float(rng.normal(0, 0.06))
    postures: dict[str, dict[str, float]] = {
        "drink": {"pitch": 0.45, "head_pitch": 0.25, "z": 0.2, "nod_hz": 5.0, "nod": 0.10},
        "eat": {"pitch": 0.95, "hunch": 0.2, "head_pitch": 0.15, "z": 0.22, "air": 1.0, "nod_hz": 3.0, "nod": 0.08},
        "groom": {
            "pitch": 0.75, "hunch": 0.75, "head_pitch": -0.35, "face": 1.0, "stroke": 1.0, "nod_hz": 4.5, "nod": 0.16,
        },
        "hang": {"z": LID / length - 0.33, "lid": 1.0, "hunch": -0.12, "pitch": 0.05, "scan": 0.3, "gait": 0.35},
        "micromovement": {"scan": 1.0, "head_pitch": 0.05},
        "rear": {"pitch": 1.3, "head_pitch": -0.1, "air": 1.0, "z": 0.24, "scan": 0.6, "stretch": 1.1},
        "rest": {
            "pitch": -0.08, "hunch": 0.5, "curl": 0.55, "stretch": 0.78, "head_pitch": -0.3, "z": 0.17,
            "tail_wrap": 1.0,
        },
        "walk": {"gait": 1.0, "stretch": 1.08, "head_pitch": 0.05},
    }  # fmt: skip
    state = dict.fromkeys(STATE, 0.0) | {"z": 0.21, "stretch": 1.0, "hunch": 0.18, "nod_hz": 1.0}
    state |= postures[bout.behaviour]
    state["z"] *= length
    state["pitch"] += jitter
    state["heading"] = bout.heading
    if state["curl"]:
        state["curl"] *= float(rng.choice([-1.0, 1.0]))
    return state


def movement(
    rng: np.random.Generator, bouts: list[Bout], n_frames: int, fps: float, length: float
) -> FloatArray:
    """Return (T, len(STATE)) states: postures eased into each other, then the rhythms of each behaviour."""
    state = np.zeros((n_frames, len(STATE)))
    for bout in bouts:
        part = slice(bout.start, bout.stop)
        for name, value in _target(bout, rng, length).items():
            state[part, COLUMN[name]] = value
        share = (np.arange(bout.stop - bout.start) + 1) / (bout.stop - bout.start)
        eased = 0.5 * share + 0.5 * share**2 * (3 - 2 * share)
        for axis, name in enumerate("xy"):
            begin, end = bout.origin[axis], bout.goal[axis]
            state[part, COLUMN[name]] = begin + (end - begin) * eased
    # The shortest way round: an animal that turns from 170 to -170 degrees turns by 20.
    state[:, COLUMN["heading"]] = np.unwrap(state[:, COLUMN["heading"]])
    smooth = state.copy()
    for name in STATE:
        time = {"x": 0.04, "y": 0.04, "heading": 0.12, "nod_hz": 0.05}.get(name, 0.1)
        smooth[:, COLUMN[name]] = _ease(state[:, COLUMN[name]], time, fps)
    _rhythms(rng, smooth, fps)
    return smooth


def _ease(values: FloatArray, time_s: float, fps: float) -> FloatArray:
    """Follow a target with a critically damped second-order lag."""
    keep = float(np.exp(-1.0 / (fps * time_s)))
    b, a = [(1 - keep) ** 2], [1.0, -2 * keep, keep**2]
    start = values[0]
    eased = lfilter(b, a, values - start) + start
    return np.asarray(eased)


def _rhythms(rng: np.random.Generator, state: FloatArray, fps: float) -> None:
    """Add nodding, scanning, gait and breathing to a smooth movement, in place."""
    n = len(state)
    nod_phase = 2 * np.pi * np.cumsum(state[:, COLUMN["nod_hz"]] * _wander(rng, n, fps, 0.1, 1.0)) / fps
    state[:, COLUMN["head_pitch"]] += state[:, COLUMN["nod"]] * np.sin(nod_phase)
    state[:, COLUMN["stroke"]] *= np.sin(nod_phase)
    scan = state[:, COLUMN["scan"]]
    state[:, COLUMN["head_pitch"]] += scan * 0.3 * _wander(rng, n, fps, 1.2)
    state[:, COLUMN["head_yaw"]] += scan * 0.6 * _wander(rng, n, fps, 1.0)
    state[:, COLUMN["heading"]] += scan * 0.12 * _wander(rng, n, fps, 0.5)
    state[:, COLUMN["x"]] += scan * 0.006 * _wander(rng, n, fps, 0.7)
    strides = 3.2 * np.clip(state[:, COLUMN["gait"]], 0, 1)
    state[:, COLUMN["gait_phase"]] = 2 * np.pi * np.cumsum(strides) / fps
    breath = np.sin(2 * np.pi * 1.8 * np.arange(n) / fps + rng.uniform(0, 6))
    state[:, COLUMN["stretch"]] *= 1 + 0.015 * breath


def _wander(rng: np.random.Generator, n: int, fps: float, hz: float, mean: float = 0.0) -> FloatArray:
    """Return (n,) smooth noise of about unit size around `mean` that changes about `hz` times a second."""
    noise = rng.standard_normal(n + int(4 * fps))
    keep = float(np.exp(-2 * np.pi * hz / fps))
    slow = lfilter([(1 - keep) ** 2], [1.0, -2 * keep, keep**2], noise)[int(4 * fps) :]
    spread = float(np.std(slow)) if n > 1 else 1.0
    slow = np.asarray(slow) / max(spread, 1e-9)
    return mean + slow * (0.15 if mean else 1.0)
