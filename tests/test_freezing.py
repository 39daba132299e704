"""Frozen parts do not move, thaw on time at their own rate, and survive any interruption; what is watched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from test_loop import ETHOGRAM, Tiny, Toy, recipe, rows, run, same
from torch import nn

from murine.config import TrainingSettings
from murine.errors import ConfigError, InputError
from murine.models.contract import Batch, Model, Output
from murine.train.checkpoint import load_state
from murine.train.freezing import parts_of, plan_freezing
from murine.train.loop import fit
from murine.train.schedule import SCHEDULES
from murine.types import Ethogram


class Parts(Model):
    """A body with batch norm and dropout of its own, a dropout between, and a head."""

    streams: ClassVar[tuple[str, ...]] = ("pose",)

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"first": nn.Linear(3, 8), "norm": nn.BatchNorm1d(8)})
        self.body["inner"] = nn.Dropout(0.1)
        self.second = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(8, classes)

    def forward(self, batch: Batch) -> Output:
        x = self.body["first"](batch["pose"])
        x = self.body["inner"](self.body["norm"](x.transpose(1, 2)).transpose(1, 2).relu())
        return Output(self.head(self.dropout(self.second(x).relu())))


def parts(seed: int = 3) -> Parts:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Parts()


def states(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def moved(before: Mapping[str, torch.Tensor], model: nn.Module) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}


def plan(*names: str, **settings: Any) -> Any:
    return plan_freezing(parts(), TrainingSettings(freeze=names, **settings))


def test_all_but_the_head_stays_as_it_is_statistics_too(tmp_path: Path) -> None:
    model = parts()
    before = states(model)
    fit(model, recipe(freeze=("all but head",)), Toy(), None, tmp_path, ethogram=ETHOGRAM)
    assert moved(before, model) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_named_part_stays_even_with_weight_decay(tmp_path: Path, optimizer: str) -> None:
    model = parts()
    before = states(model)
    given = recipe(freeze=("body.first", "sec"), optimizer=optimizer, momentum=0.9, weight_decay=0.1)
    fit(model, given, Toy(), None, tmp_path, ethogram=ETHOGRAM)
    names = {"body.norm.weight", "body.norm.bias", "body.norm.running_mean", "body.norm.running_var"}
    assert moved(before, model) == names | {"body.norm.num_batches_tracked", "head.weight", "head.bias"}


def test_modes_and_gradients_before_and_after_the_thaw() -> None:
    model = parts()
    freezing = plan_freezing(model, TrainingSettings(freeze=("all but head",), freeze_epochs=2))
    freezing.prepare(model, 1)
    assert [model.body.training, model.body["inner"].training, model.second.training] == [False] * 3
    # dropout before the head regularises the head: it stays
    assert [model.training, model.dropout.training, model.head.training] == [True] * 3
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    freezing.prepare(model, 2)
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_frozen_recurrent_layers_can_hand_a_gradient_on() -> None:
    class Recurrent(Parts):
        def __init__(self) -> None:
            super().__init__()
            self.chain = nn.ModuleDict(
                {"plain": nn.LSTM(8, 8), "dropping": nn.LSTM(8, 8, 2, dropout=0.5)}
            )

    model = Recurrent()
    plan_freezing(model, TrainingSettings(freeze=("chain",))).prepare(model, 0)
    modes = {name: module.training for name, module in model.chain.items()}
    assert modes == {"plain": True, "dropping": False}
    assert not model.chain.training


def test_the_thaw_comes_on_time_and_at_its_rate(tmp_path: Path) -> None:
    given = recipe(
        epochs=4, freeze=("all but head",), freeze_epochs=2, thaw_factor=0.5, schedule="constant"
    )
    model = parts()
    before = states(model)
    seen = []

    def look(row: Mapping[str, Any]) -> None:
        seen.append(moved(before, model) - {"head.weight", "head.bias"})

    fit(model, given, Toy(), None, tmp_path, ethogram=ETHOGRAM, log=look)
    assert seen[:2] == [set(), set()]
    assert seen[2] == seen[3] == set(before) - {"head.weight", "head.bias"}
    assert [float(row["learning_rate"]) for row in rows(tmp_path)] == [0.02, 0.02, 0.01, 0.01]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("watch", ["loss", "pr_auc"])
def test_stopped_after_any_epoch_of_both_stages_it_ends_the_same(
    tmp_path: Path, optimizer: str, watch: str
) -> None:
    given = recipe(
        epochs=5, freeze=("all but head",), freeze_epochs=2, thaw_factor=0.3, optimizer=optimizer,
        momentum=0.9, watch=watch, early_stopping=2, plateau_patience=1,
    )  # fmt: skip
    whole, result = run(tmp_path / "whole", given, parts())  # type: ignore[arg-type]

    class Stop(Exception):
        pass

    def stop(row: Mapping[str, Any]) -> None:
        raise Stop

    for _ in range(result.epochs):
        with pytest.raises(Stop):
            run(tmp_path / "parts", given, parts(), log=stop)  # type: ignore[arg-type]
    ended, again = run(tmp_path / "parts", given, parts())  # type: ignore[arg-type]
    assert same(whole, ended)
    assert again == result
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    assert result.epochs > 2


def test_frozen_epochs_do_not_wear_out_the_patience(tmp_path: Path) -> None:
    wrong = Toy(8, seed=1, flip=-1)  # every epoch is worse than the first
    given = recipe(epochs=20, freeze=("all but head",), freeze_epochs=5, early_stopping=2)
    model = parts()
    result = fit(model, given, Toy(), wrong, tmp_path, ethogram=ETHOGRAM)
    assert result.best_epoch + 2 < 5 + 2 == result.epochs


def test_unknown_and_total_freezing_are_refused() -> None:
    with pytest.raises(InputError, match=r"no part 'bodies'.*Did you mean 'body'\?.*body, second, head"):
        plan("bodies")
    with pytest.raises(InputError, match="whole network"):
        plan("all but head", "head")
    with pytest.raises(ConfigError, match="freeze_epochs: of which part"):
        TrainingSettings(freeze_epochs=3)


def test_parts_are_named_as_a_person_would() -> None:
    assert parts_of(n for n, _ in parts().named_parameters()) == ["body", "second", "head"]
    assert parts_of(["net.a.weight", "net.b.0.weight", "net.b.1.weight"]) == [
        "net.a",
        "net.b.0",
        "net.b.1",
    ]


# What is watched


def areas(model: Model, samples: Toy) -> list[float]:
    items = [samples[i] for i in range(len(samples))]
    with torch.no_grad():
        logits = model.eval()({"pose": torch.stack([i["pose"] for i in items])}).logits.flatten(0, 1)
    target = torch.stack([i["target"] for i in items]).flatten()
    values = logits.softmax(-1)
    return [average_precision_score((target == c).numpy(), values[:, c].numpy()) for c in (0, 1)]


def test_the_area_by_hand_and_the_best_epoch_is_its_highest(tmp_path: Path) -> None:
    valid = Toy(8, seed=1, noise=1.5)
    model, result = run(tmp_path, recipe(epochs=8, watch="pr_auc"), validation=valid)
    column = [float(row["validation_pr_auc"]) for row in rows(tmp_path)]
    losses = [float(row["validation_loss"]) for row in rows(tmp_path)]
    assert result.best_value == max(column)
    assert result.best_epoch == 1 + column.index(max(column))
    assert np.argmin(losses) != np.argmax(column), (
        "both would choose the same epoch; choose another seed"
    )
    assert result.best_value == pytest.approx(np.mean(areas(model, valid)), abs=1e-6)


def test_plateau_and_patience_go_by_the_area(tmp_path: Path) -> None:
    wrong = Toy(8, seed=1, flip=-1)
    given = recipe(epochs=20, watch="pr_auc", early_stopping=3, schedule="plateau", plateau_patience=1)
    _, result = run(tmp_path, given, validation=wrong)
    column = [float(row["validation_pr_auc"]) for row in rows(tmp_path)]
    rates = [float(row["learning_rate"]) for row in rows(tmp_path)]
    assert result.epochs == result.best_epoch + 3 < 20
    best, expected = -1.0, [0.02]
    for value in column[:-1]:
        expected.append(expected[-1] * (1.0 if value > best else 0.5))
        best = max(best, value)
    assert rates == pytest.approx(expected)


class Both(Toy):
    """Two behaviours that may overlap; the second never happens, some cells are unknown."""

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        item = dict(super().__getitem__(index))
        item["target"] = torch.stack([item["target"], torch.zeros(4)], dim=1).float()
        item["target"][: index % 3, 0] = -1
        return item


def test_the_area_of_overlapping_behaviours_knows_of_unknown_cells(tmp_path: Path) -> None:
    model, valid = Tiny(dropout=0.0), Both(8, seed=1)
    ethogram = Ethogram(("a", "b"), exclusive=False)
    given = recipe(epochs=1, watch="pr_auc", loss="binary_cross_entropy")
    result = fit(model, given, Both(), valid, tmp_path, ethogram=ethogram)
    items = [valid[i] for i in range(8)]
    with torch.no_grad():
        values = model.eval()({"pose": torch.stack([i["pose"] for i in items])}).logits[..., 0].flatten()
    truth = torch.stack([i["target"] for i in items])[..., 0].flatten()
    known = truth >= 0
    assert 0 < known.sum() < len(known)
    expected = average_precision_score(truth[known].numpy(), values[known].sigmoid().numpy())
    assert result.best_value == pytest.approx(expected, abs=1e-6)


def test_no_behaviour_to_watch_is_told(tmp_path: Path) -> None:
    class Never(Both):
        def __getitem__(self, index: int) -> Mapping[str, Any]:
            item = dict(super().__getitem__(index))
            item["target"] = torch.zeros(4, 2)
            return item

    given = recipe(epochs=1, watch="pr_auc", loss="binary_cross_entropy")
    with pytest.raises(InputError, match=r"training\.watch"):
        fit(
            Tiny(), given, Both(), Never(8), tmp_path,
            ethogram=Ethogram(("a", "b"), exclusive=False),
        )  # fmt: skip
    assert load_state(tmp_path) is None


# Rates


@pytest.mark.parametrize(
    ("schedule", "settings", "expected"),
    [
        # Le & Murari: 0.002, divided by 10 every 3 epochs
        ("step", {"plateau_factor": 0.1, "plateau_patience": 3}, [2e-3] * 3 + [2e-4] * 3 + [2e-5]),
        ("linear", {"final_rate": 2e-4}, [2e-3 - i * 3e-4 for i in range(7)]),
        ("exponential", {"final_rate": 2e-9}, [2e-3 / 10**i for i in range(7)]),
        ("cosine", {}, [1e-3 * (1 + np.cos(np.pi * i / 7)) for i in range(7)]),
        ("cosine", {"final_rate": 1e-3}, [1e-3 + 5e-4 * (1 + np.cos(np.pi * i / 7)) for i in range(7)]),
    ],
)
def test_rates_by_hand(schedule: str, settings: dict[str, Any], expected: list[float]) -> None:
    given = TrainingSettings(epochs=7, learning_rate=2e-3, schedule=schedule, **settings)
    rates = [SCHEDULES[schedule](given).rate(epoch) for epoch in range(7)]
    assert rates == pytest.approx(expected, rel=1e-9)


def test_rates_only_fall() -> None:
    with pytest.raises(ConfigError, match="final_rate: above learning_rate"):
        TrainingSettings(learning_rate=1e-3, final_rate=1e-2)
