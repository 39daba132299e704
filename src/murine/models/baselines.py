"""Plain networks on pose features: what anything cleverer has to beat.

Source: Do Dinh, Jaakik and Khalfi (EPFL), *ML For Science: Mouse Action Segmentation*, table I: fully
connected, LSTM, self-attention, 1D convolution. The report prints no size of any of them; those here are
murine's own choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.blocks import Dropout
from murine.models.factory import MODELS, ModelEntry
from murine.models.recurrent import LSTMHead
from murine.models.sequence import PoseModel, SequenceHead, keras_dense, keras_he_normal
from murine.models.settings import Count, Natural, Share
from murine.models.temporal_conv import Convolution, Norm
from murine.models.transformer import Positions, TransformerHead

SOURCE = "Do Dinh et al., Mouse Action Segmentation, table I; sizes are murine's own"


class DenseHead(SequenceHead):
    """Dense layers over a frame and `context` frames on each side of it, each with ReLU and dropout.

    What lies outside a recording counts as 0. `causal`: 2 x `context` frames before a frame instead.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        units: Sequence[int] = (256, 128),
        context: int = 15,
        dropout: float = 0.5,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if not units:
            raise InputError("units: a dense network needs at least one layer, such as units = [256]")
        # A dense layer over a window is a convolution as long as the window.
        self.first = keras_he_normal(nn.Conv1d(features, units[0], 2 * context + 1))
        self.rest = nn.ModuleList(
            nn.Linear(before, after) for before, after in zip(units[:-1], units[1:], strict=True)
        )
        for layer in self.rest:
            keras_dense(layer)  # type: ignore[arg-type]
        self.dropout = Dropout(dropout)
        self.reach = (2 * context, 0) if causal else (context, context)
        self.sides = self.reach
        self.classify = keras_dense(nn.Linear(units[-1], classes))

    def steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), zero outside the mask -> (B, T, last units)."""
        y: Tensor = self.first(F.pad(x.transpose(1, 2), self.sides)).transpose(1, 2)
        y = self.dropout(F.relu(y))
        for layer in self.rest:
            y = self.dropout(F.relu(layer(y)))
        return y


class ConvHead(SequenceHead):
    """Convolutions over time on one another, each with normalisation, ReLU and dropout of whole channels."""

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        filters: Sequence[int] = (128, 128, 128),
        kernel: int = 9,
        norm: Norm = "batch",
        dropout: float = 0.2,
        causal: bool = False,
        norm_momentum: float = 0.01,
    ) -> None:
        super().__init__()
        if not filters:
            raise InputError("filters: a convolutional network needs at least one layer, such as [128]")
        self.layers = nn.ModuleList()
        for number in filters:
            self.layers.append(
                Convolution(
                    features, number, kernel, 1,
                    norm=norm, momentum=norm_momentum, dropout=dropout, causal=causal,
                )
            )  # fmt: skip
            features = number
        far = kernel - 1
        before = (far if causal else far // 2) * len(filters)
        self.reach = (before, far * len(filters) - before)
        self.classify = keras_dense(nn.Linear(features, classes))

    def steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), zero outside the mask -> (B, T, last filters)."""
        x, real = x.transpose(1, 2), mask[:, None].to(x.dtype)
        for layer in self.layers:
            x = layer(x, real)
        return x.transpose(1, 2)


class FullyConnected(PoseModel):
    """Dense layers over the pose features of a short window around each frame.

    `units`: of each layer. `context`: frames on each side that count too; 0: the frame alone. `dropout`: after
    each layer. `causal`: the window ends with its frame.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        units: tuple[Count, ...] = (256, 128),
        context: Natural = 15,
        dropout: Share = 0.5,
        causal: bool = False,
    ) -> None:
        head = DenseHead(features, classes, units=units, context=context, dropout=dropout, causal=causal)
        super().__init__(features, head)


class Conv1D(PoseModel):
    """Convolutions over time on pose features, without dilation; each sees `kernel` frames of the one before.

    `filters`: of each layer. `norm`: of batch, layer, weight, or none; `norm_momentum`: share of a batch's
    statistics in the running ones. `dropout` drops whole channels. `causal`: no frame sees a later one.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        filters: tuple[Count, ...] = (128, 128, 128),
        kernel: Count = 9,
        norm: Norm = "batch",
        dropout: Share = 0.2,
        causal: bool = False,
        norm_momentum: Share = 0.01,
    ) -> None:
        head = ConvHead(
            features, classes, filters=filters, kernel=kernel, norm=norm, dropout=dropout,
            causal=causal, norm_momentum=norm_momentum,
        )  # fmt: skip
        super().__init__(features, head)


class PoseLSTM(PoseModel):
    """LSTM layers over pose features, as in `lstm`.

    `units`: of each layer. `dropout`: of the input. `bidirectional`: reads backwards too, and gives twice its
    units; without, no frame sees a later one.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        units: tuple[Count, ...] = (128,),
        dropout: Share = 0.2,
        bidirectional: bool = True,
    ) -> None:
        head = LSTMHead(features, classes, units=units, dropout=dropout, bidirectional=bidirectional)
        super().__init__(features, head)


class SelfAttention(PoseModel):
    """A layer of self-attention over pose features; the settings are those of `TransformerHead`."""

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        units: Count = 128,
        heads: Count = 4,
        layers: Count = 1,
        feed_forward: Count = 256,
        dropout: Share = 0.2,
        positions: Positions = "relative",
        reach: Count = 64,
        span: Natural = 64,
        causal: bool = False,
    ) -> None:
        head = TransformerHead(
            features, classes, units=units, heads=heads, layers=layers, feed_forward=feed_forward,
            dropout=dropout, positions=positions, reach=reach, span=span, causal=causal,
        )  # fmt: skip
        super().__init__(features, head)


for _name, _build, _tiny in (
    ("fully_connected", FullyConnected, {"units": [16, 12], "context": 2}),
    ("conv1d", Conv1D, {"filters": [12, 12], "kernel": 4}),
    ("pose_lstm", PoseLSTM, {"units": [12]}),
    (
        "self_attention",
        SelfAttention,
        {"units": 16, "heads": 2, "feed_forward": 24, "span": 5, "reach": 4},
    ),
):
    MODELS.add(
        _name,
        ModelEntry(
            build=_build,
            streams=PoseModel.streams,
            family="baselines",
            source=SOURCE,
            counted={"classes": 4, "features": 28},
            tiny=_tiny,
        ),
    )
