"""Make `i3d_tiny.*`: a TensorFlow checkpoint of I3D's RGB stream at 1/64 of its width, and what TensorFlow makes of it.

Run in an environment with TensorFlow (made with 2.21.0) and without murine: nothing here comes from the code that is
tested with it. Names, shapes and padding are those of the released network (Carreira and Zisserman 2017).

    python tests/reference/make_i3d_tiny.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
PREFIX = "RGB/inception_i3d/"
CLASSES = 3
CLIPS = ((10, 72, 50), (24, 224, 224))

random = np.random.RandomState(7)
variables: dict[str, tf.Tensor] = {}


def narrow(filters: int) -> int:
    return max(1, round(filters / 64))


def make(name: str, value: np.ndarray) -> tf.Tensor:
    if name not in variables:
        variables[name] = tf.constant(value.astype(np.float32))
    return variables[name]


def unit(x: tf.Tensor, name: str, filters: int, kernel: int, stride: int = 1) -> tf.Tensor:
    inputs, base = x.shape[-1], f"{PREFIX}{name}"
    shape, flat = (kernel, kernel, kernel, inputs, filters), (1, 1, 1, 1, filters)
    spread = (2 / (kernel**3 * inputs)) ** 0.5
    w = make(f"{base}/conv_3d/w", random.normal(0, spread, shape))
    beta = make(f"{base}/batch_norm/beta", random.normal(0.1, 0.3, flat))
    mean = make(f"{base}/batch_norm/moving_mean", random.normal(0, 0.2, flat))
    variance = make(f"{base}/batch_norm/moving_variance", random.uniform(0.2, 1.5, flat))
    x = tf.nn.conv3d(x, w, strides=[1, stride, stride, stride, 1], padding="SAME")
    return tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, beta, None, 1e-3))


def pool(x: tf.Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> tf.Tensor:
    return tf.nn.max_pool3d(x, [1, *kernel, 1], [1, *stride, 1], "SAME")


def mixed(x: tf.Tensor, name: str, *published: int) -> tf.Tensor:
    a, b, c, d, e, f = (narrow(n) for n in published)
    wide = "Conv3d_0a_3x3" if name == "Mixed_5b" else "Conv3d_0b_3x3"  # a slip of the release, kept
    return tf.concat(
        [
            unit(x, f"{name}/Branch_0/Conv3d_0a_1x1", a, 1),
            unit(
                unit(x, f"{name}/Branch_1/Conv3d_0a_1x1", b, 1), f"{name}/Branch_1/Conv3d_0b_3x3", c, 3
            ),
            unit(unit(x, f"{name}/Branch_2/Conv3d_0a_1x1", d, 1), f"{name}/Branch_2/{wide}", e, 3),
            unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}/Branch_3/Conv3d_0b_1x1", f, 1),
        ],
        axis=-1,
    )


def run(clip: np.ndarray) -> dict[str, object]:
    """Return size, mean and mean of squares of every map, and the logits, for a clip (T, H, W, 3) of bytes."""
    ends: dict[str, tf.Tensor] = {}
    x = tf.constant(clip[None].astype(np.float32) / 255 * 2 - 1)
    ends["conv_1a"] = x = unit(x, "Conv3d_1a_7x7", narrow(64), 7, 2)
    ends["pool_2a"] = x = pool(x, (1, 3, 3), (1, 2, 2))
    ends["conv_2b"] = x = unit(x, "Conv3d_2b_1x1", narrow(64), 1)
    ends["conv_2c"] = x = unit(x, "Conv3d_2c_3x3", narrow(192), 3)
    ends["pool_3a"] = x = pool(x, (1, 3, 3), (1, 2, 2))
    ends["mixed_3b"] = x = mixed(x, "Mixed_3b", 64, 96, 128, 16, 32, 32)
    ends["mixed_3c"] = x = mixed(x, "Mixed_3c", 128, 128, 192, 32, 96, 64)
    ends["pool_4a"] = x = pool(x, (3, 3, 3), (2, 2, 2))
    ends["mixed_4b"] = x = mixed(x, "Mixed_4b", 192, 96, 208, 16, 48, 64)
    ends["mixed_4c"] = x = mixed(x, "Mixed_4c", 160, 112, 224, 24, 64, 64)
    ends["mixed_4d"] = x = mixed(x, "Mixed_4d", 128, 128, 256, 24, 64, 64)
    ends["mixed_4e"] = x = mixed(x, "Mixed_4e", 112, 144, 288, 32, 64, 64)
    ends["mixed_4f"] = x = mixed(x, "Mixed_4f", 256, 160, 320, 32, 128, 128)
    ends["pool_5a"] = x = pool(x, (2, 2, 2), (2, 2, 2))
    ends["mixed_5b"] = x = mixed(x, "Mixed_5b", 256, 160, 320, 32, 128, 128)
    ends["mixed_5c"] = x = mixed(x, "Mixed_5c", 384, 192, 384, 48, 128, 128)
    window = [min(most, there) for most, there in zip((2, 7, 7), x.shape[1:4], strict=True)]
    x = tf.nn.avg_pool3d(x, [1, *window, 1], [1, 1, 1, 1, 1], "VALID")
    features = x.shape[-1]
    w = make(
        f"{PREFIX}Logits/Conv3d_0c_1x1/conv_3d/w", random.normal(0, 0.5, (1, 1, 1, features, CLASSES))
    )
    b = make(f"{PREFIX}Logits/Conv3d_0c_1x1/conv_3d/b", random.normal(0, 0.5, CLASSES))
    x = tf.nn.conv3d(x, w, [1, 1, 1, 1, 1], "SAME") + b
    logits = tf.reduce_mean(tf.squeeze(x, [2, 3]), axis=1)
    maps = {
        name: {
            "shape": [end.shape[4], *end.shape[1:4]],
            "mean": float(tf.reduce_mean(end)),
            "square": float(tf.reduce_mean(end * end)),
            "last": [float(v) for v in end[0, -1, -1, -1]],
        }
        for name, end in ends.items()
    }
    return {"maps": maps, "places": x.shape[1], "logits": [float(v) for v in logits[0]]}


if __name__ == "__main__":
    results = {}
    for size in CLIPS:
        clip = np.random.RandomState(size[0]).randint(0, 256, (*size, 3))
        results["x".join(map(str, size))] = run(clip)
    names = sorted(variables)
    # A text beside the weights, as Keras and newer TensorFlow write one.
    tf.raw_ops.SaveV2(
        prefix=str(HERE / "i3d_tiny"),
        tensor_names=[*names, "_CHECKPOINTABLE_OBJECT_GRAPH", "global_step"],
        shape_and_slices=[""] * (len(names) + 2),
        tensors=[
            *(variables[name] for name in names),
            tf.constant(b"not a number"),
            tf.constant(50_000, tf.int64),
        ],
    )
    (HERE / "i3d_tiny.json").write_text(
        json.dumps({"tensorflow": tf.__version__, "clips": results}) + "\n"
    )
