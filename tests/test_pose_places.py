"""What a recording's row says of its place, its scale and its animals; smoothing; and poses that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from murine.config import InputSettings
from murine.data.source import Source, open_source
from murine.data.tracking import arrange_pose, lead_animal, place_of
from murine.errors import ConfigError, InputError
from murine.formats import write_pose
from murine.pose import Place, feature_table, smooth
from murine.types import Pose, Recording

KEYPOINTS = ("nose", "body", "tail_base")


def walking(frames: int = 40, speed: float = 3.0) -> Pose:
    """A white and a black animal of 60 px, the black one 100 px below; both go right at `speed` px a frame."""
    body = np.array([[60, 0], [30, 0], [0, 0]])
    xy = np.array([[100, 100], [100, 200]])[None, :, None] + body
    xy = xy + (np.arange(frames) * speed)[:, None, None, None] * np.array([1, 0])
    return Pose(xy.astype(np.float32), ("white", "black"), KEYPOINTS)


def written(tmp_path: Path, pose: Pose, **columns: str) -> Recording:
    path = tmp_path / "r.csv"
    write_pose(path, pose)
    return Recording("r", pose=path, fps=30.0, groups=columns)


def columns(source: Source) -> dict[str, np.ndarray]:
    values = np.concatenate([part["pose"] for _, part in source.chunks()])
    return dict(zip(source.posed().names(), values.T, strict=True))


def test_known_walls_stand_for_the_arena(tmp_path: Path) -> None:
    recording = written(tmp_path, walking(), box="30 20, 630;420")
    given = InputSettings(pose_features=("centred_coordinates", "edge", "walls", "middle"), arena="box")
    found = columns(open_source(recording, given, ("pose",)))
    assert found["centred_coordinates.white.nose.x"][0] == pytest.approx(160 - 330)
    assert found["centred_coordinates.white.nose.y"][0] == pytest.approx(100 - 220)
    assert found["edge.white.near"][0] == pytest.approx(80)  # the upper wall
    assert found["edge.white.corner"][0] == pytest.approx(
        100
    )  # the left one, from the centre at x = 130
    assert found["walls.white.corner"][0] == pytest.approx(130)
    assert found["middle.black.distance"][0] == pytest.approx(np.hypot(330 - 130, 220 - 200))
    plain = open_source(recording, replace(given, arena=""), ("pose",))
    assert plain.keys() != open_source(recording, given, ("pose",)).keys()


def test_points_of_interest(tmp_path: Path) -> None:
    recording = written(tmp_path, walking(), nest="300 100", feeder="0 200")
    given = InputSettings(pose_features=("points",), interest=("nest", "feeder"))
    found = columns(open_source(recording, given, ("pose",)))
    assert found["points.white.nest.centre"][0] == pytest.approx(170)
    assert found["points.white.nest.front"][0] == pytest.approx(140)
    assert found["points.white.nest.cos"][0] == pytest.approx(1)
    assert found["points.black.feeder.cos"][5] == pytest.approx(-1)
    centimetres = replace(given, pose_units="cm", known_length=("nose", "tail_base"), known_cm=10.0)
    found = columns(open_source(recording, centimetres, ("pose",)))
    assert found["points.white.nest.centre"][0] == pytest.approx(170 / 6)


@pytest.mark.parametrize(
    ("given", "row", "px_per_cm"),
    [
        ({"known_length": ("nose", "tail_base"), "known_cm": 7.5}, {}, 8.0),
        ({"known_length": ("cage_px",), "known_cm": 40.0}, {"cage_px": "800"}, 20.0),
    ],
)
def test_centimetres_by_a_known_length(tmp_path: Path, given: dict, row: dict, px_per_cm: float) -> None:
    recording = written(tmp_path, walking(), **row)
    families = ("distances", "speeds", "turning", "edge", "hull")
    settings = InputSettings(pose_features=families, pose_units="cm", **given)
    found = columns(open_source(recording, settings, ("pose",)))
    pixels = columns(open_source(recording, InputSettings(pose_features=families), ("pose",)))
    for name, values in pixels.items():
        power = 2 if name.endswith("area") else 0 if name.startswith("turning") else 1
        np.testing.assert_allclose(found[name], values / px_per_cm**power, rtol=1e-4, atol=1e-4)
    assert found["speeds.white.nose"][5] == pytest.approx(90 / px_per_cm, rel=1e-4)


def test_body_lengths_are_each_recordings_own(tmp_path: Path) -> None:
    recording = written(tmp_path, walking())
    given = InputSettings(pose_features=("distances", "speeds"), pose_units="body_lengths")
    found = columns(open_source(recording, given, ("pose",)))
    assert found["distances.white.nose-tail_base"] == pytest.approx(1)
    assert found["speeds.black.body"][1:] == pytest.approx(90 / 60, rel=1e-4)


@pytest.mark.parametrize(("agent", "row"), [("black", {}), ("resident", {"resident": "black"})])
def test_the_agent_comes_first(tmp_path: Path, agent: str, row: dict) -> None:
    recording = written(tmp_path, walking(), **row)
    given = InputSettings(pose_features=("coordinates", "facing"), agent=agent)
    for animals in ((), ("white", "black")):
        source = open_source(
            recording, given, ("pose",), animals=animals, keypoints=KEYPOINTS if animals else ()
        )
        found = columns(source)
        assert source.pose.animals == ("agent", "target")
        assert found["coordinates.agent.nose.y"][0] == 200
        assert found["coordinates.target.nose.y"][0] == 100
        assert "facing.agent>target.cos" in found


def test_three_animals_with_an_agent_and_wrong_ones() -> None:
    pose = Pose(
        np.zeros((2, 3, 1, 2)) + np.arange(3)[None, :, None, None] + 1, ("a", "b", "c"), ("nose",)
    )
    recording = Recording("r", pose=Path("r.csv"), fps=30.0, groups={"first": "d"})
    led = lead_animal(pose, "c", recording)
    assert led.animals == ("agent", "target1", "target2")
    assert led.xy[0, :, 0, 0].tolist() == [3, 1, 2]
    with pytest.raises(
        InputError, match=r"recording 'r' has no animal 'd', which input\.agent puts first"
    ):
        lead_animal(pose, "first", recording)


def test_smoothing_is_the_mean_of_what_is_known_around() -> None:
    x = np.array([1, 2, 6, np.nan, 4, 5, 9, 2], dtype=np.float32)
    pose = Pose(np.stack([x, 2 * x], -1)[:, None, None], ("a",), ("nose",))
    expected = [1.5, 3, 4, np.nan, 4.5, 6, 16 / 3, 5.5]
    np.testing.assert_allclose(smooth(pose, 1).xy[:, 0, 0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(smooth(pose, 1).xy[:, 0, 0, 1], np.multiply(expected, 2), rtol=1e-6)
    assert smooth(pose, 0) is pose
    # 0.1 s at 30 frames a second: one frame to each side.
    table = feature_table(pose, 30.0, ["coordinates"], gap_s=0, smooth_s=0.1)
    np.testing.assert_allclose(table.values[:, 0], expected, rtol=1e-6)
    with pytest.raises(InputError, match="frames to each side must be 0 or more"):
        smooth(pose, -1)


def test_smoothing_takes_jitter_out_of_speeds() -> None:
    rng = np.random.default_rng(0)
    pose = walking(400, speed=1.0)
    shaky = replace(pose, xy=pose.xy + rng.normal(0, 1, pose.xy.shape))
    raw, smoothed = (feature_table(shaky, 30.0, ["speeds"], smooth_s=s).values[20:380] for s in (0, 0.3))
    assert np.median(np.abs(smoothed - 30)) < np.median(np.abs(raw - 30)) / 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pose_units": "cm"}, "'cm' needs a known length"),
        (
            {"pose_units": "cm", "known_length": ["a", "b", "c"], "known_cm": 3.0},
            "'cm' needs a known length",
        ),
        ({"known_cm": 3.0}, "is used where pose_units = 'cm' only"),
        ({"pose_units": "inch"}, "one of pixels, body_lengths, cm; came 'inch'"),
        ({"interest": ["nest"]}, "'points', is not in pose_features"),
        ({"pose_features": ["points"]}, "named in interest, which is empty"),
        ({"smooth_s": -1.0}, "smooth_s: expected at least 0"),
        ({"pose_fps": -1.0}, "pose_fps: expected at least 0"),
    ],
)
def test_settings_that_do_not_fit_together(given: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        InputSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


@pytest.mark.parametrize(
    ("given", "row", "words"),
    [
        ({"arena": "box"}, {}, "recording 'r' has no 'box', which the recipe asks for: fill that column"),
        ({"arena": "box"}, {"box": "30 20 630"}, "column 'box': expected left, top, right and bottom in pixels, 4 num"),
        ({"arena": "box"}, {"box": "630 20 30 420"}, "recording 'r': walls are left, top, right and bottom"),
        ({"arena": "box"}, {"box": "left"}, "came 'left'"),
        ({"known_length": ("cage",), "known_cm": 4.0, "pose_units": "cm"}, {"cage": "0"}, "must be a positive number"),
        (
            {"known_length": ("nose", "tail"), "known_cm": 4.0, "pose_units": "cm"}, {},
            "recording 'r': has no keypoint 'tail'. It has: nose, body, tail_base",
        ),
    ],
)  # fmt: skip
def test_columns_that_do_not_hold_what_they_should(given: dict, row: dict, words: str) -> None:
    recording = Recording("r", pose=Path("r.csv"), fps=30.0, groups=row)
    with pytest.raises(InputError, match=words):
        place_of(recording, InputSettings(**given), walking())
    assert place_of(recording, InputSettings(), walking()) == Place()


def test_keypoints_renamed_missing_or_in_another_order() -> None:
    pose = walking()
    turned = Pose(pose.xy[:, ::-1, [2, 0, 1]], ("black", "white"), ("tail_base", "nose", "body"))
    again = arrange_pose(turned, pose.animals, pose.keypoints, "r.csv")
    np.testing.assert_array_equal(again.xy, pose.xy)
    renamed = Pose(pose.xy, pose.animals, ("Nose", "body", "tailbase"))
    with pytest.raises(
        InputError,
        match=r"r\.csv: has no keypoint nose, tail_base, which the model needs\. nose: Did you mean 'Nose'\? "
        r"tail_base: Did you mean 'tailbase'\?",
    ):
        arrange_pose(renamed, pose.animals, pose.keypoints, "r.csv")
    fewer = Pose(pose.xy[:, :, :2], pose.animals, KEYPOINTS[:2])
    with pytest.raises(
        InputError, match=r"has no keypoint tail_base, which the model needs\. Known: body, nose"
    ):
        arrange_pose(fewer, pose.animals, pose.keypoints, "r.csv")
    more = Pose(
        np.concatenate([pose.xy, pose.xy[:, :, :1] + 5], axis=2), pose.animals, (*KEYPOINTS, "ear")
    )
    np.testing.assert_array_equal(arrange_pose(more, pose.animals, KEYPOINTS, "r.csv").xy, pose.xy)


def test_a_third_animal_and_nothing_anywhere(tmp_path: Path) -> None:
    pose = walking()
    three = Pose(
        np.concatenate([pose.xy, pose.xy[:, :1] + 50], axis=1), ("white", "black", "grey"), KEYPOINTS
    )
    with pytest.raises(
        InputError,
        match=r"tracks 3 animals \(white, black, grey\), and the model needs 2 \(white, black\)",
    ):
        open_source(
            written(tmp_path, three),
            InputSettings(),
            ("pose",),
            animals=pose.animals,
            keypoints=KEYPOINTS,
        )
    nothing = replace(pose, xy=np.full_like(pose.xy, np.nan))
    recording = Recording("r", pose=tmp_path / "r.csv", fps=30.0)
    with pytest.raises(InputError, match="no keypoint has a position in any frame"):
        open_source(recording, InputSettings(), ("pose",), pose=nothing)
    half = pose.xy.copy()
    half[:, 1] = np.nan
    with pytest.raises(InputError, match="absent in every frame: black"):
        open_source(recording, InputSettings(), ("pose",), pose=replace(pose, xy=half))


def test_a_keypoint_that_is_never_seen_and_long_absences_leave_no_number_made_up(tmp_path: Path) -> None:
    """Features that need what is not there are unknown, all others are as they were; nothing is infinite."""
    pose = walking(120)
    xy = pose.xy.copy()
    xy[:, 0, 1] = np.nan
    xy[30:90, 1] = np.nan
    recording = written(tmp_path, replace(pose, xy=xy))
    given = InputSettings(pose_features=("rich_windows", "clock"))
    found = columns(open_source(recording, given, ("pose",)))
    assert not any(np.isinf(values).any() for values in found.values())
    assert np.isnan(found["distances.white.nose-body"]).all()
    assert found["distances.white.nose-tail_base"] == pytest.approx(60)
    assert np.isnan(found["between.white-black.nose-nose"][30:90]).all()
    assert (found["quality.black.absent"] == np.isin(np.arange(120), range(30, 90))).all()
    assert (found["missing_points.white.body"] == 1).all()
