"""Settings, and the saved form with everything that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
import safetensors.torch
import torch

from murine.errors import ConfigError, InputError, VersionError
from murine.files import write_json
from murine.models import (
    complete_settings,
    create_model,
    load_model,
    model_settings,
    save_model,
    setting_faults,
)
from murine.models.settings import Count, Limits, Positive, Share, check_settings, read_settings
from murine.types import Ethogram

ETHOGRAM = Ethogram(("eat", "rest"), background="rest")
SMALL = {"maps": 4, "generator_layers": 1, "refinement_stages": 1, "refinement_layers": 1}


def example(
    classes: int,
    *,
    count: Count = 1,
    share: Share = 0.5,
    width: Positive = 1.0,
    kind: Literal["a", "b"] = "a",
    size: tuple[int, int] = (1, 2),
    units: tuple[Annotated[int, Limits(1)], ...] = (),
    rows: Count | None = None,
    fast: bool = False,
    name: str = "",
) -> None: ...


KNOWN = read_settings(example)


def test_settings_are_read_from_the_signature() -> None:
    assert list(KNOWN) == [
        "count", "share", "width", "kind", "size", "units", "rows", "fast", "name"
    ]  # fmt: skip
    assert KNOWN["share"].default == 0.5
    assert model_settings("ms_tcn_pp")["maps"].default == 64
    assert "features" not in model_settings("ms_tcn_pp")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"size": [3, 4]}, (3, 4)),
        ({"units": []}, ()),
        ({"units": [5, 6, 7]}, (5, 6, 7)),
        ({"share": 1}, 1.0),
        ({"rows": None}, None),
        ({"rows": 3}, 3),
        ({"kind": "b"}, "b"),
        ({"fast": True}, True),
    ],
)
def test_tables_are_converted(given: dict[str, object], expected: object) -> None:
    values, faults = check_settings(KNOWN, given)
    assert not faults
    (key,) = given
    assert values[key] == expected
    assert type(values[key]) is type(expected)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"count": 0}, "'count' must be at least 1; came 0"),
        ({"count": 1.5}, "'count' must be a whole number; came 1.5"),
        ({"count": True}, "'count' must be a whole number; came True"),
        ({"share": 1.1}, "'share' must be at least 0 and at most 1; came 1.1"),
        ({"share": "half"}, "'share' must be a number; came 'half'"),
        ({"share": float("nan")}, "'share' must be a finite number; came nan"),
        ({"width": 0}, "'width' must be above 0; came 0"),
        ({"kind": "c"}, "'kind' must be one of 'a', 'b'; came 'c'"),
        ({"size": [1]}, "'size' must be a list of 2 whole numbers; came 1 values"),
        ({"size": 64}, "'size' must be a list of 2 whole numbers; came 64"),
        ({"units": [4, 0]}, "'units' must be at least 1; came 0"),
        ({"units": "512"}, "'units' must be a list of whole numbers; came '512'"),
        ({"rows": 0}, "'rows' must be at least 1; came 0"),
        ({"fast": 1}, "'fast' must be true or false; came 1"),
        ({"name": 3}, "'name' must be a text; came 3"),
        ({"shaer": 3}, "unknown setting 'shaer'. Did you mean 'share'?"),
        ({"classes": 3}, "unknown setting 'classes'."),
    ],
)
def test_faults_in_words(given: dict[str, object], fault: str) -> None:
    faults = check_settings(KNOWN, given)[1]
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_all_faults_at_once() -> None:
    wrong = {"mapz": 3, "dropout": 2.0, "causal": "yes"}
    with pytest.raises(ConfigError) as caught:
        create_model("ms_tcn_pp", classes=0, settings=wrong)
    assert len(caught.value.faults) == 5
    assert "Did you mean 'maps'?" in str(caught.value)
    assert setting_faults("ms_tcn_pp", wrong) == list(caught.value.faults[:3])


def test_unknown_model_is_suggested() -> None:
    with pytest.raises(InputError, match=r"unknown model 'srs_shared'\. Did you mean 'srs_sharing'"):
        create_model("srs_shared", classes=2)
    assert setting_faults("srs", {})[0].startswith("unknown model 'srs'")


def test_settings_that_follow_from_the_input() -> None:
    derived = {"frames": 8, "size": (64, 64), "flow_channels": 2, "exclusive": True}
    full = complete_settings("srs_sharing", {"width": 0.5, "size": [64, 64]}, derived)
    assert full == {"width": 0.5, "size": (64, 64), "frames": 8, "flow_channels": 2}
    assert complete_settings("ms_tcn_pp", {}, derived) == {"exclusive": True}
    with pytest.raises(ConfigError, match=r"'size' is \(128, 128\), but .* make it \(64, 64\)"):
        complete_settings("srs_sharing", {"size": [128, 128]}, derived)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = create_model("ms_tcn_pp", classes=2, features=3, settings=SMALL)
    save_model("ms_tcn_pp", model, tmp_path / "model", ETHOGRAM, {"note": "x"})
    return tmp_path / "model"


def test_saved_form_is_readable_and_whole(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "weights.safetensors"]
    description = json.loads((saved / "model.json").read_text())
    assert description["format_version"] == 1
    assert description["settings"]["dropout"] == 0.5  # defaults too: they may change one day
    assert description["ethogram"] == ETHOGRAM.to_dict()
    assert (description["classes"], description["features"]) == (2, 3)


def test_hash_names_weights_and_settings(saved: Path, tmp_path: Path) -> None:
    first = load_model(saved).hash
    assert load_model(saved).hash == first
    again = create_model("ms_tcn_pp", classes=2, features=3, settings=SMALL)
    save_model("ms_tcn_pp", again, tmp_path / "again", ETHOGRAM, {"note": "x"})
    assert load_model(tmp_path / "again").hash == first
    save_model("ms_tcn_pp", again, tmp_path / "extra", ETHOGRAM, {"note": "y"})
    other = create_model("ms_tcn_pp", classes=2, features=3, settings=SMALL, seed=1)
    save_model("ms_tcn_pp", other, tmp_path / "other", ETHOGRAM, {"note": "x"})
    hashes = {load_model(tmp_path / name).hash for name in ("again", "extra", "other")}
    assert len(hashes) == 3


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    write_json(path, description)


def test_newer_format_says_what_to_do(saved: Path) -> None:
    edit(saved, lambda d: d.update(format_version=2, murine="9.9"))
    with pytest.raises(VersionError, match=r"murine 9\.9 in format 2.*Upgrade murine"):
        load_model(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="other"), "not a murine model"),
        (lambda d: d.update(format_version="1"), "format_version must be a number"),
        (lambda d: d.pop("ethogram"), "damaged"),
        (lambda d: d.pop("weights"), "is not what model.json was written for"),
        (lambda d: d.update(model="ms_tcn_9"), "unknown model 'ms_tcn_9'.*written by murine 0"),
        (lambda d: d.update(classes="2"), "damaged"),
        (lambda d: d["ethogram"].update(behaviours=["a", "b", "c"], background=None), "3 behaviours"),
    ],
)
def test_edited_description(saved: Path, change: Callable[..., object], message: str) -> None:
    edit(saved, change)
    with pytest.raises(InputError, match=f"(?s){message}"):
        load_model(saved)


def test_setting_unknown_to_this_version(saved: Path) -> None:
    edit(saved, lambda d: d["settings"].update(mapz=3))
    with pytest.raises(ConfigError, match="unknown setting 'mapz'"):
        load_model(saved)


def test_changed_weights_are_noticed(saved: Path) -> None:
    path = saved / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"weights\.safetensors: its content .* changed, cut short"):
        load_model(saved)
    path.write_bytes(data[:100])
    with pytest.raises(InputError, match="changed, cut short"):
        load_model(saved)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        load_model(saved)
    path.unlink()
    with pytest.raises(InputError, match="not found"):
        load_model(saved)


def test_broken_description(saved: Path) -> None:
    path = saved / "model.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match="not readable JSON"):
        load_model(saved)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not readable JSON"):
        load_model(saved)
    path.unlink()
    with pytest.raises(InputError, match="not found"):
        load_model(saved)


def replace_weights(folder: Path, data: bytes) -> None:
    """Other weights with a hash that fits."""
    from murine.models.saved import _hash

    (folder / "weights.safetensors").write_bytes(data)
    edit(folder, lambda d: d["weights"].update(hash=_hash(data)))


def test_tensors_that_do_not_fit_are_all_listed(saved: Path) -> None:
    tensors = safetensors.torch.load_file(saved / "weights.safetensors")
    tensors["generator.enter.bias"] = torch.zeros(5)
    tensors["generator.leave.bias"] = tensors["generator.leave.bias"].double()
    tensors["other"] = tensors.pop("generator.enter.weight")
    replace_weights(saved, safetensors.torch.save(tensors))
    with pytest.raises(InputError) as caught:
        load_model(saved)
    for part in (
        "missing: generator.enter.weight",
        "not of this model: other",
        "generator.enter.bias: float32 (5,) came where float32 (4,) was expected",
        "generator.leave.bias: float64 (2,) came where float32 (2,) was expected",
    ):
        assert part in str(caught.value)


def test_weights_that_are_no_weights(saved: Path) -> None:
    replace_weights(saved, b"not a tensor in sight")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_model(saved)


def test_only_what_fits_is_saved(tmp_path: Path) -> None:
    model = create_model("ms_tcn_pp", classes=2, features=3, settings=SMALL)
    with pytest.raises(InputError, match="a model 'ms_tcn_pp' came where 'srs_sharing'"):
        save_model("srs_sharing", model, tmp_path, ETHOGRAM, {})
    with pytest.raises(InputError, match="predicts 2 behaviours, the ethogram has 3"):
        save_model("ms_tcn_pp", model, tmp_path, Ethogram(tuple("abc")), {})
    assert not list(tmp_path.iterdir())


def test_half_written_weights_are_never_seen(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    model = create_model("ms_tcn_pp", classes=2, features=3, settings=SMALL, seed=1)
    with pytest.raises(Exception, match="disk is full"):
        save_model("ms_tcn_pp", model, saved, ETHOGRAM, {})
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
