"""Samples: the right slices, labels, padding, orders and weights."""

from __future__ import annotations

import itertools
import pickle
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from murine.cache import Cache
from murine.config import WindowSettings
from murine.data.dataset import WindowDataset, collate
from murine.data.prepared import Prepared, StoredArray
from murine.data.sampling import (
    balanced_shares,
    binary_weights,
    class_counts,
    class_weights,
    clip_labels,
    epoch_order,
)
from murine.data.windows import sample_frames
from murine.errors import InputError, StorageError
from murine.pose.scaler import Scaler
from murine.types import Ethogram, Timeline

EXCLUSIVE = Ethogram(("rest", "walk", "rear"))
OPEN = Ethogram(("sniff", "groom"), exclusive=False)


def table(classes: list[int], behaviours: int = 3) -> np.ndarray:
    """Return (S, C) labels of exclusive classes, -1 unknown."""
    frames = np.full((len(classes), behaviours), -1, dtype=np.int8)
    for i, c in enumerate(classes):
        if c >= 0:
            frames[i] = 0
            frames[i, c] = 1
    return frames


def recording(
    target: np.ndarray,
    ethogram: Ethogram = EXCLUSIVE,
    *,
    name: str = "r",
    streams: tuple[str, ...] = ("rgb", "flow", "pose"),
    fps: float = 10.0,
) -> Prepared:
    """Return a recording whose values tell stream, sample, place and channel."""
    n = len(target)
    timeline = Timeline.uniform(n, fps)
    rgb = np.zeros((n, 4, 5, 3), np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
    rgb[..., 1] = np.arange(5)
    rgb[..., 2] = np.arange(4)[:, None]
    flow = np.full((n, 4, 5, 2), 128, np.uint8)
    flow[..., 0] = 100 + np.arange(n)[:, None, None]
    pose = np.stack([np.arange(n), -np.arange(n)], axis=1).astype(np.float32)
    values = {"rgb": rgb, "flow": flow, "pose": pose}
    chosen = {k: values[k] for k in streams}
    return Prepared(name, chosen, target, sample_frames(timeline, 0), timeline, ethogram)


def dataset(*args: object, **kwargs: object) -> WindowDataset:
    kwargs.setdefault("train", False)
    return WindowDataset(*args, **kwargs)  # type: ignore[arg-type]


# Items


def test_an_item_is_the_slice_it_says() -> None:
    item = dataset([recording(table([0, 0, 1, 1, 2, 2, 0, 1, 1, 2]))], WindowSettings(4, 0, 0.3))[1]
    assert int(item["start"]) == 3
    assert item["rgb"].dtype == item["flow"].dtype == torch.uint8
    assert item["rgb"].shape == (3, 4, 4, 5)
    assert item["rgb"][0, :, 0, 0].tolist() == [3, 4, 5, 6]
    assert item["rgb"][1, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert item["rgb"][2, 0, :, 0].tolist() == [0, 1, 2, 3]
    assert item["flow"].shape == (2, 4, 4, 5)
    assert item["flow"][0, :, 2, 2].tolist() == [103, 104, 105, 106]
    assert item["pose"].tolist() == [[3, -3], [4, -4], [5, -5], [6, -6]]
    assert item["target"].tolist() == [1, 2, 2, 0]
    assert item["target"].dtype == torch.int64
    assert item["mask"].tolist() == [True] * 4


def test_a_short_recording_repeats_pictures_and_masks_tables() -> None:
    item = dataset([recording(table([0, 1, 2]))], WindowSettings(5))[0]
    assert item["rgb"][0, :, 0, 0].tolist() == [0, 1, 2, 2, 2]
    assert item["flow"][0, :, 0, 0].tolist() == [100, 101, 102, 102, 102]
    assert item["pose"][:, 0].tolist() == [0, 1, 2, 0, 0]
    assert item["mask"].tolist() == [True, True, True, False, False]
    assert item["target"].tolist() == [0, 1, 2, -1, -1]


def test_overlapping_behaviours_give_a_row_per_sample() -> None:
    target = np.array([[1, 0], [1, 1], [-1, -1], [0, -1]], np.int8)
    item = dataset([recording(target, OPEN)], WindowSettings(0))[0]
    assert item["target"].dtype == torch.float32
    assert item["target"].tolist() == target.tolist()


def test_none_of_these_becomes_the_background_or_is_refused() -> None:
    target = table([0, 1, -1, 2])
    target[1] = 0
    named = Ethogram(("rest", "walk", "rear"), background="rest")
    assert dataset([recording(target, named)], WindowSettings(0))[0]["target"].tolist() == [0, 0, -1, 2]
    with pytest.raises(InputError, match="frame 1 is annotated as none of rest, walk, rear"):
        dataset([recording(target)], WindowSettings(0), train=True)


def test_pose_is_scaled_and_padding_stays_zero() -> None:
    scaler = Scaler(np.array([1.0, 0.0]), np.array([2.0, 4.0]))
    item = dataset([recording(table([0, 1, 2]), streams=("pose",))], WindowSettings(4), scaler=scaler)[0]
    assert item["pose"].tolist() == [[-0.5, 0], [0, -0.25], [0.5, -0.5], [0, 0]]


def test_windows_are_those_of_the_settings() -> None:
    one, two = recording(table([0] * 23), fps=10), recording(table([1] * 36), fps=16, name="s")
    data = dataset([one, two], WindowSettings(8, 0.3, 0.5))
    starts = [(int(i["recording"]), int(i["start"])) for i in data]
    first = [(0, 0), (0, 5), (0, 10), (0, 15)]
    assert starts == [*first, (1, 0), (1, 8), (1, 16), (1, 24), (1, 28)]
    train = dataset([one, two], WindowSettings(8, 0.3, 0.5), train=True)
    assert train.strides == (3, 5)
    assert [int(i["start"]) for i in train][:6] == [0, 3, 6, 9, 12, 15]
    side_by_side = dataset([one], WindowSettings(8))
    assert [int(i["start"]) for i in side_by_side] == [0, 8, 15]


def test_training_leaves_out_what_nobody_annotated() -> None:
    target = table([-1] * 8 + [0] * 4 + [-1] * 7 + [1] + [-1] * 4)
    train = dataset([recording(target)], WindowSettings(4), train=True)
    assert [int(i["start"]) for i in train] == [8, 16]
    assert len(dataset([recording(target)], WindowSettings(4))) == 6
    clips = dataset([recording(target)], WindowSettings(4, label="centre"), "centre", train=True)
    assert [int(i["start"]) for i in clips] == [8]
    with pytest.raises(InputError, match="no window of 1 training recordings carries a label"):
        dataset([recording(table([-1] * 9))], WindowSettings(4), train=True)


# The label of a clip


@pytest.mark.parametrize(
    ("classes", "centre", "last", "majority", "unanimous"),
    [
        ([0, 0, 0, 0], 0, 0, 0, 0),
        ([1, 1, 2, 1], 2, 1, 1, -1),
        ([0, 0, 2, 2], 2, 2, 2, -1),
        ([2, 2, 0, 0], 0, 0, 0, -1),
        ([0, 1, 2, 2], 2, 2, 2, -1),
        ([1, 1, -1, 0], -1, 0, 1, -1),
        ([2, -1, -1, -1], -1, -1, 2, 2),
        ([0, 1, -1, -1], -1, -1, 0, -1),
        ([-1, -1, -1, -1], -1, -1, -1, -1),
        ([0, 1], 1, 1, 1, -1),
        ([2], 2, 2, 2, 2),
    ],
)
def test_clip_labels_by_hand(
    classes: list[int], centre: int, last: int, majority: int, unanimous: int
) -> None:
    rules = {"centre": centre, "last": last, "majority": majority, "unanimous": unanimous}
    for rule, expected in rules.items():
        got = clip_labels(table(classes), np.array([0]), np.array([4]), rule, exclusive=True)
        assert got.tolist() == table([expected]).tolist(), rule
        if expected >= 0:
            item = dataset([recording(table(classes))], WindowSettings(4, label=rule), "centre")[0]
            assert item["target"].tolist() == [expected]


def test_clip_labels_of_overlapping_behaviours() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, -1]], np.int8)
    at = np.array([0]), np.array([4])
    assert clip_labels(labels, *at, "majority", exclusive=False).tolist() == [[0, 0]]
    assert clip_labels(labels[::-1], *at, "majority", exclusive=False).tolist() == [[1, 0]]
    assert clip_labels(labels, *at, "unanimous", exclusive=False).tolist() == [[-1, -1]]
    assert clip_labels(labels[:2], *at, "unanimous", exclusive=False).tolist() == [[1, 0]]
    assert clip_labels(labels, *at, "last", exclusive=False).tolist() == [[0, -1]]
    with pytest.raises(InputError, match="unknown label rule"):
        clip_labels(labels, *at, "first", exclusive=False)


@given(
    classes=st.lists(st.integers(-1, 2), min_size=1, max_size=25),
    size=st.integers(1, 9),
    stride=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_majority_is_the_most_frequent(classes: list[int], size: int, stride: int) -> None:
    data = dataset([recording(table(classes))], WindowSettings(size, 0, stride / 10), "centre")
    for item in data:
        start, label = int(item["start"]), item["target"].item()
        counts = Counter(c for c in classes[start : start + size] if c >= 0)
        assert (label == -1) == (not counts)
        assert label == -1 or counts[int(label)] == max(counts.values())


# Randomness


def test_the_order_follows_seed_and_epoch_only() -> None:
    data = [recording(table([0, 1, 2, 0] * 10))]
    one, two = (dataset(data, WindowSettings(4), train=True, seed=3) for _ in range(2))
    orders = []
    for epoch in (0, 1, 5):
        one.set_epoch(epoch)
        two.set_epoch(epoch)
        assert one.order() == two.order() == one.order()
        assert sorted(one.order()) == list(range(10))
        orders.append(tuple(one.order()))
    assert len(set(orders)) == 3
    other = dataset(data, WindowSettings(4), train=True, seed=4)
    assert other.order() != list(orders[0])
    state = np.random.get_state()[1]  # noqa: NPY002
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    assert dataset(data, WindowSettings(4)).order() == list(range(10))


def test_samples_per_epoch_draws_without_repetition_first() -> None:
    data = [recording(table([0, 1, 2, 0] * 10))]
    few = dataset(data, WindowSettings(4), train=True, samples_per_epoch=4)
    assert len(set(few.order())) == 4
    seen: set[int] = set()
    for epoch in range(20):
        few.set_epoch(epoch)
        seen |= set(few.order())
    assert seen == set(range(10))
    many = dataset(data, WindowSettings(4), train=True, samples_per_epoch=25)
    counts = Counter(i % 10 for i in many.order())
    assert len(many.order()) == 25
    assert set(counts.values()) == {2, 3}
    assert len(set(many.order())) == 25
    assert torch.equal(many[13]["rgb"], many[3]["rgb"])
    with pytest.raises(IndexError):
        dataset(data, WindowSettings(4))[10]


def test_phase_moves_windows_within_their_stride() -> None:
    data = dataset([recording(table([0] * 40))], WindowSettings(8), train=True, augment=("phase",))
    starts = []
    for epoch in range(60):
        data.set_epoch(epoch)
        row = [int(i["start"]) for i in data]
        assert all(base <= s < base + 8 or s == 32 for base, s in zip(range(0, 40, 8), row, strict=True))
        for item, start in zip(data, row, strict=True):
            assert item["rgb"][0, 0, 0, 0] == start
        starts.append(row)
    assert {row[1] for row in starts} == set(range(8, 16))
    data.set_epoch(7)
    assert [int(i["start"]) for i in data] == starts[7]
    still = dataset([recording(table([0] * 40))], WindowSettings(8), augment=("phase",))
    assert [int(i["start"]) for i in still] == [0, 8, 16, 24, 32]


def test_phase_never_moves_a_window_off_its_label() -> None:
    target = table([-1] * 3 + [1] + [-1] * 36)
    data = dataset([recording(target)], WindowSettings(8), train=True, augment=("phase",))
    for epoch in range(20):
        data.set_epoch(epoch)
        assert [int(v) for item in data for v in item["target"] if v >= 0] == [1]


def test_augmenting_depends_on_epoch_and_index_and_repeats() -> None:
    data = dataset(
        [recording(table([0] * 12), streams=("rgb",))],
        WindowSettings(4), train=True, augment=("noise", "brightness"), samples_per_epoch=6,
    )  # fmt: skip
    first = data[0]["rgb"]
    assert torch.equal(first, data[0]["rgb"])
    assert not torch.equal(first, data[3]["rgb"])
    data.set_epoch(1)
    assert not torch.equal(first, data[0]["rgb"])
    assert data.prepared[0].streams["rgb"][0, 0, 0, 0] == 0


def test_balance_draws_every_behaviour_equally_often() -> None:
    target = table([0] * 360 + [1] * 36 + [2] * 4)
    data = dataset(
        [recording(target, streams=("pose",))], WindowSettings(4), "centre", train=True, balance="draw",
        samples_per_epoch=3000,
    )  # fmt: skip
    counts = Counter(int(data[i]["target"]) for i in data.order())
    assert [counts[c] / 3000 for c in range(3)] == pytest.approx([1 / 3] * 3, abs=0.05)
    assert len(set(data.order())) == 3000


# Batches


def test_whole_recordings_are_padded_to_the_longest() -> None:
    data = dataset(
        [recording(table([0, 1])), recording(table([2, 2, 1, 0]), name="s")], WindowSettings(0)
    )
    batch = collate([data[0], data[1]])
    assert batch["mask"].tolist() == [[True, True, False, False], [True] * 4]
    assert batch["target"].tolist() == [[0, 1, -1, -1], [2, 2, 1, 0]]
    assert batch["pose"][:, :, 0].tolist() == [[0, 1, 0, 0], [0, 1, 2, 3]]
    assert batch["rgb"][:, 0, :, 0, 0].tolist() == [[0, 1, 1, 1], [0, 1, 2, 3]]
    assert batch["rgb"].shape == (2, 3, 4, 4, 5)
    assert batch["rgb"].is_contiguous()
    assert batch["recording"].tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_worker_processes_give_the_same_batches(tmp_path: Path) -> None:
    prepared = recording(table([0, 1, 2, 0] * 5))
    Cache(tmp_path).put("ab" * 8, dict(prepared.streams))
    mapped = Cache(tmp_path).get("ab" * 8)
    assert mapped is not None
    stored = {name: StoredArray.of(values) for name, values in mapped.items()}
    kept = Prepared("r", stored, prepared.target, prepared.sampling, prepared.timeline, EXCLUSIVE)
    data = dataset([kept], WindowSettings(4), train=True, augment=("noise",))
    data.set_epoch(2)
    alone = list(DataLoader(data, 2, sampler=data.order(), collate_fn=collate))
    shared = list(DataLoader(data, 2, sampler=data.order(), collate_fn=collate, num_workers=1))
    for a, b in zip(alone, shared, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in a)


@given(rows=st.integers(0, 9), start=st.integers(-12, 12), stop=st.integers(-12, 12))
@settings(max_examples=40, deadline=None)
def test_a_stored_array_reads_what_a_map_shows(rows: int, start: int, stop: int) -> None:
    values = np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        np.save(path, values)
        mapped = np.load(path, mmap_mode="r") if rows else values
        stored = StoredArray.of(mapped)
        assert isinstance(stored, StoredArray) == (rows > 0)
        assert stored.shape == values.shape
        assert np.array_equal(stored[start:stop], values[start:stop])
        assert np.array_equal(np.asarray(stored), values)
        if isinstance(stored, StoredArray):
            assert (len(stored), stored.ndim) == (rows, 3)
            part = stored[:1]
            part[...] = -1
            assert np.array_equal(stored[:1], values[:1])


def test_a_stored_array_travels_as_a_name_and_says_when_its_file_is_gone(tmp_path: Path) -> None:
    big = np.zeros((4000, 4, 5, 3), np.uint8)
    path = tmp_path / "x.npy"
    np.save(path, big)
    stored = StoredArray.of(np.load(path, mmap_mode="r"))
    assert len(pickle.dumps(stored)) < 1000
    assert pickle.loads(pickle.dumps(stored)) == stored
    with pytest.raises(ValueError, match="without steps"):
        stored[::2]
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StorageError, match="shorter than it was"):
        stored[3000:3001]
    path.unlink()
    with pytest.raises(StorageError, match=r"x\.npy: cannot be read any more"):
        stored[:2]


def test_unknown_pose_features_become_zero_before_a_network_sees_them() -> None:
    one = recording(table([0, 1, 2]), streams=("pose",))
    values = one.table("pose").copy()
    values[1, 0] = np.nan
    gap = Prepared("g", {"pose": values}, one.target, one.sampling, one.timeline, EXCLUSIVE)
    assert dataset([gap], WindowSettings(0))[0]["pose"].tolist() == [[0, 0], [0, -1], [2, -2]]
    scaler = Scaler(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    scaled = dataset([gap], WindowSettings(0), scaler=scaler)[0]["pose"]
    assert scaled.tolist() == [[-1, 0], [0, -1], [1, -2]]


# Counts and weights


def test_counts_and_weights_by_hand() -> None:
    data = [recording(table([0, 0, 0, 1])), recording(table([1, -1, 0, 0, 2, -1]), name="s")]
    assert class_counts(data).tolist() == [5, 2, 1]
    weights = class_weights([5, 2, 1], EXCLUSIVE.behaviours)
    assert weights.tolist() == pytest.approx([8 / 15, 8 / 6, 8 / 3])
    assert (weights * [5, 2, 1]).sum() == pytest.approx(8)
    with pytest.raises(InputError, match="no training label shows: walk, rear"):
        class_weights([5, 0, 0], EXCLUSIVE.behaviours)
    assert class_weights([6, 0, 2], EXCLUSIVE.behaviours, absent="zero").tolist() == pytest.approx(
        [8 / 12, 0, 2]
    )
    with pytest.raises(ValueError, match="3 behaviours"):
        class_weights([1, 2], EXCLUSIVE.behaviours)


def test_binary_weights_by_hand() -> None:
    weights = binary_weights([2, 5], [10, 10], OPEN.behaviours)
    assert weights == pytest.approx(np.array([[10 / 16, 10 / 4], [1, 1]]))
    with pytest.raises(InputError, match="every training label shows: groom"):
        binary_weights([2, 10], [10, 10], OPEN.behaviours)
    with pytest.raises(InputError, match="no training label shows: sniff"):
        binary_weights([0, 5], [10, 10], OPEN.behaviours)
    assert binary_weights([0, 10], [10, 10], OPEN.behaviours, absent="zero").tolist() == [[1, 0], [0, 1]]


@given(counts=st.lists(st.integers(1, 1000), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_class_weights_agree_with_scikit_learn(counts: list[int]) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    names = [str(i) for i in range(len(counts))]
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert class_weights(counts, names) == pytest.approx(expected, rel=1e-5)


def test_label_counts_are_those_of_the_items() -> None:
    target = table([0, 0, 1, 1, 1, 2, -1, -1, 2, 0, 0, 0, 0, 0, 0])
    for predicts, rule in itertools.product(
        ("all", "centre", "last"), ("centre", "majority", "unanimous")
    ):
        data = dataset([recording(target)], WindowSettings(4, 0.2, 0, rule), predicts, train=True)
        seen = Counter(int(v) for item in data for v in item["target"] if v >= 0)
        assert data.label_counts().tolist() == [seen[c] for c in range(3)], (predicts, rule)


def test_epoch_order_and_shares_directly() -> None:
    rng = np.random.default_rng(0)
    assert sorted(epoch_order(7, rng).tolist()) == list(range(7))
    assert sorted((epoch_order(3, rng, 7) % 3).tolist()) in ([0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 1, 2, 2],
                                                             [0, 0, 1, 1, 2, 2, 2])  # fmt: skip
    shares = balanced_shares(table([0, 0, 0, 1]))
    assert shares.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2, 0, 0][:4])
    several = balanced_shares(np.array([[1, 0], [1, 1], [0, 0], [1, 0]], np.int8))
    assert several.tolist() == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8])


# What does not fit


def test_recordings_that_do_not_go_together_are_refused() -> None:
    one = recording(table([0, 1, 2]))
    with pytest.raises(InputError, match="no recording"):
        dataset([], WindowSettings(2))
    with pytest.raises(InputError, match="'r' and 's' have other behaviours"):
        dataset([one, recording(np.zeros((3, 2), np.int8), OPEN, name="s")], WindowSettings(2))
    with pytest.raises(InputError, match="cannot be learned together"):
        dataset([one, recording(table([0, 1]), name="s", streams=("rgb",))], WindowSettings(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.zeros((4, 3), np.int8)}, "labels are"),
        ({"streams": {"rgb": np.zeros((3, 4, 5, 3), np.float32)}}, "float32"),
        ({"streams": {"pose": np.zeros((2, 4), np.float32)}}, "3 samples"),
        ({"streams": {"sound": np.zeros((3, 4), np.float32)}}, "unknown stream 'sound'"),
        ({"timeline": Timeline.uniform(9, 1.0)}, "another timeline"),
    ],
)
def test_a_prepared_recording_checks_itself(change: dict[str, object], message: str) -> None:
    good = recording(table([0, 1, 2]))
    parts = {f: getattr(good, f) for f in ("recording_id", "streams", "target", "sampling", "timeline")}
    with pytest.raises(InputError, match=message):
        Prepared(**{**parts, "ethogram": EXCLUSIVE, **change})  # type: ignore[arg-type]
