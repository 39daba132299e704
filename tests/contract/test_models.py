"""What every registered network must do, on its tiny version.

Run as a program, it writes the reference numbers of models that have none yet.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from murine.models import (
    MODELS,
    Model,
    create_model,
    describe_models,
    load_model,
    model_settings,
    save_model,
)
from murine.types import Ethogram

CLASSES, FEATURES, FRAMES = 4, 5, 24
ETHOGRAM = Ethogram(tuple("abcd"))
REFERENCE = Path(__file__).parent.parent / "reference" / "model_outputs.json"

# The first window of ASFormer is one frame: there is nothing to choose, and the published layers do nothing.
WITHOUT_EFFECT = {"asformer": ("blocks.0.query.", "blocks.0.key.")}

# Those that are fitted at once have tests of their own (tests/test_trees.py).
each_model = pytest.mark.parametrize("name", [name for name in MODELS if not MODELS[name].fitted])


def tiny(name: str, **settings: object) -> Model:
    entry = MODELS[name]
    features = FEATURES if entry.takes_features else None
    given = {**entry.tiny, **settings}
    return create_model(name, classes=CLASSES, features=features, settings=given)


def make_batch(name: str, model: Model, size: int, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    settings = {key: default for key, (_, default) in model_settings(name).items()}
    settings |= MODELS[name].tiny
    frames = model.window or FRAMES
    batch = {"mask": torch.ones(size, frames, dtype=torch.bool)}
    for stream in model.streams:
        if stream in ("rgb", "flow"):
            channels = 3 if stream == "rgb" else settings["flow_channels"]
            # Patches, not single pixels: samples that differ as pictures do.
            # Where each frame is judged, each differs from the next.
            moments = frames if model.predicts == "all" else 2
            patches = torch.randint(0, 256, (size, channels, moments, 4, 4), generator=random).float()
            clips = F.interpolate(patches, (frames, *settings["size"]))
            batch[stream] = clips.to(torch.uint8)
        else:
            batch[stream] = torch.randn(size, frames, FEATURES, generator=random)
    return batch


def frames_out(model: Model, batch: dict[str, Tensor]) -> int:
    return batch["mask"].shape[1] if model.predicts == "all" else 1


@each_model
def test_entry_says_what_the_model_is(name: str) -> None:
    model = tiny(name)
    assert model.streams == MODELS[name].streams
    assert model.predicts in ("all", "centre", "last")
    assert MODELS[name].source
    with torch.device("meta"):
        default = create_model(name, classes=2, features=3 if MODELS[name].takes_features else None)
    assert default.window is None or default.window > 0


@each_model
def test_logits_are_finite_and_not_probabilities(name: str) -> None:
    model = tiny(name).eval()
    batch = make_batch(name, model, 3)
    with torch.no_grad():
        output = model(batch)
    expected = (3, frames_out(model, batch), CLASSES)
    for logits in (output.logits, *output.stages):
        assert logits.shape == expected
        assert logits.isfinite().all()
        assert not torch.allclose(logits.sum(-1), torch.ones(()), atol=1e-3)


@each_model
def test_extreme_inputs_stay_finite(name: str) -> None:
    model = tiny(name).eval()
    for value in (0, 255):
        batch = {k: torch.full_like(v, value) for k, v in make_batch(name, model, 1).items()}
        with torch.no_grad():
            assert model(batch | {"mask": torch.ones_like(batch["mask"])}).logits.isfinite().all()


@each_model
def test_same_alone_and_in_a_batch(name: str) -> None:
    model = tiny(name).eval()
    batch = make_batch(name, model, 3)
    with torch.no_grad():
        together = model(batch).logits
        alone = [model({k: v[i : i + 1] for k, v in batch.items()}).logits for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)


@each_model
def test_gradient_reaches_every_parameter(name: str) -> None:
    model = tiny(name, dropout=0.0) if "dropout" in model_settings(name) else tiny(name)
    output = model.train()(make_batch(name, model, 4))
    sum(
        F.cross_entropy(x.flatten(0, 1), _targets(x)) for x in (output.logits, *output.stages)
    ).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient: {key}"
        assert parameter.grad.isfinite().all(), key
        if not any(part in key for part in WITHOUT_EFFECT.get(name, ())):
            assert parameter.grad.abs().sum() > 0, f"zero gradient: {key}"


def _targets(logits: Tensor) -> Tensor:
    return torch.arange(logits.shape[0] * logits.shape[1]) % CLASSES


@each_model
def test_saved_and_loaded_is_equal(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    batch = make_batch(name, model, 2)
    model.train()(batch)  # moves running statistics away from their first values
    save_model(name, model, tmp_path, ETHOGRAM, {"input": {"size": [64, 64]}})
    loaded = load_model(tmp_path)
    assert (loaded.name, loaded.ethogram) == (name, ETHOGRAM)
    assert loaded.extra == {"input": {"size": [64, 64]}}
    assert dict(loaded.model.configuration["settings"]) == dict(model.configuration["settings"])
    assert not loaded.model.training
    with torch.no_grad():
        assert torch.equal(loaded.model(batch).logits, model.eval()(batch).logits)


@each_model
def test_padding_does_not_leak(name: str) -> None:
    model = tiny(name).eval()
    batch = make_batch(name, model, 2)
    real = batch["mask"].shape[1] - 2
    batch["mask"][:, real:] = False
    other = {k: v.clone() for k, v in batch.items()}
    for stream in model.streams:
        at = other[stream].transpose(1, 2) if stream in ("rgb", "flow") else other[stream]
        at[:, real:] = 255 - at[:, real:]
    with torch.no_grad():
        a, b = model(batch).logits, model(other).logits
    rows = slice(0, real) if model.predicts == "all" else slice(None)
    assert torch.equal(a[:, rows], b[:, rows])
    batch["mask"][:] = True
    with torch.no_grad():
        assert not torch.equal(model(batch).logits, a), "the mask does nothing"


@each_model
def test_whole_numbers_and_floats_are_the_same_pixels(name: str) -> None:
    model = tiny(name).eval()
    batch = make_batch(name, model, 1)
    floats = {k: v.float() if v.dtype == torch.uint8 else v for k, v in batch.items()}
    before = {k: v.clone() for k, v in floats.items()}
    with torch.no_grad():
        assert torch.equal(model(floats).logits, model(batch).logits)
    assert all(torch.equal(before[k], floats[k]) for k in floats), "the batch was changed"


@each_model
def test_mixed_precision(name: str) -> None:
    model = tiny(name)
    batch = make_batch(name, model, 4)
    with torch.no_grad():
        plain = model.eval()(batch).logits
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(batch).logits
    torch.testing.assert_close(mixed.float(), plain, rtol=0.1, atol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.train()(batch).logits.float().square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@each_model
def test_a_gpu_gives_the_same_logits_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else a GPU may multiply with 10 bits of fraction.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    one = tiny(name).eval()
    batch = make_batch(name, one, 3)
    other = deepcopy(one).cuda()
    logits, moved = one(batch).logits, other({k: v.cuda() for k, v in batch.items()}).logits
    torch.testing.assert_close(moved.cpu(), logits, rtol=1e-3, atol=1e-3)
    logits.logsumexp(-1).sum().backward()
    moved.logsumexp(-1).sum().backward()
    for (told, here), there in zip(one.named_parameters(), other.parameters(), strict=True):
        if here.grad is None or there.grad is None:
            assert here.grad is there.grad, told
            continue
        scale = float(here.grad.abs().max()) + 1e-6
        torch.testing.assert_close(there.grad.cpu() / scale, here.grad / scale, rtol=0, atol=1e-2)


@each_model
def test_a_copy_is_a_model_of_its_own(name: str) -> None:
    model = tiny(name).eval()
    twin = deepcopy(model)
    batch = make_batch(name, model, 1)
    with torch.no_grad():
        expected = model(batch).logits
        next(model.parameters()).zero_()
        assert torch.equal(twin(batch).logits, expected)


@each_model
def test_seed_decides_the_weights_and_nothing_else_is_drawn(name: str) -> None:
    state = torch.random.get_rng_state()
    first, second = tiny(name).state_dict(), tiny(name).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)
    features = FEATURES if MODELS[name].takes_features else None
    other = create_model(
        name, classes=CLASSES, features=features, settings=MODELS[name].tiny, seed=1
    ).state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first)


@each_model
def test_learns_eight_samples_by_heart(name: str) -> None:
    settings: dict[str, object] = {"dropout": 0.0} if "dropout" in model_settings(name) else {}
    if "norm_momentum" in model_settings(name):
        settings["norm_momentum"] = 0.2
    # A network without normalisation may die of a high rate, on one machine and not on another.
    shares = (_share_learnt(name, settings, rate) for rate in (3e-3, 1e-3))
    assert any(share > 0.97 for share in shares)


def _share_learnt(name: str, settings: dict[str, object], rate: float) -> float:
    model = tiny(name, **settings)
    batch = make_batch(name, model, 8)
    target = torch.randint(
        0, CLASSES, (8, frames_out(model, batch)), generator=torch.Generator().manual_seed(1)
    )
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(300):
        optimizer.zero_grad()
        output = model.train()(batch)
        loss = sum(
            F.cross_entropy(x.flatten(0, 1), target.flatten()) for x in (output.logits, *output.stages)
        )
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    with torch.no_grad():
        for _ in range(20):  # the running statistics of batch norms lag behind the weights
            model(batch)
        return float((model.eval()(batch).logits.argmax(-1) == target).float().mean())


def test_description_counts_parameters_as_published() -> None:
    rows = json.loads(json.dumps(describe_models()))
    assert [row["name"] for row in rows] == list(MODELS)
    for row in rows:
        assert row["published"] in (None, row["keras_parameters"])
        assert 0 < row["parameters"] <= row["keras_parameters"] or MODELS[row["name"]].fitted
        assert row["settings"]


def known_output(name: str) -> list[float]:
    """Logits of a clip or sequence for weights and input that need no random numbers."""
    model = tiny(name).eval()
    with torch.no_grad():
        for place, (key, value) in enumerate(model.state_dict().items()):
            if value.is_floating_point():
                wave = torch.sin(torch.arange(value.numel()) * 1.37 + place).reshape(value.shape)
                scale = 1.7 / value[0].numel() ** 0.5 if value.dim() > 1 else 0.3
                positive = key.endswith(("running_var", "norm.weight"))
                value.copy_(wave * scale + (1.0 if positive else 0.0))
        batch = make_batch(name, model, 1)
        for stream in model.streams:
            count = torch.arange(batch[stream].numel()).reshape(batch[stream].shape)
            pixels = batch[stream].dtype == torch.uint8
            batch[stream] = (count * 37 // 5 % 256).to(torch.uint8) if pixels else torch.sin(count * 0.9)
        logits = model(batch).logits
    return [round(value, 5) for value in logits.flatten()[:12].tolist()]


@each_model
def test_reference_numbers(name: str) -> None:
    stored = json.loads(REFERENCE.read_text())
    assert name in stored, f"python {Path(__file__).name} adds the numbers of a new model"
    assert known_output(name) == pytest.approx(stored[name], rel=1e-3, abs=2e-4)


if __name__ == "__main__":
    known = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    learning = [name for name in MODELS if not MODELS[name].fitted]
    known |= {name: known_output(name) for name in learning if name not in known}
    rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in known.items())
    REFERENCE.write_text("{\n" + rows + "\n}\n")
