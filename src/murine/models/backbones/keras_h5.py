"""Weight files that Keras writes (HDF5), as the tensors of the same network here.

Two layouts. In the older one (the published files, and whole models as .h5) the attribute `layer_names` lists a
group per layer and its attribute `weight_names` that layer's tensors; a whole model has all of it under
`model_weights`. In the newer one (.weights.h5) the layers of a kind are numbered in the model's order,
layers/conv2d, layers/conv2d_1, and their tensors are vars/0, vars/1; Keras 3 notes their names, too.

Layers that Keras itself names are found by name. Those it only numbers (most of InceptionResNetV2) carry
numbers that depend on what was built before them, so they are taken in the file's order, as Keras does.
Kernels are (H, W, in, out) there and (out, in, H, W) here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from murine.errors import InputError
from murine.models.backbones.keras_layers import TENSORS, KerasBackbone, KerasLayer, Kind
from murine.models.backbones.registry import Backbone
from murine.models.backbones.states import fault_error, read_own_state

SUFFIXES = (".h5", ".hdf5")
NUMBERED = re.compile(r"(conv2d|batch_normalization(_v1)?)(_\d+)?")
"""Names that Keras gives by itself."""

OLD = "Keras' layout by the names of layers"
WHOLE = "a whole model in Keras' layout by the names of layers"
NEW = "Keras' layout by numbered variables (.weights.h5)"
OWN = "murine's own tensors"


class StoredLayer(NamedTuple):
    """A layer with weights in a file; `name` is empty where the file has none, `place` is its group."""

    kind: Kind | None
    name: str
    place: str
    tensors: dict[str, NDArray[Any]]


def read_keras(path: Path, backbone: Backbone) -> dict[str, Tensor]:
    """Return a file of weights (.h5 of Keras, or of our own tensors) as the whole state of `backbone`.

    Raises InputError that lists every tensor missing, extra or of another shape.
    """
    path = Path(path)
    if path.suffix == ".keras":
        raise InputError(
            f"{path}: a packed model of Keras 3; its weights were expected (.h5). Write them with Keras: "
            'model.save_weights("NAME.weights.h5")'
        )
    if path.suffix not in SUFFIXES:
        return read_own_state(path, backbone)
    assert isinstance(backbone, KerasBackbone)
    layout, stored = _read(path)
    pairs, faults = _pair(backbone.keras_layers(), stored)
    state = backbone.state_dict()
    given: dict[str, Tensor] = {}
    for layer, found in pairs:
        faults += _take(layer, found, state, given)
    if faults:
        raise fault_error(path, faults, layout)
    return {key: given.get(key, value) for key, value in state.items()}


def keras_layout(path: Path) -> str:
    """Return which layout a file of weights has, in words; raises InputError for none that is known."""
    return _read(Path(path))[0] if Path(path).suffix in SUFFIXES else OWN


def _read(path: Path) -> tuple[str, list[StoredLayer]]:
    """Return the layout of a file and its layers with weights, in the file's order."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" in root.attrs or "layer_names0" in root.attrs:
                return (OLD if root is file else WHOLE), list(_by_name(root))
            if isinstance(file.get("layers"), h5py.Group):
                return NEW, list(_by_number(file["layers"]))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; weights written by Keras were expected there"
        ) from error
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as weights of Keras ({str(error) or type(error).__name__}); the file is "
            "damaged or of another kind. Get it again from its source"
        ) from error
    raise InputError(
        f"{path}: neither layout of Keras is in this file: {OLD}, or {NEW}. Write the weights with "
        'model.save_weights("NAME.weights.h5")'
    )


def _by_name(root: Any) -> Iterator[StoredLayer]:
    for name in _texts(root, "layer_names"):
        names = _texts(root[name], "weight_names")
        # The last part alone says which tensor it is; what stands before it differs between versions.
        found = {w.rpartition("/")[2].removesuffix(":0"): root[name][w][()] for w in names}
        if found:
            kinds = [kind for kind, known in TENSORS.items() if set(found) <= set(known)]
            yield StoredLayer(kinds[0] if kinds else None, name, name, found)


def _by_number(layers: Any) -> Iterator[StoredLayer]:
    for place in sorted(layers, key=_number):
        stored = layers[place].get("vars", {})
        values = [stored[key][()] for key in sorted(stored, key=int)]
        if not values:
            continue
        kind = next((k for k in TENSORS if NUMBERED.fullmatch(place) and place.startswith(k)), None)
        names = list(TENSORS[kind]) if kind else []
        if kind == "batch_normalization" and len(values) == len(names) - 1:
            names.remove("gamma")
        names += [str(i) for i in range(len(names), len(values))]
        name = str(stored.attrs.get("name", ""))
        yield StoredLayer(kind, name, place, dict(zip(names, values, strict=False)))


def _texts(group: Any, attribute: str) -> list[str]:
    """Return a list of texts, which Keras cuts into attribute0, attribute1 and so on if it is long."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _number(place: str) -> int:
    """Return 12 for conv2d_12 and 0 for conv2d."""
    last = place.rpartition("_")[2]
    return int(last) if last.isdigit() else 0


def _pair(
    wanted: Sequence[KerasLayer], stored: Sequence[StoredLayer]
) -> tuple[list[tuple[KerasLayer, StoredLayer]], list[str]]:
    """Return which stored layer each of ours is, and faults for those that stay alone."""
    named = any(layer.name for layer in stored)
    by_name = {layer.name: layer for layer in stored if layer.name}
    own = {layer.name for layer in wanted if layer.name} if named else set()
    # Without names, or under names that only number, the order of the file decides, kind by kind.
    waiting = {
        kind: [
            layer
            for layer in stored
            if layer.kind == kind
            and layer.name not in own
            and (not layer.name or NUMBERED.fullmatch(layer.name))
        ]
        for kind in TENSORS
    }
    pairs, faults = list[tuple[KerasLayer, StoredLayer]](), []
    for layer in wanted:
        if layer.name and named:
            found = by_name.get(layer.name)
        else:
            found = waiting[layer.kind].pop(0) if waiting[layer.kind] else None
        if found is None:
            faults.append(f"missing: {layer.name or f'one more {layer.kind}'} (here {layer.module})")
        else:
            pairs.append((layer, found))
    used = {found.place for _, found in pairs}
    faults += [
        f"not of this network: {layer.place}/{tensor}"
        for layer in stored
        if layer.place not in used
        for tensor in layer.tensors
    ]
    return pairs, faults


def _take(
    layer: KerasLayer, found: StoredLayer, state: dict[str, Tensor], given: dict[str, Tensor]
) -> list[str]:
    """Put a stored layer's tensors into `given` under our names; return what does not fit."""
    names = {t: f"{layer.module}.{ours}" for t, ours in TENSORS[layer.kind].items()}
    names = {t: key for t, key in names.items() if key in state}
    faults = [f"missing: {found.place}/{tensor}" for tensor in names if tensor not in found.tensors]
    faults += [f"not of this network: {found.place}/{t}" for t in found.tensors if t not in names]
    for tensor, key in names.items():
        if tensor not in found.tensors:
            continue
        values = found.tensors[tensor]
        # (H, W, in, out) as Keras has it
        shape = tuple(state[key].permute(2, 3, 1, 0).shape if tensor == "kernel" else state[key].shape)
        if values.shape != shape:
            faults.append(f"{found.place}/{tensor}: {values.shape} came where {shape} was expected")
            continue
        ours = values.transpose(3, 2, 0, 1) if tensor == "kernel" else values
        given[key] = torch.from_numpy(np.ascontiguousarray(ours, dtype=np.float32))
    return faults
