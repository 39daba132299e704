"""The simulated cage: exact truth, plausible bouts, behaviours that differ by shape and by motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from murine.errors import InputError
from murine.formats import read_labels, read_pose
from murine.simulate import BEHAVIOURS, simulate
from murine.simulate.behaviours import draw_bouts, labels_of, movement
from murine.simulate.body import Animal, points
from murine.simulate.render import KEYPOINTS, Camera, Renderer, keypoints
from murine.video import open_video

FPS = 15.0
FRAMES = 900


def one(seed: int, view: str = "side", night: bool = False, frames: int = FRAMES):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    animal = Animal.draw(rng)
    bouts = draw_bouts(rng, frames, FPS, animal.length)
    body = points(movement(rng, bouts, frames, FPS, animal.length), animal)
    camera = Camera(view, (128, 128), night)
    return bouts, labels_of(bouts, frames), body, camera, Renderer(camera, animal, rng)


@pytest.mark.parametrize("seed", range(6))
def test_every_frame_has_one_behaviour_and_every_behaviour_occurs(seed: int) -> None:
    bouts, classes, *_ = one(seed)
    assert bouts[0].start == 0
    assert bouts[-1].stop == FRAMES
    assert all(a.stop == b.start for a, b in zip(bouts, bouts[1:], strict=False))
    assert set(np.unique(classes)) == set(range(len(BEHAVIOURS)))


def test_bout_lengths_are_an_animals() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in BEHAVIOURS}
    for seed in range(12):
        bouts, *_ = one(seed, frames=3000)
        for bout in bouts[:-1]:
            seconds[bout.behaviour].append((bout.stop - bout.start) / FPS)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    assert medians["rest"] > medians["groom"] > medians["rear"] > 0.9
    assert 0.5 < medians["walk"] < 3.0
    assert min(min(v) for v in seconds.values()) >= 0.59


def test_shape_and_motion_tell_the_behaviours_apart() -> None:
    height: dict[str, list[float]] = {name: [] for name in BEHAVIOURS}
    speed: dict[str, list[float]] = {name: [] for name in BEHAVIOURS}
    travel: dict[str, list[float]] = {name: [] for name in BEHAVIOURS}
    for seed in range(4):
        bouts, _, body, _, _ = one(seed)
        nose, trunk = (np.linalg.norm(np.diff(body[p], axis=0), axis=1) * FPS for p in ("nose", "loin"))
        for bout in bouts:
            # The half second after a change still shows the posture before.
            inside = slice(min(bout.start + 8, bout.stop - 1), bout.stop - 1)
            if inside.stop - inside.start >= 3:
                height[bout.behaviour].append(float(body["nose"][inside, 2].mean()))
                speed[bout.behaviour].append(float(nose[inside].mean()))
                travel[bout.behaviour].append(float(trunk[inside].mean()))
    tall = {name: float(np.median(v)) for name, v in height.items()}
    fast = {name: float(np.median(v)) for name, v in speed.items()}
    assert tall["hang"] > tall["rear"] > tall["drink"] > tall["walk"] > tall["rest"]
    assert tall["rear"] > 2 * tall["walk"]
    far = {name: float(np.median(v)) for name, v in travel.items()}
    assert far["walk"] > 3 * max(value for name, value in far.items() if name != "walk")
    assert fast["micromovement"] > 5 * fast["rest"]
    assert fast["groom"] > 3 * fast["rest"]


@pytest.mark.parametrize("view", ["side", "top"])
@pytest.mark.parametrize("night", [False, True])
def test_the_keypoints_are_where_the_animal_is_drawn(view: str, night: bool) -> None:
    _, _, body, camera, renderer = one(3, view, night, frames=300)
    spots, sure = keypoints(camera, body)
    assert spots.shape == (300, len(KEYPOINTS), 2)
    assert set(np.unique(sure)) <= {0.55, 1.0}
    height, width = camera.size
    assert (spots > -4).all()
    assert (spots < np.array([width + 4, height + 4])).all()
    empty = renderer.background[::2, ::2].astype(float)
    scale = renderer.frame(body, 0, FPS).astype(float)[:8].mean() / empty[:8].mean()
    body_at = list(KEYPOINTS).index("body")
    inside, away = [], []
    for t in range(0, 300, 20):
        picture = renderer.frame(body, t, FPS).astype(float).mean(axis=-1)
        change = np.abs(picture - scale * empty.mean(axis=-1))
        x, y = np.round(spots[t, body_at]).astype(int)
        inside.append(change[y - 1 : y + 2, x - 1 : x + 2].mean())
        away.append(np.median(change))
    assert np.mean(inside) > 3 * np.mean(away)


def test_night_is_grey_and_noisier() -> None:
    frames = {}
    for night in (False, True):
        _, _, body, _, renderer = one(5, night=night, frames=300)
        frames[night] = np.stack([renderer.frame(body, 0, FPS).astype(float) for _ in range(6)])
    assert np.ptp(frames[True], axis=-1).max() == 0
    assert np.ptp(frames[False], axis=-1).mean() > 5
    assert frames[True].std(axis=0).mean() > 1.8 * frames[False].std(axis=0).mean()


def test_files_agree_with_each_other_and_with_the_seed(tmp_path: Path) -> None:
    settings = {"animals": 2, "seconds": 12.0, "size": (96, 128), "unlabelled": 1, "seed": 4}
    first = simulate(tmp_path / "a", **settings)  # type: ignore[arg-type]
    again = simulate(tmp_path / "b", **settings)  # type: ignore[arg-type]
    other = simulate(tmp_path / "c", **(settings | {"seed": 5}))  # type: ignore[arg-type]
    names = sorted(p.relative_to(first).as_posix() for p in first.rglob("*") if p.is_file())
    assert names == [
        "labels/animal1_day1.csv", "pose/animal1_day1.csv", "pose/animal2_day1.csv",
        "truth/animal2_day1.csv", "videos/animal1_day1.mp4", "videos/animal2_day1.mp4",
    ]  # fmt: skip
    for name in names:
        if name.endswith("csv"):
            assert (first / name).read_bytes() == (again / name).read_bytes()
    with open_video(first / "videos/animal1_day1.mp4") as video, open_video(again / names[-2]) as same:
        assert (video.width, video.height, video.n_frames) == (128, 96, 180)
        assert video.fps == pytest.approx(15.0)
        np.testing.assert_array_equal(video.frame(100), same.frame(100))
        bouts = read_labels(first / "labels/animal1_day1.csv", video.timeline)
    with open_video(other / "videos/animal1_day1.mp4") as differs:
        assert (differs.frame(100) != video_frame(first)).any()
    assert len(read_pose(first / "pose/animal1_day1.csv")) == 180
    assert bouts.frames().sum(axis=1).tolist() == [1] * 180


def video_frame(folder: Path) -> np.ndarray:
    with open_video(folder / "videos/animal1_day1.mp4") as video:
        return video.frame(100)


@pytest.mark.parametrize(
    "settings",
    [
        {"animals": 0}, {"seconds": 1.0}, {"fps": 0.0}, {"size": (32, 128)}, {"size": (127, 128)},
        {"view": "below"}, {"unlabelled": 4}, {"seconds": float("nan")},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_drawn_are_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cannot simulate"):
        simulate(tmp_path / "x", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()
