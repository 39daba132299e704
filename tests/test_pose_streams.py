"""Features come block by block: any blocks give what the whole gives; named sets are what they say."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError
from murine.pose import (
    FEATURE_SETS,
    FEATURES,
    Place,
    expand_features,
    feature_chunks,
    feature_names,
    feature_table,
)
from murine.pose.clean import take_animals
from murine.pose.skeleton import mirror_order
from murine.types import Pose

CALMS21 = ("nose", "left_ear", "right_ear", "neck", "left_hip", "right_hip", "tail_base")
PLACE = Place((0, 0, 600, 600), {"nest": (100.0, 100.0)})
EVERYTHING = tuple(FEATURES)


def two_mice(frames: int, seed: int = 0, missing: float = 0.1) -> Pose:
    rng = np.random.default_rng(seed)
    xy = 300 + rng.normal(0, 3, (frames, 2, 1, 2)).cumsum(axis=0) + rng.normal(0, 25, (1, 2, 7, 2))
    xy = xy + rng.normal(0, 2, (frames, 2, 7, 2))
    xy[rng.random((frames, 2, 7)) < missing] = np.nan
    absent = np.repeat(rng.random((frames // 30 + 1, 2)) < missing, 30, axis=0)[:frames]
    xy[absent] = np.nan
    return Pose(xy, ("a", "b"), CALMS21, rng.random((frames, 2, 7)).astype(np.float32))


@settings(max_examples=12, deadline=None)
@given(
    frames=st.integers(1, 260),
    block=st.integers(20, 300),
    seed=st.integers(0, 10**6),
    symmetric=st.booleans(),
    fps=st.sampled_from([7.5, 29.97, 30.0, 60.0]),
    smooth_s=st.sampled_from([0.0, 0.2]),
    units=st.sampled_from(["pixels", "body_lengths"]),
)
def test_any_blocks_give_the_whole(
    frames: int, block: int, seed: int, symmetric: bool, fps: float, smooth_s: float, units: str
) -> None:
    pose = two_mice(frames, seed)
    chosen = {"symmetric": symmetric, "place": PLACE, "smooth_s": smooth_s, "units": units}
    whole = feature_table(pose, fps, EVERYTHING, **chosen)  # type: ignore[arg-type]
    parts = list(feature_chunks(pose, fps, EVERYTHING, block=block, **chosen))  # type: ignore[arg-type]
    assert [start for start, _ in parts] == list(range(0, frames, block))
    joined = np.concatenate([values for _, values in parts])
    # Running sums begin elsewhere, so what comes of them differs by rounding.
    scale = np.nanmax(np.abs(np.where(np.isnan(whole.values), 0, whole.values)), axis=0, initial=1)
    np.testing.assert_array_equal(np.isnan(joined), np.isnan(whole.values))
    assert np.nanmax(np.abs(joined - whole.values) / scale, initial=0) < 2e-4
    exact = [not re.match(r"(rolling|bands)_", name) for name in whole.names]
    np.testing.assert_array_equal(joined[:, exact], whole.values[:, exact])


def test_memory_does_not_grow_with_keypoints_squared_times_frames() -> None:
    """24 keypoints make 1,128 distances: 4.5 kB a frame, of which nothing is left behind."""
    points = tuple(f"p{i}" for i in range(24))
    peaks = []
    for frames in (8_192, 16_384):
        pose = Pose(np.random.default_rng(0).normal(300, 50, (frames, 2, 24, 2)), ("a", "b"), points)
        tracemalloc.start()
        for _ in feature_chunks(pose, 30.0, ["distances", "between"]):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    per_frame = (peaks[1] - peaks[0]) / 8_192
    columns = len(feature_names(("a", "b"), points, ["distances", "between"]))
    assert columns == 2 * 276 + 576
    # A few copies of the pose (384 bytes a frame), no more.
    assert per_frame < 1600 < 4 * columns / 2


def test_the_published_set_has_the_published_columns() -> None:
    """Coordinates, centre of mass and extension, speeds, distances, box overlap: 141 columns for two mice."""
    names = feature_names(("resident", "intruder"), CALMS21, ["epfl"])
    families = [name.split(".")[0] for name in names]
    counts = {family: families.count(family) for family in families}
    assert counts == {
        "centred_coordinates": 28, "centre": 6, "centre_distance": 1, "speeds": 14, "distances": 42,
        "between": 49, "box_overlap": 1,
    }  # fmt: skip


def test_the_published_set_has_its_defects_mended() -> None:
    """The release took both ends of a speed's y from one frame, so that going straight down was standing still."""
    pose = two_mice(20, missing=0)
    still = np.broadcast_to(pose.xy[:1], pose.xy.shape).copy()
    still[..., 1] += np.arange(20)[:, None, None] * 3
    table = feature_table(replace(pose, xy=still), 30.0, ["epfl"])
    speeds = [i for i, name in enumerate(table.names) if name.startswith("speeds")]
    np.testing.assert_allclose(table.values[1:, speeds], 90, rtol=1e-3)


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_a_set_is_its_families_side_by_side(name: str) -> None:
    pose = two_mice(40)
    families = FEATURE_SETS[name].families
    table, parts = (feature_table(pose, 30.0, f) for f in ([name], families))
    assert table.names == parts.names
    np.testing.assert_array_equal(table.values, parts.values)
    assert expand_features(["clock", name]) == ("clock", *families)
    assert set(families) <= set(FEATURES)
    with pytest.raises(InputError, match=f"named twice: {families[0]}"):
        feature_table(pose, 30.0, [name, families[0]])
    # One animal has all of it but what needs two.
    alone = Pose(pose.xy[:, :1], ("a",), CALMS21)
    assert len(feature_table(alone, 30.0, [name]).names) > 20


def test_unknown_names_get_families_and_sets_to_choose_from() -> None:
    with pytest.raises(InputError, match="unknown pose feature family 'rihc'"):
        feature_table(two_mice(5), 30.0, ["rihc"])
    with pytest.raises(InputError, match=r"no pose features are named\. Known: .*rich_windows"):
        feature_table(two_mice(5), 30.0, [])


# What changes when the scene does; all other families must not.
SHIFTED = {"coordinates", "centre"}
MIRRORED = {"coordinates", "centre", "heading", "egocentric", "bend", "heading_rate"}
NAMED = {
    "distances",
    "between",
    "speeds",
    "speeds_slow",
    "missing_points",
    "confidences",
    "centred_coordinates",
}


@pytest.mark.parametrize("family", sorted(set(FEATURES) - {"points"}))
def test_a_shift_of_everything_changes_positions_only(family: str) -> None:
    pose = two_mice(90)
    moved = replace(pose, xy=pose.xy + np.float32([64, -32]))
    before, after = (feature_table(p, 30.0, [family]).values for p in (pose, moved))
    assert np.allclose(before, after, rtol=2e-3, atol=3e-2, equal_nan=True) == (family not in SHIFTED)


@pytest.mark.parametrize("family", sorted(set(FEATURES) - {"points"}))
def test_a_mirror_changes_signs_only_where_a_family_says_so(family: str) -> None:
    pose = two_mice(90)
    order = mirror_order(CALMS21)
    flipped = (pose.xy * np.float32([-1, 1]) + np.float32([600, 0]))[:, :, order]
    assert pose.confidence is not None
    mirrored = Pose(flipped, pose.animals, CALMS21, pose.confidence[:, :, order])
    given_pose = Pose(pose.xy, pose.animals, CALMS21, pose.confidence)
    if family in NAMED:  # per keypoint: left and right of the given one change columns
        given_pose = Pose(pose.xy[:, :, order], pose.animals, CALMS21, pose.confidence[:, :, order])
    before, after = (feature_table(p, 30.0, [family]).values for p in (given_pose, mirrored))
    if family == "centred_coordinates":
        before = before * np.tile([-1, 1], 14)
    same = np.allclose(before, after, rtol=2e-3, atol=3e-2, equal_nan=True)
    assert same == (family not in MIRRORED)
    if family in ("bend", "heading", "heading_rate"):
        np.testing.assert_allclose(np.abs(before), np.abs(after), rtol=2e-3, atol=3e-2)


@pytest.mark.parametrize("family", sorted(set(FEATURES) - {"points"}))
def test_swapped_animals_change_nothing_where_they_are_interchangeable(family: str) -> None:
    pose = two_mice(90)
    order = np.tile([1, 0], (90, 1))
    once = feature_table(pose, 30.0, [family], symmetric=True).values
    again = feature_table(take_animals(pose, order), 30.0, [family], symmetric=True).values
    np.testing.assert_array_equal(once, again)


LENGTHS = {"distances", "speeds", "speeds_slow", "velocity", "acceleration", "between", "centre_distance", "other_seen",
           "extension", "closing", "approach", "edge", "walls", "middle", "egocentric"}  # fmt: skip
NUMBERS = {
    "bend",
    "heading",
    "turning",
    "heading_rate",
    "facing",
    "relative_heading",
    "hull_overlap",
    "quality",
}


@pytest.mark.parametrize("family", sorted(LENGTHS | NUMBERS))
def test_a_picture_of_twice_the_size_has_twice_the_lengths(family: str) -> None:
    pose = two_mice(60)
    before, after = (
        feature_table(p, 30.0, [family]).values for p in (pose, replace(pose, xy=pose.xy * 2))
    )
    factor = 2 if family in LENGTHS else 1
    np.testing.assert_allclose(after, before * factor, rtol=1e-3, atol=1e-2)
    lengths = [
        feature_table(p, 30.0, [family], units="body_lengths").values
        for p in (pose, replace(pose, xy=pose.xy * 2))
    ]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-3, atol=1e-3)
