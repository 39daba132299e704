"""LSTM over embeddings.

Sources: de Juan, *Automated Mouse Behavior Recognition using LSTM and TCN Networks* (2022), section 4.1 and
Table 4.1: dropout, then layers of 64, 32, 16 or 64, 32; Le and Murari, *Recurrent 3D Convolutional Network
for Rodent Behavior Recognition* (2019), section 4.2: three layers of 512. Numerics are those of Keras.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from murine.errors import InputError
from murine.models.blocks import Dropout
from murine.models.factory import MODELS, ModelEntry
from murine.models.sequence import EmbeddingModel, SequenceHead, keras_dense
from murine.models.settings import Count, Share


class KerasLSTM(nn.LSTM):
    """One LSTM layer as in Keras: gates i, f, c, o, all with sigmoid but c; one bias, 1 for f at first.

    The library adds two biases; the second stays zero here and is no parameter, so that the bias does not
    learn twice as fast as in Keras. Kernels begin Glorot uniform, recurrent ones orthogonal.
    """

    def __init__(self, inputs: int, units: int, bidirectional: bool = False) -> None:
        super().__init__(inputs, units, batch_first=True, bidirectional=bidirectional)
        for end in ("l0", "l0_reverse") if bidirectional else ("l0",):
            nn.init.xavier_uniform_(self.get_parameter(f"weight_ih_{end}"))
            nn.init.orthogonal_(self.get_parameter(f"weight_hh_{end}"))
            bias = self.get_parameter(f"bias_ih_{end}")
            nn.init.zeros_(bias)
            nn.init.ones_(bias[units : 2 * units])
            delattr(self, f"bias_hh_{end}")
            setattr(self, f"bias_hh_{end}", nn.Buffer(torch.zeros_like(bias.data), persistent=False))


class LSTMHead(SequenceHead):
    """Dropout on the input, LSTM layers of `units`, a dense layer for every step.

    `bidirectional`: each layer also reads backwards, and gives twice its units. Steps outside the mask are
    left out, as if the recording did not have them.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        units: Sequence[int] = (64, 32, 16),
        dropout: float = 0.5,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        if not units:
            raise InputError("units: an LSTM needs at least one layer, such as units = [64, 32]")
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList()
        for layer_units in units:
            self.layers.append(KerasLSTM(features, layer_units, bidirectional))
            features = layer_units * (2 if bidirectional else 1)
        self.bidirectional = bidirectional
        self.reach = (None, None if bidirectional else 0)
        self.classify = keras_dense(nn.Linear(features, classes))

    def steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), zero outside the mask -> (B, T, last units)."""
        x = self.dropout(x)
        if bool(mask.all()):
            for layer in self.layers:
                x = layer(x)[0]
            return x
        # Real steps first, in their order; back to their places in the end.
        order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
        x = x.gather(1, order[..., None].expand_as(x))
        lengths = mask.sum(1).clamp(min=1).cpu()
        for layer in self.layers:
            if self.bidirectional:  # the way back begins at the last real step
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                x = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=mask.shape[1])[
                    0
                ]
            else:
                x = layer(x)[0]
        return torch.zeros_like(x).scatter(1, order[..., None].expand_as(x), x)


class LSTM(EmbeddingModel):
    """LSTM layers over embeddings; the defaults are the thesis' for ResNet50V2 (556,497 parameters).

    `units`: of each layer; (64, 32) for InceptionResNetV2, (512, 512, 512) for Le and Murari's. `dropout`: of
    the input. `bidirectional`: reads backwards too; then no frame can be judged before the end.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        units: tuple[Count, ...] = (64, 32, 16),
        dropout: Share = 0.5,
        bidirectional: bool = False,
    ) -> None:
        head = LSTMHead(features, classes, units=units, dropout=dropout, bidirectional=bidirectional)
        super().__init__(features, head)


MODELS.add(
    "lstm",
    ModelEntry(
        build=LSTM,
        streams=LSTM.streams,
        family="embeddings",
        source="de Juan, LSTM and TCN networks, Table 4.1; Le and Murari, recurrent 3D ConvNet, section 4.2",
        published=556_497,
        counted={"classes": 1, "features": 2048},
        tiny={"units": [12, 8]},
    ),
)
