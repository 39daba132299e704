"""Prediction files: what is written is read back, and everything else is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError, VersionError
from murine.predictions import (
    ROWS,
    find_predictions,
    open_prediction,
    read_header,
    read_prediction,
    write_pieces,
    write_prediction,
)
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
        st.sampled_from(["rest", "walk", "frame", "time", "é è", "a,b", "wall.rear"]),
        min_size=1,
        unique=True,
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

    def broken(self: pq.ParquetWriter, batch: pa.RecordBatch) -> None:
        self.write_table(pa.Table.from_batches([batch.slice(0, 3)]))
        raise KeyboardInterrupt

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", broken)
    with pytest.raises(KeyboardInterrupt):
        write_prediction(path, make(seed=2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("n", [1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 100])
@pytest.mark.parametrize("length", [333, ROWS, 2 * ROWS])
def test_a_file_is_the_same_however_its_pieces_are_cut(tmp_path: Path, n: int, length: int) -> None:
    before = make(n)
    write_prediction(tmp_path / "whole.parquet", before)
    values = before.probabilities
    pieces = (values[at : at + length] for at in range(0, n, length))
    write_pieces(
        tmp_path / "pieces.parquet", pieces, recording=before.recording, ethogram=before.ethogram,
        timeline=before.timeline, meta=before.meta,
    )  # fmt: skip
    assert (tmp_path / "pieces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    file = pq.ParquetFile(tmp_path / "pieces.parquet")
    assert file.num_row_groups == -(-n // ROWS)
    assert file.read().column("frame").to_pylist() == list(range(n))
    stored = open_prediction(tmp_path / "pieces.parquet")
    assert max(len(piece) for piece in stored.pieces()) <= ROWS
    np.testing.assert_array_equal(np.concatenate(list(stored.pieces())), values)
    np.testing.assert_array_equal(stored.timeline.times, before.timeline.times)


def test_pieces_that_are_no_prediction_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"

    def write(values: np.ndarray, frames: int) -> None:
        write_pieces(
            path, [values[:2], values[2:]], recording="m", ethogram=Ethogram(("rest", "walk")),
            timeline=Timeline.uniform(frames, 25), meta={},
        )  # fmt: skip

    good = np.full((ROWS + 5, 2), 0.5, dtype=np.float32)
    for row, value, words in ((ROWS + 3, np.nan, f"frame {ROWS + 3}"), (7, 1.5, "outside 0..1")):
        bad = good.copy()
        bad[row, 1] = value
        with pytest.raises(InputError, match=words):
            write(bad, len(bad))
    with pytest.raises(InputError, match=r"x 2 behaviours; came \(16384, 3\)"):
        write(np.full((ROWS, 3), 0.5, dtype=np.float32), ROWS)
    with pytest.raises(ValueError, match="rows came for the 9 frames"):
        write(good[:8], 9)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_program_wrote_again_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    before = make(50)
    write_prediction(path, before)
    table = pq.read_table(path)
    wide = table.set_column(2, "rest", table.column("rest").cast(pa.float64()))
    pq.write_table(wide, path, row_group_size=7)
    after = read_prediction(path)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)
    empty = pa.chunked_array([pa.array([None, *table.column("walk").to_pylist()[1:]], pa.float32())])
    pq.write_table(table.set_column(3, "walk", empty), path)
    with pytest.raises(InputError, match="does not cover frame 0"):
        read_prediction(path)


def test_writing_and_reading_load_no_pandas(tmp_path: Path) -> None:
    """Pandas takes 40 MB and half a second, and where it is installed pyarrow loads it for a trifle."""
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from murine.predictions import read_prediction, write_prediction\n"
        "from murine.types import Ethogram, Prediction, Timeline\n"
        "values = np.full((9, 1), .5, np.float32); path = Path(sys.argv[1])\n"
        "write_prediction(path, Prediction('m', Ethogram(('a',)), values, Timeline.uniform(9, 25), {}))\n"
        "assert len(read_prediction(path)) == 9\n"
        "print('pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


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
