"""The LSTM over embeddings against a plain numpy version of Keras' layer, and its published counts."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from murine.errors import ConfigError, InputError
from murine.models import Model, Output, create_model
from murine.models.recurrent import LSTMHead

Array = NDArray[np.float64]


def build(features: int = 5, classes: int = 3, **settings: object) -> Model:
    model = create_model("lstm", classes=classes, features=features, settings=settings).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.6)
    return model


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(model: Model, x: Tensor, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model({"embedding": x} if mask is None else {"embedding": x, "mask": mask}).logits


@pytest.mark.parametrize(
    ("features", "classes", "units", "total"),
    [
        # Table 4.1 of the thesis: ResNet50V2 and InceptionResNetV2.
        (2048, 1, [64, 32, 16], 556_497),
        (1536, 1, [64, 32], 422_305),
        # Le and Murari: 4 x 512 x (2048 + 512 + 1), twice 4 x 512 x (512 + 512 + 1), 512 x 8 + 8.
        (2048, 8, [512, 512, 512], 5_244_928 + 2 * 2_099_200 + 4_104),
    ],
)
def test_published_counts(features: int, classes: int, units: list[int], total: int) -> None:
    with torch.device("meta"):
        model = create_model("lstm", classes=classes, features=features, settings={"units": units})
    assert model.keras_parameters() == sum(p.numel() for p in model.parameters()) == total


def test_keras_counts_one_bias_of_the_librarys_two() -> None:
    class Plain(Model):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(7, 3, bidirectional=True)

    assert Plain().keras_parameters() == 2 * 4 * 3 * (7 + 3 + 1)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def keras_lstm(state: Mapping[str, Array], name: str, x: Array, end: str = "l0") -> Array:
    """Keras' layer: gates i, f, c, o side by side, one bias."""
    kernel, recurrent = state[f"{name}.weight_ih_{end}"].T, state[f"{name}.weight_hh_{end}"].T
    units = recurrent.shape[0]
    hidden, cell, out = np.zeros(units), np.zeros(units), []
    for step in x:
        gates = step @ kernel + hidden @ recurrent + state[f"{name}.bias_ih_{end}"]
        i, f, c, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
        hidden = sigmoid(o) * np.tanh(cell)
        out.append(hidden)
    return np.stack(out)


def reference(model: Model, x: Array, layers: int, bidirectional: bool) -> Array:
    state = {k: v.double().numpy() for k, v in model.state_dict().items()}
    for i in range(layers):
        name = f"head.layers.{i}"
        ways = [keras_lstm(state, name, x)]
        if bidirectional:
            ways.append(keras_lstm(state, name, x[::-1], "l0_reverse")[::-1])
        x = np.concatenate(ways, axis=1)
    return x @ state["head.classify.weight"].T + state["head.classify.bias"]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_numbers_are_those_of_plain_numpy(bidirectional: bool) -> None:
    model = build(units=[6, 4, 3], bidirectional=bidirectional)
    x = rows(2, 30, 5)
    got = run(model, x)
    for i in range(2):
        expected = reference(model, x[i].double().numpy(), 3, bidirectional)
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(got[i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padded_batch_equals_each_alone(bidirectional: bool) -> None:
    model = build(units=[6, 4], bidirectional=bidirectional)
    x = torch.full((4, 20, 5), float("nan"))
    mask = torch.zeros(4, 20, dtype=torch.bool)
    mask[0] = True
    mask[1, :9] = True
    mask[2, 4:] = True  # padding may also come first,
    mask[3, [2, 3, 7, 8, 15]] = True  # or between
    x[mask] = rows(int(mask.sum()), 5)
    together = run(model, x, mask)
    for i in range(4):
        alone = run(model, x[i][mask[i]][None])[0]
        torch.testing.assert_close(together[i][mask[i]], alone, rtol=1e-4, atol=1e-5)
        assert not together[i][~mask[i]].any()


def test_nothing_but_padding_gives_zeros() -> None:
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[0] = True
    for bidirectional in (False, True):
        model = build(units=[3], bidirectional=bidirectional)
        assert not run(model, torch.full((2, 6, 5), float("nan")), mask)[1].any()


def test_it_reads_forwards_unless_told() -> None:
    x = rows(1, 30, 5).requires_grad_()
    for bidirectional, last in ((False, 12), (True, 29)):
        x.grad = None
        build(units=[6, 4], bidirectional=bidirectional)({"embedding": x}).logits[0, 12].sum().backward()
        assert int(x.grad[0].abs().sum(-1).nonzero().max()) == last


def test_first_weights_are_those_of_keras() -> None:
    head = LSTMHead(50, 1, units=(40, 20))
    layer = head.layers[0]
    bias = layer.bias_ih_l0.detach()
    assert bias[40:80].eq(1).all()
    assert bias.sum() == 40
    # Orthogonal over (units, 4 units); Glorot over inputs and all four gates.
    recurrent = layer.weight_hh_l0.detach()
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(40), rtol=1e-4, atol=1e-5)
    limit = (6 / (50 + 160)) ** 0.5
    assert 0.95 * limit < layer.weight_ih_l0.abs().max() <= limit
    assert not head.classify.bias.any()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_second_bias_stays_zero(kind: torch.dtype) -> None:
    """Through a copy, a change of type and a step of training, which moves the one bias by its gradient."""
    model = copy.deepcopy(build(units=[4])).to(kind)
    assert not any("bias_hh" in name for name, _ in model.named_parameters())
    layer = model.head.layers[0]
    before = layer.bias_ih_l0.detach().clone()
    logits = model.head(rows(2, 9, 5).to(kind), torch.ones(2, 9, dtype=torch.bool))
    logits.square().mean().backward()
    torch.optim.SGD(model.parameters(), 0.5).step()
    assert layer.bias_hh_l0.dtype == kind
    assert not layer.bias_hh_l0.any()
    torch.testing.assert_close(layer.bias_ih_l0.detach(), before - 0.5 * layer.bias_ih_l0.grad)


def test_dropout_is_on_the_input_alone() -> None:
    model = build(units=[6], dropout=1.0).train()
    a, b = (model({"embedding": rows(1, 8, 5, seed=seed)}).logits for seed in (0, 1))
    torch.testing.assert_close(a, b)
    model = build(units=[6, 4], dropout=0.0).train()
    a, b = (model({"embedding": rows(1, 8, 5)}).logits for _ in range(2))
    assert torch.equal(a, b)


def test_bad_input_in_words() -> None:
    with pytest.raises(ConfigError, match=r"at least one layer, such as units = \[64, 32\]"):
        create_model("lstm", classes=2, features=3, settings={"units": []})
    with pytest.raises(InputError, match="embeddings of 4 columns came; this network is built for 5"):
        run(build(), rows(1, 8, 4))


def test_output_is_one_row_per_frame() -> None:
    output = build(units=[3])({"embedding": rows(2, 11, 5)})
    assert isinstance(output, Output)
    assert (output.logits.shape, output.stages) == ((2, 11, 3), ())
