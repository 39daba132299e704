"""Prediction files: what is written is read back, and everything else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError, VersionError
from murine.predictions import find_predictions, read_header, read_prediction, write_prediction
from murine.types import Ethogram, Prediction, Timeline


def make(n: int = 7, names: tuple[str, ...] = ("rest", "walk"), seed: int = 0) -> Prediction:
    generator = np.random.default_rng(seed)
    values = generator.random((n, len(names)), dtype=np.float32)
    times = np.cumsum(generator.uniform(0.01, 0.1, n))
    return Prediction(
        "mouse 1", Ethogram(names), values, Timeline(times), {"model": "ab", "settings": {"x": 1.5}}
    )


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 40),
    names=st.lists(
        st.sampled_from(["rest", "walk", "frame", "time", "é è", "a,b"]), min_size=1, unique=True
    ),
    seed=st.integers(0, 9),
)
def test_round_trip_is_exact(
    tmp_path_factory: pytest.TempPathFactory, n: int, names: list[str], seed: int
) -> None:
    path = tmp_path_factory.mktemp("p") / "x.parquet"
    before = make(n, tuple(names), seed)
    write_prediction(path, before)
    after = read_prediction(path)
    assert after.ethogram == before.ethogram
    assert after.recording == before.recording
    assert after.meta == before.meta
    np.testing.assert_array_equal(after.probabilities, before.probabilities)
    np.testing.assert_array_equal(after.timeline.times, before.timeline.times)


def test_columns_are_plain_for_other_readers(tmp_path: Path) -> None:
    write_prediction(tmp_path / "x.parquet", make())
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column_names == ["frame", "time", "rest", "walk"]
    assert table.column("frame").to_pylist() == list(range(7))
    assert json.loads(table.schema.metadata[b"murine"])["ethogram"]["behaviours"] == ["rest", "walk"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    write_prediction(path, make(seed=1))
    before = path.read_bytes()

    def broken(table: object, where: Path, **_: object) -> None:
        Path(where).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(KeyboardInterrupt):
        write_prediction(path, make(seed=2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(InputError, match="not found"):
        read_prediction(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        read_prediction(path)
    path.write_text("frame,time\n0,0\n")
    with pytest.raises(InputError, match="not a readable Parquet"):
        read_prediction(path)
    pq.write_table(pa.table({"frame": [0]}), path)
    with pytest.raises(InputError, match="no prediction of murine"):
        read_prediction(path)
    write_prediction(path, make(100))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a readable Parquet"):
        read_prediction(path)


def test_a_later_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    header = {
        "format": 99,
        "murine_version": "9.0",
        "ethogram": {"behaviours": ["a"]},
        "recording": "r",
        "meta": {},
    }
    table = pa.table({"frame": [0], "time": [0.0], "a": [0.5]})
    pq.write_table(table.replace_schema_metadata({b"murine": json.dumps(header).encode()}), path)
    with pytest.raises(VersionError, match=r"9\.0"):
        read_prediction(path)


def test_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_prediction(path, make())
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["walk"]), path)
    with pytest.raises(InputError, match="walk"):
        read_prediction(path)


def test_find(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        find_predictions(tmp_path / "none")
    with pytest.raises(InputError, match="no prediction"):
        find_predictions(tmp_path)
    for name in ("b", "a"):
        write_prediction(tmp_path / f"{name}.parquet", make())
    assert [p.stem for p in find_predictions(tmp_path)] == ["a", "b"]
    assert find_predictions(tmp_path / "a.parquet") == [tmp_path / "a.parquet"]
    assert read_header(tmp_path / "a.parquet")["recording"] == "mouse 1"
