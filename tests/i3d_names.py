"""The names of I3D's tensors in its three releases, written from lists of them and not from murine's tables.

`RELEASED` is the order in which they are also built by murine: convolutions from the input to the head.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCKS = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")


def released() -> list[str]:
    units = list(STEM)
    for block in BLOCKS:
        slip = "Conv3d_0a_3x3" if block == "5b" else "Conv3d_0b_3x3"
        units += [
            f"Mixed_{block}/Branch_0/Conv3d_0a_1x1",
            f"Mixed_{block}/Branch_1/Conv3d_0a_1x1",
            f"Mixed_{block}/Branch_1/Conv3d_0b_3x3",
            f"Mixed_{block}/Branch_2/Conv3d_0a_1x1",
            f"Mixed_{block}/Branch_2/{slip}",
            f"Mixed_{block}/Branch_3/Conv3d_0b_1x1",
        ]
    return [*units, "Logits/Conv3d_0c_1x1"]


def first_port() -> list[str]:
    branches = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
    return [*STEM, *(f"Mixed_{block}.{b}" for block in BLOCKS for b in branches), "logits"]


def second_port() -> list[str]:
    branches = ("branch_0", "branch_1.0", "branch_1.1", "branch_2.0", "branch_2.1", "branch_3.1")
    stem = ("conv3d_1a_7x7", "conv3d_2b_1x1", "conv3d_2c_3x3")
    return [*stem, *(f"mixed_{block}.{b}" for block in BLOCKS for b in branches), "conv3d_0c_1x1"]


def port_state(state: dict[str, Tensor], units: list[str], norm: str) -> dict[str, Tensor]:
    """Return murine's tensors, taken in their order, as a port's: with scales of ones and counters."""
    values = list(state.values())
    renamed = {}
    for at, unit in enumerate(units[:-1]):
        kernel, bias, mean, variance = values[4 * at : 4 * at + 4]
        renamed[f"{unit}.conv3d.weight"] = kernel.contiguous().clone()
        renamed[f"{unit}.{norm}.weight"] = torch.ones_like(bias)
        renamed[f"{unit}.{norm}.bias"] = bias.contiguous().clone()
        renamed[f"{unit}.{norm}.running_mean"] = mean.contiguous().clone()
        renamed[f"{unit}.{norm}.running_var"] = variance.contiguous().clone()
        renamed[f"{unit}.{norm}.num_batches_tracked"] = torch.tensor(0)
    renamed[f"{units[-1]}.conv3d.weight"], renamed[f"{units[-1]}.conv3d.bias"] = (
        v.contiguous().clone() for v in values[-2:]
    )
    return renamed
