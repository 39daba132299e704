"""Every registered pose feature family keeps the promises of all families."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from murine.pose import FEATURES, feature_chunks, feature_names, feature_table
from murine.pose.clean import take_animals
from murine.pose.place import Place
from murine.types import Pose, Timeline

KEYPOINTS = ("nose", "neck", "tail_base")
FPS = 25.0
# A family of points of interest has something to tell where there is one.
PLACE = Place(points={"feeder": (210.0, 190.0)})


def pose(frames: int = 130, animals: int = 2, seed: int = 0, keypoints: int = 3) -> Pose:
    """Animals that wander, with gaps, absences, and moments when all carry the same points."""
    rng = np.random.default_rng(seed)
    xy = 200 + rng.normal(0, 4, (frames, animals, 1, 2)).cumsum(axis=0)
    xy = (
        xy
        + rng.normal(0, 20, (1, animals, keypoints, 2))
        + rng.normal(0, 2, (frames, animals, keypoints, 2))
    )
    xy[rng.random(xy.shape[:3]) < 0.2] = np.nan
    xy[rng.random(xy.shape[:2]) < 0.1] = np.nan
    same = rng.random(frames) < 0.1
    xy[same] = xy[same][:, :1]
    confidence = rng.random(xy.shape[:3]).astype(np.float32)
    confidence[same] = confidence[same][:, :1]
    return Pose(xy, tuple("abcd"[:animals]), KEYPOINTS[:keypoints], confidence)


@pytest.fixture(params=FEATURES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_docstring_tells_what_it_is(family: str) -> None:
    assert len(FEATURES[family].summary) > 20
    assert FEATURES[family].summary.endswith((".", ":"))
    assert FEATURES[family].name == family


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("animals", [2, 3])
def test_values_and_names_fit_together(family: str, animals: int, symmetric: bool) -> None:
    given = pose(animals=animals)
    before = given.xy.copy()
    table = feature_table(given, FPS, [family], place=PLACE, symmetric=symmetric)
    np.testing.assert_array_equal(given.xy, before)
    assert table.values.dtype == np.float32
    assert table.values.shape == (130, len(table.names))
    assert len(set(table.names)) == len(table.names)
    assert all(name.startswith(f"{family}.") for name in table.names)
    assert not np.isinf(table.values).any()
    assert table.names == feature_names(
        given.animals, KEYPOINTS, [family], symmetric=symmetric, points=("feeder",)
    )


def test_names_do_not_hang_on_the_data(family: str) -> None:
    names = {feature_table(pose(n, seed=n), FPS, [family], place=PLACE).names for n in (1, 2, 40)}
    assert len(names) == 1


def test_a_pose_without_any_point_gives_missing_values_and_no_warning(family: str) -> None:
    nothing = Pose(np.full((30, 2, 3, 2), np.nan), ("a", "b"), KEYPOINTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = feature_table(nothing, FPS, [family], place=PLACE, symmetric=True)
    known = ~np.isnan(table.values)
    told = [n for n, k in zip(table.names, known.all(axis=0), strict=True) if k]
    # What is known of nothing: that it is missing, and what time it is.
    assert all("missing" in n or "absent" in n or n.startswith("clock") for n in told)
    assert known.all(axis=0).sum() == known.any(axis=0).sum()


@pytest.mark.parametrize("frames", [1, 2])
def test_shortest_recordings(family: str, frames: int) -> None:
    table = feature_table(pose(frames), FPS, [family], place=PLACE)
    assert len(table) == frames


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_are_the_whole(family: str, block: int) -> None:
    """Each family says truly how far it looks: no frame sees the border of its block."""
    given = pose()
    whole = feature_table(given, FPS, [family], place=PLACE, symmetric=True).values
    chunks = list(feature_chunks(given, FPS, [family], place=PLACE, symmetric=True, block=block))
    assert [start for start, _ in chunks] == list(range(0, 130, block))
    together = np.concatenate([values for _, values in chunks])
    np.testing.assert_allclose(together, whole, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("animals", [2, 3, 4])
def test_symmetric_values_do_not_hang_on_who_is_who(family: str, animals: int) -> None:
    """The animals change places in any frames, also where their points are the same."""
    given = pose(animals=animals)
    rng = np.random.default_rng(1)
    shuffled = take_animals(given, np.argsort(rng.random((len(given), animals)), axis=1))
    once = feature_table(given, FPS, [family], place=PLACE, symmetric=True)
    again = feature_table(shuffled, FPS, [family], place=PLACE, symmetric=True)
    np.testing.assert_array_equal(once.values, again.values)
    assert once.names == again.names


def test_symmetric_values_of_two_animals_are_in_order(family: str) -> None:
    table = feature_table(pose(), FPS, [family], place=PLACE, symmetric=True)
    index = {name: i for i, name in enumerate(table.names)}
    for name, i in index.items():
        if ".lower." in name:
            lower, higher = (
                table.values[:, i],
                table.values[:, index[name.replace(".lower.", ".higher.")]],
            )
            assert (np.isnan(lower) == np.isnan(higher)).all()
            assert (lower[~np.isnan(lower)] <= higher[~np.isnan(higher)]).all()


def test_times_decide_not_the_count_of_frames(family: str) -> None:
    """A timeline at a constant rate is the same as that rate."""
    given = pose(60)
    by_rate = feature_table(given, FPS, [family], place=PLACE).values
    by_times = feature_table(given, Timeline.uniform(60, FPS), [family], place=PLACE).values
    np.testing.assert_allclose(by_rate, by_times, rtol=1e-6)
