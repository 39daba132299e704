"""Low precision, another memory layout, compilation: other ways to the same numbers, within tolerance."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_study import video_recipe, video_study
from test_loop import Tiny, Toy, recipe, run

from murine.config import Recipe
from murine.models.contract import Batch, Output
from murine.predict import PreparedSource, predict_recording
from murine.progress import SILENT, Silent
from murine.train import device as places
from murine.train.device import Network, keep_freed_memory
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.study import open_study

# torch.compile loads parts of itself that warn of their own age
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def compile_with(patch: pytest.MonkeyPatch, backend: Any) -> None:
    patch.setattr(torch, "compile", partial(torch.compile, backend=backend))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_study(tmp_path_factory.mktemp("video"), n=24)


def plain(rate: float = 0.03, epochs: int = 3, **switches: Any) -> Recipe:
    given = video_recipe(epochs=epochs, optimizer="sgd", learning_rate=rate, **switches)
    # masks of dropout lie in memory order, which is what a switch changes
    return replace(given, model_settings={**given.model_settings, "dropout": 0.0})


@pytest.fixture(scope="module")
def expected(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = train(study, plain(), folder=tmp_path_factory.mktemp("plain") / "run")
    return folder, predicted(study, folder)


def predicted(study: Path, folder: Path, **switches: Any) -> np.ndarray:
    run = load_run(folder)
    changed = replace(run.recipe, training=replace(run.recipe.training, **switches))
    prepared = open_study(study, plain()).prepared["v0"]
    return predict_recording(replace(run, recipe=changed), PreparedSource(prepared)).probabilities


@pytest.mark.parametrize(
    ("switches", "tolerance"),
    [
        ({"channels_last": True}, 1e-4),
        ({"precision": "bfloat16"}, 0.05),
        pytest.param({"compile": True}, 1e-4, marks=pytest.mark.slow),
    ],
    ids=["channels_last", "bfloat16", "compile"],
)
def test_each_switch_trains_and_predicts_the_same(
    study: Path,
    expected: tuple[Path, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    switches: dict[str, Any],
    tolerance: float,
) -> None:
    compile_with(monkeypatch, "eager")
    folder, values = expected
    assert values.std() > 0.01, "a network that says the same of everything shows nothing"
    np.testing.assert_allclose(predicted(study, folder, **switches), values, atol=tolerance)
    # steps small enough that two roundings do not part ways
    ends = [plain(0.003, 1), plain(0.003, 1, **switches)]
    trained = [train(study, end, folder=tmp_path / str(i)) for i, end in enumerate(ends)]
    before, after = (load_run(folder).model.state_dict() for folder in trained)
    assert list(before) == list(after)  # plain names, whoever compiled
    a, b = (torch.cat([v.float().flatten() for v in s.values()]) for s in (before, after))
    assert (a - b).norm() < tolerance * a.norm()


def test_compiled_training_follows_the_thaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_with(monkeypatch, "eager")
    given = {"epochs": 3, "freeze": ("first", "norm"), "freeze_epochs": 1, "optimizer": "sgd"}
    first, second = pair(tmp_path, recipe(**given), recipe(**given, compile=True))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5)


def pair(folder: Path, *recipes: Recipe) -> list[Mapping[str, torch.Tensor]]:
    ends = []
    for i, given in enumerate(recipes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            model = Tiny(dropout=0.0)
        run(folder / f"pair{i}", given, model)
        ends.append(model.state_dict())
    return ends


def test_without_a_compiler_the_network_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def absent(graph: object, inputs: object) -> object:
        tries.append(graph)
        raise RuntimeError("No working C++ compiler found")

    compile_with(monkeypatch, absent)
    model, told = Tiny(dropout=0.0).eval(), Told()
    batch: Batch = {"pose": Toy().x[:2]}
    network = Network(model, compiled=True, progress=told)
    assert torch.equal(network(batch).logits, model(batch).logits)
    assert torch.equal(network(batch).logits, model(batch).logits)
    # a second recording does not try again
    assert torch.equal(Network(model, compiled=True, progress=told)(batch).logits, model(batch).logits)
    assert len(tries) == len(told.messages) == 1
    assert "torch.compile cannot be used here" in told.messages[0]
    assert "No working C++ compiler found" in told.messages[0]


def test_a_fault_of_the_input_is_not_taken_for_one_of_the_compiler() -> None:
    class Strict(Tiny):
        def forward(self, batch: Batch) -> Output:
            raise ValueError("not like this")

    network = Network(Strict(), compiled=False, progress=SILENT)
    with pytest.raises(ValueError, match="not like this"):
        network({})


@pytest.mark.parametrize(
    ("system", "device", "expected"),
    [
        ("linux", "cpu", {-4: 0, -1: 2**31 - 1}),  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        ("linux", "cuda", {}),
        ("darwin", "cpu", {}),
    ],
)
def test_freed_memory_is_kept(
    monkeypatch: pytest.MonkeyPatch, system: str, device: str, expected: dict[int, int]
) -> None:
    told: dict[int, int] = {}
    library = SimpleNamespace(mallopt=told.__setitem__)
    monkeypatch.setattr(places.sys, "platform", system)
    monkeypatch.setattr(places.ctypes, "CDLL", lambda name: library)
    keep_freed_memory(torch.device(device))
    assert told == expected
    told.clear()
    with monkeypatch.context() as asked:
        asked.setenv("MALLOC_ARENA_MAX", "2")
        keep_freed_memory(torch.device(device))
    assert not told
    del library.mallopt  # another C library
    keep_freed_memory(torch.device(device))


@pytest.mark.skipif(sys.platform != "linux", reason="of the GNU library")
def test_freed_memory_comes_back_without_page_faults() -> None:
    resource = pytest.importorskip("resource")
    keep_freed_memory(torch.device("cpu"))

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(3):
            torch.empty(4, 1 << 20).fill_(1.0)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # 3 x 4096 pages otherwise; the first times grow the heap
    assert min(faults() for _ in range(10)) < 1000


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [(), ("first", "norm")])
def test_the_real_compiler_gives_the_same(tmp_path: Path, freeze: tuple[str, ...]) -> None:
    given = {"epochs": 3, "freeze": freeze, "freeze_epochs": len(freeze) // 2, "optimizer": "sgd"}
    first, second = pair(tmp_path, recipe(**given), recipe(**given, compile=True))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5)
