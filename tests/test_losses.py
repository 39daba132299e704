"""Losses against torch's own, against hand-worked numbers, and what they must not see."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from murine.config import TrainingSettings
from murine.errors import ConfigError, InputError
from murine.models.contract import Output
from murine.train.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    make_loss,
    mean_loss,
    probabilities,
)


def value(
    loss: CrossEntropy | BinaryCrossEntropy, output: Output, target: Tensor, mask: Tensor | None = None
) -> Tensor:
    return mean_loss(loss.sums(output, target, mask), loss.counts(target, mask))


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def classes(seed: int, *shape: int, n: int = 3, low: int = -1) -> Tensor:
    return torch.randint(low, n, shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), b=st.integers(1, 3), t=st.integers(1, 6))
def test_cross_entropy_is_the_mean_over_labelled_frames(seed: int, b: int, t: int) -> None:
    logits, target = draw(seed, b, t, 3), classes(seed, b, t)
    labelled = target >= 0
    expected = (
        F.cross_entropy(logits[labelled], target[labelled]) if labelled.any() else torch.tensor(0.0)
    )
    torch.testing.assert_close(value(CrossEntropy(), Output(logits), target), expected)


def test_class_weights_by_hand() -> None:
    # ln 2 for each of three frames at equal logits; weights 1, 1, 4 over three frames: 2 ln 2
    target = torch.tensor([[0, 0, 1]])
    loss = CrossEntropy(torch.tensor([1.0, 4.0]))
    assert value(loss, Output(torch.zeros(1, 3, 2)), target).item() == pytest.approx(2 * math.log(2))


def test_weights_do_not_cancel_in_a_batch_of_one() -> None:
    loss = CrossEntropy(torch.tensor([1.0, 4.0]))
    rare = value(loss, Output(torch.zeros(1, 1, 2)), torch.tensor([[1]]))
    common = value(loss, Output(torch.zeros(1, 1, 2)), torch.tensor([[0]]))
    assert rare.item() == pytest.approx(4 * common.item())


def test_unlabelled_frames_give_no_gradient() -> None:
    logits = draw(0, 1, 4, 3).requires_grad_()
    target = torch.tensor([[0, -1, 2, -1]])
    value(CrossEntropy(), Output(logits), target).backward()
    assert logits.grad is not None
    assert (logits.grad[0, [1, 3]] == 0).all()
    assert (logits.grad[0, [0, 2]] != 0).all()


def test_a_batch_without_labels_costs_nothing() -> None:
    logits = draw(0, 1, 4, 3).requires_grad_()
    loss = value(CrossEntropy(), Output(logits), torch.full((1, 4), -1))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_smoothing_by_hand() -> None:
    # two frames, two behaviours; log-probabilities differ by d0, d1; weight 0.15, averaged over 2
    logits = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])
    log_p = logits.log_softmax(-1)
    expected = 0.15 * ((log_p[0, 1] - log_p[0, 0]) ** 2).mean() + F.cross_entropy(
        logits[0], torch.tensor([0, 0])
    )
    got = value(CrossEntropy(smoothing=0.15), Output(logits), torch.zeros(1, 2, dtype=torch.long))
    torch.testing.assert_close(got, expected)


def test_smoothing_is_truncated_at_sixteen() -> None:
    logits = torch.tensor([[[0.0, 0.0], [100.0, 0.0]]])
    smooth = value(CrossEntropy(smoothing=1.0), Output(logits), torch.full((1, 2), -1))
    # behaviour 0 goes from -ln 2 to 0, behaviour 1 from -ln 2 to -100: ln(2)^2 and 16
    assert smooth.item() == pytest.approx((math.log(2) ** 2 + 16) / 2, rel=1e-5)


def test_smoothing_holds_the_previous_frame_still() -> None:
    logits = draw(1, 1, 2, 3).requires_grad_()
    value(CrossEntropy(smoothing=1.0), Output(logits), torch.full((1, 2), -1)).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 0] == 0).all()
    assert (logits.grad[0, 1] != 0).any()


def test_padding_changes_nothing() -> None:
    loss = CrossEntropy(smoothing=0.15)
    logits, target = draw(2, 1, 5, 3), classes(2, 1, 5, low=0)
    short = value(loss, Output(logits), target, torch.ones(1, 5, dtype=torch.bool))
    longer = torch.cat([logits, draw(3, 1, 4, 3) * 9], dim=1)
    mask = torch.arange(9)[None] < 5
    long = value(loss, Output(longer), F.pad(target, (0, 4), value=-1), mask)
    torch.testing.assert_close(long, short)


def test_stages_add_up() -> None:
    stages = [draw(i, 2, 5, 3) for i in range(3)]
    target = classes(0, 2, 5)
    loss = CrossEntropy(smoothing=0.15)
    together = value(loss, Output(stages[2], tuple(stages[:2])), target)
    alone = sum(value(loss, Output(s), target) for s in stages)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", list(LOSSES))
def test_parts_of_a_batch_add_up_to_the_batch(name: str) -> None:
    exclusive = not name.startswith("binary")
    loss = make_loss(TrainingSettings(loss=name), exclusive=exclusive)
    logits = draw(5, 4, 6, 3)
    target = classes(5, 4, 6) if exclusive else classes(5, 4, 6, 3, n=2).float()
    mask = torch.ones(4, 6, dtype=torch.bool)
    whole = value(loss, Output(logits), target, mask)  # type: ignore[arg-type]
    parts = [slice(0, 1), slice(1, 4)]
    sums = torch.stack([loss.sums(Output(logits[p]), target[p], mask[p]) for p in parts]).sum(0)
    counts = torch.stack([loss.counts(target[p], mask[p]) for p in parts]).sum(0)
    torch.testing.assert_close(mean_loss(sums, counts), whole)


@pytest.mark.parametrize("name", list(LOSSES))
def test_right_is_better_than_wrong(name: str) -> None:
    exclusive = not name.startswith("binary")
    loss = make_loss(TrainingSettings(loss=name), exclusive=exclusive)
    truth = torch.tensor([[0] * 20 + [1] * 20])
    target = truth if exclusive else F.one_hot(truth, 2).float()
    right = (F.one_hot(truth, 2).float() * 2 - 1) * 3
    order = [value(loss, Output(right * s), target).item() for s in (1.0, 0.0, -1.0)]  # type: ignore[arg-type]
    assert order == sorted(order)


def test_binary_by_hand_and_ignored_cells() -> None:
    logits = draw(6, 2, 3, 2)
    target = torch.tensor([[[1.0, 0.0], [-1, -1], [0, 1]], [[0, 0], [1, -1], [-1, 0]]])
    seen = target >= 0
    weights = torch.tensor([[0.6, 3.0], [0.8, 2.0]])
    each = F.binary_cross_entropy_with_logits(logits, target.clamp(min=0), reduction="none")
    factor = torch.tensor([[[3.0, 0.8], [0, 0], [0.6, 2.0]], [[0.6, 0.8], [3.0, 0], [0, 0.8]]])
    got = value(BinaryCrossEntropy(weights), Output(logits), target)
    torch.testing.assert_close(got, (each * factor).sum() / seen.sum())


def test_low_precision_logits_are_lossless_inside() -> None:
    logits = draw(7, 1, 5, 3).bfloat16()
    got = value(CrossEntropy(), Output(logits), classes(7, 1, 5))
    assert got.dtype == torch.float32


def test_probabilities() -> None:
    logits = draw(8, 2, 4, 3)
    torch.testing.assert_close(probabilities(logits, exclusive=True).sum(-1), torch.ones(2, 4))
    torch.testing.assert_close(probabilities(logits, exclusive=False), logits.sigmoid())


def test_a_loss_that_does_not_suit_is_refused() -> None:
    with pytest.raises(ConfigError, match="binary_cross_entropy"):
        make_loss(TrainingSettings(), exclusive=False)
    with pytest.raises(ConfigError, match="exclude each other"):
        make_loss(TrainingSettings(loss="binary_cross_entropy"), exclusive=True)
    with pytest.raises(InputError, match="Did you mean"):
        make_loss(TrainingSettings(loss="cross_entropi"), exclusive=True)
