"""A trained network on disk: `weights.safetensors` and `model.json`, the readable file that rebuilds it.

Loading runs no code from the folder. `model.json`, format version 1:

    format, format_version   "murine-model", 1
    murine                   the version that wrote it
    model, classes, features, settings   what `create_model` takes (features: null where there are none)
    ethogram                 behaviours, exclusive, background
    weights                  file, hash (BLAKE2b, 32 hex digits), tensors
    extra                    whatever else prediction needs: input settings, scaling of pose features
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from murine import __version__
from murine.errors import ConfigError, InputError, VersionError
from murine.files import make_folder, replacing, require_file, value_hash, write_json
from murine.models.contract import Model
from murine.models.factory import create_model
from murine.types import Ethogram

FORMAT = "murine-model"
FORMAT_VERSION = 1
DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to predict (in evaluation mode, on the CPU) and what was saved with it.

    `hash` names all of it: weights, settings, ethogram and extra.
    """

    model: Model
    name: str
    ethogram: Ethogram
    settings: Mapping[str, Any]
    extra: Mapping[str, Any]
    hash: str


def save_model(
    model_name: str, model: Model, folder: Path, ethogram: Ethogram, extra: Mapping[str, Any]
) -> None:
    """Write a network made by `create_model` to a folder; each file is whole or not written.

    Raises InputError if the network is another one or does not fit the ethogram, StorageError.
    """
    made = model.configuration
    if made.get("name") != model_name:
        raise InputError(f"a model '{made.get('name')}' came where '{model_name}' was to be saved")
    if made["classes"] != len(ethogram):
        raise InputError(
            f"the model predicts {made['classes']} behaviours, the ethogram has {len(ethogram)}"
        )
    make_folder(folder)
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    data = safetensors.torch.save(tensors)
    with replacing(folder / WEIGHTS) as part:
        part.write_bytes(data)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "murine": __version__,
        "model": model_name,
        "classes": made["classes"],
        "features": made.get("features"),
        "settings": dict(made["settings"]),
        "ethogram": ethogram.to_dict(),
        "weights": {"file": WEIGHTS, "hash": _hash(data), "tensors": len(tensors)},
        "extra": dict(extra),
    }
    write_json(folder / DESCRIPTION, description)


def load_model(folder: Path) -> LoadedModel:
    """Read a network back.

    Raises InputError (a file missing, damaged or not this model's, tensors that do not fit, all listed),
    VersionError (written by a newer murine), ConfigError (settings this version does not know).
    """
    path = Path(folder) / DESCRIPTION
    description = _read_description(path)
    data = _read_weights(path.with_name(WEIGHTS), description, path)
    try:
        name, settings = description["model"], description["settings"]
        ethogram = Ethogram(**description["ethogram"])
        extra = dict(description["extra"])
        model = create_model(
            name,
            classes=description["classes"],
            features=description["features"],
            settings=settings,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: damaged ({type(error).__name__}: {error}). Copy the folder again from its source"
        ) from error
    except ConfigError as error:
        raise ConfigError(
            f"{path} (written by murine {description.get('murine')}; this is {__version__})",
            error.faults,
        ) from error
    except InputError as error:
        told = str(error) if str(error).endswith((".", "?")) else f"{error}."
        raise InputError(
            f"{path}: {told} It was written by murine {description.get('murine')}; this is {__version__}."
        ) from error
    if description["classes"] != len(ethogram):
        raise InputError(
            f"{path}: the ethogram has {len(ethogram)} behaviours, the model predicts "
            f"{description['classes']}. Copy the folder again from its source"
        )
    _fill(model, data, path.with_name(WEIGHTS))
    return LoadedModel(model.eval(), name, ethogram, settings, extra, value_hash(description))


def _read_description(path: Path) -> dict[str, Any]:
    require_file(path, "the description of a trained model")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: not readable JSON ({error}). Copy it again from its source"
        ) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise InputError(f'{path}: not a murine model: "format" is not "{FORMAT}"')
    version = description.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{path}: format_version must be a number from 1; came {version!r}")
    if version > FORMAT_VERSION:
        raise VersionError(
            f"{path}: written by murine {description.get('murine')} in format {version}; this is murine "
            f"{__version__}, which reads format {FORMAT_VERSION} and older. Upgrade murine: pip install -U murine"
        )
    return description


def _read_weights(path: Path, description: Mapping[str, Any], source: Path) -> bytes:
    require_file(path, "the weights of a trained model")
    weights = description.get("weights")
    expected = weights.get("hash") if isinstance(weights, dict) else None
    data = path.read_bytes()
    if _hash(data) != expected:
        raise InputError(
            f"{path}: its content (hash {_hash(data)}) is not what {source.name} was written for (hash "
            f"{expected}): changed, cut short or from another run. Copy both files again from their source"
        )
    return data


def _fill(model: Model, data: bytes, path: Path) -> None:
    """Put the tensors into the model; raises InputError that lists all that do not fit."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error
    wanted = model.state_dict()
    faults = [f"missing: {key}" for key in wanted if key not in tensors]
    faults += [f"not of this model: {key}" for key in tensors if key not in wanted]
    faults += [
        f"{key}: {_form(tensors[key])} came where {_form(value)} was expected"
        for key, value in wanted.items()
        if key in tensors and _form(tensors[key]) != _form(value)
    ]
    if faults:
        raise InputError(
            f"{path}: the weights do not fit the model\n" + "\n".join(f"  - {f}" for f in faults)
        )
    model.load_state_dict(tensors)


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
