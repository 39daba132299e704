"""Optical flow against known shifts, and its pictures against their definition."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.config import InputSettings, Recipe
from murine.data.augment import flip_clip, mirror_clip
from murine.errors import InputError
from murine.train.checking import recipe_faults
from murine.video import StreamSpec
from murine.video.flow import (
    CHANNELS,
    DECODINGS,
    ENCODINGS,
    FLOW_METHODS,
    Flow,
    flow_stack,
    pairs_at_once,
    require_flow,
)


def texture(seed: int = 0, size: int = 160) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4, 8))
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth) * 255, dtype=np.float32)


def shifted(picture: np.ndarray, u: float, v: float) -> np.ndarray:
    matrix = np.array([[1, 0, u], [0, 1, v]], dtype=np.float32)
    moved = cv2.warpAffine(
        picture, matrix, picture.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return np.clip(moved, 0, 255).astype(np.uint8)


ERRORS = {"farneback": 0.08, "tvl1": 0.02, "tvl1_torch": 0.02, "dis": 0.09, "dis_fast": 0.15}
"""Mean end-point error in pixels that each method may make on a textured picture that moves as a whole."""

SHIFTS = [
    (0, 0), (1, 0), (-1, 0), (0, 1), (0, -2), (-3, 1), (5, -4), (0.5, 0), (0.25, -0.75), (-1.5, 2.5)
]  # fmt: skip


@pytest.mark.parametrize("method", FLOW_METHODS)
@pytest.mark.parametrize(("u", "v"), SHIFTS)
def test_a_known_shift_is_found(method: str, u: float, v: float) -> None:
    """u is to the right, v is down, and they are of the points of the first picture."""
    base = texture(size=112)
    flow = FLOW_METHODS[method](shifted(base, 0, 0), shifted(base, u, v))
    assert flow.shape == (112, 112, 2)
    assert flow.dtype == np.float32
    inner = flow[20:-20, 20:-20]
    error = np.linalg.norm(inner - np.array([u, v], dtype=np.float32), axis=-1)
    assert error.mean() < ERRORS.get(method, 0.1)
    assert np.median(inner[..., 0]) == pytest.approx(u, abs=ERRORS.get(method, 0.1))
    assert np.median(inner[..., 1]) == pytest.approx(v, abs=ERRORS.get(method, 0.1))


@pytest.mark.parametrize("method", FLOW_METHODS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_mirroring_turns_the_sign_of_u_and_flipping_that_of_v(method: str, encoding: str) -> None:
    """The flow of mirrored pictures is the mirrored flow; augmentation does the same to its picture."""
    base = texture(size=72)
    pair = shifted(base, 0, 0), shifted(base, 2.25, -1.5)
    flow, limit = FLOW_METHODS[method](*pair), 8.0
    clip = {"flow": ENCODINGS[encoding](flow, limit)[None]}
    for axis, sign, change in ((1, (-1, 1), mirror_clip), (0, (1, -1), flip_clip)):
        turned = FLOW_METHODS[method](*(np.flip(picture, axis).copy() for picture in pair))
        expected = np.flip(flow, axis) * np.array(sign, dtype=np.float32)
        inner = np.s_[10:-10, 10:-10]
        assert np.abs(turned - expected)[inner].mean() < 0.01
        assert np.median(turned[inner], axis=(0, 1)) == pytest.approx(
            np.array([2.25, -1.5]) * sign, abs=ERRORS.get(method, 0.1)
        )
        augmented = DECODINGS[encoding](change(clip)["flow"][0], limit)
        step = limit / 255 if encoding == "uv" else 0.1
        assert np.abs(augmented - expected)[inner].mean() < step


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_pictures_of_any_size_and_shape(method: str) -> None:
    """OpenCV's DIS ends the program on flat and on tiny pictures where nobody looks after it."""
    rng = np.random.default_rng(0)
    for height, width in ((8, 8), (4, 128), (8, 64), (24, 128), (128, 8), (33, 17), (64, 128)):
        pair = [cv2.GaussianBlur(rng.integers(0, 256, (height, width), np.uint8), (0, 0), 1)] * 2
        flow = FLOW_METHODS[method](*pair)
        assert flow.shape == (height, width, 2)
        assert np.isfinite(flow).all(), (height, width)


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_a_stack_of_pairs_is_each_pair_alone(method: str) -> None:
    past = np.stack([shifted(texture(seed, 60), 0, 0) for seed in range(5)])
    present = np.stack([shifted(texture(seed, 60), seed / 2, -seed) for seed in range(5)])
    whole = flow_stack(method, past, present)
    assert whole.shape == (5, 60, 60, 2)
    assert pairs_at_once(method) >= 1
    for i in range(5):
        assert np.array_equal(whole[i], FLOW_METHODS[method](past[i], present[i])), i


def test_tvl1_is_missed_by_name_where_opencv_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain OpenCV installed over the contrib one leaves the module and takes the class away."""
    monkeypatch.delattr(cv2.optflow, "DualTVL1OpticalFlow_create")
    with pytest.raises(InputError, match=r"install opencv-contrib-python-headless alone.*tvl1_torch"):
        require_flow("tvl1")
    with pytest.raises(InputError, match="opencv-contrib-python-headless"):
        StreamSpec(flow="tvl1")
    picture = np.zeros((20, 20), np.uint8)
    with pytest.raises(InputError, match="opencv-contrib-python-headless"):
        FLOW_METHODS["tvl1"](picture, picture)
    assert StreamSpec(flow="tvl1", want_flow=False).flow == "tvl1"
    recipe = Recipe("x", input=InputSettings(flow="tvl1"))
    (fault,) = recipe_faults(recipe)
    assert fault.startswith("input.flow: flow method 'tvl1' is not in this OpenCV")
    assert recipe_faults(replace(recipe, input=InputSettings(flow="dis"))) == []
    require_flow("tvl1_torch")
    with pytest.raises(InputError, match="unknown flow method 'tv_l1'"):
        require_flow("tv_l1")


def test_only_what_moves_has_flow() -> None:
    base = texture(1)
    moved = shifted(base, 0, 0)
    moved[60:110, 60:110] = shifted(base, 3, 0)[60:110, 60:110]
    flow = FLOW_METHODS["farneback"](shifted(base, 0, 0), moved)
    assert np.median(flow[75:95, 75:95, 0]) == pytest.approx(3, abs=0.3)
    assert np.abs(flow[:30, :30]).mean() < 0.01


def grid(limit: float) -> Flow:
    """Directions every 10 degrees x lengths up to beyond the limit."""
    angles = np.deg2rad(np.arange(0, 360, 10))
    lengths = np.linspace(0, 1.5 * limit, 16)
    u = lengths[:, None] * np.cos(angles)
    v = lengths[:, None] * np.sin(angles)
    return np.stack([u, v], axis=-1).astype(np.float32)


@pytest.mark.parametrize("limit", [1.0, 20.0])
def test_hsv_is_hue_and_value_as_defined(limit: float) -> None:
    flow = grid(limit)
    picture = ENCODINGS["hsv"](flow, limit)
    assert picture.shape == (16, 36, 3)
    for i, row in enumerate(picture):
        length = 1.5 * limit * i / 15
        for j, pixel in enumerate(row):
            expected = colorsys.hsv_to_rgb(10 * j / 360, 1.0, min(1.0, length / limit))
            assert np.abs(pixel / 255 - expected).max() < 0.012, (i, j)


def test_hsv_says_right_red_down_green_left_cyan() -> None:
    ways = np.array([[[5, 0], [0, 5], [-5, 0], [0, -5], [0, 0]]], dtype=np.float32)
    expected = [[255, 0, 0], [128, 255, 0], [0, 255, 255], [127, 0, 255], [0, 0, 0]]
    assert np.abs(ENCODINGS["hsv"](ways, 5.0)[0].astype(int) - expected).max() <= 1


def test_uv_is_exact() -> None:
    values = np.linspace(-30, 30, 601, dtype=np.float32)
    flow = np.stack([values, -values], axis=-1)[None]
    picture = ENCODINGS["uv"](flow, 20.0)
    expected = np.floor((np.clip(values.astype(np.float64), -20, 20) + 20) / 40 * 255 + 0.5)
    assert np.abs(picture[0, :, 0] - expected).max() <= 1
    assert (picture[0, :, 0] != expected).mean() < 0.01
    assert picture[0, 0].tolist() == [0, 255]
    assert picture[0, 300].tolist() == [128, 128]
    assert picture[0, -1].tolist() == [255, 0]


@settings(max_examples=40, deadline=None)
@given(limit=st.floats(0.5, 50), seed=st.integers(0, 1000))
def test_uv_comes_back_to_half_a_step(limit: float, seed: int) -> None:
    flow = np.random.default_rng(seed).uniform(-limit, limit, (5, 6, 2)).astype(np.float32)
    back = DECODINGS["uv"](ENCODINGS["uv"](flow, limit), limit)
    assert np.abs(back - flow).max() <= limit / 255 * 1.01


@settings(max_examples=40, deadline=None)
@given(limit=st.floats(0.5, 50), seed=st.integers(0, 1000))
def test_hsv_comes_back_in_length_and_direction(limit: float, seed: int) -> None:
    flow = np.random.default_rng(seed).uniform(-0.7 * limit, 0.7 * limit, (5, 6, 2)).astype(np.float32)
    back = DECODINGS["hsv"](ENCODINGS["hsv"](flow, limit), limit)
    assert np.abs(np.linalg.norm(back, axis=-1) - np.linalg.norm(flow, axis=-1)).max() <= limit / 255
    long = np.linalg.norm(flow, axis=-1) > 0.2 * limit
    turn = np.angle(np.exp(1j * (np.arctan2(*back[..., ::-1].T) - np.arctan2(*flow[..., ::-1].T)))).T
    assert np.abs(np.rad2deg(turn[long])).max() < 3


@pytest.mark.parametrize("name", ENCODINGS)
def test_any_number_of_flows_at_once(name: str) -> None:
    flow = np.random.default_rng(0).normal(0, 8, (2, 3, 12, 10, 2)).astype(np.float32)
    whole = ENCODINGS[name](flow, 20.0)
    assert whole.shape == (2, 3, 12, 10, CHANNELS[name])
    assert whole.dtype == np.uint8
    assert np.array_equal(whole[1, 2], ENCODINGS[name](flow[1, 2], 20.0))
    assert DECODINGS[name](whole, 20.0).shape == flow.shape


def test_every_encoding_has_its_channels_and_its_way_back() -> None:
    assert set(ENCODINGS) == set(DECODINGS) == set(CHANNELS)
    with pytest.raises(InputError, match=r"unknown flow encoding 'hvs'.*'hsv'"):
        ENCODINGS["hvs"]
