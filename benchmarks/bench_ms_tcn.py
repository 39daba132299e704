"""MS-TCN++: frames per second over its multiply-adds, and beside a plain eager build of the published layout.

The plain build takes one recording at a time, as the papers' programs do; its layers are torch's own. Both hold the
same weights, train with the same loss and optimiser on the same recordings by turns in this process, and must give
the same logits; a difference stops the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import Figure, seconds_of
from benchmarks.bench_models import best_rate, multiply_adds
from murine.models import Model, create_model
from murine.train.device import keep_freed_memory

FEATURES = 28
CLASSES = 4
MAPS = 64
RECORDINGS = 4
FRAMES = 4000
TURNS = 4
LARGEST_DIFFERENCE = 1e-5
"""Of the largest logit."""


def main(quick: bool) -> list[Figure]:
    """Return frames/s of training and of prediction, over the floor and beside the plain build."""
    keep_freed_memory(torch.device("cpu"))
    frames, turns = (300, 1) if quick else (FRAMES, TURNS)
    ours = create_model("ms_tcn_pp", classes=CLASSES, features=FEATURES)
    plain = Plain()
    take_weights(plain, ours)
    poses = torch.randn(RECORDINGS, frames, FEATURES)
    compare(ours, plain, poses[:1])
    rate = best_rate(quick, mixed=False)
    work = multiply_adds(ours, {"pose": poses[:1]}) / frames
    figures = []
    for verb, passes, make in (("trains", 3, training), ("predicts", 1, predicting)):
        steps = make(own_stages(ours), ours, [poses]), make(plain, plain, list(poses.split(1)))
        pairs = [tuple(seconds_of(step, 1) for step in steps) for _ in range(turns + 1)][1:]
        mine, theirs = (RECORDINGS * frames / min(times) for times in zip(*pairs, strict=True))
        floor_is = f"{passes} x {work / 1e6:,.2f} M multiply-adds each at {rate / 1e9:,.0f} G/s"
        figures.append(Figure(f"ms_tcn_pp {verb}", mine, "frames/s", rate / work / passes, floor_is))
        words = "no bound but the plain way: one recording at a time through torch's own layers"
        figures.append(
            Figure(f"ms_tcn_pp {verb}, beside the plain build", mine, "frames/s", theirs, words)
        )
    return figures


def dilated(dilation: int) -> nn.Conv1d:
    return nn.Conv1d(MAPS, MAPS, 3, padding=dilation, dilation=dilation)


class PlainDual(nn.Module):
    """A layer of the generator: two dilated convolutions, joined by one of a single tap."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.first, self.second = dilated(first), dilated(second)
        self.join = nn.Conv1d(2 * MAPS, MAPS, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        joined = self.join(torch.cat([self.first(x), self.second(x)], dim=1))
        return x + self.dropout(F.relu(joined))  # type: ignore[no-any-return]


class PlainRefining(nn.Module):
    """A layer of a refinement: a dilated convolution, then one of a single tap."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilated = dilated(dilation)
        self.mix = nn.Conv1d(MAPS, MAPS, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return x + self.dropout(self.mix(F.relu(self.dilated(x))))  # type: ignore[no-any-return]


class Plain(nn.Module):
    """Eleven dual layers, then three refinements of ten, each fed with the softmax of the stage before."""

    def __init__(self) -> None:
        super().__init__()
        dual = [PlainDual(2 ** (10 - i), 2**i) for i in range(11)]
        self.stages = nn.ModuleList([self._stage(FEATURES, dual)])
        for _ in range(3):
            self.stages.append(self._stage(CLASSES, [PlainRefining(2**i) for i in range(10)]))

    @staticmethod
    def _stage(inputs: int, layers: list[nn.Module]) -> nn.Sequential:
        return nn.Sequential(nn.Conv1d(inputs, MAPS, 1), *layers, nn.Conv1d(MAPS, CLASSES, 1))

    def forward(self, pose: Tensor) -> list[Tensor]:
        """(B, T, F) -> logits (B, C, T) of each stage."""
        x, found = pose.transpose(1, 2), []
        for stage in self.stages:
            found.append(stage(x))
            x = found[-1].softmax(dim=1)
        return found


def take_weights(plain: Plain, ours: Model) -> None:
    """Give the plain build our weights; both name them in the order that a frame meets them."""
    with torch.no_grad():
        for theirs, own in zip(plain.parameters(), ours.parameters(), strict=True):
            theirs.copy_(own)


def own_stages(model: Model) -> Callable[[Tensor], list[Tensor]]:
    def compute(pose: Tensor) -> list[Tensor]:
        output = model({"pose": pose})
        return [stage.transpose(1, 2) for stage in (*output.stages, output.logits)]

    return compute


def compare(ours: Model, plain: Plain, pose: Tensor) -> None:
    """Raise RuntimeError where the two differ."""
    ours.eval()
    plain.eval()
    with torch.inference_mode():
        for own, theirs in zip(own_stages(ours)(pose), plain(pose), strict=True):
            difference = float((own - theirs).abs().max() / theirs.abs().max())
            if not difference <= LARGEST_DIFFERENCE:
                raise RuntimeError(
                    f"logits differ from the plain build's by {difference:.1e} of the largest"
                )


def loss_of(stages: list[Tensor]) -> Tensor:
    """Return cross-entropy and the smoothing loss (squared steps of log-probabilities, cut at 16), all stages."""
    total = stages[0].new_zeros(())
    for logits in stages:
        labels = torch.zeros(logits.shape[0], logits.shape[2], dtype=torch.long)
        known = logits.log_softmax(dim=1)
        steps = (known[..., 1:] - known[..., :-1].detach()).square().clamp(max=16)
        total = total + F.nll_loss(known, labels) + 0.15 * steps.mean()
    return total


def training(
    compute: Callable[[Tensor], list[Tensor]], module: nn.Module, batches: list[Tensor]
) -> Callable[[], object]:
    """Return an epoch: a step of the optimiser for each batch."""
    optimiser = torch.optim.Adam(module.parameters(), 5e-4)

    def epoch() -> None:
        module.train()
        for batch in batches:
            optimiser.zero_grad()
            loss_of(compute(batch)).backward()
            optimiser.step()

    return epoch


def predicting(
    compute: Callable[[Tensor], list[Tensor]], module: nn.Module, batches: list[Tensor]
) -> Callable[[], object]:
    """Return a pass over all batches."""

    def epoch() -> None:
        module.eval()
        with torch.inference_mode():
            for batch in batches:
                compute(batch)

    return epoch
