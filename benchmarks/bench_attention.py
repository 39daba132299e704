"""ASFormer beside MS-TCN++ in time and memory: the study on CalMS21 reports ten and eight times as much.

Both train on the same recording in the same process, by turns, so that another load meets both alike; MS-TCN++ is
the "floor". Memory is what a forward pass keeps for the gradient, counted and not measured.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import Figure, seconds_of
from murine.models import Model, create_model

FRAMES = 4000
FEATURES = 28
TURNS = 3


def main(quick: bool) -> list[Figure]:
    """Return seconds of a training step and of a prediction, and MiB kept for the gradient."""
    frames = 300 if quick else FRAMES
    batch = {"pose": torch.randn(1, frames, FEATURES)}
    ours, other = (create_model(n, classes=4, features=FEATURES) for n in ("asformer", "ms_tcn_pp"))
    reported = {"trains": "10 times", "predicts": "20 times"}
    figures = []
    for verb, make in (("trains", training), ("predicts", predicting)):
        pairs = [
            (seconds_of(make(ours, batch), 1), seconds_of(make(other, batch), 1))
            for _ in range(1 if quick else TURNS)
        ]
        own, theirs = (min(values) for values in zip(*pairs, strict=True))
        words = f"MS-TCN++ on the same frames; reported of the released code: {reported[verb]}"
        figures.append(Figure(f"asformer {verb}, {frames} frames", own, "s", theirs, words, lower=True))
    kept = [kept_bytes(model, batch) / 2**20 for model in (ours, other)]
    words = "MS-TCN++ on the same frames; reported of the released code: 8 times"
    figures.append(
        Figure(f"asformer keeps, {frames} frames", kept[0], "MiB", kept[1], words, lower=True)
    )
    return figures


def training(model: Model, batch: dict[str, Tensor]) -> Callable[[], object]:
    """Return a step forwards and backwards, all stages judged."""

    def step() -> None:
        output = model.train()(batch)
        sum(s.float().logsumexp(-1).mean() for s in (*output.stages, output.logits)).backward()

    return step


def predicting(model: Model, batch: dict[str, Tensor]) -> Callable[[], object]:
    """Return a pass forwards."""

    def step() -> object:
        with torch.inference_mode():
            return model.eval()(batch)

    return step


def kept_bytes(model: Model, batch: dict[str, Tensor]) -> int:
    """Return how many bytes a pass in training keeps for the gradient, weights aside, each piece of memory once."""
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    seen: dict[int, int] = {}
    held = []  # what is kept must not be freed and its place given away while it is counted

    def keep(value: Tensor) -> Tensor:
        place = value.untyped_storage()
        if place.data_ptr() not in own:
            seen[place.data_ptr()] = place.nbytes()
        held.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        model.train()(batch)
    return sum(seen.values())
