"""Keras layers and the dual-stream networks in plain numpy, written from the tables, to check ours by.

Arrays are (T, H, W, C) as in Keras, one clip at a time, double precision, loops over kernel positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = Mapping[str, Array]


def padded(x: Array, kernel: Sequence[int], stride: Sequence[int], value: float) -> Array:
    """TensorFlow's "same" padding: the odd element after."""
    pads = []
    for n, k, s in zip(x.shape[:3], kernel, stride, strict=True):
        total = max((ceil(n / s) - 1) * s + k - n, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [*pads, (0, 0)], constant_values=value)


def windows(
    x: Array, kernel: Sequence[int], stride: Sequence[int], value: float
) -> list[tuple[tuple[int, ...], Array]]:
    """The input shifted to each kernel position, at the places of the output."""
    out = [ceil(n / s) for n, s in zip(x.shape[:3], stride, strict=True)]
    x = padded(x, kernel, stride, value)
    places = []
    for at in product(*(range(k) for k in kernel)):
        cut = tuple(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(at, out, stride, strict=True))
        places.append((at, x[cut]))
    return places


def conv(x: Array, weight: Array, bias: Array, stride: Sequence[int] = (1, 1, 1)) -> Array:
    """`weight` in our order (out, in, T, H, W)."""
    kernel = weight.shape[2:]
    return bias + sum(v @ weight[:, :, a, b, c].T for (a, b, c), v in windows(x, kernel, stride, 0.0))


def pool(x: Array, stride: int) -> Array:
    places = windows(x, (3, 3, 3), (stride,) * 3, -np.inf)
    return np.max([v for _, v in places], axis=0)


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def layer(state: State, x: Array, name: str, stride: Sequence[int] = (1, 1, 1)) -> Array:
    return conv(x, state[f"{name}.weight"], state[f"{name}.bias"], stride)


def batch_norm(state: State, x: Array, name: str) -> Array:
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-3)
    return (x - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]


def head(state: State, x: Array) -> Array:
    # Keras flattens T, H, W, C; ours C, T, H, W: only the order of the first dense layer's inputs.
    x = x.transpose(3, 0, 1, 2).reshape(-1)
    names = sorted({key.rsplit(".", 1)[0] for key in state if key.startswith("head.")})
    for name in names[:-1]:
        x = leaky(state[f"{name}.weight"] @ x + state[f"{name}.bias"])
    return state[f"{names[-1]}.weight"] @ x + state[f"{names[-1]}.bias"]


def primary(state: State, x: Array, name: str, module: int) -> Array:
    first = (1, 2, 2) if module == 3 else (2, 2, 2)
    second = (1, 2, 2) if module == 0 else (1, 1, 1)
    x = leaky(layer(state, x, f"{name}.conv1", first))
    return batch_norm(state, leaky(layer(state, x, f"{name}.conv2", second)), f"{name}.norm")


def inception(state: State, x: Array, name: str) -> Array:
    a = relu(layer(state, relu(layer(state, x, f"{name}.a1")), f"{name}.a2"))
    b = relu(layer(state, relu(layer(state, x, f"{name}.b1")), f"{name}.b2"))
    c = relu(layer(state, pool(x, 1), f"{name}.c2"))
    return np.concatenate([a, b, c], axis=-1)


def baseline_sharing(state: State, rgb: Array, flow: Array) -> Array:
    for i in range(4):
        x = primary(state, rgb, f"rgb.{i}", i) + primary(state, flow, f"flow.{i}", i)
        rgb = flow = leaky(layer(state, x, f"joint.{i}.dense"))
    return head(state, rgb)


def baseline_standalone(state: State, rgb: Array, flow: Array) -> Array:
    for i in range(4):
        rgb = leaky(layer(state, primary(state, rgb, f"rgb.{i}", i), f"rgb_joint.{i}.dense"))
        flow = leaky(layer(state, primary(state, flow, f"flow.{i}", i), f"flow_joint.{i}.dense"))
    return head(state, rgb + flow)


def srs_sharing(state: State, rgb: Array, flow: Array) -> Array:
    t, h, w = (n // 4 for n in flow.shape[:3])
    sources = [flow, flow[t:-t, h:-h, w:-w], pool(flow, 4), pool(flow, 8), pool(flow, 16)]
    for i, source in enumerate(sources):
        both = [inception(state, rgb, f"rgb.{i}"), inception(state, source, f"flow.{i}")]
        rgb = pool(np.concatenate(both, axis=-1), 2)
    return head(state, inception(state, rgb, "final_block"))


def srs_standalone(state: State, rgb: Array, flow: Array) -> Array:
    for i in range(4):
        rgb = pool(inception(state, rgb, f"rgb.{i}"), 2)
        flow = pool(inception(state, flow, f"flow.{i}"), 2)
    both = [inception(state, rgb, "rgb.4"), inception(state, flow, "flow.4")]
    return head(state, inception(state, pool(np.concatenate(both, axis=-1), 2), "final_block"))


NETWORKS: dict[str, Callable[[State, Array, Array], Array]] = {
    "baseline_sharing": baseline_sharing,
    "baseline_standalone": baseline_standalone,
    "srs_sharing": srs_sharing,
    "srs_standalone": srs_standalone,
}
