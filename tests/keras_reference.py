"""Keras layers and the dual-stream networks in plain numpy, written from the tables, to check ours by.

Arrays are (T, H, W, C) as in Keras, one clip at a time, double precision, loops over kernel positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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


def joint_block(state: State, x: Array, name: str) -> Array:
    """3(b): two branches of convolutions from one stem, and the pooled input."""
    stem = relu(layer(state, x, f"{name}.stem"))
    a = stem
    for part in ("a1", "a2", "a3"):
        a = relu(layer(state, a, f"{name}.{part}"))
    return np.concatenate([a, relu(layer(state, stem, f"{name}.b1")), pool(x, 1)], axis=-1)


def attention(state: State, x: Array, name: str) -> Array:
    """One head over all positions of a clip, one query at a time."""
    query, value = (batch_norm(state, x, f"{name}.norm_{part}") for part in ("query", "value"))
    keys, values = (dense(state, value, f"{name}.{part}") for part in ("key", "value"))
    seen = np.empty_like(x)
    for at in np.ndindex(*x.shape[:3]):
        scores = keys @ dense(state, query[at], f"{name}.query") / np.sqrt(keys.shape[-1])
        weights = np.exp(scores - scores.max())
        seen[at] = dense(
            state, np.einsum("ijk,ijkc->c", weights / weights.sum(), values), f"{name}.output"
        )
    both = batch_norm(state, np.concatenate([query, seen, value], axis=-1), f"{name}.norm")
    return np.concatenate([both, seen], axis=-1)


def dense(state: State, x: Array, name: str) -> Array:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm(kernel: Array, recurrent: Array, bias: Array, steps: Array) -> Array:
    """The output after the last step; gates input, forget, cell, output, each from its rows of the weights."""
    units = recurrent.shape[1]
    hidden, cell = np.zeros(units), np.zeros(units)
    for step in steps:
        gates = []
        for k in range(4):
            rows = slice(k * units, (k + 1) * units)
            gates.append(kernel[rows] @ step + recurrent[rows] @ hidden + bias[rows])
        cell = sigmoid(gates[1]) * cell + sigmoid(gates[0]) * np.tanh(gates[2])
        hidden = sigmoid(gates[3]) * np.tanh(cell)
    return hidden


def bilstm(state: State, x: Array, name: str) -> Array:
    weights = [state[f"{name}.{part}"] for part in ("kernel", "recurrent", "bias")]
    steps = [x[at] for at in np.ndindex(*x.shape[:3])]
    ways = [lstm(*(w[way] for w in weights), np.array(steps[:: 1 - 2 * way])) for way in (0, 1)]
    return np.concatenate(ways).reshape(1, 1, 1, -1)


def civ3d(state: State, rgb: Array, flow: Array, *, sharing: bool, attends: bool) -> Array:
    for i in range(4):
        rgb, flow = primary(state, rgb, f"rgb.{i}", i), primary(state, flow, f"flow.{i}", i)
        if attends and i == 3:
            rgb, flow = attention(state, rgb, "rgb_attention"), attention(state, flow, "flow_attention")
        if sharing:
            rgb = flow = joint_block(state, rgb + flow, f"joint.{i}")
        else:
            rgb = joint_block(state, rgb, f"rgb_joint.{i}")
            flow = joint_block(state, flow, f"flow_joint.{i}")
    x = rgb if sharing else rgb + flow
    return head(state, x if attends else bilstm(state, x, "lstm"))


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


def crs_sharing(state: State, rgb: Array, flow: Array) -> Array:
    source = flow
    for i in range(5):
        both = [inception(state, rgb, f"rgb.{i}"), inception(state, source, f"flow.{i}")]
        rgb = pool(np.concatenate(both, axis=-1), 2)
        source = np.concatenate([rgb, pool(flow, 2 ** (i + 1))], axis=-1)
    return head(state, rgb)


def crs_standalone(state: State, rgb: Array, flow: Array) -> Array:
    for i in range(5):
        rgb, flow = inception(state, rgb, f"rgb.{i}"), inception(state, flow, f"flow.{i}")
        if i < 4:
            rgb, flow = pool(rgb, 2), pool(flow, 2)
    return head(state, pool(np.concatenate([rgb, flow], axis=-1), 2))


NETWORKS: dict[str, Callable[[State, Array, Array], Array]] = {
    "baseline_sharing": baseline_sharing,
    "baseline_standalone": baseline_standalone,
    "civ3d_bilstm_sharing": partial(civ3d, sharing=True, attends=False),
    "civ3d_bilstm_standalone": partial(civ3d, sharing=False, attends=False),
    "civ3d_mha_sharing": partial(civ3d, sharing=True, attends=True),
    "civ3d_mha_standalone": partial(civ3d, sharing=False, attends=True),
    "srs_sharing": srs_sharing,
    "srs_standalone": srs_standalone,
    "crs_sharing": crs_sharing,
    "crs_standalone": crs_standalone,
}
