"""The networks alone: clips or frames per second against their multiply-adds at the machine's best rate.

The floor of a network is its multiply-adds (of convolutions and dense layers, padding included) divided by
the rate of the faster of two plain kernels measured here, a matrix product and a 3 x 3 x 3 convolution of
64 channels. Training counts three times the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import Figure, peak_memory, seconds_of
from murine.models import Model, create_model
from murine.models.blocks import max_pool
from murine.train.device import keep_freed_memory

CLIPS = 8
FRAMES = 4000
FEATURES = 28


def main(quick: bool) -> list[Figure]:
    # As training does. Prediction gives freed memory back, and is up to a tenth slower for it.
    keep_freed_memory(torch.device("cpu"))
    rates = {mixed: best_rate(quick, mixed) for mixed in (False, True)}
    pooling = pooling_figure(quick)
    figures = []
    # The largest comes last: peak memory only grows.
    for name in ("ms_tcn_pp", "baseline_sharing", "srs_sharing"):
        model, batch, units, unit = prepared(name, quick)
        work = multiply_adds(model, batch) / units
        for mixed, rate in rates.items():
            precision = ", bfloat16" if mixed else ""
            for verb, step, passes in (
                ("predicts", predicting(model, batch, mixed), 1),
                ("trains", training(model, batch, mixed), 3),
            ):
                seconds = seconds_of(step, 1 if quick else 3)
                floor_is = f"{passes} x {work / 1e6:,.1f} M multiply-adds each at {rate / 1e9:,.0f} G/s"
                title = f"{name} {verb}{precision}"
                figures.append(Figure(title, units / seconds, unit, rate / work / passes, floor_is))
        if name == "srs_sharing":
            kept = (
                4 * kept_values(model, batch) + 8 * sum(p.numel() for p in model.parameters())
            ) / 2**20
            figures.append(
                Figure(
                    f"{name} trains, {units} clips, peak memory",
                    peak_memory(),
                    "MiB",
                    kept,
                    "weights, gradients and every layer's output, once, in float32",
                    lower=True,
                )
            )
    return [*figures, pooling]


def best_rate(quick: bool, mixed: bool) -> float:
    """Return multiply-adds per second of the faster of two plain kernels, in one precision."""
    n, size = (512, 8) if quick else (2048, 32)
    kind = torch.bfloat16 if mixed else torch.float32
    a, b = torch.randn(n, n).to(kind), torch.randn(n, n).to(kind)
    layout = torch.channels_last_3d
    weight = torch.randn(64, 64, 3, 3, 3).to(kind).contiguous(memory_format=layout)
    x = torch.randn(2, 64, 8, size, size).to(kind).contiguous(memory_format=layout)
    with torch.inference_mode():
        product = n**3 / seconds_of(lambda: a @ b)
        convolution = (
            x[:, 0].numel() * weight.numel() / seconds_of(lambda: F.conv3d(x, weight, padding=1))
        )
    return float(max(product, convolution))


def prepared(name: str, quick: bool) -> tuple[Model, dict[str, Tensor], int, str]:
    """Return a network, a batch, how many units the batch holds, and their unit."""
    if name == "ms_tcn_pp":
        frames = 200 if quick else FRAMES
        model = create_model(name, classes=4, features=FEATURES)
        return model, {"pose": torch.randn(1, frames, FEATURES)}, frames, "frames/s"
    settings: dict[str, Any] = {"width": 0.25, "size": [64, 64]} if quick else {}
    model = create_model(name, classes=8, settings=settings)
    size = (CLIPS, 3, 8, *settings.get("size", [128, 128]))
    clips = {key: torch.randint(0, 256, size, dtype=torch.uint8) for key in ("rgb", "flow")}
    return model, clips, CLIPS, "clips/s"


def predicting(model: Model, batch: dict[str, Tensor], mixed: bool = False) -> Callable[[], object]:
    def step() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return model.eval()(batch)

    return step


def training(model: Model, batch: dict[str, Tensor], mixed: bool) -> Callable[[], object]:
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = model.train()(batch).logits.float().flatten(0, 1)
        loss: Any = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        loss.backward()
        optimizer.step()

    return step


def layer_outputs(model: Model, batch: dict[str, Tensor]) -> list[tuple[Tensor, torch.Size]]:
    """Return the weights of every layer that a batch passes, and the shape of what the layer gives."""
    seen: list[tuple[Tensor, torch.Size]] = []
    layers = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv3d | nn.Linear)]
    hooks = [
        layer.register_forward_hook(
            lambda module, inputs, output: seen.append((module.weight, output.shape))
        )
        for layer in layers
    ]
    # In float32 the layers of MS-TCN compute without their convolutions' own calls.
    predicting(model, batch, mixed="pose" in batch)()
    for hook in hooks:
        hook.remove()
    return seen


def multiply_adds(model: Model, batch: dict[str, Tensor]) -> int:
    """Return the multiply-adds of one forward pass of a batch."""
    passed = layer_outputs(model, batch)
    return sum(prod(shape) // weight.shape[0] * weight.numel() for weight, shape in passed)


def kept_values(model: Model, batch: dict[str, Tensor]) -> int:
    """Return how many values the layers of one forward pass give."""
    return sum(prod(shape) for _, shape in layer_outputs(model, batch))


def pooling_figure(quick: bool) -> Figure:
    """The max-pooling of the second SRS module, against a copy of its input."""
    shape = (2, 72, 4, 12, 16) if quick else (8, 72, 4, 48, 64)
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last_3d)
    out = torch.empty_like(x)

    with torch.inference_mode():
        size = x.numel() * 4 / 2**20
        return Figure(
            "max_pool, kernel 3, stride 1",
            size / seconds_of(lambda: max_pool(x)),
            "MiB/s",
            size / seconds_of(lambda: out.copy_(x)),
            "a copy: every value read once and written once",
        )
