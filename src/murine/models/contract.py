"""What every network promises, so that one loop trains, one function predicts, one test checks them all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""`rgb` (B, 3, T, H, W) and `flow` (B, 2 or 3, T, H, W): uint8, or float in 0..255; `pose`, `embedding`
(B, T, F) float32; `mask` (B, T) bool, True where a frame is real (padding is False)."""


class Output(NamedTuple):
    """Logits (B, T_out, C), never through a softmax; `stages`: the logits of earlier stages, each
    (B, T_out, C), empty unless the model refines. T_out = T if the model predicts "all", else 1.
    """

    logits: Tensor
    stages: tuple[Tensor, ...] = ()


class Model(nn.Module):
    """Base of every network. The constructor's typed keywords are its configuration.

    `streams`: what it takes from a batch. `window`: frames it is built for, None for any length.
    `predicts`: "all" frames of a window, or one label for the "centre" or the "last" frame.
    Scaling of pixels and masking of padding happen inside `forward`. `configuration` is what rebuilds
    the model (name, classes, features, settings), written by the factory and saved beside the weights.

    `head_names`: beginnings of the names of the parameters that depend on the behaviours; a transfer to other
    behaviours replaces them. `described`: columns of `describe`, 0 for a model without.
    """

    streams: ClassVar[tuple[str, ...]] = ()
    head_names: ClassVar[tuple[str, ...]] = ("head.",)
    predicts: Literal["all", "centre", "last"] = "all"
    window: int | None = None
    described: int = 0
    configuration: Mapping[str, Any] = MappingProxyType({})

    def forward(self, batch: Batch) -> Output:
        """Return the logits of a batch."""
        raise NotImplementedError

    def describe(self, batch: Batch) -> Tensor:
        """Return the features (B, described) of each window that the head would judge: an embedding."""
        raise NotImplementedError

    def keras_parameters(self) -> int:
        """Return the count as Keras makes it: parameters and batch-norm statistics, one bias per LSTM."""
        statistics = sum(
            buffer.numel()
            for name, buffer in self.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        )
        second_biases = sum(
            parameter.numel()
            for module in self.modules()
            if isinstance(module, nn.LSTM)
            for name, parameter in module.named_parameters()
            if name.startswith("bias_hh")
        )
        return sum(p.numel() for p in self.parameters()) + statistics - second_biases
