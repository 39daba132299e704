"""How far each network sees: what a frame depends on, windows against whole recordings, causal variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from murine.config import InputSettings, Recipe, TrainingSettings, WindowSettings
from murine.data.windows import Sampling
from murine.models import MODELS, Model, create_model, model_settings
from murine.predict.stream import predict_rows
from murine.train.runs import TrainedRun
from murine.types import Ethogram, Timeline

FEATURES, FRAMES = 5, 160
ETHOGRAM = Ethogram(tuple("abcd"))
TIMELINE = Timeline.uniform(FRAMES, 10.0)
EVERY = Sampling(np.arange(FRAMES), np.arange(FRAMES))

LOCAL: dict[str, dict[str, object]] = {
    "transformer": {"positions": "relative", "span": 4, "reach": 4},
    "frames_transformer": {"positions": "relative", "span": 4, "reach": 4},
    "asformer": {"norm": "layer"},
}
"""Settings by which a network whose view has no bound has one."""

CAUSAL: dict[str, dict[str, object]] = {
    "lstm": {},
    "frames_lstm": {},
    "pose_lstm": {"bidirectional": False},
}
"""Settings that make a network causal, where that is not `causal = true`."""


def build(name: str, **settings: object) -> Model:
    entry = MODELS[name]
    given = {**entry.tiny, **LOCAL.get(name, {}), **settings}
    features = FEATURES if entry.takes_features else None
    model = create_model(name, classes=len(ETHOGRAM), features=features, settings=given).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.1)
    return model


LEARNING = [name for name in MODELS if not MODELS[name].fitted]
SEQUENCES = [n for n in LEARNING if build(n).predicts == "all" and build(n).window is None]
BOUNDED = [name for name in SEQUENCES if None not in build(name).reach]
CAN_BE_CAUSAL = [name for name in SEQUENCES if name in CAUSAL or "causal" in model_settings(name)]


def rows(model: Model, seed: int = 0) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    stream = model.streams[0]
    if stream == "rgb":
        return {stream: random.integers(0, 256, (FRAMES, 24, 24, 3), dtype=np.uint8)}
    return {stream: random.normal(size=(FRAMES, FEATURES)).astype(np.float32)}


def logits(model: Model, given: dict[str, NDArray[Any]]) -> torch.Tensor:
    batch = {}
    for name, values in given.items():
        tensor = torch.from_numpy(values)[None]
        batch[name] = tensor.permute(0, 4, 1, 2, 3) if name == "rgb" else tensor
    with torch.no_grad():
        return model(batch).logits[0]


def changed(model: Model, at: int) -> NDArray[np.int64]:
    """Return the frames whose logits change with frame `at`."""
    given = rows(model)
    other = {name: values.copy() for name, values in given.items()}
    for values in other.values():
        values[at] = 255 - values[at]
    different = (logits(model, given) - logits(model, other)).abs().max(-1)[0]
    return np.flatnonzero(different.numpy() > 1e-5)


@dataclass(frozen=True)
class Held:
    """A recording that is all in memory."""

    streams: dict[str, NDArray[Any]]
    recording: str = "r"
    timeline: Timeline = TIMELINE
    sampling: Sampling = EVERY

    def chunks(self, start: int) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        yield start, {name: values[start:] for name, values in self.streams.items()}


def predicted(name: str, model: Model, frames: int, stride: int) -> NDArray[np.float32]:
    recipe = Recipe(
        "test",
        model=name,
        input=InputSettings(size=(24, 24)),
        window=WindowSettings(frames=frames, predict_stride_s=stride / 10.0),
        training=TrainingSettings(batch_size=3),
    )
    run = TrainedRun(model, name, ETHOGRAM, recipe, hash="")
    return np.concatenate([r for _, r in predict_rows(run, Held(rows(model)), device="cpu")])


def test_there_are_networks_to_test() -> None:
    assert {"ms_tcn", "ms_tcn_pp", "asformer", "tcn", "conv1d", "fully_connected"} <= set(BOUNDED)
    assert {"ms_tcn", "ms_tcn_pp", "asformer", "tcn", "transformer", "pose_lstm"} <= set(CAN_BE_CAUSAL)


@pytest.mark.parametrize("name", SEQUENCES)
def test_nothing_beyond_the_reach_counts(name: str) -> None:
    model = build(name)
    before, after = model.reach
    middle = FRAMES // 2
    there = changed(model, middle)
    assert middle in there
    if after is not None:
        assert there.min() >= middle - after
    if before is not None:
        assert there.max() <= middle + before


@pytest.mark.parametrize("name", BOUNDED)
def test_overlapping_windows_are_the_whole_recording(name: str) -> None:
    model = build(name)
    before, after = model.reach
    assert before is not None
    assert after is not None
    whole = predicted(name, model, 0, 1)
    stride = 7
    size = before + after + stride
    assert size < FRAMES - stride, "the recording is as short as a window: nothing is shown"
    np.testing.assert_allclose(predicted(name, model, size, stride), whole, rtol=1e-4, atol=1e-5)
    # The same without overlap is another prediction: the test above can fail.
    if before + after:
        assert np.abs(predicted(name, model, size, size) - whole).max() > 1e-4


@pytest.mark.parametrize("name", BOUNDED)
def test_wherever_one_window_sees_enough_it_alone_decides(name: str) -> None:
    """Windows that overlap by too little for every frame: right where one of them holds all it takes."""
    model = build(name)
    before, after = (side or 0 for side in model.reach)
    size = before + after + 12
    if before + after < 3 or size >= FRAMES:
        pytest.skip(f"sees {before + after} other frames: all windows see enough, or none")
    stride = size - (before + after) // 2
    whole, parts = predicted(name, model, 0, 1), predicted(name, model, size, stride)
    starts = [*range(0, FRAMES - size, stride), FRAMES - size]
    enough = np.zeros(FRAMES, dtype=bool)
    for start in starts:
        first = 0 if start == 0 else start + before
        last = FRAMES if start + size == FRAMES else start + size - after
        enough[first:last] = True
    assert 0 < enough.sum() < FRAMES
    np.testing.assert_allclose(parts[enough], whole[enough], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CAN_BE_CAUSAL)
def test_causal_variants_never_look_ahead(name: str) -> None:
    causal = build(name, **CAUSAL.get(name, {"causal": True}))
    assert causal.reach[1] == 0
    middle = FRAMES // 2
    assert changed(causal, middle).min() == middle
    if "causal" in model_settings(name):
        free = build(name, causal=False)
        assert changed(free, middle).min() < middle, "the setting changes nothing"
    given = rows(causal)
    start = {key: values[: middle + 1] for key, values in given.items()}
    live = logits(causal, start)  # as if the recording had just come this far
    torch.testing.assert_close(live, logits(causal, given)[: middle + 1], rtol=1e-4, atol=1e-5)
