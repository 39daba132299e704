"""Optical flow against known shifts, and its pictures against their definition."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError
from murine.video.flow import CHANNELS, DECODINGS, ENCODINGS, FLOW_METHODS, Flow


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


@pytest.mark.parametrize("method", FLOW_METHODS)
@pytest.mark.parametrize(
    ("u", "v"), [(0, 0), (1, 0), (0, 2), (-3, 1), (5, -4), (0.5, 0), (0.25, -0.75), (-1.5, 2.5)]
)
def test_a_known_shift_is_found(method: str, u: float, v: float) -> None:
    base = texture()
    flow = FLOW_METHODS[method](shifted(base, 0, 0), shifted(base, u, v))
    assert flow.shape == (160, 160, 2)
    assert flow.dtype == np.float32
    inner = flow[20:-20, 20:-20]
    error = np.linalg.norm(inner - np.array([u, v], dtype=np.float32), axis=-1)
    assert error.mean() < 0.1
    assert np.median(inner[..., 0]) == pytest.approx(u, abs=0.05)
    assert np.median(inner[..., 1]) == pytest.approx(v, abs=0.05)


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
