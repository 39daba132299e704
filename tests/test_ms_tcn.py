"""MS-TCN++: padding, view in time, causality, numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from murine.errors import ConfigError, InputError
from murine.models import Model, create_model

SMALL = {"maps": 8, "generator_layers": 4, "refinement_stages": 2, "refinement_layers": 3}


def build(features: int = 3, classes: int = 4, **settings: object) -> Model:
    given = {**SMALL, **settings}
    return create_model("ms_tcn_pp", classes=classes, features=features, settings=given).eval()


def pose(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(model: Model, x: Tensor, mask: Tensor | None = None) -> list[Tensor]:
    with torch.no_grad():
        output = model({"pose": x} if mask is None else {"pose": x, "mask": mask})
    return [*output.stages, output.logits]


def test_published_size() -> None:
    with torch.device("meta"):
        model = create_model("ms_tcn_pp", classes=4, features=28)
    assert round(model.keras_parameters() / 1e6, 2) == 0.86
    # Generator: in 28 x 64 + 64; 11 x (2 dilated + fuse); out. Refinement: in, 10 x (dilated + mix), out.
    dilated, mix, out = 3 * 64 * 64 + 64, 64 * 64 + 64, 64 * 4 + 4
    generator = (28 * 64 + 64) + 11 * (2 * dilated + 128 * 64 + 64) + out
    refinement = (4 * 64 + 64) + 10 * (dilated + mix) + out
    assert model.keras_parameters() == generator + 3 * refinement == 861_776


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_padded_batch_equals_each_alone(causal: bool, exclusive: bool) -> None:
    model = build(causal=causal, exclusive=exclusive)
    lengths = (40, 23, 5)
    x = torch.full((3, 40, 3), float("nan"))  # padding may hold anything
    mask = torch.zeros(3, 40, dtype=torch.bool)
    for i, n in enumerate(lengths):
        x[i, :n] = pose(n, 3, seed=i)
        mask[i, :n] = True
    together = run(model, x, mask)
    for i, n in enumerate(lengths):
        for stage, alone in zip(together, run(model, x[i : i + 1, :n]), strict=True):
            torch.testing.assert_close(stage[i, :n], alone[0], rtol=1e-4, atol=1e-5)
            assert not stage[i, n:].any()


def reach(model: Model, frames: int) -> list[Tensor]:
    """Per stage: which frames the logits of the middle frame depend on."""
    x = pose(1, frames, 3).double().requires_grad_()
    output = model.double()({"pose": x})
    seen = []
    for stage in (*output.stages, output.logits):
        x.grad = None
        stage[0, frames // 2].sum().backward(retain_graph=True)
        seen.append(x.grad[0].abs().sum(-1).nonzero().flatten())
    return seen


def test_view_in_time() -> None:
    model = build(exclusive=False)
    # Generator of 4: dilations (8 1) (4 2) (2 4) (1 8): 8 + 4 + 4 + 8 = 24 each way; a refinement of 3: 7.
    for frames, each_way in zip(reach(model, 121), (24, 31, 38), strict=True):
        assert (frames.min().item(), frames.max().item()) == (60 - each_way, 60 + each_way)


def test_view_of_the_published_generator() -> None:
    model = build(maps=2, generator_layers=11, refinement_stages=0)
    x = torch.zeros(1, 9001, 3)
    before = run(model, x)[0][0]
    x[0, 4500] = 100.0
    changed = (run(model, x)[0][0] != before).any(-1).nonzero()
    assert changed.max() - changed.min() + 1 <= 8001
    dilations = [layer.falling.dilation[0] for layer in model.generator.layers]
    assert dilations == [2**i for i in reversed(range(11))]
    assert 1 + 2 * sum(max(d, 2**i) for i, d in enumerate(dilations)) == 8001


def test_causal_sees_no_later_frame() -> None:
    for frames in reach(build(causal=True), 121):
        assert frames.max().item() == 60
    for frames in reach(build(causal=False), 121):
        assert frames.max().item() > 60


def test_last_stage_is_the_answer_and_refines_the_one_before() -> None:
    model = build()
    stages = run(model, pose(2, 30, 3))
    assert len(stages) == 3
    mask = torch.ones(2, 1, 30)
    with torch.no_grad():
        belief = stages[1].transpose(1, 2).softmax(1)
        expected = model.refinements[1](belief, mask).transpose(1, 2)
    torch.testing.assert_close(stages[2], expected)


@pytest.mark.parametrize("exclusive", [True, False])
def test_numbers_are_those_of_plain_numpy(exclusive: bool) -> None:
    model = build(exclusive=exclusive)
    x = pose(1, 25, 3)
    state = {key: value.double().numpy() for key, value in model.state_dict().items()}

    def conv(x: np.ndarray, name: str, dilation: int = 1) -> np.ndarray:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        out = np.tile(bias, (len(x), 1))
        for t in range(len(x)):
            for k in range(weight.shape[2]):
                at = t + (k - weight.shape[2] // 2) * dilation
                if 0 <= at < len(x):
                    out[t] += weight[:, :, k] @ x[at]
        return out

    value = conv(x[0].double().numpy(), "generator.enter")
    for i in range(4):
        name = f"generator.layers.{i}"
        both = [conv(value, f"{name}.falling", 2 ** (3 - i)), conv(value, f"{name}.rising", 2**i)]
        value = value + np.maximum(conv(np.concatenate(both, 1), f"{name}.fuse"), 0)
    stages = [conv(value, "generator.leave")]
    for r in range(2):
        odds = np.exp(stages[-1])
        belief = odds / odds.sum(1, keepdims=True) if exclusive else odds / (1 + odds)
        value = conv(belief, f"refinements.{r}.enter")
        for i in range(3):
            name = f"refinements.{r}.layers.{i}"
            value = value + conv(np.maximum(conv(value, f"{name}.dilated", 2**i), 0), f"{name}.mix")
        stages.append(conv(value, f"refinements.{r}.leave"))
    for ours, theirs in zip(run(model, x), stages, strict=True):
        np.testing.assert_allclose(ours[0].numpy(), theirs, rtol=1e-3, atol=1e-5)


def test_wrong_features_and_kernels_are_refused() -> None:
    with pytest.raises(InputError, match="5 pose features came; this network is built for 3"):
        run(build(), pose(1, 10, 5))
    with pytest.raises(ConfigError, match="kernel must be odd"):
        build(kernel=4)
