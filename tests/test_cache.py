"""The cache: whole or absent, within its limit, safe beside other processes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from murine import cache as module
from murine.cache import Cache, cache_folder, release, write_rows
from murine.errors import InputError, StorageError

KEYS = [f"{i:08x}" for i in range(16)]
VALUES = np.arange(2500, dtype=np.float32).reshape(50, 50)


def age(cache: Cache, key: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(cache.folder / key / "info.json", (then, then))


def forget(cache: Cache) -> None:
    """As if another process had written the entries."""
    Cache._in_use.clear()
    assert cache is not None


@pytest.fixture(autouse=True)
def _nothing_in_use() -> None:
    Cache._in_use.clear()


def test_what_is_put_is_got_mapped_and_read_only(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "deep")
    values = {"a": VALUES, "b": np.array([True, False]), "empty": np.zeros((0, 3)), "one": np.array(7)}
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], values)
    got = cache.get(KEYS[0])
    assert got is not None
    assert set(got) == set(values)
    for name, value in values.items():
        assert np.array_equal(got[name], value)
        assert got[name].dtype == value.dtype
        assert not got[name].flags.writeable
    assert isinstance(got["a"], np.memmap)
    assert sorted(p.name for p in cache.folder.iterdir()) == [KEYS[0]]
    assert cache.size() == sum(v.nbytes for v in values.values())


def test_building_is_invisible_until_it_succeeds(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.build(KEYS[0], {"a": ((50, 50), np.float32)}) as arrays:
        arrays["a"][:] = VALUES
        assert cache.get(KEYS[0]) is None
    got = cache.get(KEYS[0])
    assert got is not None
    assert np.array_equal(got["a"], VALUES)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, InputError, FileNotFoundError])
def test_a_failed_build_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    cache = Cache(tmp_path)

    def build() -> None:
        with cache.build(KEYS[0], {"a": ((5,), np.int8)}) as arrays:
            arrays["a"][:2] = 1
            raise error("stop")

    with pytest.raises(error, match="stop"):
        build()
    assert list(tmp_path.iterdir()) == []
    assert cache.get(KEYS[0]) is None


@pytest.mark.parametrize("call", ["posix_fallocate", "rename"])
def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    cache = Cache(tmp_path)
    cache.put(KEYS[1], {"a": VALUES})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, call, full)
    with pytest.raises(StorageError, match="disk is full"):
        cache.put(KEYS[0], {"a": VALUES})
    assert [p.name for p in tmp_path.iterdir()] == [KEYS[1]]


def test_a_real_full_disk_raises_instead_of_killing(tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk; far beyond it lies what is asked for.
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from murine.cache import Cache\n"
        "from murine.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        f"    with Cache(Path({str(tmp_path)!r})).build('abcdef01', {{'a': ((1_000_000,), np.uint8)}}) as arrays:\n"
        "        arrays['a'][:] = 1\n"
        "except StorageError:\n"
        "    sys.exit(7)\n"
    )
    pytest.importorskip("resource")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert list(tmp_path.iterdir()) == []


def test_without_fallocate_room_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module.os, "posix_fallocate", raising=False)
    cache = Cache(tmp_path)
    with cache.build(KEYS[0], {"a": ((3, 700_001), np.uint8)}) as arrays:
        assert (tmp_path / next(tmp_path.glob(".*.part")).name / "a.npy").stat().st_size > 2_100_003
        arrays["a"][2, -1] = 9
    got = cache.get(KEYS[0])
    assert got is not None
    assert got["a"].sum() == 9


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="folder"):
        Cache(tmp_path / "file" / "cache").put(KEYS[0], {"a": VALUES})


def test_the_least_recently_used_leave_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=3 * VALUES.nbytes)
    for i in range(3):
        cache.put(KEYS[i], {"a": VALUES})
        age(cache, KEYS[i], 1000 - i)
    assert cache.get(KEYS[0]) is not None  # used now, so the second is the oldest
    forget(cache)
    cache.put(KEYS[3], {"a": VALUES})
    assert sorted(p.name for p in tmp_path.iterdir()) == [KEYS[0], KEYS[2], KEYS[3]]


def test_what_this_process_has_open_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=VALUES.nbytes)
    cache.put(KEYS[0], {"a": VALUES})
    got = cache.get(KEYS[0])
    age(cache, KEYS[0], 1000)
    Cache(tmp_path, limit_bytes=VALUES.nbytes).put(KEYS[1], {"a": VALUES})
    assert got is not None
    assert np.array_equal(got["a"], VALUES)
    assert Cache(tmp_path).get(KEYS[0]) is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "a.npy").unlink(),
        lambda folder: (folder / "a.npy").write_bytes((folder / "a.npy").read_bytes()[:500]),
        lambda folder: (folder / "a.npy").write_bytes(b"nonsense"),
        lambda folder: (folder / "a.npy").write_bytes(b""),
        lambda folder: (folder / "info.json").write_text("{"),
        lambda folder: (folder / "info.json").write_text("[]"),
        lambda folder: (folder / "info.json").unlink(),
    ],
)
def test_a_damaged_entry_is_absent_and_can_be_built_anew(tmp_path: Path, damage: object) -> None:
    cache = Cache(tmp_path)
    cache.put(KEYS[0], {"a": VALUES})
    damage(tmp_path / KEYS[0])  # type: ignore[operator]
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], {"a": VALUES})
    got = cache.get(KEYS[0])
    assert got is not None
    assert np.array_equal(got["a"], VALUES)


def test_an_entry_of_another_version_is_built_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(KEYS[0], {"a": VALUES})
    info = tmp_path / KEYS[0] / "info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "format": 99}))
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], {"a": VALUES + 1})
    got = cache.get(KEYS[0])
    assert got is not None
    assert got["a"][0, 0] == 1


def test_rows_are_written_without_taking_memory(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (64, 1_000_003), dtype=np.uint8)
    cache = Cache(tmp_path)
    with cache.build(KEYS[0], {"a": (rows.shape, np.uint8), "b": ((10, 3), np.float32)}) as arrays:
        before = psutil.Process().memory_info().rss
        for first in range(0, 64, 16):
            write_rows(arrays["a"], first, rows[first : first + 16])
        write_rows(arrays["b"], 4, np.arange(18).reshape(6, 3)[::-1])
        assert psutil.Process().memory_info().rss - before < 16e6
    got = cache.get(KEYS[0])
    assert got is not None
    assert np.array_equal(got["a"], rows)
    assert np.array_equal(got["b"][4:], np.arange(18).reshape(6, 3)[::-1])
    assert (got["b"][:4] == 0).all()


def test_rows_of_an_array_in_memory_and_rows_that_do_not_fit(tmp_path: Path) -> None:
    plain = np.zeros((5, 2))
    write_rows(plain, 3, np.ones((2, 2)))
    assert plain.sum() == 4
    with Cache(tmp_path).build(KEYS[0], {"a": ((5, 2), np.float32)}) as arrays:
        part = arrays["a"][:, :1]
        write_rows(part, 1, np.full((2, 1), 3.0))
        assert arrays["a"].sum() == 6
        for first, shape in ((4, (2, 2)), (-1, (1, 2)), (0, (1, 3))):
            with pytest.raises(ValueError, match="do not fit"):
                write_rows(arrays["a"], first, np.zeros(shape))


def test_rows_of_a_slice_go_where_they_belong(tmp_path: Path) -> None:
    with Cache(tmp_path).build(KEYS[0], {"a": ((8, 4), np.int16)}) as arrays:
        write_rows(arrays["a"][3:7], 1, np.full((2, 4), 5))
        assert np.flatnonzero(arrays["a"][:, 0]).tolist() == [4, 5]


def test_released_memory_keeps_its_values(tmp_path: Path) -> None:
    def resident() -> int:
        return psutil.Process().memory_info().rss

    cache = Cache(tmp_path)
    with cache.build(KEYS[0], {"a": ((64, 1_000_000), np.uint8)}) as arrays:
        before = resident()
        for i in range(64):
            arrays["a"][i] = i
            release(arrays["a"])
        assert resident() - before < 16e6
    got = cache.get(KEYS[0])
    assert got is not None
    assert np.array_equal(
        got["a"][:, ::999_983], np.repeat(np.arange(64, dtype=np.uint8)[:, None], 2, axis=1)
    )
    release(got["a"])
    release(np.zeros(3))
    assert got["a"][63].min() == 63


def test_a_build_replaces_a_damaged_entry_nobody_asked_for(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / KEYS[0]).mkdir()
    (tmp_path / KEYS[0] / "a.npy").touch()
    cache.put(KEYS[0], {"a": VALUES})
    assert cache.get(KEYS[0]) is not None


def test_two_at_once_build_one_key(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.build(KEYS[0], {"a": ((50, 50), np.float32)}) as first:
        first["a"][:] = VALUES
        with cache.build(KEYS[0], {"a": ((50, 50), np.float32)}) as second:
            second["a"][:] = VALUES
    assert [p.name for p in tmp_path.iterdir()] == [KEYS[0]]
    got = cache.get(KEYS[0])
    assert got is not None
    assert np.array_equal(got["a"], VALUES)


def test_many_processes_build_and_read_one_key(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from murine.cache import Cache\n"
        f"cache = Cache(Path({str(tmp_path)!r}), limit_bytes=40_000)\n"
        "for i in range(15):\n"
        "    key = f'{i % 5:08x}'\n"
        "    cache.put(key, {'a': np.full((60, 60), i % 5, np.float32)})\n"
        "    got = cache.get(key)\n"
        "    assert got is None or (got['a'] == i % 5).all()\n"
        "    Cache._in_use.clear()\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_what_a_kill_left_is_swept_after_a_day(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for name, days in (
        (f".{KEYS[0]}.0.part", 2),
        (f".{KEYS[1]}.0.part", 0.1),
        (f".{KEYS[2]}.0.trash", 2),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.npy").touch()
        then = time.time() - days * 24 * 3600
        os.utime(tmp_path / name / "a.npy", (then, then))
        os.utime(tmp_path / name, (then, then))
    cache.put(KEYS[3], {"a": VALUES})
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".{KEYS[1]}.0.part", KEYS[3]]


@pytest.mark.parametrize("key", ["", "../etc", "ABCDEF01", "xyz"])
def test_a_key_is_a_hash(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        Cache(tmp_path).get(key)


def test_objects_and_strange_names_are_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(ValueError, match="objects"):
        cache.put(KEYS[0], {"a": np.array([None])})
    with pytest.raises(ValueError, match="plain name"):
        cache.put(KEYS[0], {"../a": VALUES})
    assert list(tmp_path.iterdir()) == []


def test_where_and_how_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MURINE_CACHE", str(tmp_path))
    monkeypatch.setenv("MURINE_CACHE_GB", "1.5")
    assert cache_folder() == tmp_path
    assert Cache().folder == tmp_path
    assert Cache().limit_bytes == 1_500_000_000
    monkeypatch.delenv("MURINE_CACHE")
    assert cache_folder().name in {"murine", "cache"}
    monkeypatch.delenv("MURINE_CACHE_GB")
    assert Cache(tmp_path).limit_bytes == 50_000_000_000
    for wrong in ("much", "-1", "0", "inf"):
        monkeypatch.setenv("MURINE_CACHE_GB", wrong)
        with pytest.raises(InputError, match="MURINE_CACHE_GB"):
            Cache(tmp_path)
