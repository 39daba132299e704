"""Animals followed from frame to frame: by least displacement, whatever slots a tracker gave them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.pose import identity_order, match_identities
from murine.pose.clean import take_animals
from murine.types import Pose

NAN = np.nan


def line(*slots: list[float]) -> np.ndarray:
    """(T, A, 1, 2) from each slot's x; y is 7."""
    x = np.array(slots, dtype=np.float32).T[..., None]
    return np.stack([x, np.where(np.isnan(x), x, np.float32(7))], axis=-1)


def paths(xy: np.ndarray) -> np.ndarray:
    """(T, A) x of the first keypoint along each path."""
    return np.take_along_axis(xy[:, :, 0, 0], identity_order(xy), axis=1)


def test_swapped_animals_are_put_back() -> None:
    followed = paths(line([10, 11, 93, 92, 14], [95, 94, 12, 13, 91]))
    np.testing.assert_array_equal(followed, [[10, 95], [11, 94], [12, 93], [13, 92], [14, 91]])


def test_lone_animal_goes_to_the_path_it_was_last_seen_near() -> None:
    # Frame 1: only one animal, in the other's slot. Frame 3: the lost one is back, in the other slot too.
    followed = paths(line([10, 90, 91, 92, 93], [88, NAN, NAN, 11, 12]))
    np.testing.assert_array_equal(followed, [[10, 88], [NAN, 90], [NAN, 91], [11, 92], [12, 93]])


def test_sum_of_displacements_is_least_not_each_one() -> None:
    # The animal at 12 is nearer to the old 10 as well, but 9 -> 20 would cost more in sum.
    followed = paths(line([10, 9], [20, 12]))
    np.testing.assert_array_equal(followed, [[10, 20], [9, 12]])


def test_only_keypoints_seen_both_times_count() -> None:
    """An animal whose tail comes into view has not moved."""
    xy = np.full((2, 2, 2, 2), NAN, dtype=np.float32)
    xy[0, 0, 0], xy[0, 1, 0] = (0, 0.5), (10, 0.5)
    # Slots swapped; the tail of the animal at (0, 0.5) lies near the other animal.
    xy[1, 1, 0], xy[1, 1, 1], xy[1, 0, 0] = (0, 0.5), (30, 0.5), (10, 0.5)
    assert identity_order(xy).tolist() == [[0, 1], [1, 0]]


def test_without_a_common_keypoint_the_centres_count() -> None:
    xy = np.full((2, 2, 2, 2), NAN, dtype=np.float32)
    xy[0, 0, 0], xy[0, 1, 0] = (1, 1), (50, 1)
    xy[1, 0, 1], xy[1, 1, 1] = (52, 1), (3, 1)
    assert identity_order(xy).tolist() == [[0, 1], [1, 0]]


def test_animal_never_seen_is_the_last_choice() -> None:
    followed = paths(line([NAN, 500, 501], [10, NAN, 12]))
    np.testing.assert_array_equal(followed[:, 1], [10, 500, 501])
    np.testing.assert_array_equal(followed[:, 0], [NAN, NAN, 12])


def test_confidences_go_with_their_animal() -> None:
    xy = line([10, 90], [88, 11])
    confidence = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)[..., None]
    pose = match_identities(Pose(xy, ("a", "b"), ("nose",), confidence))
    np.testing.assert_array_equal(pose.xy[:, :, 0, 0], [[10, 88], [11, 90]])
    assert pose.confidence is not None
    np.testing.assert_array_equal(pose.confidence[..., 0], np.float32([[0.1, 0.2], [0.4, 0.3]]))


@pytest.mark.parametrize("shape", [(5, 1, 2, 2), (1, 2, 2, 2)])
def test_nothing_to_follow(shape: tuple[int, ...]) -> None:
    pose = Pose(np.ones(shape), tuple("ab"[: shape[1]]), ("nose", "tail"))
    assert match_identities(pose) is pose


def reference(xy: np.ndarray) -> np.ndarray:
    """Every permutation of every frame tried, one frame after the other, in plain arithmetic."""
    length, animals = xy.shape[:2]
    first = sorted(range(animals), key=lambda a: np.nan_to_num(xy[0, a], nan=-1e9).ravel().tolist())
    order = [first]
    memory = [xy[0, a] if not np.isnan(xy[0, a]).all() else None for a in first]
    for frame in xy[1:]:

        def cost(path: int, slot: int, frame: np.ndarray = frame) -> float:
            if np.isnan(frame[slot]).all():
                return 0.0
            old = memory[path]
            if old is None:
                return 1e9
            apart = np.linalg.norm((frame[slot] - old).astype(float), axis=-1)
            if not np.isnan(apart).all():
                return float(np.nanmean(apart))
            return float(np.linalg.norm(np.nanmean(frame[slot], axis=0) - np.nanmean(old, axis=0)))

        best = min(permutations(range(animals)), key=lambda p: sum(cost(i, s) for i, s in enumerate(p)))
        order.append(list(best))
        for path, slot in enumerate(best):
            if not np.isnan(frame[slot]).all():
                memory[path] = frame[slot]
    assert len(order) == length
    return np.array(order)


def scene(rng: np.random.Generator, frames: int, animals: int) -> np.ndarray:
    """Animals of two keypoints wandering in a small box, with points and animals missing now and then."""
    xy = (
        100
        + rng.normal(0, 15, (frames, animals, 1, 2)).cumsum(axis=0)
        + rng.normal(0, 5, (1, animals, 2, 2))
    )
    xy[rng.random(xy.shape[:3]) < 0.2] = NAN
    xy[rng.random(xy.shape[:2]) < 0.2] = NAN
    return xy.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 3), st.integers(2, 25), st.integers(0, 2**31))
def test_paths_agree_with_trying_everything(animals: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # All are seen at the start: which of two animals never seen takes which path is nobody's business.
    start = 100 + rng.normal(0, 20, (1, animals, 2, 2)).astype(np.float32)
    xy = np.concatenate([start, scene(rng, frames, animals)])
    order = identity_order(xy)
    followed = np.take_along_axis(xy, order[:, :, None, None], axis=1)
    expected = np.take_along_axis(xy, reference(xy)[:, :, None, None], axis=1)
    np.testing.assert_array_equal(followed, expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.integers(1, 40), st.integers(0, 2**31))
def test_order_of_the_slots_does_not_matter(animals: int, frames: int, seed: int) -> None:
    """Even where a tracker gives two animals the same points, so that every choice costs the same."""
    rng = np.random.default_rng(seed)
    xy = scene(rng, frames, animals)
    same = rng.random(frames) < 0.3
    xy[same, 1] = xy[same, 0]
    shuffled = np.argsort(rng.random((frames, animals)), axis=1)
    pose = Pose(xy, tuple(map(str, range(animals))), ("nose", "tail"))
    once = match_identities(pose)
    again = match_identities(take_animals(pose, shuffled))
    if frames > 1:
        np.testing.assert_array_equal(once.xy, again.xy)


def test_long_recording_is_followed_over_the_borders_of_blocks() -> None:
    """Costs are worked out in blocks of frames; a swap on a border is a swap like any other."""
    frames = 9000
    x = np.stack([np.full(frames, 10.0), np.full(frames, 90.0)], axis=1) + 0.5
    xy = np.stack([x, x], axis=-1)[:, :, None].astype(np.float32)
    swap = np.zeros(frames, dtype=bool)
    swap[[4095, 4096, 4097, 8192]] = True
    xy[swap] = xy[swap][:, ::-1]
    np.testing.assert_array_equal(identity_order(xy)[:, 0], swap.astype(int))
