"""The TCN over embeddings: keras-tcn's block in plain numpy, its count, what it sees, its padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from murine.errors import ConfigError
from murine.models import Model, create_model
from murine.models.temporal_conv import MaskedBatchNorm, TCNHead

Array = NDArray[np.float64]


def build(features: int = 5, classes: int = 3, **settings: object) -> Model:
    model = create_model("tcn", classes=classes, features=features, settings=settings).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=random) * 0.3
                value.copy_(noise.abs() + 0.5 if key.endswith("running_var") else noise)
    return model


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(model: Model, x: Tensor, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model({"embedding": x} if mask is None else {"embedding": x, "mask": mask}).logits


@pytest.mark.parametrize("features", [2048, 1536])
def test_count_by_hand(features: int) -> None:
    with torch.device("meta"):
        model = create_model("tcn", classes=1, features=features)
    first = 3 * features * 256 + 256
    other = 3 * 256 * 256 + 256
    norm = 4 * 256  # scale, shift, mean, variance
    match = features * 256 + 256
    expected = (first + norm) + (other + norm) + match + 5 * 2 * (other + norm) + (256 + 1)
    assert model.keras_parameters() == expected
    assert expected == {2048: 4_275_713, 1536: 3_751_425}[features]


def test_count_of_layers_and_norms_by_hand() -> None:
    def total(**settings: object) -> int:
        with torch.device("meta"):
            return create_model("tcn", classes=1, features=2048, settings=settings).keras_parameters()

    other = 3 * 256 * 256 + 256
    # A second network upon the first: 12 more convolutions of equal widths, so no 1x1.
    assert total(layers=2) - total() == 12 * (other + 4 * 256)
    assert total(stacks=2) - total() == 12 * (other + 4 * 256)
    assert total() - total(norm="none") == 12 * 4 * 256
    assert total() - total(norm="layer") == 12 * 2 * 256
    assert total(norm="weight") - total(norm="none") == 12 * 256
    assert total(kernel=5) - total() == 2 * 256 * (2048 + 11 * 256)


def conv(x: Array, weight: Array, bias: Array, dilation: int, causal: bool) -> Array:
    """(T, in) -> (T, out): tap k of K looks (K - 1 - k) dilations back (causal), or about the frame."""
    taps = weight.shape[2]
    reach = (taps - 1) * dilation
    before = reach if causal else reach // 2
    out = np.tile(bias, (len(x), 1))
    for t in range(len(x)):
        for tap in range(taps):
            at = t - before + tap * dilation
            if 0 <= at < len(x):
                out[t] += weight[:, :, tap] @ x[at]
    return out


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def branch(
    state: Mapping[str, Array], name: str, x: Array, dilation: int, norm: str, causal: bool
) -> Array:
    for part in ("first", "second"):
        own = {k.removeprefix(f"{name}.{part}."): v for k, v in state.items() if f"{name}.{part}." in k}
        if norm == "weight":
            direction = own["conv.parametrizations.weight.original1"]
            length = np.sqrt((direction**2).sum(axis=(1, 2), keepdims=True))
            own["conv.weight"] = own["conv.parametrizations.weight.original0"] * direction / length
        x = conv(x, own["conv.weight"], own["conv.bias"], dilation, causal)
        if norm == "batch":
            x = (x - own["batch.running_mean"]) / np.sqrt(own["batch.running_var"] + 1e-3)
            x = x * own["batch.weight"] + own["batch.bias"]
        if norm == "layer":
            mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
            x = (x - mean) / np.sqrt(variance + 1e-3) * own["layer.weight"] + own["layer.bias"]
        x = relu(x)
    return x


def reference(
    model: Model, x: Array, dilations: Sequence[int], layers: int, norm: str, causal: bool
) -> Array:
    state = {k: v.double().numpy() for k, v in model.state_dict().items()}
    for layer in range(layers):
        skips = []
        for i, dilation in enumerate(dilations):
            name = f"head.layers.{layer}.{i}"
            skips.append(branch(state, name, x, dilation, norm, causal))
            match = state.get(f"{name}.match.weight")
            if match is not None:
                x = x @ match[:, :, 0].T + state[f"{name}.match.bias"]
            if x.shape == skips[-1].shape:
                x = relu(x + skips[-1])
        x = np.sum(skips, axis=0)
    return x @ state["head.classify.weight"].T + state["head.classify.bias"]


@pytest.mark.parametrize(
    ("norm", "kernel", "stacks", "layers", "causal"),
    [
        ("batch", 3, 1, 1, True),
        ("layer", 5, 1, 2, True),
        ("weight", 3, 2, 1, True),
        ("none", 2, 1, 2, False),
        ("batch", 5, 2, 2, False),
    ],
)
def test_numbers_are_those_of_plain_numpy(
    norm: str, kernel: int, stacks: int, layers: int, causal: bool
) -> None:
    settings = {"kernel": kernel, "stacks": stacks, "layers": layers, "causal": causal, "norm": norm}
    model = build(filters=6, dilations=[1, 2, 4], **settings)
    x = rows(2, 40, 5)
    got = run(model, x)
    for i in range(2):
        every = [1, 2, 4] * stacks
        expected = reference(model, x[i].double().numpy(), every, layers, norm, causal)
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(got[i], expected, rtol=1e-3, atol=1e-4)


def seen(frames: int, **settings: object) -> tuple[int, int]:
    """First and last frame whose change changes the logits of the middle frame, counted from there."""
    model = build(features=2, filters=4, norm="none", **settings).double()
    with torch.no_grad():  # a ReLU must not hide anything
        for parameter in model.parameters():
            parameter.abs_()
    x = rows(1, frames, 2).abs().double().requires_grad_()
    mask = torch.ones(1, frames, dtype=torch.bool)
    middle = frames // 2
    model.head(x, mask)[0, middle].sum().backward()
    changed = x.grad[0].abs().sum(-1).nonzero().flatten() - middle
    return int(changed.min()), int(changed.max())


def test_view_of_the_published_network_is_253_frames() -> None:
    """1 + 2 x 2 x (1 + 2 + 4 + 8 + 16 + 32)."""
    assert seen(601) == (-252, 0)
    # And by perturbation: the first frame that notices a change, and the last.
    model = build(features=2, filters=4)
    x = rows(1, 700, 2)
    other = x.clone()
    other[0, 300] += 3
    changed = (run(model, x) != run(model, other))[0].any(-1).nonzero().flatten()
    assert int(changed.min()) == 300
    assert 300 < int(changed.max()) <= 552


def test_view_of_other_settings() -> None:
    assert seen(301, kernel=5, dilations=[1, 2, 4]) == (-56, 0)
    assert seen(301, dilations=[1, 2, 4], stacks=2, layers=2) == (-112, 0)
    assert seen(301, dilations=[1, 2, 4], causal=False) == (-14, 14)


@pytest.mark.parametrize("norm", ["batch", "layer", "weight", "none"])
@pytest.mark.parametrize("causal", [True, False])
def test_padded_batch_equals_each_alone(norm: str, causal: bool) -> None:
    model = build(filters=6, dilations=[1, 2, 4], norm=norm, causal=causal)
    lengths = (40, 23, 5)
    x = torch.full((3, 40, 5), float("nan"))
    mask = torch.zeros(3, 40, dtype=torch.bool)
    for i, n in enumerate(lengths):
        x[i, :n] = rows(n, 5, seed=i)
        mask[i, :n] = True
    together = run(model, x, mask)
    for i, n in enumerate(lengths):
        alone = run(model, x[i : i + 1, :n])[0]
        torch.testing.assert_close(together[i, :n], alone, rtol=1e-4, atol=1e-5)
        assert not together[i, n:].any()


def test_statistics_of_a_batch_leave_padding_out() -> None:
    """Training on padded windows gives the numbers and running statistics of the real frames alone."""
    norm = MaskedBatchNorm(4, momentum=0.25).train()
    mask = torch.ones(3, 1, 10)
    mask[1, :, 6:] = 0
    mask[2, :, 1:] = 0
    x = rows(3, 4, 10) * 2 + 1
    real = x.transpose(1, 2)[mask[:, 0].bool()]
    mean, variance = real.mean(0), real.var(0, unbiased=False)
    got = norm(torch.where(mask.bool(), x, 1e6), mask).transpose(1, 2)[mask[:, 0].bool()]
    torch.testing.assert_close(got, (real - mean) / (variance + norm.eps).sqrt(), rtol=1e-4, atol=1e-4)
    # As in Keras, the running variance is that of the batch itself.
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    torch.testing.assert_close(norm.running_var, 0.75 + 0.25 * variance)


def test_training_on_whole_windows_is_the_librarys_batch_norm() -> None:
    ours, library = MaskedBatchNorm(4).train(), torch.nn.BatchNorm1d(4).train()
    x, weight = rows(3, 4, 10).requires_grad_(), rows(3, 4, 10, seed=1)
    gradients = []
    for layer, arguments in ((ours, (torch.ones(3, 1, 10),)), (library, ())):
        x.grad = None
        (layer(x, *arguments) * weight).sum().backward()
        gradients.append(x.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.weight.grad, library.weight.grad, rtol=1e-4, atol=1e-5)


def test_first_weights_are_those_of_keras() -> None:
    head = TCNHead(512, 1, filters=64)
    weight = head.layers[0][0].first.conv.weight.detach()
    deviation = (2 / (512 * 3)) ** 0.5
    assert float(weight.std()) == pytest.approx(deviation, rel=0.02)
    assert float(weight.abs().max()) <= 2 * deviation / 0.8796 + 1e-6  # cut at two deviations
    norm = head.layers[0][0].first.batch
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)
    assert not head.layers[0][0].match.bias.any()


def test_dropout_takes_whole_channels() -> None:
    layer = TCNHead(3, 1, filters=200, norm="none", dropout=0.5).train().layers[0][0].first
    with torch.no_grad():
        layer.conv.bias.fill_(5.0)
        out = layer(torch.zeros(1, 3, 7), torch.ones(1, 1, 7))[0]
    assert all(set(row.tolist()) in ({0.0}, {10.0}) for row in out)
    assert 60 < int((out[:, 0] == 0).sum()) < 140


def test_bad_settings_in_words() -> None:
    with pytest.raises(ConfigError, match="a TCN needs at least one, such as dilations"):
        create_model("tcn", classes=2, features=3, settings={"dilations": []})
    with pytest.raises(ConfigError, match="'norm' must be one of 'batch', 'layer', 'weight', 'none'"):
        create_model("tcn", classes=2, features=3, settings={"norm": "group"})
