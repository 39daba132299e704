"""The parts of the dual-stream networks one by one, against plain numpy; what is drawn, dropped, described."""

from __future__ import annotations

import keras_reference as keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from murine.models import MODELS, create_model
from murine.models.blocks import Dropout
from murine.models.dual_stream.layers import InceptionJoint
from murine.models.dual_stream.sequence import BidirectionalLSTM, SelfAttention

NAMES = [name for name, entry in MODELS.items() if entry.family == "dual_stream"]
each_network = pytest.mark.parametrize("name", NAMES)


def filled(block: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic numbers that differ."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in block.state_dict().items():
            if value.is_floating_point():
                wide = torch.randn(value.shape, generator=random) * 0.4
                value.copy_(wide.abs() + 0.5 if key.endswith("running_var") else wide)
    return block


def state_of(block: nn.Module, name: str) -> dict[str, keras.Array]:
    return {f"{name}.{key}": value.double().numpy() for key, value in block.state_dict().items()}


def test_there_are_ten() -> None:
    families = ("baseline", "civ3d_bilstm", "civ3d_mha", "srs", "crs")
    assert sorted(NAMES) == sorted(f"{f}_{kind}" for f in families for kind in ("sharing", "standalone"))


def test_joint_block_is_that_of_numpy() -> None:
    block = filled(InceptionJoint(3, 4)).eval()
    x = torch.randn(2, 3, 5, 4, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = block(x).numpy()
    assert got.shape == (2, 11, 5, 4, 9)
    for clip, out in zip(x.double().numpy(), got, strict=True):
        expected = keras.joint_block(state_of(block, "j"), clip.transpose(1, 2, 3, 0), "j")
        np.testing.assert_allclose(out.transpose(1, 2, 3, 0), expected, rtol=1e-4, atol=1e-5)


def test_attention_is_that_of_numpy() -> None:
    block = filled(SelfAttention(5, 3, 0.3, 0.01)).eval()
    x = torch.randn(2, 5, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = block(x).numpy()
    assert got.shape == (2, 20, 2, 3, 4)
    for clip, out in zip(x.double().numpy(), got, strict=True):
        expected = keras.attention(state_of(block, "a"), clip.transpose(1, 2, 3, 0), "a")
        assert np.ptp(expected[..., 5:10]) > 0.1
        np.testing.assert_allclose(out.transpose(1, 2, 3, 0), expected, rtol=1e-4, atol=1e-5)


def test_attention_dropout_falls_on_the_weights() -> None:
    """With equal scores and values of 1, what comes out counts the positions that were kept."""
    block = SelfAttention(4, 2, 0.3, 0.01)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(block.value.bias)
    nn.init.ones_(block.output.weight)
    seen = block(torch.randn(64, 4, 1, 3, 4))[:, 12:].detach() / 2
    kept = seen * 12 * 0.7
    torch.testing.assert_close(kept, kept.round(), rtol=0, atol=1e-4)
    assert 1 - kept.mean().item() / 12 == pytest.approx(0.3, abs=0.02)
    assert torch.equal(seen[:, 0], seen[:, 3])  # one weight for all channels of a position
    assert block.eval()(torch.randn(2, 4, 1, 3, 4))[:, 12:].unique().tolist() == pytest.approx([2])


def test_lstm_is_that_of_numpy() -> None:
    block = filled(BidirectionalLSTM(3, 4))
    x = torch.randn(2, 3, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = block(x.flatten(2).transpose(1, 2)).numpy()
    for clip, out in zip(x.double().numpy(), got, strict=True):
        # The reference reads the positions frame by frame, row by row.
        expected = keras.bilstm(state_of(block, "l"), clip.transpose(1, 2, 3, 0), "l").ravel()
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


def test_lstm_is_the_librarys_with_one_bias_and_the_same_gradient() -> None:
    block = filled(BidirectionalLSTM(3, 4)).double()
    theirs = nn.LSTM(3, 4, batch_first=True, bidirectional=True).double()
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    with torch.no_grad():
        for way, end in enumerate(("", "_reverse")):
            getattr(theirs, f"weight_ih_l0{end}").copy_(block.kernel[way])
            getattr(theirs, f"weight_hh_l0{end}").copy_(block.recurrent[way])
            getattr(theirs, f"bias_ih_l0{end}").copy_(block.bias[way])
            getattr(theirs, f"bias_hh_l0{end}").zero_()
    out = block(x)
    # Our last step of the second direction is the first in time.
    expected = theirs(x)[1][0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    for way, end in enumerate(("", "_reverse")):
        torch.testing.assert_close(block.kernel.grad[way], getattr(theirs, f"weight_ih_l0{end}").grad)
        torch.testing.assert_close(block.recurrent.grad[way], getattr(theirs, f"weight_hh_l0{end}").grad)
        torch.testing.assert_close(block.bias.grad[way], getattr(theirs, f"bias_ih_l0{end}").grad)


def test_lstm_and_attention_begin_as_in_keras() -> None:
    model = create_model("civ3d_bilstm_sharing", classes=2, settings={"size": [32, 32], "frames": 1})
    lstm = model.lstm
    limit = (6 / (576 + 2048)) ** 0.5
    assert 0.98 * limit < lstm.kernel.abs().max() <= limit
    torch.testing.assert_close(lstm.recurrent.mT @ lstm.recurrent, torch.eye(512).expand(2, -1, -1))
    assert lstm.bias.detach().unflatten(1, (4, 512)).sum(2).tolist() == [[0, 512, 0, 0]] * 2

    attention = SelfAttention(192, 64, 0.3, 0.01)
    nn.init.zeros_(attention.output.weight)
    attention.initialise()
    limit = (6 / (192 + 192 * 64)) ** 0.5
    for layer in (attention.query, attention.key, attention.value):
        assert 0.98 * limit < layer.weight.abs().max() <= limit
    assert not attention.output.weight.any(), "only query, key and value have a rule of their own"
    with_attention = create_model("civ3d_mha_sharing", classes=2, settings={"size": [32, 32]})
    assert with_attention.rgb_attention.query.weight.abs().max() <= limit
    largest = with_attention.flow_attention.output.weight.abs().max().item()
    assert largest == pytest.approx((6 / 256) ** 0.5, rel=0.02)


def test_dropout_stands_where_the_paper_has_it() -> None:
    rates = {}
    for name in NAMES:
        with torch.device("meta"):
            model = create_model(name, classes=8)
        rates[name.rsplit("_", 1)[0]] = {
            key.split(".")[0]: layer.rate
            for key, layer in model.named_modules()
            if isinstance(layer, Dropout)
        }
    assert rates["civ3d_bilstm"] == {"rgb": 0.0, "flow": 0.0, "head": 0.2}
    attention = {"rgb_attention": 0.3, "flow_attention": 0.3}
    assert rates["civ3d_mha"] == {"rgb": 0.2, "flow": 0.2, "head": 0.2} | attention
    assert rates["srs"] == rates["crs"] == {"head": 0.2}
    # The Baseline's standalone version came last: dense joint blocks of each stream.
    streams = dict.fromkeys(("rgb", "flow", "rgb_joint", "flow_joint", "head"), 0.2)
    assert rates["baseline"] == streams


def tiny_clips(name: str, seed: int = 0) -> tuple[nn.Module, dict[str, Tensor]]:
    settings = MODELS[name].tiny
    model = create_model(name, classes=3, settings=settings).eval()
    random = torch.Generator().manual_seed(seed)
    shape = (2, 3, settings["frames"], *settings["size"])
    clips = {
        k: torch.randint(0, 256, shape, dtype=torch.uint8, generator=random) for k in ("rgb", "flow")
    }
    return model, clips


@each_network
def test_described_is_what_the_dense_layers_see(name: str) -> None:
    model, clips = tiny_clips(name)
    with torch.no_grad():
        features = model.describe(clips)
        assert features.shape == (2, model.described)
        assert torch.equal(model.head(features), model(clips).logits)
    assert model.described == model.head.dense[0].in_features
    assert features.std() > 0


@each_network
def test_a_new_head_replaces_everything_that_knows_the_behaviours(name: str) -> None:
    """What transfer relies on: between 3 and 7 behaviours only parameters of the head differ in shape."""
    settings = MODELS[name].tiny
    few, many = (create_model(name, classes=n, settings=settings).state_dict() for n in (3, 7))
    assert list(few) == list(many)
    other = {key for key in few if few[key].shape != many[key].shape}
    head = {key for key in few if key.startswith(MODELS[name].build.head_names)}
    assert other
    assert other < head
    units = {**settings, "head_units": [5, 4]}
    longer = create_model(name, classes=3, settings=units).state_dict()
    assert {key for key in few if key not in head} == {k for k in longer if not k.startswith("head.")}
    assert all(few[key].shape == longer[key].shape for key in few if key not in head)


@each_network
def test_two_stacked_views_are_one_picture(name: str) -> None:
    """Two views of 128 x 64 (width x height) above each other are 128 x 128, and both are seen."""
    settings = {"width": 0.125, "size": [128, 128], "head_units": [4]}
    model = create_model(name, classes=8, settings=settings).eval()
    random = torch.Generator().manual_seed(0)
    views = [torch.randint(0, 256, (1, 3, 8, 64, 128), generator=random).float() for _ in range(3)]
    batches = [torch.cat(pair, dim=3) for pair in ((views[0], views[1]), (views[0], views[2]))]
    with torch.no_grad():
        first, second = (model({"rgb": b, "flow": b}).logits for b in batches)
    assert first.shape == (1, 1, 8)
    assert not torch.allclose(first, second, atol=1e-6)
