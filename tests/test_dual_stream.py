"""The dual-stream networks against their tables, their counts and a plain numpy version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras_reference as keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from murine.errors import ConfigError, InputError
from murine.models import Model, create_model
from murine.models.dual_stream.sequence import BidirectionalLSTM, SelfAttention

TABLES = json.loads((Path(__file__).parent / "reference" / "dual_stream_layers.json").read_text())[
    "networks"
]
NAMES = list(TABLES)
each_network = pytest.mark.parametrize("name", NAMES)


def on_paper(name: str, *, classes: int = 8, **settings: object) -> Model:
    """A network that has shapes and no memory."""
    with torch.device("meta"):
        return create_model(name, classes=classes, settings=settings)


def clips(size: int, frames: int, height: int, width: int, **kwargs: Any) -> dict[str, Tensor]:
    shape = (size, 3, frames, height, width)
    return {key: torch.empty(shape, dtype=torch.uint8, **kwargs) for key in ("rgb", "flow")}


@pytest.mark.parametrize(
    ("name", "settings", "classes", "total"),
    [
        # Table 2.
        ("baseline_sharing", {}, 8, 11_315_848),
        ("baseline_standalone", {}, 8, 11_348_728),
        ("srs_sharing", {}, 8, 9_671_872),
        ("srs_standalone", {}, 8, 9_670_024),
        ("civ3d_bilstm_sharing", {}, 8, 13_243_712),
        ("civ3d_bilstm_standalone", {}, 8, 16_623_752),
        ("civ3d_mha_sharing", {}, 8, 15_554_112),
        ("civ3d_mha_standalone", {}, 8, 19_044_744),
        ("crs_sharing", {}, 8, 22_927_824),
        ("crs_standalone", {}, 8, 22_483_944),
        # Table 8, UCF101: one hidden layer of 1,024.
        ("srs_sharing", {"head_units": [1024]}, 101, 12_101_853),
        ("srs_standalone", {"head_units": [1024]}, 101, 12_100_005),
        # Table 7: SRS does not change with the length of its clips; the Baseline does at 16.
        ("srs_sharing", {"frames": 4}, 8, 9_671_872),
        ("srs_sharing", {"frames": 16}, 8, 9_671_872),
        ("srs_standalone", {"frames": 4}, 8, 9_670_024),
        ("srs_standalone", {"frames": 16}, 8, 9_670_024),
        ("baseline_sharing", {"frames": 4}, 8, 11_315_848),
        ("baseline_sharing", {"frames": 16}, 8, 12_102_280),
        # With two-channel flow every network would miss, by the amounts known.
        ("baseline_sharing", {"flow_channels": 2}, 8, 11_315_848 - 2_000),
        ("srs_sharing", {"flow_channels": 2}, 8, 9_671_872 - 644),
        ("srs_standalone", {"flow_channels": 2}, 8, 9_670_024 - 28),
        ("crs_sharing", {"flow_channels": 2}, 8, 22_927_824 - 1_116),
        ("crs_standalone", {"flow_channels": 2}, 8, 22_483_944 - 36),
        ("civ3d_mha_sharing", {"flow_channels": 2}, 8, 15_554_112 - 2_000),
        ("civ3d_bilstm_standalone", {"flow_channels": 2}, 8, 16_623_752 - 2_000),
    ],
)
def test_published_counts(name: str, settings: dict[str, object], classes: int, total: int) -> None:
    assert on_paper(name, classes=classes, **settings).keras_parameters() == total


@each_network
@pytest.mark.parametrize("frames", [4, 8, 16])
def test_every_length_runs(name: str, frames: int) -> None:
    model = on_paper(name, frames=frames)
    assert model.window == frames
    assert model(clips(2, frames, 128, 128, device="meta")).logits.shape == (2, 1, 8)


class Seen:
    """What passed through a module: shapes as T x H x W x C."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.input: list[int] = []
        self.output: list[int] = []
        module.register_forward_hook(self.look)

    def look(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor | list[Tensor]) -> None:
        parts = output if isinstance(output, list) else [output]
        self.input = shape(inputs[0])
        self.output = [*shape(parts[0])[:-1], sum(shape(part)[-1] for part in parts)]


def shape(x: Tensor) -> list[int]:
    return list(x.shape[1:]) if x.dim() < 5 else [*x.shape[2:], x.shape[1]]


def paths(row: dict[str, Any], sharing: bool) -> list[str]:
    """Which of our modules a row of the table describes."""
    if row["stage"] == "FC":
        return ["head"]
    if row["part"] == "3(e)":
        return ["final_block"]
    if row["stage"] == "LSTM":
        return ["lstm"]
    i = int(row["stage"][1:]) - 1
    first = row["layers"][0][0]
    if first.startswith("dense") or first == "stem":
        return [f"joint.{i}"] if sharing else [f"rgb_joint.{i}", f"flow_joint.{i}"]
    if first == "BN (query)":
        return ["rgb_attention", "flow_attention"]
    if "each" in row["part"]:
        return [f"rgb.{i}", f"flow.{i}"]
    return [f"{row['part'].lower()}.{i}"]


LAYER_NAMES = {
    "BN": "norm",
    "BN (query)": "norm_query",
    "BN (key/value)": "norm_value",
    "BiLSTM 512": "",
}


@each_network
def test_layers_are_those_of_the_table(name: str) -> None:
    model = on_paper(name).eval()
    sharing = name.endswith("sharing")
    rows = [row for row in TABLES[name]["rows"] if row["sum"]]
    seen = {path: Seen(model.get_submodule(path)) for row in rows for path in paths(row, sharing)}
    model(clips(1, 8, 128, 128, device="meta"))
    counted = 0
    for row in rows:
        for path in paths(row, sharing):
            block = seen.pop(path)
            where = f"{row['stage']} {row['part']}: {path}"
            if path in ("head", "lstm"):
                assert np.prod(block.input) == np.prod(row["input"]), where
                assert block.output[-1] == row["output"][0], where
            else:
                assert (block.input, block.output) == (row["input"], row["output"]), where
            check_layers(block.module, row, where)
            counted += row["sum"]
    assert not seen
    assert counted == TABLES[name]["total"] == model.keras_parameters()


def check_layers(block: nn.Module, row: dict[str, Any], where: str) -> None:
    ours = {
        key: layer
        for key, layer in block.named_modules()
        if isinstance(layer, nn.Conv3d | nn.Linear | nn.BatchNorm3d | BidirectionalLSTM)
    }
    if isinstance(block, SelfAttention):  # four layers of ours are one of the table
        ours = {key: ours[key] for key in ("norm_query", "norm_value")} | {
            "attention": nn.ModuleList([ours[key] for key in ("query", "key", "value", "output")]),
            "norm": ours["norm"],
        }
    assert len(ours) == len(row["layers"]), where
    for (key, layer), (title, kernel, stride, parameters) in zip(
        ours.items(), row["layers"], strict=True
    ):
        dense = title.startswith("dense")
        assert dense or key == LAYER_NAMES.get(title, title.lower()), where
        statistics = 2 * layer.num_features if isinstance(layer, nn.BatchNorm3d) else 0
        assert sum(p.numel() for p in layer.parameters()) + statistics == parameters, where
        if kernel is not None:
            assert list(layer.kernel_size) == kernel, where
            assert list(layer.stride) == stride, where


@each_network
def test_numbers_are_those_of_plain_numpy(name: str) -> None:
    settings = {
        "width": 0.125,
        "size": [64, 64],
        "head_units": [5, 4],
        "rgb_mean": 110.0,
        "rgb_std": 40.0,
    }
    model = create_model(name, classes=3, settings=settings).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if value.is_floating_point() and not key.endswith("weight"):
                value.copy_(torch.rand(value.shape, generator=random) + 0.5 * key.endswith("var"))
    batch = {
        key: torch.randint(0, 256, (2, 3, 8, 64, 64), dtype=torch.uint8, generator=random)
        for key in ("rgb", "flow")
    }
    with torch.no_grad():
        got = model(batch).logits.numpy()[:, 0]
    state = {key: value.double().numpy() for key, value in model.state_dict().items()}
    for i, logits in enumerate(got):
        rgb, flow = (batch[key][i].double().numpy().transpose(1, 2, 3, 0) for key in ("rgb", "flow"))
        # The network cuts an eighth of the rows (16 of 128) at the top and at the bottom.
        rgb, flow = (rgb[:, 8:-8] - 110) / 40, flow[:, 8:-8] / 255
        expected = keras.NETWORKS[name](state, rgb, flow)
        assert np.ptp(expected) > 0.05
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


@each_network
def test_training_gives_the_gradient_of_the_same_function(name: str) -> None:
    """The kernels that training uses, against finite differences of those that prediction uses."""
    # An LSTM of one step has no use for its recurrent weights.
    size = [32, 64] if "bilstm" in name else [32, 32]
    settings = {"width": 0.125, "size": size, "frames": 4, "head_units": [4], "dropout": 0.0}
    model = create_model(name, classes=3, settings=settings).double().eval()
    model.input.register_forward_hook(lambda *args: tuple(x.double() for x in args[2]))
    batch = {k: torch.randint(0, 256, (1, 3, 4, *size), dtype=torch.uint8) for k in ("rgb", "flow")}
    weights = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):  # a zero bias over padding sits on the kink of the ReLU
                parameter.copy_(torch.rand(parameter.shape, generator=random) - 0.3)
    (model(batch).logits * weights).sum().backward()
    checked = 0
    some = list(model.named_parameters())[::3]
    for key, parameter in some:
        place = np.unravel_index(int(parameter.grad.abs().argmax()), parameter.shape)
        gradient = float(parameter.grad[place])
        checked += gradient != 0
        values = []
        with torch.no_grad():
            for value in (parameter[place] + 1e-6, parameter[place] - 1e-6):
                kept = parameter[place].clone()
                parameter[place] = value
                values.append(float((model(batch).logits * weights).sum()))
                parameter[place] = kept
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient, rel=1e-3, abs=1e-7), key
    assert checked > 0.8 * len(some)


def test_srs_flow_starts_again_from_the_raw_flow() -> None:
    model = create_model("srs_sharing", classes=2, settings={"width": 0.125})
    seen: list[Tensor] = []
    for block in model.flow:
        block.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][0]))
    flow = torch.zeros(1, 3, 8, 128, 128)
    time, row, column = torch.meshgrid(
        torch.arange(8), torch.arange(128), torch.arange(128), indexing="ij"
    )
    flow[0, 0], flow[0, 1], flow[0, 2] = time, row, column
    with torch.no_grad():
        model({"rgb": torch.zeros(1, 3, 8, 128, 128), "flow": flow})
    raw, centre, *pooled = [x * 255 for x in seen]
    assert raw[1, 0, 0, 0] == pytest.approx(16)  # rows 16..111 are left of 128
    # The centre: frames 2-5, rows 24-71 of the 96 left, columns 32-95.
    assert centre.shape[1:] == (4, 48, 64)
    assert [float(centre[i].min()) for i in range(3)] == pytest.approx([2, 16 + 24, 32])
    assert [float(centre[i].max()) for i in range(3)] == pytest.approx([5, 16 + 71, 95])
    # Strides 4, 8, 16 see the first 3 of each 4, 8, 16: frames 0-2 and 4-6, then 0-2.
    assert pooled[0][0, :, 0, 0].tolist() == pytest.approx([2, 6])
    assert pooled[1][0, :, 0, 0].tolist() == pytest.approx([2])
    assert pooled[2][1, 0, :, 0].tolist() == pytest.approx([16 + 2 + 16 * k for k in range(6)])


@pytest.mark.parametrize(("frames", "kept"), [(4, [1, 2]), (16, list(range(4, 12)))])
def test_srs_crop_at_other_lengths(frames: int, kept: list[int]) -> None:
    """1 frame falls away at both ends of 4 (Table 7), 4 of 16."""
    model = create_model("srs_sharing", classes=2, settings={"width": 0.125, "frames": frames})
    seen: list[Tensor] = []
    model.flow[1].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    flow = torch.arange(frames).view(1, 1, -1, 1, 1).expand(1, 3, frames, 128, 128).to(torch.uint8)
    with torch.no_grad():
        model({"rgb": torch.zeros_like(flow), "flow": flow})
    assert (seen[0][0, 0, :, 0, 0] * 255).round().int().tolist() == kept


@each_network
def test_layout_of_memory_does_not_change_numbers(name: str) -> None:
    settings = {"width": 0.25, "size": [64, 64]}
    model = create_model(name, classes=3, settings=settings).eval()
    batch = {k: torch.randint(0, 256, (2, 3, 8, 64, 64), dtype=torch.uint8) for k in ("rgb", "flow")}
    with torch.no_grad():
        expected = model(batch).logits
        for module in model.modules():
            if isinstance(module, nn.Conv3d):
                module.weight.data = module.weight.data.contiguous()
        got = model({k: v.contiguous(memory_format=torch.channels_last_3d) for k, v in batch.items()})
    torch.testing.assert_close(got.logits, expected, rtol=1e-4, atol=1e-5)


def test_width_and_size_make_small_versions() -> None:
    small = on_paper("srs_sharing", width=0.5, size=[96, 160], crop_rows=0, head_units=[])
    assert small.rgb[0].a1.out_channels == 4
    assert small.rgb[0].a2.out_channels == 6
    assert small(clips(1, 8, 96, 160, device="meta")).logits.shape == (1, 1, 8)
    assert small.input.shape == (8, 96, 160)
    assert on_paper("srs_sharing", size=[64, 64]).input.shape == (8, 48, 64)


def test_wrong_clips_are_refused_in_words() -> None:
    model = on_paper("srs_sharing")
    with pytest.raises(InputError, match=r"rgb clips are 4 frames of 128 x 128 .* built for 8 frames"):
        model(clips(1, 4, 128, 128, device="meta"))
    batch = clips(1, 8, 128, 128, device="meta")
    with pytest.raises(InputError, match=r"flow clips are .* with 2 channels"):
        model({**batch, "flow": batch["flow"][:, :2]})
    with pytest.raises(ConfigError, match="crop_rows = 64 at both ends leaves nothing of 128 rows"):
        on_paper("baseline_sharing", crop_rows=64)
