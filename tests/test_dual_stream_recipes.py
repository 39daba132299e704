"""The dual-stream recipes beyond Table 2: lengths, inputs and transfers hold the numbers of the paper."""

from __future__ import annotations

import pytest
import torch

from murine.config import Recipe, list_recipes, load_recipe
from murine.models import Model, complete_settings, create_model
from murine.train.run import derived_settings

NAMES = [info.name for info in list_recipes() if info.name.startswith("dual-stream/")]


def on_paper(recipe: Recipe, classes: int) -> Model:
    settings = complete_settings(
        recipe.model, recipe.model_settings, derived_settings(recipe, exclusive=True)
    )
    with torch.device("meta"):
        return create_model(recipe.model, classes=classes, settings=settings)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains_as_published(name: str) -> None:
    """Sections 3.1 and 3.3; transfers halve the rate (4.4.1, 4.4.2) and leave the rest."""
    recipe = load_recipe(name)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.optimizer) == (85, 8, "sgd")
    assert (training.loss, training.class_weights) == ("cross_entropy", True)
    assert (training.schedule, training.plateau_factor) == ("plateau", 0.5)
    assert recipe.input.size == (128, 128)
    assert (recipe.input.flow, recipe.input.flow_encoding) == ("farneback", "hsv")
    transfer = "scorhe" in name or ("ucf101" in name and not name.endswith("scratch"))
    assert training.learning_rate == (0.0005 if transfer or "baseline" in name else 0.001)
    assert recipe.input.spacing_s == (
        0 if "scorhe" in name or "ucf101" in name else pytest.approx(1 / 6)
    )
    assert training.initial == ""
    assert ("initial" in load_text(name)) == transfer, (
        "a transfer says how to name the run it begins from"
    )


def load_text(name: str) -> str:
    info = next(info for info in list_recipes() if info.name == name)
    return info.path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "classes", "total"),
    [
        ("ucf101-srs-sharing", 101, 12_101_853),
        ("ucf101-srs-sharing-scratch", 101, 12_101_853),
        ("ucf101-srs-standalone", 101, 12_100_005),
        ("srs-sharing-4-frames", 8, 9_671_872),
        ("srs-sharing-16-frames", 8, 9_671_872),
        ("baseline-sharing-4-frames", 8, 11_315_848),
        ("baseline-sharing-16-frames", 8, 12_102_280),
        ("scorhe-transfer", 8, 9_671_872),
        ("scorhe-transfer-srs-standalone", 8, 9_670_024),
        ("scorhe-transfer-civ3d-bilstm-sharing", 8, 13_243_712),
        ("scorhe-transfer-civ3d-mha-standalone", 8, 19_044_744),
    ],
)
def test_recipes_of_other_lengths_and_behaviours_count_as_published(
    name: str, classes: int, total: int
) -> None:
    """Tables 2, 7 and 8; 12,102,280 is computed, not published."""
    recipe = load_recipe(f"dual-stream/{name}")
    assert on_paper(recipe, classes).keras_parameters() == total
    if "frames" in name:
        assert recipe.window.frames == int(name.split("-")[-2])


def test_recipes_of_table_6_differ_in_their_pictures_only() -> None:
    for network in ("baseline", "civ3d-mha", "srs"):
        for photometry in ("grey", "raw"):
            recipe = load_recipe(f"dual-stream/{network}-sharing-{photometry}")
            assert recipe.input.photometry == photometry
            same = load_recipe(f"dual-stream/{network}-sharing")
            assert recipe.training == same.training
            assert (recipe.model, recipe.model_settings) == (same.model, same.model_settings)
            assert (recipe.window, recipe.split) == (same.window, same.split)
