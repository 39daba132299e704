"""Files of a network's own tensors, and what does not fit in them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from murine.errors import InputError

UNCOUNTED = "num_batches_tracked"
"""What ends the name of a tensor that no other library writes and no result depends on."""

WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts put the tensors beside other things."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors, .pth, .pt or .bin file, on the CPU; no code from it is run.

    Raises InputError for a file of another kind or a damaged one.
    """
    path = Path(path)
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(
            f"{path}: weights of a network were expected here (.safetensors, .pth, .pt, .bin); came "
            f"'{path.suffix or path.name}'"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; weights of a network were expected there") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: cannot be read as the tensors of a network ({first}). Get the file again from its "
            "source; a file that holds a whole Python object is never loaded, for that would run its code"
        ) from error
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: a table of named tensors was expected; came {type(found).__name__}")
    return {str(key): value for key, value in found.items()}


def state_faults(found: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """Return every tensor that is missing, extra or of another shape, in words."""
    wanted = network.state_dict()
    faults = [f"missing: {key}" for key in wanted if key not in found and not key.endswith(UNCOUNTED)]
    faults += [f"not of this network: {key}" for key in found if key not in wanted]
    return faults + [
        f"{key}: {tuple(found[key].shape)} came where {tuple(value.shape)} was expected"
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]


def fitted_state(path: Path, found: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return `found` as the whole state of `network`, in its types; raises InputError that lists all faults."""
    if faults := state_faults(found, network):
        raise fault_error(path, faults)
    own = network.state_dict()
    return {key: found[key].to(value.dtype) if key in found else value for key, value in own.items()}


def fault_error(path: Path, faults: list[str], layout: str = "") -> InputError:
    """Return the error that lists what does not fit; `layout`: what the file was taken for."""
    met = f" (read as {layout})" if layout else ""
    return InputError(
        f"{path}: these weights do not fit the network{met}\n" + "\n".join(f"  - {f}" for f in faults)
    )


def read_own_state(path: Path, network: nn.Module, prefix: str = "backbone.") -> dict[str, Tensor]:
    """Return the state of `network` from a file of its own tensors, or of those of a model that it is a part
    of, where their names begin with `prefix`. Raises InputError.
    """
    found = read_state(path)
    part = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    return fitted_state(path, part or found, network)
