"""Losses for rare and short behaviours by hand: focal, class-balanced, boundary; padding and unknown frames."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from murine.config import TrainingSettings
from murine.data.sampling import binary_weights, class_weights, effective_number
from murine.models.contract import Output
from murine.train.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    make_loss,
    mean_loss,
)

Made = CrossEntropy | BinaryCrossEntropy


def value(loss: Made, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    return mean_loss(loss.sums(Output(logits), target, mask), loss.counts(target, mask))


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_focal_by_hand() -> None:
    # p of what is shown: 3/4 and 1/4; (1 - p)^2 (-ln p), the mean of both
    logits = torch.tensor([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])
    expected = (0.25**2 * -math.log(0.75) + 0.75**2 * -math.log(0.25)) / 2
    assert value(CrossEntropy(gamma=2.0), logits, torch.tensor([[0, 1]])).item() == pytest.approx(
        expected
    )
    one = torch.tensor([[[math.log(3.0)], [math.log(3.0)]]])
    binary = BinaryCrossEntropy(gamma=2.0)
    assert value(binary, one, torch.tensor([[[1.0], [0.0]]])).item() == pytest.approx(expected)


def test_focal_with_weights_and_unknown_frames() -> None:
    logits, target = draw(0, 2, 6, 3), torch.tensor([[0, 1, -1, 2, 2, -1], [0, 0, 0, -1, 1, 2]])
    weights = torch.tensor([1.0, 4.0, 0.5])
    known = target >= 0
    log_p = F.log_softmax(logits, -1)[known]
    shown = log_p.gather(1, target[known][:, None])[:, 0]
    expected = (-((1 - shown.exp()) ** 3) * shown * weights[target[known]]).mean()
    torch.testing.assert_close(value(CrossEntropy(weights, gamma=3.0), logits, target), expected)


def test_gamma_0_is_plain_cross_entropy() -> None:
    settings = TrainingSettings(loss="focal", focal_gamma=0.0)
    logits, target = draw(1, 1, 5, 3), torch.tensor([[0, 1, 2, 1, 0]])
    made = make_loss(settings, exclusive=True)
    plain = F.cross_entropy(logits[0], target[0])
    torch.testing.assert_close(
        mean_loss(made.sums(Output(logits), target, None), made.counts(target, None)), plain
    )


def test_focal_slope_is_finite_where_nothing_is_left_to_learn() -> None:
    for loss, target in (
        (CrossEntropy(gamma=0.5), torch.tensor([[0]])),
        (BinaryCrossEntropy(gamma=0.5), torch.tensor([[[1.0, 0.0]]])),
    ):
        logits = torch.tensor([[[80.0, -80.0]]], requires_grad=True)
        value(loss, logits, target).backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_boundary_by_hand() -> None:
    # p = (3/4, 1/4) then (1/4, 3/4): the same behaviour twice has 2 x 3/16, another one 5/8
    logits = torch.tensor([[[math.log(3.0), 0.0], [0.0, math.log(3.0)], [0.0, math.log(3.0)]]])
    target = torch.tensor([[0, 1, 1]])
    loss = CrossEntropy(boundary=2.0)
    plain = value(CrossEntropy(), logits, target).item()
    expected = 2 * (-math.log(5 / 8) - math.log(1 / 16 + 9 / 16)) / 2
    assert value(loss, logits, target).item() - plain == pytest.approx(expected, rel=1e-5)
    single = torch.tensor([[[math.log(3.0)], [-math.log(3.0)], [-math.log(3.0)]]])
    truth = torch.tensor([[[1.0], [0.0], [0.0]]])
    binary = BinaryCrossEntropy(boundary=2.0)
    apart = value(binary, single, truth).item() - value(BinaryCrossEntropy(), single, truth).item()
    assert apart == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", list(LOSSES))
def test_unknown_frames_and_padding_change_nothing(name: str) -> None:
    exclusive = not name.startswith("binary")
    settings = TrainingSettings(loss=name, boundary_weight=0.5)
    loss = make_loss(settings, exclusive=exclusive)
    target = torch.tensor([[0, 1, 1, -1, 2]])
    if not exclusive:
        target = torch.where(target[..., None] < 0, -1.0, F.one_hot(target.clamp(min=0), 3).float())
    logits = draw(2, 1, 5, 3).requires_grad_()
    mask = torch.ones(1, 5, dtype=torch.bool)
    short = mean_loss(loss.sums(Output(logits), target, mask), loss.counts(target, mask))
    longer = torch.cat([logits, draw(3, 1, 4, 3) * 9], dim=1)
    padding = (0, 4) if exclusive else (0, 0, 0, 4)
    far = F.pad(target, padding, value=-1)
    wide = torch.arange(9)[None] < 5
    torch.testing.assert_close(
        mean_loss(loss.sums(Output(longer), far, wide), loss.counts(far, wide)), short
    )
    short.backward()
    assert logits.grad is not None
    unknown = logits.grad[0, 3].abs().sum()
    assert (unknown == 0) == (not name.endswith("smoothing")), (
        "smoothing alone knows of unlabelled frames"
    )


def test_boundaries_next_to_an_unknown_frame_do_not_count() -> None:
    loss = CrossEntropy(boundary=1.0)
    target = torch.tensor([[0, -1, 1, 1]])
    assert loss.counts(target, None).tolist() == [3, 3, 1]


def test_effective_numbers() -> None:
    counts = np.array([1.0, 10.0, 1e6])
    assert effective_number(counts, 1.0) is counts
    assert effective_number(counts, 0.9) == pytest.approx([1, (1 - 0.9**10) / 0.1, 10])
    assert effective_number(counts, 0.0) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1.0])
def test_class_balanced_weights_average_to_one(beta: float) -> None:
    counts = np.array([10.0, 1000.0, 0.0, 90.0])
    weights = class_weights(counts, list("abcd"), absent="zero", beta=beta)
    assert (weights * counts).sum() == pytest.approx(counts.sum())
    assert weights[2] == 0
    known = weights[counts > 0]
    number = effective_number(counts[counts > 0], beta)
    assert known[0] / known[1] == pytest.approx(number[1] / number[0], rel=1e-5)
    both = binary_weights(np.array([10.0]), np.array([100.0]), ["a"], beta=beta)[0]
    assert 90 * both[0] + 10 * both[1] == pytest.approx(100)
    ends = effective_number(np.array([90.0, 10.0]), beta)
    assert both[1] / both[0] == pytest.approx(ends[0] / ends[1], rel=1e-5)


def test_beta_1_is_the_inverse_frequency() -> None:
    counts = np.array([10.0, 1000.0, 90.0])
    assert class_weights(counts, list("abc")) == pytest.approx(counts.sum() / (3 * counts))


def test_a_recipe_chooses_each() -> None:
    settings = TrainingSettings(
        loss="focal_smoothing", focal_gamma=1.5, smoothing_weight=0.001, boundary_weight=0.2
    )
    assert make_loss(settings, exclusive=True) == CrossEntropy(None, 0.001, 1.5, 0.2)
    binary = replace(settings, loss="binary_focal_smoothing")
    assert make_loss(binary, exclusive=False) == BinaryCrossEntropy(None, 0.001, 1.5, 0.2)
    plain = replace(settings, loss="cross_entropy")
    assert make_loss(plain, exclusive=True) == CrossEntropy(None, 0.0, 0.0, 0.2)
