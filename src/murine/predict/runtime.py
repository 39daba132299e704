"""The library that computes a network's numbers in prediction: torch, or OpenVINO where that is installed.

OpenVINO takes the networks that see pictures, where the time goes. A network is exported by torch, converted once
for each size of batch, and gives torch's numbers but for rounding. Rows of numbers (pose, embeddings) cost next to
nothing and stay with torch, and so do windows with padding, which only recordings shorter than a window have.
"""

from __future__ import annotations

import importlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from murine.data.prepared import PICTURES
from murine.errors import InputError, MissingExtraError, MurineError, suggest
from murine.models.backbones import Backbone
from murine.models.contract import Batch, Model, Output
from murine.models.frames import FramesModel
from murine.progress import SILENT, Progress

RUNTIMES = ("torch", "openvino")

_TELEMETRY = "openvino_telemetry"
_KEPT = 8
"""Sizes of batches for which a converted network is kept."""


class OpenVino:
    """What converts networks; one for each prediction, however many recordings.

    It computes on the processor, with as many threads as torch has. Raises MissingExtraError where OpenVINO is
    not installed.
    """

    def __init__(self, progress: Progress = SILENT) -> None:
        self._library = _import_openvino()
        self._core = self._library.Core()
        self._progress = progress
        self._told: set[str] = set()

    @property
    def version(self) -> str:
        """Name and version of the library, for the history of a prediction."""
        return f"openvino {str(self._library.__version__).split('-')[0]}"

    def judge(self, model: Model, name: str, precision: str) -> Callable[[Batch], Output] | None:
        """Return what computes a model's logits; None for a model that stays with torch."""
        if not _sees_pictures(model):
            self._tell(f"model '{name}' sees numbers, no pictures: torch computes it")
            return None
        if isinstance(model, FramesModel):
            seen = _Seen(model.backbone, self.embed(model.backbone, model.backbone_name, precision))
            # The same model with another backbone; its head is small.
            return deepcopy(model, {id(model.backbone): seen})
        convert = self._converter(_Judging(model), f"model '{name}'", precision)

        def judge(batch: Batch) -> Output:
            if not _whole(batch):
                return model(batch)  # type: ignore[no-any-return]
            return Output(convert([batch[stream] for stream in model.streams]))

        return judge

    def describe(self, model: Model, name: str, precision: str) -> Callable[[Batch], Tensor] | None:
        """Return what computes a model's description of windows; None for a model that stays with torch."""
        if not _sees_pictures(model):
            return None
        convert = self._converter(_Describing(model), f"model '{name}'", precision)

        def describe(batch: Batch) -> Tensor:
            if not _whole(batch):
                return model.describe(batch)
            return convert([batch[stream] for stream in model.streams])

        return describe

    def embed(self, backbone: Backbone, name: str, precision: str) -> Callable[[Tensor], Tensor]:
        """Return what computes a backbone's features of pictures."""
        convert = self._converter(backbone, f"backbone '{name}'", precision)
        return lambda pictures: convert([pictures])

    def _converter(
        self, network: nn.Module, what: str, precision: str
    ) -> Callable[[Sequence[Tensor]], Tensor]:
        hint = self._hint(precision)
        return _Converted(network.eval(), what, self._library, self._core, hint)

    def _hint(self, precision: str) -> str:
        if precision != "bfloat16":
            return "f32"
        if "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "bf16"
        self._tell(
            "precision bfloat16: OpenVINO knows none for this processor, which computes in float32"
        )
        return "f32"

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._progress.message(text)


def choose_runtime(name: str, device: str, progress: Progress = SILENT) -> OpenVino | None:
    """Return what converts networks for a runtime, None for torch.

    Raises InputError for an unknown one, or a device it cannot compute on, MissingExtraError.
    """
    if name not in RUNTIMES:
        raise InputError(f"unknown runtime '{name}'.{suggest(name, RUNTIMES)}")
    if name == "torch":
        return None
    if device not in ("auto", "cpu"):
        raise InputError(
            f"runtime 'openvino' computes on the processor, and device '{device}' came. Take device 'cpu', or "
            "runtime 'torch'"
        )
    return OpenVino(progress)


class _Converted:
    """A network as OpenVINO computes it. Batches are filled up to powers of two, so that few sizes occur."""

    def __init__(self, network: nn.Module, what: str, library: ModuleType, core: Any, hint: str) -> None:
        self._network, self._what = network, what
        self._library, self._core, self._hint = library, core, hint
        self._compiled: dict[tuple[object, ...], Any] = {}

    def __call__(self, values: Sequence[Tensor]) -> Tensor:
        """Return the network's output for the rows of a batch."""
        rows = len(values[0])
        size = 1 << (rows - 1).bit_length()
        filled = [_filled(value, size) for value in values]
        key = tuple((value.dtype, *value.shape) for value in filled)
        if key not in self._compiled:
            if len(self._compiled) == _KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = self._convert(filled)
        result = self._compiled[key]([value.numpy() for value in filled])[0]
        return torch.from_numpy(result[:rows].copy())

    def _convert(self, values: Sequence[Tensor]) -> Any:
        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # Two predictions side by side would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            with _plain_torch():
                # Never seen by the network: their shapes are what counts.
                examples = tuple(torch.zeros(v.shape, dtype=v.dtype) for v in values)
                exported = torch.export.export(self._network, examples, strict=False)
                _fit_pools(exported.graph)
                model = self._library.convert_model(exported)
            model.reshape({i: list(v.shape) for i, v in enumerate(examples)})
            return self._core.compile_model(model, "CPU", settings)
        except (MurineError, MemoryError):
            raise
        except Exception as error:  # two libraries, each with many ways to refuse
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[0] if lines else type(error).__name__
            raise InputError(
                f"{self._what} cannot be converted for OpenVINO ({reason[:200]}). Predict it with torch: "
                "--runtime torch"
            ) from error


class _Seen(nn.Module):
    """A backbone that is computed elsewhere."""

    def __init__(self, backbone: Backbone, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.compute = backbone.features, compute

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, features)."""
        return self.compute(pictures)


class _Judging(nn.Module):
    """A model as a function of its streams; `torch.export` takes neither names nor tuples out."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *streams: Tensor) -> Tensor:
        """Return the logits."""
        output: Output = self.model(dict(zip(self.model.streams, streams, strict=True)))
        return output.logits


class _Describing(_Judging):
    """The same, before the head."""

    def forward(self, *streams: Tensor) -> Tensor:
        """Return the description."""
        return self.model.describe(dict(zip(self.model.streams, streams, strict=True)))


def _sees_pictures(model: Model) -> bool:
    return bool(set(model.streams) & set(PICTURES))


def _whole(batch: Batch) -> bool:
    return "mask" not in batch or bool(batch["mask"].all())


def _filled(value: Tensor, rows: int) -> Tensor:
    """Return a batch with so many rows, the last one repeated."""
    missing = rows - len(value)
    if missing:
        value = torch.cat([value, value[-1:].expand(missing, *value.shape[1:])])
    return value.contiguous()


def _fit_pools(graph: torch.fx.Graph) -> None:
    """Cut the kernels of pools that look once along an axis to what lies there.

    torch lets such a kernel reach past the end of the axis (`ceil_mode`), OpenVINO does not.
    """
    aten = torch.ops.aten
    pools = {aten.max_pool1d.default: 1, aten.max_pool2d.default: 2, aten.max_pool3d.default: 3}
    for node in graph.nodes:
        axes = pools.get(node.target)
        if axes is None:
            continue
        given: tuple[Any, ...] = node.args
        x, kernel, stride, padding, dilation, ceil = given + _POOL_DEFAULTS[len(given) :]
        kernels, paddings = _each(kernel, axes), _each(padding, axes)
        strides = _each(stride or kernel, axes)
        sizes, places = x.meta["val"].shape[-axes:], node.meta["val"].shape[-axes:]
        for i in range(axes):
            if places[i] == 1:
                kernels[i] = min(kernels[i] - paddings[i], int(sizes[i]))
                paddings[i] = 0
        node.args = (x, kernels, strides, paddings, dilation, ceil)


_POOL_DEFAULTS: tuple[Any, ...] = (None, None, (), 0, 1, False)


def _each(value: int | Sequence[int], axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


@contextmanager
def _plain_torch() -> Iterator[None]:
    """Neither inference mode nor autocast, both of which would end up in what is exported; and quiet: where
    the exporter fails, it prints the whole graph.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which tells its makers of every import and conversion."""
    if "openvino" not in sys.modules:
        held = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # not to be found
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module("openvino")
        except ImportError as error:
            raise MissingExtraError("runtime 'openvino'", "openvino") from error
        finally:
            del sys.modules[_TELEMETRY]
            if held is not None:
                sys.modules[_TELEMETRY] = held
    return sys.modules["openvino"]
