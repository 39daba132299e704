"""Augmentations: what they do to pictures and to motion, and that they draw from their generator only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from murine.data.augment import (
    AUGMENT,
    augment_clip,
    check_augment,
    flip_clip,
    mirror_clip,
    negate,
)
from murine.errors import InputError
from murine.video.flow import DECODINGS, ENCODINGS

LIMIT = 10.0
pictures = arrays.arrays(np.uint8, st.sampled_from([(1, 4, 5, 2), (2, 3, 4, 3), (3, 2, 2, 3)]))


def motion(seed: int = 0, n: int = 4000) -> np.ndarray:
    """Return (1, n, 1, 2) flow of all directions and lengths within the limit."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    length = rng.uniform(0, LIMIT, n)
    return (
        np.stack([length * np.cos(angle), length * np.sin(angle)], -1)
        .reshape(1, n, 1, 2)
        .astype(np.float32)
    )


@pytest.mark.parametrize(("encoding", "tolerance"), [("uv", 0.12), ("hsv", 0.3)])
@pytest.mark.parametrize("axis", [0, 1])
def test_negated_pictures_show_the_negated_motion(encoding: str, tolerance: float, axis: int) -> None:
    flow = motion()
    opposite = flow.copy()
    opposite[..., axis] *= -1
    picture = negate(ENCODINGS[encoding](flow[0], LIMIT)[None], axis)
    shown = DECODINGS[encoding](picture[0], LIMIT)
    assert np.abs(shown - opposite[0]).max() < tolerance
    direct = ENCODINGS[encoding](opposite[0], LIMIT)
    assert np.abs(direct.astype(int) - picture[0]).max() <= (1 if encoding == "uv" else 5)


@pytest.mark.parametrize("encoding", ["uv", "hsv"])
def test_stillness_stays_still(encoding: str) -> None:
    still = ENCODINGS[encoding](np.zeros((3, 3, 2), np.float32), LIMIT)
    for axis in (0, 1):
        assert np.array_equal(negate(still, axis), still)


@given(flow=pictures, axis=st.sampled_from([0, 1]))
@settings(max_examples=40, deadline=None)
def test_turning_motion_round_twice_changes_nothing(flow: np.ndarray, axis: int) -> None:
    twice = negate(negate(flow, axis), axis)
    if flow.shape[-1] == 2:
        # 127 and 128 lie half a step beside stillness; 127 comes back as 128.
        assert np.abs(twice.astype(int) - flow).max() <= 1
    else:
        assert np.array_equal(twice, flow)


def test_mirror_moves_a_mouse_and_its_motion_together() -> None:
    rgb = np.zeros((2, 3, 6, 3), np.uint8)
    rgb[:, 1, 1] = 200
    flow = np.zeros((2, 3, 6, 2), np.float32)
    flow[:, 1, 1] = [5.0, 2.0]
    clip = {"rgb": rgb, "flow": ENCODINGS["uv"](flow, LIMIT)}
    mirrored = mirror_clip(clip)
    assert np.argwhere(mirrored["rgb"][0, :, :, 0]).tolist() == [[1, 4]]
    assert DECODINGS["uv"](mirrored["flow"], LIMIT)[1, 1, 4] == pytest.approx([-5, 2], abs=0.05)
    flipped = flip_clip({k: v[:, :2] for k, v in clip.items()})
    assert np.argwhere(flipped["rgb"][0, :, :, 0]).tolist() == [[0, 1]]
    assert DECODINGS["uv"](flipped["flow"], LIMIT)[1, 0, 1] == pytest.approx([5, -2], abs=0.05)
    assert rgb[0, 1, 1, 0] == 200


def clip(seed: int = 0, channels: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "rgb": rng.integers(0, 256, (3, 32, 48, 3), dtype=np.uint8),
        "flow": rng.integers(0, 256, (3, 32, 48, channels), dtype=np.uint8),
    }


PICTURED = [name for name, a in AUGMENT.items() if a.streams != ("pose",)]


@pytest.mark.parametrize("name", PICTURED)
@pytest.mark.parametrize("channels", [2, 3])
def test_every_augmentation_keeps_the_contract(name: str, channels: int) -> None:
    original = clip(channels=channels)
    before = {k: v.copy() for k, v in original.items()}
    changed = 0
    for seed in range(8):
        one, two = (AUGMENT[name].apply(original, np.random.default_rng(seed)) for _ in range(2))
        for stream, values in before.items():
            assert np.array_equal(original[stream], values)
            assert one[stream].dtype == np.uint8
            assert one[stream].shape == values.shape
            assert np.array_equal(one[stream], two[stream])
            if stream not in AUGMENT[name].streams:
                assert np.array_equal(one[stream], values)
        changed += any(not np.array_equal(one[s], before[s]) for s in before)
    assert changed >= 2 or name in ("phase", "random_crop")  # which the data set does
    assert changed < 8 or name not in ("mirror", "flip")
    assert AUGMENT[name].summary


def test_a_geometric_change_is_the_same_in_all_streams_and_frames() -> None:
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (32, 48), dtype=np.uint8)
    same = np.broadcast_to(plane[None, :, :, None], (4, 32, 48, 3))
    moved = AUGMENT["shift"].apply({"rgb": same, "flow": same}, np.random.default_rng(5))
    assert np.array_equal(moved["rgb"], moved["flow"])
    assert (moved["rgb"] == moved["rgb"][:1, :, :, :1]).all()
    # Somewhere within two rows and three columns the inner part is found again.
    inner = moved["rgb"][0, 4:-4, 4:-4, 0]
    places = [
        (r, c) for r in range(-2, 3) for c in range(-3, 4)
        if np.array_equal(inner, plane[4 - r : 28 - r, 4 - c : 44 - c])
    ]  # fmt: skip
    assert len(places) == 1
    assert places != [(0, 0)]


def test_brightness_and_contrast_by_numbers() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    for seed in range(5):
        up = np.random.default_rng(seed).uniform(-32, 32)
        bright = AUGMENT["brightness"].apply({"rgb": ramp}, np.random.default_rng(seed))["rgb"]
        assert bright.reshape(256, 3)[:, 0] == pytest.approx(
            np.clip(np.arange(256) + up, 0, 255), abs=0.51
        )
        factor = 1.25 ** np.random.default_rng(seed).uniform(-1, 1)
        wide = AUGMENT["contrast"].apply({"rgb": ramp}, np.random.default_rng(seed))["rgb"]
        expected = np.clip((np.arange(256) - 127.5) * factor + 127.5, 0, 255)
        assert wide.reshape(256, 3)[:, 1] == pytest.approx(expected, abs=0.51)


def test_noise_is_centred_and_new_in_every_pixel() -> None:
    grey = np.full((2, 64, 64, 3), 128, np.uint8)
    noisy = AUGMENT["noise"].apply({"rgb": grey}, np.random.default_rng(4))["rgb"].astype(float)
    deviation = np.hypot(np.random.default_rng(4).uniform(0, 8), 12**-0.5)  # and rounding
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    assert noisy.std() == pytest.approx(deviation, rel=0.05)
    assert not np.array_equal(noisy[0], noisy[1])


def test_several_are_applied_in_their_order() -> None:
    names = ("shift", "mirror", "contrast")
    rng = np.random.default_rng(9)
    expected = clip()
    for name in names:
        expected = dict(AUGMENT[name].apply(expected, rng))
    got = augment_clip(clip(), names, np.random.default_rng(9))
    assert all(np.array_equal(got[k], expected[k]) for k in got)


def test_what_the_streams_do_not_allow_is_refused() -> None:
    check_augment(("phase", "mirror", "brightness"), ("rgb", "flow"))
    check_augment(("phase",), ("pose",))
    check_augment(("brightness",), ("rgb", "pose"))
    with pytest.raises(InputError, match="unknown augmentation 'flop'"):
        check_augment(("flop",), ("rgb",))
    with pytest.raises(InputError, match="pose would stay"):
        check_augment(("mirror",), ("rgb", "pose"))
    with pytest.raises(InputError, match="'brightness' changes rgb, and the model sees flow"):
        check_augment(("brightness",), ("flow",))
