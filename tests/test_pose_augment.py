"""Poses moved for training: one draw for all of a window, walls with the animals, features worked out anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.config import InputSettings, WindowSettings
from murine.data.augment import AUGMENT, check_augment, pose_changes
from murine.data.dataset import WindowDataset, collate
from murine.data.posed import Posed
from murine.data.prepared import Prepared
from murine.data.rates import at_rate
from murine.data.windows import sample_frames
from murine.errors import InputError
from murine.pose import FeaturePlan, Place, Track, feature_table, make_track
from murine.pose import augment as moves
from murine.pose.skeleton import mirror_order
from murine.types import Ethogram, Pose, Timeline

NAN = np.nan
FPS = 30.0
KEYPOINTS = ("nose", "left_ear", "right_ear", "tail_base")
MOVES = [name for name, a in AUGMENT.items() if a.move is not None]
# What neither camera nor names of animals change, when the two are taken as interchangeable.
INVARIANT = (
    "distances", "extension", "ellipse", "speeds", "velocity", "acceleration", "turning", "quality",
    "between", "centre_distance", "hull", "hull_overlap", "facing", "approach", "closing", "relative_heading",
    "other_seen", "edge", "walls", "middle", "extremes_1s", "bands_1s", "lags_0.5s", "points",
)  # fmt: skip
PLACE = Place((0.0, 0.0, 640.0, 480.0), {"nest": (80.0, 400.0)})


def mice(frames: int = 150, seed: int = 0) -> Pose:
    """Two mice with a left and a right ear that walk and turn; a twentieth of the points missing."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.15, (frames, 2)), axis=0) + np.array([0.3, 2.5])
    cos, sin = np.cos(heading), np.sin(heading)
    steps = rng.uniform(0, 4, (frames, 2))
    place = np.cumsum(np.stack([cos * steps, sin * steps], axis=-1), axis=0)
    place += np.array([[300, 240], [340, 250]])
    body = np.array([[30, 0], [18, -9], [18, 9], [-30, 0]])
    x = body[:, 0] * cos[..., None] - body[:, 1] * sin[..., None]
    y = body[:, 0] * sin[..., None] + body[:, 1] * cos[..., None]
    xy = place[:, :, None] + np.stack([x, y], axis=-1) + rng.normal(0, 0.3, (frames, 2, 4, 2))
    xy[rng.random((frames, 2, 4)) < 0.05] = NAN
    return Pose(xy, ("a", "b"), KEYPOINTS, rng.random((frames, 2, 4)).astype(np.float32))


def track(**kwargs: object) -> Track:
    return make_track(mice(), FPS, place=PLACE, gap_s=0, **kwargs)  # type: ignore[arg-type]


def features(given_track: Track, families: Sequence[str], symmetric: bool = True) -> np.ndarray:
    return FeaturePlan.of(families, symmetric).rows(given_track, 0, len(given_track), 0)


@pytest.mark.parametrize("name", MOVES)
def test_same_generator_same_change_and_the_given_track_stays(name: str) -> None:
    given_track = track()
    before = given_track.pose.xy.copy()
    changed = 0
    for seed in range(8):
        one, two = (AUGMENT[name].move(given_track, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one.pose.xy, two.pose.xy)
        np.testing.assert_array_equal(given_track.pose.xy, before)
        assert one.found.shape[0] == len(one.times) == len(one) == len(one.pose.confidence)
        changed += one.pose.xy.shape != before.shape or not np.array_equal(
            one.pose.xy, before, equal_nan=True
        )
    assert changed >= 2
    assert changed < 8 or name not in ("mirror", "swap_animals")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), names=st.permutations(["rotate", "mirror", "shift", "swap_animals"]))
def test_what_a_camera_does_not_change_stays(seed: int, names: list[str]) -> None:
    """Turned, mirrored, shifted, swapped in any order: the walls and the nest go along, so all is as it was."""
    given_track = track()
    moved, rng = given_track, np.random.default_rng(seed)
    for name in names:
        moved = AUGMENT[name].move(moved, rng)
    if np.linalg.det(moved.view.matrix) < 0:  # what was the left ear is called the right one
        order = mirror_order(KEYPOINTS)
        sure = given_track.pose.confidence[:, :, order]
        pose = replace(given_track.pose, xy=given_track.pose.xy[:, :, order], confidence=sure)
        given_track = replace(given_track, pose=pose, found=given_track.found[:, :, order])
    before, after = (features(t, INVARIANT) for t in (given_track, moved))
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=5e-2)


def test_a_larger_picture_multiplies_lengths_and_nothing_else() -> None:
    given_track = track()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        larger = moves.rescale(moves.rotate(given_track, rng), rng)
        factor = larger.view.factor
        assert 1 / 1.2 <= factor <= 1.2
        lengths = ["distances", "speeds", "velocity", "between", "edge", "walls", "middle"]
        angles = ["bend", "facing", "turning", "relative_heading", "hull_overlap", "quality"]
        np.testing.assert_allclose(
            features(larger, lengths), features(given_track, lengths) * factor, rtol=2e-3, atol=5e-2
        )
        np.testing.assert_allclose(
            features(larger, angles), features(given_track, angles), rtol=2e-3, atol=2e-3
        )


def test_a_mirror_exchanges_ears_and_signs() -> None:
    given_track = track()
    mirrored = moves.mirror(given_track, np.random.default_rng(1))
    assert mirrored is not given_track
    ears = [1, 2]
    expected = given_track.pose.xy[:, :, ears[::-1]] * [-1, 1] + [640, 0]
    np.testing.assert_allclose(mirrored.pose.xy[:, :, ears], expected, rtol=1e-5)
    np.testing.assert_array_equal(mirrored.found[:, :, ears], given_track.found[:, :, ears[::-1]])
    np.testing.assert_array_equal(
        mirrored.pose.confidence[:, :, ears], given_track.pose.confidence[:, :, ears[::-1]]
    )
    rate = [features(t, ["heading_rate"], symmetric=False) for t in (given_track, mirrored)]
    np.testing.assert_allclose(rate[1], -rate[0], atol=2e-3)
    # The left ear lies on the same side of the heading as before.
    own = [features(t, ["egocentric"], symmetric=False)[:, [3, 5]] for t in (given_track, mirrored)]
    assert np.nanmedian(own[0], axis=0) == pytest.approx(np.nanmedian(own[1], axis=0), abs=0.3)


def test_sides_by_their_names() -> None:
    assert mirror_order(("nose", "left_ear", "right_ear")) == [0, 2, 1]
    assert mirror_order(("Ear_L", "Ear_R", "Nose", "hip-r", "hip-l")) == [1, 0, 2, 4, 3]
    assert mirror_order(("earL", "earR", "tailbase", "leftHip", "rightHip")) == [1, 0, 2, 4, 3]
    assert mirror_order(("nose", "centre", "tail")) == [0, 1, 2]
    with pytest.raises(InputError, match="keypoint 'left_ear' has no partner on the other side"):
        mirror_order(("nose", "left_ear", "tail"))


def test_a_displaced_keypoint_stays_where_it_is_on_the_body() -> None:
    """Rigid animals: a displaced keypoint keeps its distances to the others throughout, so motion is not destroyed."""
    heading = np.linspace(0, 6, 100)
    points = np.array([[30, 0], [0, 0], [-30, 0]])
    turn = np.stack([np.cos(heading), np.sin(heading), -np.sin(heading), np.cos(heading)], -1)
    xy = np.einsum("kd,tde->tke", points, turn.reshape(-1, 2, 2)) + 200
    given_track = make_track(Pose(xy[:, None], ("a",), ("nose", "body", "tail")), FPS)
    moved = moves.displace(given_track, np.random.default_rng(3))
    distances = features(moved, ["distances"])
    assert np.ptp(distances, axis=0).max() < 1e-3
    offsets = np.linalg.norm(moved.pose.xy - given_track.pose.xy, axis=-1)
    assert 0.05 < offsets.max() < 4 * 0.05 * 60
    assert np.ptp(offsets, axis=0).max() < 1e-3


def test_lost_points_are_missed_and_known_to_be() -> None:
    whole = mice()
    given_track = make_track(replace(whole, xy=np.nan_to_num(whole.xy, nan=200)), FPS)
    shares = []
    for seed in range(60):
        moved = moves.lose_points(given_track, np.random.default_rng(seed))
        gone = given_track.found & ~moved.found
        np.testing.assert_array_equal(gone, np.isnan(moved.pose.xy[..., 0]))
        # Of a point that is lost there is one stretch.
        assert (np.diff(gone.astype(int), axis=0, prepend=0) == 1).sum(axis=0).max() <= 1
        shares.append(gone.mean())
        assert moved.found.any(axis=(0, 2)).all()
    assert 0.01 < np.mean(shares) < 0.05  # a tenth x three quarters, for a third of the time


def test_time_stretched_walks_are_slower_or_faster_by_the_factor() -> None:
    x = np.arange(120) * 3.0
    xy = np.stack([100 + x, np.full(120, 50.0)], -1)[:, None] - np.array([[0, 0], [20, 0]])
    given_track = make_track(Pose(xy[:, None], ("a",), ("nose", "tail")), FPS)
    for seed in range(6):
        slower = moves.stretch(given_track, np.random.default_rng(seed))
        factor = 1.2 ** np.random.default_rng(seed).uniform(-1, 1)
        assert len(slower) == pytest.approx(119 * factor + 1, abs=1)
        speeds = features(slower, ["speeds"])[1:]
        np.testing.assert_allclose(speeds, 90 / factor, rtol=1e-3)
        assert np.diff(slower.times) == pytest.approx(1 / FPS)
        assert slower.clock[-1] == pytest.approx(119 / FPS, abs=1 / FPS)


SETTINGS = InputSettings(
    pose_features=("distances", "speeds", "coordinates", "rolling_1s", "edge"), gap_s=0
)
ETHOGRAM = Ethogram(("rest", "walk"))


def posed(given: InputSettings = SETTINGS, frames: int = 150) -> Posed:
    times = Timeline.uniform(frames, FPS)
    rate = at_rate(times, given.pose_fps, given.spacing_s) if given.pose_fps else None
    sampling = sample_frames(times, given.spacing_s) if rate is None else rate.outer
    return Posed(mice(frames), times, sampling, given, PLACE, rate)


def prepared(given: InputSettings = SETTINGS, frames: int = 150) -> Prepared:
    source = posed(given, frames)
    values = np.concatenate([rows for _, rows in source.rows(0)])
    target = np.eye(2, dtype=np.int8)[np.arange(len(values)) // 7 % 2]
    return Prepared(
        "r", {"pose": values}, target, source.sampling, source.timeline, ETHOGRAM, posed=source
    )


@pytest.mark.parametrize("pool", ["sample", "mean"])
@pytest.mark.parametrize("spacing_s", [0.0, 0.2])
@pytest.mark.parametrize("pose_fps", [0.0, 45.0])
def test_without_a_change_a_window_is_what_the_cache_holds(
    pool: str, spacing_s: float, pose_fps: float
) -> None:
    given = replace(SETTINGS, spacing_s=spacing_s, pose_pool=pool, pose_fps=pose_fps)
    source = posed(given)
    whole = np.concatenate([rows for _, rows in source.rows(0)])
    for start, stop in ((0, len(whole)), (3, 17), (len(whole) - 9, len(whole))):
        values, shown = source.moved(start, stop, (), np.random.default_rng(0))
        np.testing.assert_allclose(values, whole[start:stop], rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(shown, np.arange(start, stop))


def test_a_data_set_moves_poses_in_training_and_only_there() -> None:
    recording = prepared()
    names = ("rotate", "noise", "lose_points")
    train = WindowDataset([recording], WindowSettings(40), train=True, augment=names)
    plain = WindowDataset([recording], WindowSettings(40), train=False, augment=names)
    distances, coordinates = slice(0, 12), slice(20, 36)
    item, still = train[1], plain[1]
    assert not np.allclose(item["pose"][:, coordinates], still["pose"][:, coordinates])
    assert (item["target"] == still["target"]).all()
    assert (train[1]["pose"] == item["pose"]).all()
    train.set_epoch(1)
    assert (train[1]["pose"] != item["pose"]).any()
    only_turned = WindowDataset([recording], WindowSettings(40), train=True, augment=("rotate",))
    np.testing.assert_allclose(
        only_turned[1]["pose"][:, distances], still["pose"][:, distances], rtol=1e-3, atol=1e-2
    )
    np.testing.assert_array_equal(plain[1]["pose"], np.nan_to_num(recording.table("pose")[40:80]))


def test_stretched_windows_keep_their_length_and_carry_the_labels_of_their_moments() -> None:
    recording = prepared()
    data = WindowDataset([recording], WindowSettings(40), train=True, augment=("stretch",))
    lengths = set()
    for epoch in range(6):
        data.set_epoch(epoch)
        item = data[1]
        assert item["pose"].shape[0] == item["target"].shape[0] == item["mask"].shape[0] == 40
        seen = int(item["mask"].sum())
        changes = np.flatnonzero(np.diff(item["target"][:seen].numpy()))
        lengths.add(float(np.mean(np.diff(changes))))
        assert (item["target"][seen:] == -1).all()
        assert 33 <= seen <= 40
    # Bouts of seven samples become up to a fifth longer or shorter.
    assert min(lengths) >= 7 / 1.2 - 1
    assert max(lengths) <= 7 * 1.2 + 1
    assert len(lengths) > 2


def test_stretched_recordings_have_another_length_and_batch_with_others() -> None:
    data = WindowDataset(
        [prepared(), prepared(frames=120)], WindowSettings(0), train=True, augment=("stretch",)
    )
    items = [data[i] for i in (0, 1, 2, 3)]
    lengths = [len(item["mask"]) for item in items]
    assert len(set(lengths)) > 2
    assert all(
        len(item["target"]) == len(item["pose"]) == n for item, n in zip(items, lengths, strict=True)
    )
    batch = collate(items)
    assert batch["pose"].shape[:2] == batch["target"].shape == (4, max(lengths))
    assert batch["mask"].sum(dim=1).tolist() == lengths


def test_what_cannot_be_moved_is_refused() -> None:
    check_augment(("rotate", "mirror", "shift", "noise", "swap_animals"), ("pose",))
    assert pose_changes(("rotate", "phase"), ("rgb", "pose")) == ()
    for names, streams, words in (
        (("rotate",), ("rgb",), "'rotate' changes pose, and the model sees rgb"),
        (("rotate",), ("rgb", "pose"), "pose would stay as it is"),
        (("mirror",), ("embedding", "pose"), "embedding would stay as it is"),
        (("flip",), ("pose",), "'flip' changes rgb and flow, and the model sees pose"),
    ):
        with pytest.raises(InputError, match=words):
            check_augment(names, streams)
    bare = replace(prepared(), posed=None)
    with pytest.raises(InputError, match="prepared without its pose"):
        WindowDataset([bare], WindowSettings(40), train=True, augment=("rotate",))
    lopsided = prepared()
    pose = lopsided.posed.pose
    one_ear = Pose(pose.xy[:, :, :2], pose.animals, KEYPOINTS[:2])
    bad = replace(lopsided, posed=replace(lopsided.posed, pose=one_ear))
    with pytest.raises(InputError, match="'left_ear' has no partner"):
        WindowDataset([bad], WindowSettings(40), train=True, augment=("mirror",))


def test_features_of_a_moved_pose_file_are_those_of_the_moved_window() -> None:
    """Exactly equivalent to a recording whose animals were so from the beginning."""
    source = posed(replace(SETTINGS, pose_features=("coordinates", "speeds", "between", "bands_1s")))
    values, _ = source.moved(0, 150, (moves.swap_animals, moves.rescale), np.random.default_rng(5))
    rng = np.random.default_rng(5)
    order = rng.permutation(2)
    factor = 1.2 ** rng.uniform(-1, 1)
    middle = np.array([320, 240])
    pose = mice()
    by_hand = Pose((pose.xy[:, order] - middle) * factor + middle, pose.animals, KEYPOINTS)
    expected = feature_table(by_hand, FPS, source.settings.pose_features, gap_s=0).values
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=2e-2)
