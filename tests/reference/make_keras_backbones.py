"""Reference numbers of the backbones, made by Keras itself: writes keras_backbones.json beside this file.

Not part of the tests: it needs Keras with TensorFlow, in an environment of its own.

    python -m venv KERAS; KERAS/bin/pip install tensorflow-cpu h5py
    KERAS/bin/python tests/reference/make_keras_backbones.py [FOLDER]

FOLDER: also write there each network's weights as files, in every layout that this Keras writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from backbone_formula import picture, tensor  # noqa: E402

SAVED = 12
"""How many numbers of each place in a network are kept."""

NETWORKS: dict[str, tuple[Any, tuple[tuple[int, int], ...], tuple[str, ...]]] = {
    "resnet50v2": (
        keras.applications.ResNet50V2,
        ((96, 96), (75, 110), (224, 224)),
        ("conv1_conv", "pool1_pool", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "post_relu"),
    ),
    "inception_resnet_v2": (
        keras.applications.InceptionResNetV2,
        ((96, 96), (75, 110), (299, 299)),
        ("mixed_5b", "block35_10_ac", "mixed_6a", "block17_20_ac", "mixed_7a", "conv_7b_ac"),
    ),
}  # fmt: skip


def fill(network: Any) -> list[dict[str, Any]]:
    """Give every layer its weights by formula; return the layers in the order of Keras."""
    layers = []
    for layer in network.layers:
        if not layer.weights:
            continue
        names = [w.name.rpartition("/")[2].removesuffix(":0") for w in layer.weights]
        shapes = [tuple(int(n) for n in w.shape) for w in layer.weights]
        layer.set_weights([tensor(len(layers), n, s) for n, s in zip(names, shapes, strict=True)])
        kind = "conv2d" if "kernel" in names else "batch_normalization"
        layers.append(
            {"name": layer.name, "kind": kind, "shapes": dict(zip(names, shapes, strict=True))}
        )
    return layers


def numbers(values: np.ndarray) -> dict[str, Any]:
    """Return the shape, mean, deviation and some numbers of a result (1, H, W, C) or (1, F)."""
    values = values[0].astype(np.float64)
    at = np.linspace(0, values.size - 1, SAVED).astype(int)
    return {
        "shape": list(values.shape),
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "at": at.tolist(),
        "values": values.reshape(-1)[at].tolist(),
    }


def run(build: Any, preprocess: Any, size: tuple[int, int], places: tuple[str, ...]) -> dict[str, Any]:
    """Return what a network makes of one picture, and what it holds at some places inside."""
    network = build(include_top=False, weights=None, pooling="avg", input_shape=(*size, 3))
    fill(network)
    inside = keras.Model(network.input, [network.get_layer(p).output for p in places] + [network.output])
    *held, features = inside.predict(preprocess(picture(*size)[None].astype(np.float32)), verbose=0)
    rows = {"picture": list(size), "features": numbers(features), "places": {}}
    rows["places"] = {place: numbers(value) for place, value in zip(places, held, strict=True)}
    return rows


def write_files(network: Any, folder: Path, name: str) -> None:
    """Write a network's weights in every layout that this Keras writes."""
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(keras, "src") and hasattr(keras.src, "legacy"):
        from keras.src.legacy.saving import legacy_h5_format

        with h5py.File(folder / f"{name}_notop.h5", "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, network)
    else:  # Keras 2
        network.save_weights(folder / f"{name}_notop.h5")
    network.save_weights(folder / f"{name}.weights.h5")
    network.save(folder / f"{name}_whole.h5")
    network.save(folder / f"{name}.keras")


def main() -> None:
    """Write the reference numbers, and the files if asked for."""
    found: dict[str, Any] = {"made_by": f"Keras {keras.__version__}, backend {keras.backend.backend()}"}
    for name, (build, sizes, places) in NETWORKS.items():
        module = getattr(keras.applications, "resnet_v2" if name == "resnet50v2" else name)
        network = build(include_top=False, weights=None, pooling="avg", input_shape=(*sizes[-1], 3))
        found[name] = {
            "parameters": network.count_params(),
            "layers": fill(network),
            "runs": [run(build, module.preprocess_input, size, places) for size in sizes],
        }
        if len(sys.argv) > 1:
            write_files(network, Path(sys.argv[1]), name)
    text = json.dumps(found, separators=(",", ":"))
    (HERE / "keras_backbones.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
