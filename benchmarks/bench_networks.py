"""The published networks, trained and predicting, by each way there is of computing them, and beside Keras.

Ways: torch in float32 and bfloat16, torch.compile where it pays, OpenVINO (an extra, prediction only) in both
precisions. The floor of a network is its multiply-adds, those its kernels need, at the rate that this machine's
best plain kernel reaches in the same run; training counts three times the forward pass.

MURINE_KERAS_PYTHON names a Python that has Keras and TensorFlow (`python -m venv keras`, `keras/bin/pip install
tensorflow keras`; MURINE_KERAS_PYTHON=keras/bin/python): it then runs a Keras build of the same network (its count
of parameters must be ours) in a process beside, ours and Keras' by turns, with as many threads.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import Figure
from benchmarks.bench_models import best_rate
from murine.errors import MissingExtraError
from murine.models import Model, create_model
from murine.models.backbones import Backbone, build_backbone, create_backbone
from murine.predict.runtime import OpenVino
from murine.train.device import keep_freed_memory

KERAS_PYTHON = "MURINE_KERAS_PYTHON"
WORKER = Path(__file__).with_name("keras_networks.py")
BATCH = 8
ROUNDS = 5

Step = Callable[[], object]
Network = Model | Backbone


@dataclass(frozen=True)
class Case:
    """A network at a size: `settings` of a clip network; `keras`: there is a Keras build of it; `compiled`:
    torch.compile is tried.
    """

    name: str
    size: tuple[int, int]
    frames: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    keras: bool = False
    compiled: bool = False

    @property
    def title(self) -> str:
        """Name and input."""
        sizes = (self.frames, *self.size) if self.frames else self.size
        return f"{self.name} {'x'.join(map(str, sizes))}"

    @property
    def unit(self) -> str:
        """Of its rates."""
        return "clips/s" if self.frames else "pictures/s"

    def build(self) -> Network:
        """Return the network with fresh weights."""
        if not self.frames:
            return create_backbone(self.name, "random")
        settings = {**self.settings, "frames": self.frames, "size": list(self.size)}
        return create_model(self.name, classes=8, settings=settings)

    def batch(self, network: Network, rows: int, device: str = "cpu") -> dict[str, Tensor]:
        """Return random pictures for it."""
        streams = network.streams if isinstance(network, Model) else ("rgb",)
        shape = (rows, 3, *((self.frames,) if self.frames else ()), *self.size)
        if device == "meta":
            return {name: torch.empty(shape, dtype=torch.uint8, device="meta") for name in streams}
        return {name: torch.randint(0, 256, shape, dtype=torch.uint8) for name in streams}


CASES = (
    Case("srs_sharing", (128, 128), 8, keras=True),
    Case("crs_sharing", (128, 128), 8, keras=True),
    Case("civ3d_mha_sharing", (128, 128), 8, keras=True),
    Case("i3d_rgb", (112, 112), 16),
    Case("c3d", (112, 112), 8, compiled=True),
    Case("resnet50v2", (224, 224), keras=True, compiled=True),
    Case("inception_resnet_v2", (224, 224), keras=True),
    Case("inception_v1", (224, 224)),
)
SMALL = (
    Case("srs_sharing", (64, 64), 8, {"width": 0.25}, keras=True),
    Case("c3d", (32, 32), 8, {"width": 0.125}),
    Case("small_cnn", (32, 32)),
)
"""For `--quick` and tests."""


def main(quick: bool) -> list[Figure]:
    # As training does. Prediction gives freed memory back, and is up to a tenth slower for it.
    keep_freed_memory(torch.device("cpu"))
    rates = {
        precision: best_rate(quick, precision != "float32") for precision in ("float32", "bfloat16")
    }
    rounds, batch = (1, 2) if quick else (ROUNDS, BATCH)
    figures = []
    with keras_beside() as keras:
        for case in SMALL if quick else CASES:
            figures += figures_of(case, rates, keras, rounds, batch)
    return figures


def figures_of(
    case: Case, rates: Mapping[str, float], keras: Keras | None, rounds: int, batch: int
) -> list[Figure]:
    """Return the figures of one network: each way over the floor, then each way over Keras."""
    floors, peers = [], []
    work = multiply_adds(case)
    network = case.build()
    given = case.batch(network, batch)
    peer = keras if case.keras else None
    for precision, rate in rates.items():
        if peer is not None:
            peer.build(case, precision, batch, network.keras_parameters())
        for verb, passes in (("predicts", 1), ("trains", 3)):
            ways = ways_of(case, network, given, precision, verb)
            if peer is not None:
                ways["keras"] = peer.asking(verb)
            taken = by_turns(ways, rounds)
            floor_is = f"{passes} x {work / 1e6:,.1f} M multiply-adds each at {rate / 1e9:,.0f} G/s"
            if ways.keys() > taken.keys():
                floor_is += "; Keras' own program broke down at this"
            for way, seconds in taken.items():
                name = f"{case.title} {verb}, {precision}, {way}"
                floors.append(Figure(name, batch / seconds, case.unit, rate / work / passes, floor_is))
            if "keras" in taken and peer is not None:
                peers += beside(floors[-len(taken) :], peer)
    return [*floors, *peers]


def ways_of(
    case: Case, network: Network, batch: Mapping[str, Tensor], precision: str, verb: str
) -> dict[str, Step]:
    """Return each way of taking one step."""
    mixed = precision == "bfloat16"
    if verb == "trains":
        return {"torch": training(network, batch, mixed)}
    ways = {"torch": predicting(network, batch, mixed)}
    if case.compiled:
        ways["torch.compile"] = predicting(network, batch, mixed, torch.compile(network.eval()))
    if (converted := by_openvino(case, network, batch, precision)) is not None:
        ways["openvino"] = converted
    return ways


def predicting(network: Network, batch: Mapping[str, Tensor], mixed: bool, call: Any = None) -> Step:
    call = network if call is None else call  # a compiled one has a length, if only to refuse to tell it

    def step() -> object:
        network.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return call(batch if isinstance(network, Model) else batch["rgb"])

    return step


def training(network: Network, batch: Mapping[str, Tensor], mixed: bool) -> Step:
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            if isinstance(network, Model):
                logits = network(batch).logits.float().flatten(0, 1)
                loss: Any = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
            else:
                loss = network(batch["rgb"]).float().square().mean()
        loss.backward()
        optimizer.step()

    return step


def by_openvino(
    case: Case, network: Network, batch: Mapping[str, Tensor], precision: str
) -> Step | None:
    """Return the step by OpenVINO; None where that is not installed."""
    try:
        library = OpenVino()
    except MissingExtraError:
        return None
    call: Any
    if isinstance(network, Model):
        call, given = library.judge(network.eval(), case.name, precision), batch
    else:
        call, given = library.embed(network.eval(), case.name, precision), batch["rgb"]

    def step() -> object:
        with torch.inference_mode():
            return call(given)

    return step


def multiply_adds(case: Case) -> float:
    """Return the multiply-adds that the kernels of one clip or picture need in a forward pass."""
    with torch.device("meta"):  # counts without computing
        network: Network = case.build() if case.frames else build_backbone(case.name)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        batch = case.batch(network, 1, "meta")
        network.eval()(batch if isinstance(network, Model) else batch["rgb"])
    return counter.get_total_flops() / 2


def by_turns(ways: Mapping[str, Step], rounds: int) -> dict[str, float]:
    """Return the median seconds of each way, all taken in turn after a step each that warms up.

    A way whose process breaks down is left out: TensorFlow's does at training SRS in bfloat16.
    """
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, step in ways.items():
            if way not in times:
                continue
            began = time.perf_counter()
            try:
                told = step()
            except KerasStoppedError:
                del times[way]
                continue
            # Keras' process takes its own time.
            taken = told if isinstance(told, float) else time.perf_counter() - began
            if turn:
                times[way].append(taken)
    return {way: statistics.median(taken) for way, taken in times.items()}


def beside(figures: list[Figure], keras: Keras) -> list[Figure]:
    """Return the same figures, Keras' in the place of the floor."""
    *ours, peer = figures
    return [
        Figure(f"{figure.name} beside Keras", figure.measured, figure.unit, peer.measured, keras.about)
        for figure in ours
    ]


class KerasStoppedError(RuntimeError):
    """The process with Keras has ended by itself."""


class Keras:
    """A process with Keras that builds and times networks when asked; begun anew where it breaks down."""

    def __init__(self, python: str) -> None:
        self._command = [python, str(WORKER), str(torch.get_num_threads())]
        self._process: subprocess.Popen[str] | None = None
        self._built: dict[str, object] = {}
        told = self._start()
        self.about = (
            f"no floor but a peer: Keras {told['keras']} on TensorFlow {told['tensorflow']}, tf.function, "
            f"{told['threads']} threads, the same network by turns with ours"
        )

    def _start(self) -> dict[str, Any]:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self._answer()

    def build(self, case: Case, precision: str, batch: int, parameters: int) -> None:
        """Build a network. Raises RuntimeError where it has not as many parameters as ours."""
        width = case.settings.get("width", 1.0)
        self._built = {
            "build": case.name,
            "precision": precision,
            "width": width,
            "size": case.size,
            "frames": case.frames,
            "batch": batch,
        }
        told = self._ask(self._built)
        if told["parameters"] != parameters:
            raise RuntimeError(
                f"{case.name}: Keras' build has {told['parameters']:,} parameters, ours {parameters:,}; "
                "these are different networks"
            )

    def asking(self, verb: str) -> Step:
        """Return what has Keras take one step, and gives its seconds."""
        return lambda: float(self._ask({"time": verb, "repeats": 1})["seconds"])

    def close(self) -> int:
        """End the process; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # of one that has ended by itself
                pipe.close()
        return process.wait(30)

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        if self._process is None:  # it broke down at an earlier request
            self._start()
            if request is not self._built:
                self._ask(self._built)
        assert self._process is not None
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise KerasStoppedError(f"{KERAS_PYTHON}: stopped with code {self.close()}")
        told: dict[str, Any] = json.loads(line)
        return told


@contextmanager
def keras_beside() -> Iterator[Keras | None]:
    """Give Keras where its Python is named, else None."""
    python = os.environ.get(KERAS_PYTHON)
    if not python:
        yield None
        return
    keras = Keras(python)
    try:
        yield keras
    finally:
        keras.close()
