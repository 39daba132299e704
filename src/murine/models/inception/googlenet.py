"""BVLC GoogLeNet, the 2D Inception-V1 whose ImageNet weights are free: names, files, scaling.

Source: the names of Caffe's bvlc_googlenet. Its input is BGR, 0..255 minus a mean per channel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from murine.errors import InputError
from murine.models.inception.layout import BRANCHES, PARTS, Widths
from murine.models.inception.tensor_file import list_faults, read_tensors

MEAN = (104.0, 117.0, 123.0)
"""Taken from blue, green and red."""

HEAD = "head"

WORDS = "the 2D network's weights (BVLC GoogLeNet)"

RELEASED = {"conv_1a": "conv1/7x7_s2", "conv_2b": "conv2/3x3_reduce", "conv_2c": "conv2/3x3"}
RELEASED_BRANCHES = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")


def released_names() -> dict[str, str]:
    """Return the release's name of every tensor -> ours; its inception_3a is our mixed_3b, and so on."""
    names = {theirs: f"body.{unit}" for unit, theirs in RELEASED.items()}
    for name, part in PARTS.items():
        if isinstance(part, Widths):
            block = f"inception_{name[-2]}{chr(ord(name[-1]) - 1)}"
            pairs = zip(RELEASED_BRANCHES, BRANCHES, strict=True)
            names |= {f"{block}/{theirs}": f"body.{name}.{branch}" for theirs, branch in pairs}
    names["loss3/classifier"] = HEAD
    return {f"{t}.{end}": f"{ours}.{end}" for t, ours in names.items() for end in ("weight", "bias")}


def is_googlenet(names: Collection[str]) -> bool:
    """Return whether tensors of these names are those of the 2D network."""
    return len(released_names().keys() & set(names)) > 1


def read_googlenet(path: Path, wanted: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Tensor], str]:
    """Read the 2D network's file as tensors of our names, and say what was read.

    `wanted`: the shapes by our names of the 2D network to be filled. Its head is optional; one for another number of
    classes is left out. Raises InputError that lists every tensor missing, extra or of another shape.
    """
    table = released_names()
    theirs = {ours: name for name, ours in table.items()}
    tensors = read_tensors(path)
    words = WORDS
    if not is_googlenet(tensors):
        some = ", ".join(list(tensors)[:3])
        raise InputError(
            f"{path}: not the weights of BVLC GoogLeNet (tensors such as inception_3a/1x1.weight): the first of its "
            f"{len(tensors)} tensors are {some}"
        )
    faults = [f"not of this network: {name}" for name in tensors if name not in table]
    state = {table[name]: value.float() for name, value in tensors.items() if name in table}
    heads = (f"{HEAD}.weight", f"{HEAD}.bias")
    needed = {name: shape for name, shape in wanted.items() if name not in heads}
    classes = [tuple(state[name].shape[:1]) for name in heads if name in state]
    if any(n != wanted.get(heads[1], ()) for n in classes):
        words += f"; its head, for {classes[0][0] if classes[0] else 'no'} classes, left out"
        state = {name: value for name, value in state.items() if name not in heads}
    elif classes:
        needed = dict(wanted)
    faults += list_faults(state, needed, theirs)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise InputError(f"{path}: {WORDS}, which do not fit this network\n{listed}")
    return state, words
