"""Files of I3D's weights as others published them: which layout a file has, and its tensors by our names.

Three layouts: the release's own (TensorFlow, variables such as `RGB/inception_i3d/Mixed_3b/Branch_0/
Conv3d_0a_1x1/conv_3d/w`) and the two ports to PyTorch, told apart by the names of their tensors. The release's
batch norm has no scale; the ports carry one, of ones. Where a port was trained further and they are not, they go into
the kernels and running means, which gives equal predictions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from murine.errors import InputError
from murine.models.contract import Model
from murine.models.inception.googlenet import is_googlenet
from murine.models.inception.layout import units
from murine.models.inception.tensor_file import list_faults, read_tensors

HEAD = "head"

STREAM = re.compile(r"^(RGB|Flow)/inception_i3d/")

LEFTOVERS = re.compile(r"(^|/)(global_step|Momentum|Adam(_1)?|beta[12]_power|RMSProp(_1)?)$")
"""What a checkpoint of a training run holds beside the weights: a counter, and the optimizer's memory."""

COUNTER = ".num_batches_tracked"
"""What PyTorch's batch norm keeps beside its statistics."""


@dataclass(frozen=True)
class Layout:
    """How a release names and shapes what we call `<unit>.conv.weight`, `.norm.bias` and so on.

    `unit`: its name of one of our units, or of the head. `names`: its endings for ours. `kernel`: its kernel as
    ours, (out, in, T, H, W). `scale`: its ending for the batch norm's scale, "" for none.
    """

    words: str
    unit: Callable[[str], str]
    names: Mapping[str, str]
    kernel: Callable[[Tensor], Tensor]
    head: Mapping[str, str]
    scale: str = ""

    def table(self) -> dict[str, str]:
        """Return its name of every tensor of I3D -> ours."""
        table: dict[str, str] = {}
        for unit in units():
            table |= {self.unit(unit) + end: f"body.{unit}.{ours}" for ours, end in self.names.items()}
        return table | {self.unit(HEAD) + end: f"{HEAD}.{ours}" for ours, end in self.head.items()}

    def scales(self) -> dict[str, str]:
        """Return its name of every scale -> our unit."""
        return {self.unit(unit) + self.scale: f"body.{unit}" for unit in units()} if self.scale else {}


def _released_unit(unit: str) -> str:
    """Return the release's name of one of our units; in 5b it calls the 3x3x3 of branch 2 "0a"."""
    part, _, branch = unit.partition(".")
    if not branch:
        return {
            "conv_1a": "Conv3d_1a_7x7",
            "conv_2b": "Conv3d_2b_1x1",
            "conv_2c": "Conv3d_2c_3x3",
            HEAD: "Logits/Conv3d_0c_1x1",
        }[part]
    if part == "mixed_5b" and branch == "branch_2b":
        last = "Conv3d_0a_3x3"
    elif branch == "branch_3b":
        last = "Conv3d_0b_1x1"
    else:
        last = "Conv3d_0b_3x3" if branch.endswith("b") else "Conv3d_0a_1x1"
    return f"{part.capitalize()}/Branch_{branch[len('branch_')]}/{last}"


def _first_port_unit(unit: str) -> str:
    part, _, branch = unit.partition(".")
    if branch:
        return f"{part.capitalize()}.{branch.replace('branch_', 'b')}"
    return "logits" if part == HEAD else _released_unit(part)


def _second_port_unit(unit: str) -> str:
    part, _, branch = unit.partition(".")
    if not branch:
        return "conv3d_0c_1x1" if part == HEAD else _released_unit(part).lower()
    place = {"a": ".0", "b": ".1"}.get(branch[-1], "")  # branch 0 is alone
    return f"{part}.{branch[: len('branch_0')]}{place}"


def _released_kernel(kernel: Tensor) -> Tensor:
    return kernel.permute(4, 3, 0, 1, 2) if kernel.dim() == 5 else kernel


def _port(words: str, unit: Callable[[str], str], norm: str) -> Layout:
    """Return the layout of a port to PyTorch, whose batch norm is called `norm`."""
    return Layout(
        words=words,
        unit=unit,
        names={
            "conv.weight": ".conv3d.weight",
            "norm.bias": f".{norm}.bias",
            "norm.running_mean": f".{norm}.running_mean",
            "norm.running_var": f".{norm}.running_var",
        },
        kernel=lambda kernel: kernel,
        head={"weight": ".conv3d.weight", "bias": ".conv3d.bias"},
        scale=f".{norm}.weight",
    )


LAYOUTS = (
    Layout(
        words="the released TensorFlow checkpoint",
        unit=_released_unit,
        names={
            "conv.weight": "/conv_3d/w",
            "norm.bias": "/batch_norm/beta",
            "norm.running_mean": "/batch_norm/moving_mean",
            "norm.running_var": "/batch_norm/moving_variance",
        },
        kernel=_released_kernel,
        head={"weight": "/conv_3d/w", "bias": "/conv_3d/b"},
    ),
    _port("a PyTorch port with names such as Mixed_3b.b1a.conv3d", _first_port_unit, "bn"),
    _port("a PyTorch port with names such as mixed_3b.branch_1.0.conv3d", _second_port_unit, "batch3d"),
)


def read_i3d(path: Path, model: Model) -> tuple[dict[str, Tensor], str]:
    """Read a file of I3D's weights as the state of a model, and say which layout it met.

    A head for another number of classes is left out. Raises InputError: a file of no known layout, of the other
    stream, of the 2D network, or with tensors missing, too many or of another shape, all listed.
    """
    tensors = read_tensors(path)
    if is_googlenet(tensors):
        raise InputError(
            f"{path}: the weights of the 2D network (Inception-V1 without batch norm), which do not fit I3D: its batch "
            "norm has no counterpart there. For these weights inflated to 3D choose model 'inflated_rgb' or "
            "'inflated_flow'"
        )
    tensors = _one_stream(tensors, path, model.streams[0])
    layout = _known_layout(tensors, path)
    extras = [name for name in tensors if LEFTOVERS.search(name)]
    tensors = {
        name: value
        for name, value in tensors.items()
        if name not in extras and not name.endswith(COUNTER)
    }
    state, faults = _convert(tensors, layout)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    theirs = {ours: name for name, ours in layout.table().items()}
    bias = state.get(f"{HEAD}.bias")
    classes = len(bias) if bias is not None and bias.dim() == 1 else 0
    other_head = classes not in (0, wanted[f"{HEAD}.bias"][0])
    if other_head:
        for ending in ("weight", "bias"):
            name = f"{HEAD}.{ending}"
            wanted[name] = (classes, *wanted[name][1:])
    for name, unit in layout.scales().items():
        if name in tensors:  # its place is the kernel; held against the shape of the bias beside it
            state[name], wanted[name] = tensors[name], wanted[f"{unit}.norm.bias"]
    faults += list_faults(state, wanted, theirs)
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise InputError(
            f"{path}: {layout.words}, but not the weights of this network (model "
            f"'{model.configuration.get('name')}'). Shapes below are in murine's order: out, in, T, H, W\n{listed}"
        )
    words = layout.words
    if other_head:
        state = {name: value for name, value in state.items() if not name.startswith(f"{HEAD}.")}
        words += f"; its head, for {classes} classes, left out"
    if _fold_scales(state, layout):
        words += "; scales of batch norm moved into the kernels"
    if extras:
        words += f"; state of its training left out ({len(extras)})"
    return {name: state[name] for name in wanted if name in state}, words


def _one_stream(tensors: dict[str, Tensor], path: Path, stream: str) -> dict[str, Tensor]:
    """Return the tensors without the release's name of the stream in front, if they have it."""
    there = {found[1] for name in tensors if (found := STREAM.match(name))}
    if not there:
        return tensors
    ours = {"rgb": "RGB", "flow": "Flow"}[stream]
    if ours not in there:
        other = {"rgb": "i3d_flow", "flow": "i3d_rgb"}[stream]
        raise InputError(
            f"{path}: holds the weights of the stream {' and '.join(sorted(there))}; this network is that of {ours}. "
            f"Give its checkpoint, or choose model '{other}'"
        )
    # A joint checkpoint of both streams is fine: the other half is not this network's.
    return {
        STREAM.sub("", name): value
        for name, value in tensors.items()
        if not (found := STREAM.match(name)) or found[1] == ours
    }


def _known_layout(tensors: Mapping[str, Tensor], path: Path) -> Layout:
    """Return the layout that most names fit."""
    counts = [len(layout.table().keys() & tensors.keys()) for layout in LAYOUTS]
    if max(counts) == 0:
        some = ", ".join(list(tensors)[:3])
        known = "; ".join(layout.words for layout in LAYOUTS)
        raise InputError(
            f"{path}: none of its {len(tensors)} tensors has a name of I3D's; the first are {some}. Known are: {known}"
        )
    return LAYOUTS[counts.index(max(counts))]


def _convert(tensors: Mapping[str, Tensor], layout: Layout) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors by our names and in our order of axes, and a line for each that has no place."""
    table, scales = layout.table(), layout.scales()
    state, faults = {}, []
    for name, value in tensors.items():
        if name in table:
            ours = table[name]
            if ours.endswith("weight"):
                value = layout.kernel(value)
            elif value.dim() == 5 and value.numel() == value.shape[-1]:
                value = value.flatten()  # the release keeps a value per channel as (1, 1, 1, 1, C)
            state[ours] = value.to(torch.float32).contiguous()
        elif name not in scales:
            faults.append(f"not of I3D: {name} {tuple(value.shape)}")
    return state, faults


def _fold_scales(state: dict[str, Tensor], layout: Layout) -> bool:
    """Move scales of batch norm that are not 1 into kernels and running means; True if there was any."""
    moved = False
    for name, unit in layout.scales().items():
        scale = state.pop(name, None)
        if scale is None or bool((scale == 1).all()):
            continue
        scale = scale.to(torch.float32)
        state[f"{unit}.conv.weight"] = state[f"{unit}.conv.weight"] * scale[:, None, None, None, None]
        state[f"{unit}.norm.running_mean"] = state[f"{unit}.norm.running_mean"] * scale
        moved = True
    return moved
