"""Prediction by OpenVINO: torch's numbers, for every network of pictures that is registered."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.test_models import make_batch, tiny
from small_study import video_recipe, video_study
from torch import Tensor, nn

from murine.errors import InputError, MissingExtraError
from murine.models import MODELS, Model
from murine.models.backbones import BACKBONES, create_backbone
from murine.models.contract import Batch, Output
from murine.predict import predict
from murine.predict.runtime import OpenVino, choose_runtime
from murine.predictions import read_header, read_prediction
from murine.progress import Silent
from murine.train.run import train

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra 'openvino' is not installed"
)
TOLERANCE = 1e-4
"""Of a probability, in float32."""

PICTURES = [name for name, entry in MODELS.items() if {"rgb", "flow"} & set(entry.streams)]
QUICK = {"c3d", "frames_lstm"}
"""Networks of the default tests; all others are slow, for each takes seconds to convert."""

each_network = pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PICTURES]
)


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def openvino() -> OpenVino:
    return OpenVino()


@needs_openvino
@each_network
def test_probabilities_are_those_of_torch(name: str, openvino: OpenVino) -> None:
    model = tiny(name).eval()
    with torch.no_grad():
        for value in model.state_dict().values():  # as much as a trained network, away from zero
            if value.dim() > 1:
                value.mul_(1.5)
    batch = make_batch(name, model, 3)
    judge = openvino.judge(model, name, "float32")
    assert judge is not None
    with torch.inference_mode():
        expected, came = model(batch).logits, judge(batch).logits
        assert came.shape == expected.shape
        assert expected.std() > 1e-4, "a network that says the same of everything shows nothing"
        assert (came.softmax(-1) - expected.softmax(-1)).abs().max() < TOLERANCE
        assert (came.sigmoid() - expected.sigmoid()).abs().max() < TOLERANCE
        torch.testing.assert_close(came, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
        # windows with padding, which stay with torch, and a batch of another size
        batch["mask"][0, -2:] = False
        torch.testing.assert_close(judge(batch).logits, model(batch).logits)
        one = {key: value[1:2] for key, value in batch.items()}
        assert (judge(one).logits - expected[1:2]).abs().max() < 1e-3 * expected.abs().max()
        if model.described:
            describe = openvino.describe(model, name, "float32")
            assert describe is not None
            described = model.describe(one)
            torch.testing.assert_close(
                describe(one), described, rtol=1e-3, atol=1e-4 * float(described.abs().max())
            )


@needs_openvino
@pytest.mark.parametrize(
    "name", [n if n == "small_cnn" else pytest.param(n, marks=pytest.mark.slow) for n in BACKBONES]
)
def test_features_of_a_backbone_are_those_of_torch(name: str, openvino: OpenVino) -> None:
    backbone = create_backbone(name, "random")
    side = max(backbone.smallest, 32)
    pictures = torch.randint(
        0, 256, (3, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        expected = backbone(pictures)
        came = openvino.embed(backbone, name, "float32")(pictures)
    assert expected.std() > 0
    torch.testing.assert_close(came, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@needs_openvino
def test_numbers_stay_with_torch(openvino: OpenVino) -> None:
    told = Told()
    assert OpenVino(told).judge(tiny("tcn"), "tcn", "float32") is None
    assert told.messages == ["model 'tcn' sees numbers, no pictures: torch computes it"]


class Branching(Model):
    """Looks at its input's values to decide what to do, which no export can follow."""

    streams = ("rgb",)

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)

    def forward(self, batch: Batch) -> Output:
        x = batch["rgb"].float().mean((2, 3, 4))
        return Output(self.dense(x if bool(x.mean() > 3) else -x)[:, None])


@needs_openvino
def test_a_network_that_cannot_be_converted_is_named(
    openvino: OpenVino, capfd: pytest.CaptureFixture[str]
) -> None:
    judge = openvino.judge(Branching(), "branching", "float32")
    assert judge is not None
    with pytest.raises(
        InputError, match=r"model 'branching' cannot be converted .* --runtime torch"
    ) as caught:
        judge({"rgb": torch.zeros(2, 3, 4, 8, 8)})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "the exporter's own words reach the user"


@needs_openvino
def test_a_fault_of_the_input_is_not_taken_for_one_of_the_conversion(openvino: OpenVino) -> None:
    judge = openvino.judge(tiny("c3d"), "c3d", "float32")
    assert judge is not None
    with pytest.raises(InputError, match="frames"):
        judge({"rgb": torch.zeros(2, 3, 5, 32, 32, dtype=torch.uint8)})


@needs_openvino
def test_low_precision_is_asked_for_where_the_processor_has_it() -> None:
    told = Told()
    library = OpenVino(told)
    model = tiny("c3d").eval()
    batch = make_batch("c3d", model, 2)
    judge = library.judge(model, "c3d", "bfloat16")
    assert judge is not None
    with torch.inference_mode():
        difference = (judge(batch).logits - model(batch).logits).abs().max()
        largest = model(batch).logits.abs().max()
    assert difference < 0.05 * largest
    if "BF16" in library._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert difference > 0
        assert not told.messages
    else:
        assert "float32" in told.messages[0]


@needs_openvino
@pytest.mark.parametrize("threads", [1, 2])
def test_it_takes_as_many_threads_as_torch(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    library = OpenVino()
    core = library._core

    class Core:
        def compile_model(self, model: object, device: str, settings: dict[str, object]) -> object:
            asked.append(settings)
            return core.compile_model(model, device, settings)

    library._core = Core()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    backbone = create_backbone("small_cnn", "random")
    library.embed(backbone, "small_cnn", "float32")(torch.zeros(1, 3, 32, 32))
    assert asked[0]["INFERENCE_NUM_THREADS"] == threads


@needs_openvino
def test_nothing_is_told_to_its_makers() -> None:
    code = (
        "import sys; from murine.predict.runtime import OpenVino; OpenVino();"
        "from openvino.tools.ovc import telemetry_utils;"
        "print('openvino_telemetry' in sys.modules, telemetry_utils.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "openvino.tools.ovc.telemetry_stub"]


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    find = importlib.import_module

    def absent(name: str, package: str | None = None) -> object:
        if name == "openvino":
            raise ImportError(name)
        return find(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"murine\[openvino\]"):
        choose_runtime("openvino", "cpu")
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is not None


def test_what_cannot_be_meant_is_told() -> None:
    assert choose_runtime("torch", "cuda") is None
    with pytest.raises(InputError, match="Did you mean 'openvino'"):
        choose_runtime("openvin", "cpu")
    with pytest.raises(InputError, match="computes on the processor, and device 'cuda'"):
        choose_runtime("openvino", "cuda")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("study")
    study = video_study(folder, n=24)
    return train(study, video_recipe(epochs=1)), folder / "v0.mkv"


@needs_openvino
def test_a_recording_is_predicted_alike(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, video = trained
    (plain,) = predict(run, [video], tmp_path / "torch", device="cpu")
    (other,) = predict(run, [video], tmp_path / "openvino", runtime="openvino")
    expected, came = read_prediction(plain), read_prediction(other)
    assert expected.probabilities.std() > 1e-4
    np.testing.assert_allclose(came.probabilities, expected.probabilities, atol=TOLERANCE)
    assert str(came.meta["runtime"]).startswith("openvino 20")
    assert "runtime" not in expected.meta
    # finished for one way of computing is not finished for another
    before = read_header(plain)["meta"]["key"]
    predict(run, [video], tmp_path / "torch", runtime="openvino")
    again = read_header(plain)["meta"]
    assert again["key"] == read_header(other)["meta"]["key"] != before


def test_precision_may_be_another_than_in_training(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, video = trained
    (plain,) = predict(run, [video], tmp_path / "a", device="cpu", precision="float32")
    (low,) = predict(run, [video], tmp_path / "b", device="cpu", precision="bfloat16")
    first, second = read_prediction(plain), read_prediction(low)
    assert "precision" not in first.meta  # the recipe's own
    assert second.meta["precision"] == "bfloat16"
    difference = np.abs(first.probabilities - second.probabilities).max()
    assert 0 < difference < 0.05
    with pytest.raises(InputError, match="unknown precision 'half'"):
        predict(run, [video], tmp_path / "c", precision="half")


def test_a_batch_is_filled_with_its_last_row() -> None:
    from murine.predict.runtime import _filled

    value = torch.arange(6).reshape(3, 2)
    filled: Tensor = _filled(value, 4)
    assert filled.tolist() == [[0, 1], [2, 3], [4, 5], [4, 5]]
    assert _filled(value, 3) is value
