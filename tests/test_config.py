"""Recipes: typed, checked all at once, overridden, saved so that they read back equal."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.config import (
    InputSettings,
    Recipe,
    SplitSettings,
    TrainingSettings,
    WindowSettings,
    list_recipes,
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
    save_recipe,
)
from murine.config.convert import ValueFault, convert
from murine.errors import ConfigError, InputError, StorageError

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FREE = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), NUMBERS, TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)
FREE_TABLE = st.dictionaries(TEXT.filter(lambda k: k != "name"), FREE, max_size=3)
RECIPES = st.builds(
    Recipe,
    name=TEXT.filter(str.strip),
    description=TEXT,
    source=TEXT,
    model=TEXT.filter(str.strip),
    model_settings=FREE_TABLE,
    input=st.builds(
        InputSettings,
        spacing_s=st.floats(0, 1e6),
        size=st.tuples(st.integers(8, 999), st.integers(8, 999)),
        crop_keypoint=TEXT,
        pose_features=st.lists(TEXT, max_size=3).map(tuple),
        confidence=st.floats(0, 1),
        symmetric=st.booleans(),
    ),
    window=st.builds(
        WindowSettings, frames=st.integers(0, 999), label=st.sampled_from(["centre", "unanimous"])
    ),
    training=st.builds(
        TrainingSettings,
        learning_rate=st.floats(1e-12, 1e3),
        augment=st.lists(TEXT, max_size=3).map(tuple),
        tensorboard=st.booleans(),
    ),
    split=st.builds(
        SplitSettings,
        by=TEXT,
        fixed=st.lists(TEXT, max_size=4, unique=True).map(lambda names: tuple((n,) for n in names)),
    ),
    postprocess=st.lists(FREE_TABLE, max_size=2).map(tuple),
)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(tmp_path: Path, text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, text), overrides)
    return caught.value.faults


@given(recipe=RECIPES)
@settings(max_examples=60, deadline=None)
def test_saved_recipe_reads_back_equal(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "resolved.toml"
    save_recipe(recipe, path)
    assert load_recipe(path) == recipe
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe


def test_resolved_copy_names_every_setting(tmp_path: Path) -> None:
    save_recipe(load_recipe("dual-stream/srs-sharing"), tmp_path / "config.toml")
    text = (tmp_path / "config.toml").read_text()
    classes = (InputSettings, WindowSettings, TrainingSettings, SplitSettings)
    for name in (f.name for cls in classes for f in fields(cls)):
        assert f"\n{name} = " in text


def test_all_faults_come_at_once_with_suggestions(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        descriptions = "x"
        [model]
        name = 3
        [input]
        size = [128]
        frames = 8
        [window]
        label = "center"
        [training]
        epoch = 5
        epochs = "many"
        batch_size = 0
        class_weights = 1
        plateau_factor = 1.0
        learning_rate = inf
        [split]
        pattern = "cage("
        folds = 1
        """,
    )
    assert found == (
        "descriptions: unknown. Did you mean 'description'?",
        "model.name: expected text; came 3",
        "input.size: expected a list of 2 whole numbers; came [128]",
        "input.frames: unknown setting. It belongs to [window].",
        "window.label: expected one of centre, last, majority, unanimous; came 'center'. "
        "Did you mean 'centre'?",
        "training.epoch: unknown setting. Did you mean 'epochs'?",
        "training.epochs: expected a whole number; came 'many'",
        "training.batch_size: expected at least 1; came 0",
        "training.class_weights: expected true or false; came 1",
        "training.plateau_factor: expected more than 0 and less than 1; came 1.0",
        "training.learning_rate: expected a number that is finite; came inf",
        "split.pattern: not a regular expression (missing ), unterminated subpattern at position 4): cage(",
        "split.folds: one fold leaves nothing to learn from; 2 or more, or 0: one group out",
    )


def test_message_names_the_file_and_counts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml: 2 faults\n  - .*\n  - "):
        load_recipe(write(tmp_path, "[training]\nepochs = 0\nseed = -1\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[training]\nepochs = \n", "not valid TOML"),
        ("[training]\noptimizer = adam\n", "Text needs quotes"),
        ("training = 5\n", r"training: expected a table \[training\]; came 5"),
        ("model = 'srs'\n", r'model: expected a table \[model\] with name = "..."'),
        ("postprocess = ['median']\n", r"postprocess: expected a list of tables"),
        ("[model]\nwidth = 2026-01-01\n", "model.width: expected a number, text"),
        ("[[postprocess]]\nseconds = 2026-01-01\n", "postprocess: expected a number, text"),
        ("name = 5\n", "name: expected text; came 5"),
        ("[model]\nname = ''\n", "model: empty"),
        ("[split]\npattern = 'cage'\n", "part in brackets"),
        ("[split]\nfixed = [['a'], ['a']]\n", "named twice: a"),
        ("[split]\nfixed = [['a'], []]\n", "a fold is empty"),
        ("[split]\nfixed = [['a'], ['b']]\nfolds = 5\n", "names 2 folds and folds says 5"),
    ],
)
def test_one_fault_one_message(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_recipe(write(tmp_path, text))


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes("description = 'Käfig'\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_recipe(path)


def test_byte_order_mark_of_windows_editors_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_text("description = 'x'\n", encoding="utf-8-sig")
    assert load_recipe(path).description == "x"


def test_overrides_take_toml_and_bare_words(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(tmp_path, "[model]\nname = 'srs_sharing'\n[[postprocess]]\nname = 'box'\nseconds = 1\n"),
        [
            "training.epochs=5",
            "training.optimizer=adam",
            "training.learning_rate=1",
            "training.class_weights=false",
            "training.augment=mirror",
            "input.size=96,128",
            "input.pose_features=coordinates, speeds",
            r"split.pattern=(cage\d)_\d{1,2}",
            "model.name=ms_tcn_pp",
            "model.maps=32",
            "split.by=cage",
            "postprocess=[{name = 'median', seconds = 0.5}]",
        ],
    )
    assert recipe.training.epochs == 5
    assert recipe.training.optimizer == "adam"
    assert recipe.training.learning_rate == 1.0
    assert isinstance(recipe.training.learning_rate, float)
    assert recipe.training.class_weights is False
    assert recipe.training.augment == ("mirror",)
    assert recipe.input.size == (96, 128)
    assert recipe.input.pose_features == ("coordinates", "speeds")
    assert recipe.split.pattern == r"(cage\d)_\d{1,2}"
    assert recipe.model == "ms_tcn_pp"
    assert recipe.model_settings == {"maps": 32}
    assert recipe.split.by == "cage"
    assert recipe.postprocess == ({"name": "median", "seconds": 0.5},)


def test_override_of_text_that_looks_like_a_number(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(tmp_path, "name = 'x'\n"), ["split.by=1", 'split.pattern="(a)"', "name=7"]
    )
    assert (recipe.split.by, recipe.split.pattern, recipe.name) == ("1", "(a)", "7")


def test_faulty_overrides_join_the_others(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "name = 'x'\n[training]\nseed = -1\n",
        "epochs",
        "training.epochs=ten",
        "training.epoch=3",
        "name.x=3",
        "a.b.c=1",
    )
    assert found == (
        "--set epochs: expected table.setting=value, such as training.epochs=5",
        "--set name.x=3: 'name' is not a table",
        "--set a.b.c=1: expected table.setting=value, such as training.epochs=5",
        "training.seed: expected at least 0; came -1",
        "training.epochs: expected a whole number; came 'ten'",
        "training.epoch: unknown setting. Did you mean 'epochs'?",
    )


def test_faults_of_other_owners_join_in(tmp_path: Path) -> None:
    def check(recipe: Recipe) -> list[str]:
        assert recipe.training.epochs == 85  # a faulty setting keeps its default
        return [f"model '{recipe.model}' is unknown"]

    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, "[model]\nname='srz'\n[training]\nepochs=0\n"), check=check)
    assert caught.value.faults == (
        "training.epochs: expected at least 1; came 0",
        "model 'srz' is unknown",
    )


def test_recipe_is_named_by_its_file_unless_it_names_itself(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "description = 'x'\n")).name == "mine"
    assert load_recipe(write(tmp_path, "name = 'yours'\n")).name == "yours"
    assert load_recipe("pose/ms-tcn-pp").name == "pose/ms-tcn-pp"


def test_unknown_recipe_suggests() -> None:
    with pytest.raises(InputError, match="Did you mean 'dual-stream/srs-sharing'"):
        load_recipe("dual-stream/srs-shared")


@pytest.mark.parametrize("kind", ["missing", "empty", "folder"])
def test_recipe_file_that_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(
        InputError, match={"missing": "not found", "folder": "a folder came"}.get(kind, kind)
    ):
        load_recipe(path)


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a file is where a folder is needed"):
        save_recipe(Recipe("x"), tmp_path / "file" / "config.toml")


def test_settings_check_themselves() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingSettings(epochs=0, momentum=1.0)
    assert len(caught.value.faults) == 2
    assert TrainingSettings(learning_rate=1).learning_rate == 1.0
    with pytest.raises(ConfigError, match="name: empty"):
        Recipe(" ")
    with pytest.raises(ConfigError, match="expected a number, text"):
        Recipe("x", model_settings={"width": None})


@pytest.mark.parametrize(
    ("value", "hint"),
    [(True, int), (1, bool), ("1", int), (1.0, int), (1, str), ("ab", tuple[str, ...]), ((1,), float)],
)
def test_nothing_is_guessed(value: Any, hint: Any) -> None:
    with pytest.raises(ValueFault):
        convert(value, hint)


def test_listed_recipes_all_load_and_name_model_description_and_source() -> None:
    infos = {info.name: info for info in list_recipes()}
    assert {
        "dual-stream/baseline-sharing",
        "dual-stream/baseline-standalone",
        "dual-stream/srs-sharing",
        "dual-stream/srs-standalone",
        "pose/ms-tcn-pp",
    } <= set(infos)
    for name, info in infos.items():
        assert info.description, name
        assert info.source, name
        assert load_recipe(name) == load_recipe(info.path)


def test_every_name_in_the_listed_recipes_exists() -> None:
    from murine.train.checking import recipe_faults

    for info in list_recipes():
        load_recipe(info.name, check=recipe_faults)
    with pytest.raises(ConfigError, match="Did you mean 'sgd'"):
        load_recipe("dual-stream/srs-sharing", ["training.optimizer=sgdd"], check=recipe_faults)


def test_dual_stream_recipes_hold_the_published_numbers() -> None:
    """Paper sections 3.1 and 3.3 and Table 2."""
    rates = dict.fromkeys(("civ3d-bilstm", "civ3d-mha", "srs", "crs"), 0.001) | {"baseline": 0.0005}
    for network, rate in rates.items():
        for kind in ("sharing", "standalone"):
            recipe = load_recipe(f"dual-stream/{network}-{kind}")
            assert recipe.model == f"{network.replace('-', '_')}_{kind}"
            assert (recipe.window.frames, recipe.window.tail) == (8, "drop")
            assert recipe.window.frames * recipe.input.spacing_s == pytest.approx(1.333, abs=1e-3)
            assert recipe.input.size == (128, 128)
            training = recipe.training
            assert (training.epochs, training.batch_size, training.optimizer) == (85, 8, "sgd")
            assert (training.learning_rate, training.momentum) == (rate, 0.0)
            assert (training.schedule, training.plateau_factor) == ("plateau", 0.5)
            assert training.class_weights
