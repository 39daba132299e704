"""Files of tensors, told apart by looking inside, and how tensors that do not fit are listed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from murine.errors import InputError
from murine.files import require_file
from murine.models.inception.tensor_bundle import find_index, read_bundle

NESTS = ("state_dict", "model_state_dict", "model")
"""Where a saved training state keeps the weights."""

PARALLEL = "module."
"""What PyTorch's parallel training puts before every name."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a file by their names.

    A TensorFlow checkpoint (its .index, its .data or the name without either), a safetensors file, or a PyTorch file
    (read without running code from it). Raises InputError.
    """
    path = Path(path)
    if index := find_index(path):
        # Big-endian files and unaligned views do not exist here: each tensor was copied from its bytes.
        return {name: torch.tensor(value) for name, value in read_bundle(index).items()}
    require_file(path, "a file of weights")
    with path.open("rb") as handle:
        first = handle.read(9)
    if first[8:] == b"{":
        try:
            return safetensors.torch.load_file(path)
        except SafetensorError as error:
            raise InputError(
                f"{path}: a damaged safetensors file ({error}). Copy it again from its source"
            ) from error
    if first[:4] == b"PK\x03\x04" or first[:1] == b"\x80":
        return _read_pytorch(path)
    raise InputError(
        f"{path}: no file of weights that murine reads. It reads safetensors, PyTorch files (.pt, .pth) and "
        "TensorFlow checkpoints (.index beside .data-00000-of-00001)"
    )


def _read_pytorch(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: not readable as tensors ({reason}). A file that holds more than tensors could run code and is "
            "refused; save model.state_dict() where it came from"
        ) from error
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
            break
    tensors = (
        {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise InputError(
            f"{path}: holds no table of tensors; save model.state_dict() where it came from"
        )
    if all(name.startswith(PARALLEL) for name in tensors):
        tensors = {name.removeprefix(PARALLEL): value for name, value in tensors.items()}
    return tensors


def list_faults(
    state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], theirs: Mapping[str, str]
) -> list[str]:
    """Return a line for each tensor that is missing or of another shape; `theirs`: the file's own names."""
    missing = [f"missing: {theirs.get(name, name)}" for name in wanted if name not in state]
    shapes = [
        f"{theirs.get(name, name)}: {tuple(state[name].shape)} came where {shape} was expected"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    return missing + shapes
