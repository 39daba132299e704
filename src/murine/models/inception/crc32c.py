"""The checksum CRC-32C (Castagnoli), as TensorFlow masks it, fast enough for tens of megabytes.

A long text is cut into lanes that NumPy walks side by side, a byte of each at a time; two neighbours are joined by
moving the first over as many zero bytes as the second is long, which is a linear map on 32 bits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

POLYNOMIAL = 0x82F63B78
"""Castagnoli's, its bits reversed."""

MASK = 0xA282EAD8
"""TensorFlow stores a rotated sum plus this, so that checksums of checksums stay useful."""

LANES, SHORT = 4096, 64
"""Lanes at most, and the bytes of the shortest lane worth its own."""


def masked_crc32c(data: bytes) -> int:
    """Return the masked checksum of `data`."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the checksum of `data`; of b"123456789" it is 0xE3069283."""
    text = np.frombuffer(data, dtype=np.uint8)
    lanes = 1
    while lanes < LANES and len(text) // (2 * lanes) >= SHORT:
        lanes *= 2
    length = len(text) // lanes
    states = np.zeros(lanes, dtype=np.uint32)
    states[0] = 0xFFFFFFFF
    states = _walk(states, text[: lanes * length].reshape(lanes, length))
    while len(states) > 1:
        states = _apply(_over_zeros(length), states[0::2]) ^ states[1::2]
        length *= 2
    return int(_walk(states, text[length:].reshape(1, -1))[0]) ^ 0xFFFFFFFF


def _walk(states: Words, lanes: NDArray[np.uint8]) -> Words:
    """Return the states (L,) after the bytes (L, N) of each lane."""
    table = _table()
    for column in np.ascontiguousarray(lanes.T):
        states = table[(states ^ column) & 0xFF] ^ (states >> 8)
    return states


@cache
def _table() -> Words:
    values: Words = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = (values >> np.uint32(1)) ^ np.uint32(POLYNOMIAL) * (values & np.uint32(1))
    return values


@cache
def _over_zeros(length: int) -> Words:
    """Return the map of a state over `length` zero bytes, as the images of its 32 bits."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if length == 0:
        return bits
    if length == 1:
        return _walk(bits, np.zeros((32, 1), dtype=np.uint8))
    half = _over_zeros(length // 2)
    twice = _apply(half, half)
    return _apply(_over_zeros(1), twice) if length % 2 else twice


def _apply(images: Words, states: Words) -> Words:
    """Return the states under a linear map."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where((states >> np.uint32(bit)) & 1, images[bit], np.uint32(0))
    return result
