"""The 8-bit pictures that flow is kept and learned as."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.registry import Registry
from murine.video.flow.methods import Flow

Picture = NDArray[np.uint8]

ENCODINGS: Registry[Callable[[Flow, float], Picture]] = Registry("flow encoding")
"""Functions of a flow (..., 2) and a limit in pixels to a uint8 picture (..., channels)."""

DECODINGS: Registry[Callable[[Picture, float], Flow]] = Registry("flow encoding")
"""The way back from each encoding, up to rounding, for flow within the limit."""

CHANNELS = {"hsv": 3, "uv": 2}
"""Channels of each encoding."""


@ENCODINGS.register("hsv")
def encode_hsv(flow: Flow, limit: float) -> Picture:
    """Return an RGB picture whose hue is the direction and whose value is the length of the flow.

    Hue 0 is to the right and turns towards down (OpenCV's 8-bit hue: 2 degrees a step), saturation is
    full, and value 255 stands for `limit` pixels or more; both round to the nearest. A fixed limit
    keeps the scale the same in every frame, where stretching each frame to its own maximum would blow
    up the noise of stillness.
    """
    # Any number of flows is one tall flow to functions of single points.
    u, v = cv2.split(np.ascontiguousarray(flow, dtype=np.float32).reshape(-1, flow.shape[-2], 2))
    length, angle = cv2.cartToPolar(u, v, angleInDegrees=True)
    hue = cv2.convertScaleAbs(angle, alpha=0.5)
    value = cv2.convertScaleAbs(length, alpha=255.0 / limit)
    hsv = cv2.merge((hue, np.full_like(hue, 255), value))
    picture = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
    return picture.reshape(*flow.shape[:-1], 3)


@DECODINGS.register("hsv")
def decode_hsv(picture: Picture, limit: float) -> Flow:
    """Return the flow (..., 2) of an "hsv" picture; its direction is known to about a degree."""
    tall = np.ascontiguousarray(picture).reshape(-1, picture.shape[-2], 3)
    hsv = cv2.cvtColor(tall, cv2.COLOR_RGB2HSV).reshape(picture.shape).astype(np.float32)
    angle = np.deg2rad(hsv[..., 0] * 2.0)
    length = hsv[..., 2] * (limit / 255.0)
    return np.stack([length * np.cos(angle), length * np.sin(angle)], axis=-1).astype(np.float32)


@ENCODINGS.register("uv")
def encode_uv(flow: Flow, limit: float) -> Picture:
    """Return u and v cut at +-`limit` pixels and spread evenly over 0..255; no motion becomes 128."""
    scaled = np.clip(flow, -limit, limit) * np.float32(127.5 / limit) + np.float32(127.5)
    picture: Picture = np.floor(scaled + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return picture


@DECODINGS.register("uv")
def decode_uv(picture: Picture, limit: float) -> Flow:
    """Return the flow (..., 2) of a "uv" picture, to half a step (`limit` / 255 pixels)."""
    return (picture.astype(np.float32) - np.float32(127.5)) * np.float32(limit / 127.5)
