"""The loop learns, stops, restores, and goes on after any interruption to the very same weights."""

from __future__ import annotations

import csv
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from murine.config import Recipe, TrainingSettings
from murine.errors import InputError, StorageError
from murine.models.contract import Batch, Model, Output
from murine.train.checkpoint import STATE_FILE, Numbers, State, load_state, save_state
from murine.train.loop import FitResult, fit
from murine.train.schedule import OPTIMIZERS, SCHEDULES
from murine.types import Ethogram

ETHOGRAM = Ethogram(("rest", "walk"))


class Tiny(Model):
    """A two-layer network per frame, with dropout and batch norm: both must survive a restart."""

    streams: ClassVar[tuple[str, ...]] = ("pose",)

    def __init__(self, features: int = 3, classes: int = 2, dropout: float = 0.3) -> None:
        super().__init__()
        self.first = nn.Linear(features, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(8, classes)

    def forward(self, batch: Batch) -> Output:
        hidden = self.norm(self.first(batch["pose"]).transpose(1, 2)).transpose(1, 2)
        return Output(self.last(self.dropout(hidden.relu())))


class Toy:
    """Windows of four frames; the class is the sign of the first feature, times `flip`."""

    def __init__(self, n: int = 24, seed: int = 0, *, flip: int = 1, noise: float = 0.3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 4, 3, generator=generator)
        clean = self.x[..., 0] + noise * torch.randn(n, 4, generator=generator)
        self.y = (flip * clean > 0).long()
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.x)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> Sequence[int]:
        return np.random.default_rng([7, self.epoch]).permutation(len(self)).tolist()

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        shift = np.random.default_rng([self.epoch, index]).normal(scale=0.01)
        return {
            "pose": self.x[index] + float(shift),
            "mask": torch.ones(4, dtype=torch.bool),
            "target": self.y[index],
            "recording": torch.tensor(0),
            "start": torch.tensor(4 * index),
        }


def recipe(**settings: Any) -> Recipe:
    values = {"epochs": 5, "batch_size": 4, "optimizer": "adam", "learning_rate": 0.02} | settings
    return Recipe("test", model="tiny", training=TrainingSettings(**values))


def network(seed: int = 3, **settings: Any) -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tiny(**settings)


def run(
    folder: Path,
    given: Recipe,
    model: Tiny | None = None,
    validation: Toy | None = None,
    **extra: Any,
) -> tuple[Tiny, FitResult]:
    model = network() if model is None else model
    valid = Toy(8, seed=1) if validation is None else validation
    return model, fit(model, given, Toy(), valid, folder, ethogram=ETHOGRAM, identity="same", **extra)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as handle:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(handle)]


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_it_learns(tmp_path: Path) -> None:
    _, result = run(tmp_path, recipe(epochs=25))
    table = rows(tmp_path)
    assert float(table[-1]["train_loss"]) < 0.6 * float(table[0]["train_loss"])
    assert max(float(row["validation_accuracy"]) for row in table) > 0.85
    assert result.epochs == 25
    assert list(table[0]) == [
        "epoch", "learning_rate", "train_loss",
        "validation_loss", "validation_accuracy", "validation_macro_f1", "validation_pr_auc",
    ]  # fmt: skip


def test_validation_numbers_by_hand(tmp_path: Path) -> None:
    model, _ = run(tmp_path, recipe(epochs=1))
    valid = Toy(8, seed=1)
    items = [valid[i] for i in range(8)]
    with torch.no_grad():
        logits = model.eval()({"pose": torch.stack([i["pose"] for i in items])}).logits.flatten(0, 1)
    target = torch.stack([i["target"] for i in items]).flatten()
    said = logits.argmax(-1)
    row = rows(tmp_path)[0]
    loss = nn.functional.cross_entropy(logits, target)
    assert float(row["validation_loss"]) == pytest.approx(loss.item(), rel=1e-5)
    assert float(row["validation_accuracy"]) == pytest.approx((said == target).float().mean().item())
    f1 = [
        2 * ((said == c) & (target == c)).sum() / ((said == c).sum() + (target == c).sum())
        for c in (0, 1)
    ]
    assert float(row["validation_macro_f1"]) == pytest.approx(float(sum(f1) / 2))


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a", recipe())
    second, _ = run(tmp_path / "b", recipe())
    other, _ = run(tmp_path / "c", recipe(seed=1))
    assert same(first, second)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert not same(first, other)


def test_global_random_generators_are_untouched(tmp_path: Path) -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    random.seed(11)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    run(tmp_path, recipe(workers=0))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert before[2] == random.getstate()


def test_best_weights_are_restored_and_early_stopping_stops(tmp_path: Path) -> None:
    # validation labels contradict training: the first epoch is the best, and two more are waited for
    wrong = Toy(8, seed=1, flip=-1)
    model, result = run(tmp_path, recipe(epochs=20, early_stopping=3), validation=wrong)
    losses = [float(row["validation_loss"]) for row in rows(tmp_path)]
    assert len(losses) < 20
    assert result.epochs == len(losses) == result.best_epoch + 3
    assert losses[result.best_epoch - 1] == min(losses) == result.best_value
    saved = load_state(tmp_path)
    assert saved is not None
    assert all(torch.equal(saved.best[k], v) for k, v in model.state_dict().items())
    assert not torch.equal(saved.best["last.weight"], saved.model["last.weight"])


def test_without_validation_the_last_weights_stay(tmp_path: Path) -> None:
    model = network()
    fit(model, recipe(early_stopping=1), Toy(), None, tmp_path, ethogram=ETHOGRAM)
    saved = load_state(tmp_path)
    assert saved is not None
    assert saved.numbers.epoch == 5
    assert saved.best == {}
    assert all(torch.equal(saved.model[k], v) for k, v in model.state_dict().items())
    assert rows(tmp_path)[0]["validation_loss"] == ""


def test_accumulated_small_batches_step_as_one_large_one(tmp_path: Path) -> None:
    class Plain(Tiny):
        def forward(self, batch: Batch) -> Output:
            return Output(self.last(self.first(batch["pose"]).relu()))

    class Patchy(Toy):
        # batches with unequal numbers of labels: a mean of means would differ
        def __getitem__(self, index: int) -> Mapping[str, Any]:
            item = dict(super().__getitem__(index))
            item["target"] = item["target"].clone()
            item["target"][: index % 4] = -1
            return item

    ends = []
    for batch_size, accumulate in ((8, 1), (2, 4)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Plain()
        given = recipe(batch_size=batch_size, accumulate=accumulate, optimizer="sgd", epochs=2)
        folder = tmp_path / str(batch_size)
        fit(model, given, Patchy(), None, folder, ethogram=ETHOGRAM)
        ends.append(model)
    for a, b in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_gradient_clip_bounds_the_step(tmp_path: Path) -> None:
    start = network()
    before = torch.cat([p.detach().flatten() for p in start.parameters()])
    given = recipe(optimizer="sgd", learning_rate=1.0, gradient_clip=1e-3, epochs=1, batch_size=24)
    model, _ = run(tmp_path, given, start, Toy(8, seed=1))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_class_weights_reach_the_loss(tmp_path: Path) -> None:
    run(tmp_path / "a", recipe(epochs=1))
    run(tmp_path / "b", recipe(epochs=1), class_weights=torch.tensor([2.0, 2.0]))
    a, b = rows(tmp_path / "a")[0], rows(tmp_path / "b")[0]
    assert float(b["validation_loss"]) != pytest.approx(float(a["validation_loss"]), rel=0.2)


def test_low_precision_learns_too(tmp_path: Path) -> None:
    model, _ = run(tmp_path, recipe(epochs=15, precision="bfloat16"))
    assert float(rows(tmp_path)[-1]["validation_accuracy"]) > 0.8
    assert model.first.weight.dtype == torch.float32


def test_divergence_is_told_and_nothing_of_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lower learning rate"):
        run(tmp_path, recipe(optimizer="sgd", learning_rate=1e38))
    saved = load_state(tmp_path)
    assert saved is None or all(torch.isfinite(v).all() for v in saved.model.values())


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    run(tmp_path, recipe())
    with pytest.raises(InputError, match="other settings"):
        fit(network(), recipe(), Toy(), None, tmp_path, ethogram=ETHOGRAM, identity="other")


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, result = run(tmp_path, recipe())
    written = (tmp_path / STATE_FILE).stat().st_mtime_ns
    second, again = run(tmp_path, recipe())
    assert again == result
    assert same(first, second)
    assert (tmp_path / STATE_FILE).stat().st_mtime_ns == written


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_stopped_after_any_epoch_it_ends_the_same(tmp_path: Path, optimizer: str, schedule: str) -> None:
    given = recipe(optimizer=optimizer, schedule=schedule, plateau_patience=1, momentum=0.9)
    whole, result = run(tmp_path / "whole", given)

    class Stop(Exception):
        pass

    def stop(row: dict[str, Any]) -> None:
        raise Stop

    for _ in range(given.training.epochs):
        with pytest.raises(Stop):
            run(tmp_path / "parts", given, log=stop)
    parts, again = run(tmp_path / "parts", given)
    assert same(whole, parts)
    assert again == result
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


class Breaker:
    """Stand before a function and interrupt at one turn, before or after the work is done."""

    def __init__(self, turn: int, *, after: bool) -> None:
        self.turn, self.after, self.calls = turn, after, 0

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.turn and not self.after:
                raise KeyboardInterrupt
            done = real(*args, **named)
            if self.calls == self.turn:
                raise KeyboardInterrupt
            return done

        return wrapped


@pytest.mark.parametrize("after", [False, True])
def test_an_interruption_at_every_step_of_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Break every file operation of the run in turn, then go on: the same end, nothing left over."""
    whole, _ = run(tmp_path / "whole", recipe(epochs=2))
    for turn in itertools.count(1):
        folder = tmp_path / str(turn)
        breaker = Breaker(turn, after=after)
        with monkeypatch.context() as patch:
            patch.setattr(safetensors.torch, "save_file", breaker.wrap(safetensors.torch.save_file))
            patch.setattr(os, "replace", breaker.wrap(os.replace))
            patch.setattr(Path, "write_text", breaker.wrap(Path.write_text))
            with suppress(KeyboardInterrupt):
                run(folder, recipe(epochs=2))
        if breaker.calls < turn:
            break
        load_state(folder)  # whole or absent, never damaged
        resumed, _ = run(folder, recipe(epochs=2))
        assert same(whole, resumed)
        assert rows(folder) == rows(tmp_path / "whole")
        assert sorted(p.name for p in folder.iterdir()) == ["metrics.csv", STATE_FILE]
    assert turn > 6


def test_a_full_disk_keeps_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise safetensors.SafetensorError("Error: I/O error: No space left on device (os error 28)")

    numbers = Numbers("x", epoch=1)
    optimizer = OPTIMIZERS["sgd"](network().parameters(), TrainingSettings()).state_dict()
    save_state(tmp_path, State(numbers, {"w": torch.ones(2)}, {}, optimizer))
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(StorageError, match="disk is full"):
        save_state(tmp_path, State(replace(numbers, epoch=2), {"w": torch.zeros(2)}, {}, optimizer))
    saved = load_state(tmp_path)
    assert saved is not None
    assert saved.numbers == numbers
    assert [p.name for p in tmp_path.iterdir()] == [STATE_FILE]


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    run(tmp_path, recipe(epochs=1))
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="damaged"):
        load_state(tmp_path)


def test_state_round_trip(tmp_path: Path) -> None:
    numbers = Numbers("x", 3, 2, 0.1 + 0.2, 1, False, {"factor": 0.5}, [{"epoch": 1, "loss": None}])
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    model({"pose": torch.randn(2, 4, 3)}).logits.sum().backward()
    optimizer.step()
    slots = optimizer.state_dict()
    save_state(tmp_path, State(numbers, model.state_dict(), {"a": torch.arange(3)}, slots))
    back = load_state(tmp_path)
    assert back is not None
    assert back.numbers == numbers
    assert torch.equal(back.best["a"], torch.arange(3))
    again = torch.optim.Adam(model.parameters(), 0.1)
    again.load_state_dict(back.optimizer)
    for index, values in slots["state"].items():
        for name, value in values.items():
            assert torch.equal(again.state_dict()["state"][index][name], value)


SLOW = 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to start processes quickly")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path) -> None:
    """A process is really killed (SIGKILL), several times, and started again."""
    whole, _ = run(tmp_path / "whole", recipe(epochs=SLOW))
    folder = tmp_path / "killed"
    generator = random.Random(5)
    killed_at: list[int] = []
    finished = False
    while not finished:
        before = _epochs(folder)
        child = os.fork()
        if child == 0:
            _train_slowly(folder)
        while len(killed_at) < 5 and _epochs(folder) < before + 2:
            time.sleep(0.001)
        if len(killed_at) < 5:
            time.sleep(generator.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
            killed_at.append(_epochs(folder))
        _, status = os.waitpid(child, 0)
        finished = len(killed_at) == 5 and os.waitstatus_to_exitcode(status) == 0
    assert sorted(set(killed_at)) == killed_at
    assert killed_at[0] > 0
    assert killed_at[-1] < SLOW
    resumed, _ = run(folder, recipe(epochs=SLOW))
    assert same(whole, resumed)
    assert rows(folder) == rows(tmp_path / "whole")


def _train_slowly(folder: Path) -> None:
    """Train in a child process and leave it at once, without pytest noticing."""
    status = 1
    try:
        validation = Toy(8, seed=1)
        fit(
            network(),
            recipe(epochs=SLOW),
            SlowToy(),
            validation,
            folder,
            ethogram=ETHOGRAM,
            identity="same",
        )
        status = 0
    finally:
        os._exit(status)


def _epochs(folder: Path) -> int:
    metrics = folder / "metrics.csv"
    return metrics.read_text().count("\n") if metrics.exists() else 0


class SlowToy(Toy):
    def __getitem__(self, index: int) -> Mapping[str, Any]:
        time.sleep(0.0005)
        return super().__getitem__(index)


def test_plateau_by_hand() -> None:
    given = TrainingSettings(learning_rate=1.0, plateau_factor=0.5, plateau_patience=2)
    schedule = SCHEDULES["plateau"](given)
    rates = []
    for value in (3.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5, 1.5, 1.5):
        rates.append(schedule.rate(0))
        schedule.observe(value)
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert schedule.rate(0) == 0.125


def test_step_and_cosine_by_hand() -> None:
    # 3D ConvNet + LSTM paper: 0.002, divided by 10 every 3 epochs
    step = SCHEDULES["step"](
        TrainingSettings(learning_rate=2e-3, plateau_factor=0.1, plateau_patience=3)
    )
    assert [step.rate(e) for e in (0, 2, 3, 5, 6)] == pytest.approx([2e-3, 2e-3, 2e-4, 2e-4, 2e-5])
    cosine = SCHEDULES["cosine"](TrainingSettings(learning_rate=1.0, epochs=4))
    assert [cosine.rate(e) for e in (0, 2, 4)] == pytest.approx([1.0, 0.5, 0.0])
