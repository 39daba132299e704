"""The published networks in Keras, timed for comparison by a Python of its own that has Keras and TensorFlow.

`bench_networks.py` starts this program and talks to it, a JSON value a line: it answers what it is, then each
request in turn. It imports nothing of murine. The dual-stream networks are written from the tables of the paper
(Nwokedi et al., Tables 1 and 2) in the functional API; the backbones are those of Keras Applications.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LEAK = 0.2
CRS, SRS = (12, 24, 48, 96, 192), (8, 16, 32, 64, 64)
MODULES = (16, 32, 64, 128)
KERNELS = {"rgb": ((7, 5), (5, 3), (3, 5), (3, 1)), "flow": ((5, 7), (3, 5), (5, 3), (1, 3))}
STRIDES = (((2, 2, 2), (1, 2, 2)), ((2, 2, 2), 1), ((2, 2, 2), 1), ((1, 2, 2), 1))


class Networks:
    """The networks by name, at a width (1: as published) and a size (height, width)."""

    def __init__(self, keras: Any, width: float, size: Sequence[int], frames: int) -> None:
        self.keras, self.layers = keras, keras.layers
        self.width, self.size, self.frames = width, tuple(size), frames

    def build(self, name: str) -> Any:
        """Return one; a backbone without its top, average-pooled."""
        if name in ("resnet50v2", "inception_resnet_v2"):
            make = getattr(
                self.keras.applications, {"resnet50v2": "ResNet50V2"}.get(name, "InceptionResNetV2")
            )
            network = make(include_top=False, weights=None, pooling="avg", input_shape=(*self.size, 3))
            pictures = self.keras.Input((*self.size, 3), dtype="uint8")
            scaled = self.layers.Rescaling(1 / 127.5, -1.0)(pictures)
            return self.keras.Model([pictures], network(scaled))
        if name == "civ3d_mha_sharing":
            return self.added()
        filters, ratio, final, joined = {
            "srs_sharing": (SRS, 1.5, 128, False),
            "crs_sharing": (CRS, 1.0, 0, True),
        }[name]
        return self.concatenated(filters, ratio, final, joined)

    def scaled(self, filters: float) -> int:
        """Return filters times the width."""
        return max(1, round(filters * self.width))

    def conv(self, x: Any, filters: int, kernel: Any, activation: str, strides: Any = 1) -> Any:
        """A convolution; "leaky" is leaky ReLU."""
        chosen = (
            self.keras.layers.LeakyReLU(negative_slope=LEAK) if activation == "leaky" else activation
        )
        return self.layers.Conv3D(filters, kernel, strides=strides, padding="same", activation=chosen)(x)

    def pool(self, x: Any, stride: int) -> Any:
        """Max-pooling, kernel 3."""
        return self.layers.MaxPooling3D(3, strides=stride, padding="same")(x)

    def inputs(self) -> tuple[list[Any], Any, Any]:
        """Return both clips, bytes, and what the first module sees of them."""
        clips = [self.keras.Input((self.frames, *self.size, 3), dtype="uint8") for _ in range(2)]
        rows = self.size[0] // 8
        cut = [
            self.layers.Cropping3D((0, (rows, rows), 0))(self.layers.Rescaling(1 / 255)(clip))
            for clip in clips
        ]
        return clips, cut[0], cut[1]

    def head(self, clips: list[Any], x: Any, units: Sequence[int] = (512, 64)) -> Any:
        """Return the network that ends in dense layers over x."""
        x = self.layers.Dropout(0.2)(self.layers.Flatten()(x))
        for count in units:
            x = self.layers.Dense(count, activation=self.layers.LeakyReLU(negative_slope=LEAK))(x)
        return self.keras.Model(clips, self.layers.Dense(8)(x))

    def inception(self, x: Any, n: int, o: int) -> Any:
        """3(c)."""
        a = self.conv(self.conv(x, n, 1, "relu"), o, 3, "relu")
        b = self.conv(self.conv(x, n, 1, "relu"), o, 5, "relu")
        c = self.conv(self.pool(x, 1), o, 1, "relu")
        return self.layers.Concatenate()([a, b, c])

    def concatenated(self, filters: Sequence[int], ratio: float, final: int, joined: bool) -> Any:
        """SRS and CRS, sharing."""
        clips, rgb, raw = self.inputs()
        flow = raw
        for i, count in enumerate(filters):
            n, o = self.scaled(count), self.scaled(ratio * count)
            if i and joined:
                flow = self.layers.Concatenate()([rgb, self.pool(raw, 2**i)])
            elif i:
                flow = self.centre(raw) if i == 1 else self.pool(raw, 2**i)
            both = [self.inception(rgb, n, o), self.inception(flow, n, o)]
            rgb = self.pool(self.layers.Concatenate()(both), 2)
        if final:
            rgb = self.inception(rgb, self.scaled(final), self.scaled(final))
        return self.head(clips, rgb)

    def centre(self, x: Any) -> Any:
        """Cut to the middle, half of each axis."""
        cuts = []
        for size in x.shape[1:4]:
            before = (size - math.ceil(size / 2)) // 2
            cuts.append((before, size - math.ceil(size / 2) - before))
        return self.layers.Cropping3D(tuple(cuts))(x)

    def primary(self, x: Any, n: int, wide: int, kernels: Sequence[int], strides: Any) -> Any:
        """3(a)."""
        x = self.layers.Dropout(0.2)(self.conv(x, n, kernels[0], "leaky", strides[0]))
        return self.layers.BatchNormalization()(self.conv(x, wide, kernels[1], "leaky", strides[1]))

    def joint(self, x: Any, f: int) -> Any:
        """3(b)."""
        stem = self.conv(x, f, 1, "relu")
        a = self.conv(self.conv(stem, f, (1, 1, 7), "relu"), f, (7, 1, 1), "relu")
        branches = [self.conv(a, f, 3, "relu"), self.conv(stem, f, 3, "relu"), self.pool(x, 1)]
        return self.layers.Concatenate()(branches)

    def attention(self, x: Any, wide: int) -> Any:
        """One head over all places, with what it saw beside."""
        q, v = self.layers.BatchNormalization()(x), self.layers.BatchNormalization()(x)
        attend = self.layers.MultiHeadAttention(1, self.scaled(64), output_shape=wide, dropout=0.3)
        a = attend(q, v)
        y = self.layers.BatchNormalization()(self.layers.Concatenate()([q, a, v]))
        return self.layers.Concatenate()([y, a])

    def added(self) -> Any:
        """CIv3D with attention, sharing."""
        clips, rgb, flow = self.inputs()
        for i, count in enumerate(MODULES):
            n, wide = self.scaled(count), self.scaled(1.5 * count)
            streams = [
                self.primary(x, n, wide, KERNELS[name][i], STRIDES[i])
                for name, x in (("rgb", rgb), ("flow", flow))
            ]
            if i + 1 == len(MODULES):
                streams = [self.attention(x, wide) for x in streams]
            rgb = flow = self.joint(self.layers.Add()(streams), wide)
        return self.head(clips, rgb)


def steps(keras: Any, tf: Any, network: Any, batch: int) -> dict[str, Callable[[], object]]:
    """Return one step of prediction and one of training, compiled by tf.function and run."""
    shapes = [(batch, *x.shape[1:]) for x in network.inputs]
    given = [tf.cast(tf.random.uniform(shape, 0, 256, tf.int32), tf.uint8) for shape in shapes]
    optimizer = keras.optimizers.SGD(1e-3)
    optimizer.build(network.trainable_variables)
    backbone = len(given) == 1
    judge = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def predicts() -> Any:
        return network(given, training=False)

    @tf.function
    def trains() -> Any:
        with tf.GradientTape() as tape:
            out = tf.cast(network(given, training=True), tf.float32)
            loss = tf.reduce_mean(out**2) if backbone else judge(tf.zeros(batch, tf.int32), out)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    return {"predicts": lambda: predicts().numpy(), "trains": lambda: trains().numpy()}


def seconds(step: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main(threads: int) -> None:
    # What TensorFlow prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)

    def answer(value: Mapping[str, object]) -> None:
        print(json.dumps(value), file=answers, flush=True)

    answer({"keras": keras.__version__, "tensorflow": tf.__version__, "threads": threads})
    current: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "build" in asked:
            keras.backend.clear_session()
            mixed = asked["precision"] == "bfloat16"
            keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
            makes = Networks(keras, asked["width"], asked["size"], asked["frames"])
            network = makes.build(asked["build"])
            current = steps(keras, tf, network, asked["batch"])
            answer({"parameters": network.count_params()})
        else:
            answer({"seconds": seconds(current[asked["time"]], asked["repeats"])})


if __name__ == "__main__":
    main(int(sys.argv[1]))
