"""Feature tables: poses worked out by hand, what a movement of the whole scene changes, real recordings."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from murine import formats
from murine.errors import InputError
from murine.pose import (
    FEATURES,
    FeatureTable,
    feature_chunks,
    feature_names,
    feature_table,
    match_identities,
)
from murine.pose.clean import take_animals
from murine.pose.features.running import running
from murine.pose.features.table import BLOCK
from murine.types import Pose, Timeline

NAN = np.nan
KEYPOINTS = ("nose", "neck", "tail_base")
EVERYTHING = tuple(FEATURES)
SOCIAL = ("between", "proximity", "facing", "approach", "closing", "relative_heading")


def two(frames: int = 7, speed: float = 30.0, fps: float = 30.0) -> Pose:
    """A looks along x from (100, 100); b, bent at a right angle, looks down at (160, 100) and goes down.

    a: tail (100, 100), neck (110, 100), nose (120, 100), at rest.
    b: tail (150, 90), neck (160, 90), nose (160, 100), moving `speed` px/s towards larger y.
    """
    a = np.tile(np.float32([[120, 100], [110, 100], [100, 100]]), (frames, 1, 1))
    b = np.tile(np.float32([[160, 100], [160, 90], [150, 90]]), (frames, 1, 1))
    b[..., 1] += (np.arange(frames) * speed / fps)[:, None]
    return Pose(np.stack([a, b], axis=1), ("a", "b"), KEYPOINTS)


def named(table: FeatureTable, frame: int) -> dict[str, float]:
    return dict(zip(table.names, table.values[frame].tolist(), strict=True))


def test_hand_worked_shapes() -> None:
    row = named(feature_table(two(), 30.0, ["distances", "heading", "bend", "egocentric", "area"]), 0)
    assert row["distances.a.nose-tail_base"] == pytest.approx(20)
    assert row["distances.b.nose-tail_base"] == pytest.approx(np.hypot(10, 10))
    assert (row["heading.a.cos"], row["heading.a.sin"]) == pytest.approx((1, 0))
    assert (row["heading.b.cos"], row["heading.b.sin"]) == pytest.approx((0.5**0.5, 0.5**0.5))
    assert (row["bend.a.cos"], row["bend.a.sin"]) == pytest.approx((1, 0))
    # From going along x to going along y: a quarter turn.
    assert (row["bend.b.cos"], row["bend.b.sin"]) == pytest.approx((0, 1), abs=1e-6)
    assert (row["egocentric.a.nose.x"], row["egocentric.a.nose.y"]) == pytest.approx((10, 0))
    assert (row["area.b.width"], row["area.b.height"], row["area.b.area"]) == pytest.approx(
        (10, 10, 100)
    )


def test_hand_worked_movement() -> None:
    families = ["speeds", "speeds_slow", "velocity", "turning"]
    table = feature_table(two(), 30.0, families)
    assert np.isnan(named(table, 0)["speeds.b.nose"])
    for frame in range(1, 7):
        row = named(table, frame)
        assert row["speeds.a.nose"] == 0
        assert row["speeds.b.nose"] == pytest.approx(30, rel=1e-4)
        assert row["speeds_slow.b.tail_base"] == pytest.approx(30, rel=1e-4)
        assert row["velocity.b.speed"] == pytest.approx(30, rel=1e-4)
        # It looks half right, half down.
        assert row["velocity.b.along"] == pytest.approx(30 * 0.5**0.5, rel=1e-4)
        assert row["velocity.b.across"] == pytest.approx(30 * 0.5**0.5, rel=1e-4)
        assert row["turning.b.rate"] == pytest.approx(0, abs=1e-3)


def test_turning_at_a_known_rate() -> None:
    angle = np.arange(40) * 0.1
    tail = np.zeros((40, 2)) + 50
    nose = tail + 20 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    pose = Pose(np.stack([nose, tail], axis=1)[:, None], ("a",), ("nose", "tail_base"))
    table = feature_table(pose, 20.0, ["turning"])
    np.testing.assert_allclose(table.values[:, 0], 0.1 * 20, rtol=1e-4)


def test_hand_worked_encounter() -> None:
    table = feature_table(two(speed=0), 30.0, SOCIAL)
    row = named(table, 3)
    assert row["between.a-b.nose-nose"] == pytest.approx(40)
    assert row["between.a>b.nose-tail_base"] == pytest.approx(np.hypot(30, 10))
    assert row["between.b>a.nose-tail_base"] == pytest.approx(60)
    middle_b = np.array([470 / 3, 280 / 3])
    assert row["proximity.a-b.centres"] == pytest.approx(np.hypot(*(middle_b - [110, 100])))
    assert row["proximity.a-b.nearest"] == pytest.approx(np.hypot(30, 10))
    assert row["proximity.a-b.overlap"] == 0
    towards = (middle_b - [110, 100]) / np.hypot(*(middle_b - [110, 100]))
    assert row["facing.a>b.cos"] == pytest.approx(towards[0])
    assert row["facing.a>b.sin"] == pytest.approx(abs(towards[1]))
    assert row["facing.b>a.cos"] == pytest.approx(-(towards[0] + towards[1]) * 0.5**0.5)
    assert row["relative_heading.a-b.cos"] == pytest.approx(0.5**0.5)
    assert row["closing.a-b.rate"] == pytest.approx(0)


def test_one_goes_to_the_other() -> None:
    """a stands; b comes straight at it from the right at 60 px/s."""
    pose = two(speed=0)
    xy = pose.xy.copy()
    xy[:, 1] = np.float32([[200, 100], [210, 100], [220, 100]])
    xy[:, 1, :, 0] -= (np.arange(7) * 2)[:, None]
    row = named(feature_table(replace(pose, xy=xy), 30.0, ["approach", "closing", "facing"]), 3)
    assert row["approach.b>a.speed"] == pytest.approx(60, rel=1e-4)
    assert row["approach.a>b.speed"] == 0
    assert row["closing.a-b.rate"] == pytest.approx(60, rel=1e-4)
    assert row["closing.a-b.relative"] == pytest.approx(60, rel=1e-4)
    assert row["facing.a>b.cos"] == pytest.approx(1)
    assert row["facing.b>a.cos"] == pytest.approx(1)


def test_boxes_half_over_each_other() -> None:
    xy = np.float32([[[[0, 1], [10, 11], [5, 5]], [[5, 1], [15, 11], [7, 7]]]])
    row = named(feature_table(Pose(xy, ("a", "b"), KEYPOINTS), 30.0, ["proximity"]), 0)
    assert row["proximity.a-b.overlap"] == pytest.approx(50 / 150)


def test_running_values_over_a_hand_worked_window() -> None:
    values = np.float32([[1, NAN, 3, 8, NAN, NAN]])
    mean, deviation = running(values, 1)
    np.testing.assert_allclose(mean[0], [1, 2, 5.5, 5.5, 8, NAN])
    np.testing.assert_allclose(deviation[0], [0, 1, 2.5, 2.5, 0, NAN], atol=1e-6)


def test_variable_rate_goes_into_every_speed() -> None:
    """At a constant speed and irregular times all speeds are that speed."""
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.08, 60))
    x = (times * 40).astype(np.float32)
    nose = np.stack([100 + x, np.full(60, 50)], axis=1)
    xy = np.stack([nose, nose - [10, 0], nose - [20, 0]], axis=1)[:, None]
    pose = Pose(xy, ("a",), KEYPOINTS)
    table = feature_table(pose, Timeline(times), ["speeds", "speeds_slow", "velocity", "rolling_0.5s"])
    for name in ("speeds.a.nose", "speeds_slow.a.neck", "velocity.a.along", "rolling_0.5s.a.speed.mean"):
        np.testing.assert_allclose(table.values[1:, table.names.index(name)], 40, rtol=1e-3)


def wandering(frames: int = 60, seed: int = 0) -> Pose:
    rng = np.random.default_rng(seed)
    xy = rng.normal(0, 4, (frames, 2, 1, 2)).cumsum(axis=0) + rng.normal(0, 30, (1, 2, 3, 2))
    xy = xy + rng.normal(0, 2, (frames, 2, 3, 2)) + 300
    xy[rng.random((frames, 2, 3)) < 0.15] = NAN
    return Pose(xy, ("a", "b"), KEYPOINTS)


MOVED = ("coordinates", "centre")
TURNED = (
    *MOVED,
    "centred_coordinates",
    "heading",
    "edge",
    "walls",
    "middle",
    "area",
    "proximity",
    "box_overlap",
)


def test_moving_the_scene_changes_positions_only() -> None:
    pose = wandering()
    moved = replace(pose, xy=pose.xy + np.float32([128, -64]))
    families = [f for f in FEATURES if f not in MOVED]
    before, after = (feature_table(p, 30.0, families).values for p in (pose, moved))
    np.testing.assert_allclose(before, after, rtol=2e-3, atol=2e-2)


def test_turning_the_scene_changes_directions_only() -> None:
    pose = wandering()
    cos, sin = np.cos(0.7), np.sin(0.7)
    turned = replace(pose, xy=(pose.xy - 300) @ np.array([[cos, sin], [-sin, cos]]) + 300)
    # The diagonal of an upright box turns with nothing; its running mean neither.
    families = [f for f in FEATURES if f not in TURNED and not f.startswith("rolling")]
    before, after = (feature_table(p, 30.0, families).values for p in (pose, turned))
    np.testing.assert_allclose(before, after, rtol=2e-3, atol=2e-2)


def test_in_body_lengths_the_size_of_the_picture_does_not_matter() -> None:
    pose = wandering()
    larger = replace(pose, xy=pose.xy * 2)
    families = ["distances", "speeds", "between", "closing"]
    one, two_times = (feature_table(p, 30.0, families, units="body_lengths") for p in (pose, larger))
    np.testing.assert_allclose(one.values, two_times.values, rtol=1e-4, atol=1e-4)
    index = one.names.index("distances.a.nose-tail_base")
    both = [index, one.names.index("distances.b.nose-tail_base")]
    assert np.nanmedian(one.values[:, both]) == pytest.approx(1, rel=1e-4)


def test_unsure_points_and_gaps_by_the_settings() -> None:
    pose = wandering()
    confidence = np.full(pose.xy.shape[:3], 0.9, dtype=np.float32)
    confidence[20:23, 0, 0] = 0.1
    xy = np.nan_to_num(pose.xy, nan=250)
    pose = replace(pose, xy=xy, confidence=confidence)
    index = feature_names(("a", "b"), KEYPOINTS, ["coordinates", "quality"]).index
    left, missing = index("coordinates.a.nose.x"), index("quality.a.missing")
    strict = feature_table(pose, 30.0, ["coordinates", "quality"], confidence=0.5, gap_s=0.1)
    np.testing.assert_allclose(
        strict.values[19:24, left], np.linspace(xy[19, 0, 0, 0], xy[23, 0, 0, 0], 5), rtol=1e-5
    )
    # Filled or not, the tracker missed them.
    np.testing.assert_allclose(strict.values[19:24, missing], [0, 1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-5)
    short = feature_table(pose, 30.0, ["coordinates", "quality"], confidence=0.5, gap_s=0.09)
    assert np.isnan(short.values[20:23, left]).all()
    lenient = feature_table(pose, 30.0, ["coordinates", "quality"], gap_s=0)
    np.testing.assert_array_equal(lenient.values[:, left], xy[:, 0, 0, 0])


def test_gaps_are_filled_along_an_animal_not_along_a_slot() -> None:
    """The animals change slots while one point is missing; the line must not run across the cage."""
    pose = two(speed=0)
    xy = pose.xy.copy()
    xy[3, 0, 0] = NAN
    swapped = xy.copy()
    swapped[3:] = swapped[3:, ::-1]
    for given in (xy, swapped):
        table = feature_table(replace(pose, xy=given), 30.0, ["speeds"], symmetric=True)
        np.testing.assert_allclose(table.values[1:], 0, atol=1e-3)


def test_lone_and_missing_animals_in_symmetric_columns() -> None:
    pose = two(speed=0)
    xy = pose.xy.copy()
    xy[:, 1] = NAN
    row = named(feature_table(replace(pose, xy=xy), 30.0, ["distances", "quality"], symmetric=True), 3)
    assert row["distances.lower.nose-neck"] == row["distances.higher.nose-neck"] == pytest.approx(10)
    assert (row["quality.lower.absent"], row["quality.higher.absent"]) == (0, 1)
    four = Pose(
        np.concatenate([pose.xy + np.float32(i) for i in range(2)], axis=1)
        * [[[1]], [[2]], [[3]], [[4]]],
        tuple("abcd"),
        KEYPOINTS,
    )
    table = feature_table(four, 30.0, ["distances"], symmetric=True)
    ranks = [named(table, 0)[f"distances.rank{n}.nose-neck"] for n in (1, 2, 3, 4)]
    assert ranks == pytest.approx([10, 20, 30, 40])


def test_one_animal_has_no_social_features() -> None:
    pose = replace(two(), xy=two().xy[:, :1], animals=("a",))
    table = feature_table(pose, 30.0, ["distances", *SOCIAL], symmetric=True)
    assert table.names == tuple(
        f"distances.a.{p}" for p in ("nose-neck", "nose-tail_base", "neck-tail_base")
    )
    with pytest.raises(InputError, match=r"give no feature for 1 animal\(s\)"):
        feature_table(pose, 30.0, SOCIAL)


def test_one_keypoint_has_no_heading() -> None:
    pose = Pose(two().xy[:, :, :1], ("a", "b"), ("nose",))
    table = feature_table(pose, 30.0, ["coordinates", "speeds", "between", "proximity", "rolling_1s"])
    assert not any("turning" in name for name in table.names)
    with pytest.raises(InputError, match="at least two keypoints; the pose has only 'nose'"):
        feature_table(pose, 30.0, ["heading"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"families": ["distance"]}, "unknown pose feature family 'distance'.*Did you mean 'distances'"),
        ({"families": []}, "no pose features are named. Known: "),
        ({"families": ["speeds", "speeds"]}, "named twice: speeds"),
        ({"gap_s": -1}, "gap_s must be 0 or"),
        ({"confidence": 2}, "confidence must lie between"),
        ({"rate": 0}, "frame rate must be a positive number"),
        ({"rate": Timeline.uniform(6, 30)}, "7 frames, its timeline 6"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, words: str) -> None:
    given = {"rate": 30.0, "families": ["speeds"]} | settings
    with pytest.raises(InputError, match=words):
        feature_table(two(), given.pop("rate"), given.pop("families"), **given)
    with pytest.raises(InputError, match="a block must be 1"):
        next(feature_chunks(two(), 30.0, ["speeds"], block=0))
    with pytest.raises(InputError, match="3 names for"):
        FeatureTable(np.zeros((2, 2), dtype=np.float32), ("a", "b", "c"))


def test_chunks_of_a_long_recording_stay_small() -> None:
    """Four times the frames: the pose itself grows, what the features need beside it does not."""
    peaks = []
    for frames in (2 * BLOCK, 8 * BLOCK):
        pose = wandering(frames)
        tracemalloc.start()
        total = 0
        for _, values in feature_chunks(pose, 30.0, EVERYTHING, symmetric=True, gap_s=0):
            total += len(values)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == frames
    per_frame = (peaks[1] - peaks[0]) / (6 * BLOCK)
    columns = len(feature_names(("a", "b"), KEYPOINTS, EVERYTHING, symmetric=True))
    assert per_frame < 350 < 4 * columns


def test_published_calms21_basic_set_has_28_features(data: Path) -> None:
    pose = formats.read_pose(data / "formats" / "calms21" / "mouse083_pose_only.csv")
    table = feature_table(pose, 30.0, ["centred_coordinates"])
    assert table.values.shape == (len(pose), 28)
    full = feature_table(pose, 30.0, ["centred_coordinates", "distances", "between", "speeds"])
    assert full.values.shape[1] == 28 + 2 * 21 + 49 + 14
    # The arena's middle, found from the points, lies near the frame's (512, 285).
    shift = pose.xy[:, 0, 0] - table.values[:, :2]
    np.testing.assert_allclose(np.nanmedian(shift, axis=0), [512, 285], atol=60)


@pytest.mark.parametrize("session", [4, 5])
def test_real_rats_whose_identities_swap(data: Path, session: int) -> None:
    (path,) = (data / "rat-social" / "pose").glob(f"{session}DLC_*")
    pose = formats.read_pose(path)
    assert pose.confidence is not None
    # The data's README: 22 to 41 % of the cells of a file are missing. Of the three cells of a point, x and y
    # go together; the file has a likelihood wherever it has the animal.
    absent = pose.missing.all(axis=2).mean()
    assert 0.21 < (2 * pose.missing.mean() + absent) / 3 < 0.42
    assert 0.1 < absent < 0.32
    few = replace(pose, xy=pose.xy[4000:8000], confidence=pose.confidence[4000:8000])
    flips = np.random.default_rng(0).random(len(few)) < 0.5
    order = np.where(flips[:, None], [[1, 0]], [[0, 1]])
    once = feature_table(few, 30.0, EVERYTHING, symmetric=True)
    again = feature_table(take_animals(few, order), 30.0, EVERYTHING, symmetric=True)
    np.testing.assert_array_equal(once.values, again.values)
    quality = [
        i for i, name in enumerate(once.names) if name.startswith("quality") and "missing" in name
    ]
    assert once.values[:, quality].mean() == pytest.approx(few.missing.mean(), rel=1e-4)
    assert not np.isinf(once.values).any()


def test_following_the_animals_takes_the_jumps_out_of_real_speeds(data: Path) -> None:
    (path,) = (data / "rat-social" / "pose").glob("5DLC_*")
    pose = formats.read_pose(path)
    jumps = []
    for given in (pose, match_identities(pose)):
        speeds = feature_table(given, 30.0, ["speeds"], gap_s=0).values
        jumps.append((speeds > 3000).sum())
    # 455 and 349 of 68,000: the tracker's own swaps are few, and true jumps of single points remain.
    assert jumps[1] < 0.85 * jumps[0]
