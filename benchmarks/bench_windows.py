"""Windows that overlap: what they share computed once, against the same windows one by one.

Le and Murari's descriptors are of 8 frames with 6 in common with the next; I3D's clips of 16 move on by one
frame, so that 15 are in common. Both ways give the same numbers but for the order of additions; a difference
above a hundred-thousandth of the largest value stops the benchmark. The figure is what it was worth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks import Figure, seconds_of
from murine.models import Model, create_model

TOGETHER = 32
"""Windows that share; one by one they are taken in batches of half as many, which is no slower there."""

LARGEST_DIFFERENCE = 1e-5


def main(quick: bool) -> list[Figure]:
    figures = []
    for name, frames, step in (("c3d", 8, 2), ("c3d", 8, 1), ("i3d_rgb", 16, 1)):
        small = {"width": 0.125, "size": [64, 64]} if quick else {}
        model = create_model(name, classes=8, settings=small).eval()
        count = 8 if quick else TOGETHER
        rates, difference = compared(model, *recording(model, count, step), 1 if quick else 3)
        figures.append(
            Figure(
                f"{name}, {frames - step} of {frames} frames in common",
                rates[0],
                "windows/s",
                rates[1],
                f"no bound but the plain way: window by window, outputs equal to {difference:.0e}",
            )
        )
    return figures


def compared(
    model: Model, clip: Tensor, starts: Tensor, repeats: int
) -> tuple[tuple[float, float], float]:
    """Return windows per second together and one by one, and the largest difference of their outputs."""
    with torch.inference_mode():
        shared, apart = together(model, clip, starts), one_by_one(model, clip, starts)
        difference = float((shared - apart).abs().max() / apart.abs().max())
        if not difference <= LARGEST_DIFFERENCE:
            raise RuntimeError(f"outputs differ by {difference:.1e} of the largest")
        rates = (
            len(starts) / seconds_of(lambda: together(model, clip, starts), repeats),
            len(starts) / seconds_of(lambda: one_by_one(model, clip, starts), repeats),
        )
    return rates, difference


def recording(model: Model, count: int, step: int) -> tuple[Tensor, Tensor]:
    """Return a clip that is just as long as so many windows need, and where these begin."""
    frames = model.window or 1
    size = model.configuration["settings"]["size"]
    starts = torch.arange(count) * step
    clip = torch.randint(0, 256, (3, frames + (count - 1) * step, *size), dtype=torch.uint8)
    return clip, starts


def together(model: Model, clip: Tensor, starts: Tensor) -> Tensor:
    return model.describe_windows(clip, starts, TOGETHER)


def one_by_one(model: Model, clip: Tensor, starts: Tensor) -> Tensor:
    size = model.window or 1
    return torch.cat(
        [
            model.describe({"rgb": torch.stack([clip[:, s : s + size] for s in part.tolist()])})
            for part in starts.split(TOGETHER // 2)
        ]
    )
