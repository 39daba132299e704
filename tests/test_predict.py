"""Predictions: the same in pieces and at once, after any interruption, in memory that does not grow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_study import (
    ETHOGRAM,
    FPS,
    draw,
    make_pose,
    pose_recipe,
    pose_study,
    video_recipe,
    video_study,
    walk,
)
from torch import nn

from murine.config import InputSettings, Recipe, TrainingSettings, WindowSettings
from murine.data.windows import Sampling, sample_frames
from murine.errors import InputError, StorageError
from murine.files import write_json
from murine.formats import read_labels, write_pose
from murine.models.contract import Batch, Model, Output
from murine.pose import Scaler
from murine.postprocess import apply, make_steps
from murine.predict import predict, predict_recording
from murine.predict import run as predict_run
from murine.predict import stream as predict_stream
from murine.predict.partial import Partial
from murine.predictions import read_prediction
from murine.train.run import train
from murine.train.runs import PoseLayout, TrainedRun, load_run
from murine.types import Timeline
from murine.video import write_video


class Local(Model):
    """Sees `reach` samples to each side; per sample, so that pieces can be compared with the whole."""

    streams: ClassVar[tuple[str, ...]] = ("pose",)

    def __init__(self, reach: int = 2, predicts: Any = "all") -> None:
        super().__init__()
        self.predicts = predicts
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolve = nn.Conv1d(3, 2, 2 * reach + 1, padding=reach)

    def forward(self, batch: Batch) -> Output:
        logits = self.convolve(batch["pose"].transpose(1, 2) * batch["mask"][:, None]).transpose(1, 2)
        size = logits.shape[1]
        at = {"centre": slice(size // 2, size // 2 + 1), "last": slice(size - 1, size)}
        return Output(logits[:, at[self.predicts]] if self.predicts in at else logits)


@dataclass(frozen=True, eq=False)
class Table:
    """A source of numbers, handed out in chunks of any size."""

    values: NDArray[np.float32]
    timeline: Timeline
    sampling: Sampling
    chunk: int = 7
    recording: str = "r"

    @classmethod
    def draw(cls, frames: int, spacing_s: float = 0.0, chunk: int = 7) -> Table:
        timeline = Timeline.uniform(frames, FPS)
        sampling = sample_frames(timeline, spacing_s)
        rng = np.random.default_rng(0)
        return cls(rng.normal(size=(len(sampling), 3)).astype(np.float32), timeline, sampling, chunk)

    def chunks(self, start: int) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        for first in range(start, len(self.values), self.chunk):
            yield first, {"pose": self.values[first : first + self.chunk]}


def local_run(model: Model, frames: int, stride_s: float = 0.0, batch: int = 3) -> TrainedRun:
    recipe = Recipe(
        "local",
        model="local",
        input=InputSettings(pose_features=("speeds",)),
        window=WindowSettings(frames=frames, predict_stride_s=stride_s),
        training=TrainingSettings(batch_size=batch, device="cpu"),
    )
    layout = PoseLayout(("a",), ("k",), Scaler(np.zeros(3), np.ones(3)))
    return TrainedRun(model, "local", ETHOGRAM, recipe, "hash", pose=layout)


def whole(model: Model, table: Table) -> NDArray[np.float32]:
    batch = {
        "pose": torch.from_numpy(table.values)[None],
        "mask": torch.ones(1, len(table.values), dtype=torch.bool),
    }
    with torch.no_grad():
        return model(batch).logits[0].softmax(-1).numpy()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), chunk=st.integers(1, 30), batch=st.integers(1, 5))
def test_one_window_over_all_is_the_network_itself(n: int, chunk: int, batch: int) -> None:
    model, table = Local(), Table.draw(n, chunk=chunk)
    got = predict_recording(local_run(model, 0, batch=batch), table, device="cpu")
    np.testing.assert_allclose(got.probabilities, whole(model, table), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 80),
    frames=st.integers(5, 20),
    stride=st.integers(1, 5),
    chunk=st.integers(1, 40),
    batch=st.integers(1, 6),
)
def test_windows_equal_one_piece_where_they_see_enough(
    n: int, frames: int, stride: int, chunk: int, batch: int
) -> None:
    """A sample at least `reach` away from the ends of all its windows cannot tell them from the whole."""
    reach = 2
    model, table = Local(reach), Table.draw(n, chunk=chunk)
    run = local_run(model, frames, stride / FPS, batch)
    got = predict_recording(run, table, device="cpu").probabilities
    starts = sorted({*range(0, max(n - frames, 0) + 1, stride), max(n - frames, 0)})
    enough = np.ones(n, dtype=bool)
    for start in starts:
        stop = min(start + frames, n)
        if start > 0:
            enough[start : start + reach] = False
        if stop < n:
            enough[stop - reach : stop] = False
    np.testing.assert_allclose(got[enough], whole(model, table)[enough], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("predicts", ["centre", "last"])
def test_a_clip_network_at_every_sample_is_the_network_itself(predicts: str) -> None:
    # window 9, one label; at stride one sample, each sample away from the ends gets its own window
    model, table = Local(2, predicts), Table.draw(40)
    got = predict_recording(local_run(model, 9, 1 / FPS), table, device="cpu").probabilities
    logits = Local(2)
    full = whole(logits, table)
    if predicts == "centre":
        np.testing.assert_allclose(got[4:36], full[4:36], rtol=1e-5)
    else:
        for i in range(8, 40):
            # the last sample of a window sees nothing after it
            cut = Table(table.values[: i + 1], Timeline.uniform(i + 1, FPS), table.sampling)
            np.testing.assert_allclose(got[i], whole(logits, cut)[-1], rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 60), stop=st.integers(0, 59), frames=st.integers(1, 12), stride=st.integers(1, 12)
)
def test_it_continues_from_any_row_to_the_last_bit(n: int, stop: int, frames: int, stride: int) -> None:
    run = local_run(Local(), frames, min(stride, frames) / FPS)
    table = Table.draw(n)
    first = min(stop, n - 1)
    full = np.concatenate([rows for _, rows in predict_stream.predict_rows(run, table, device="cpu")])
    rest = list(predict_stream.predict_rows(run, table, first=first, device="cpu"))
    assert rest[0][0] == first
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in rest]), full[first:])


def test_frames_between_samples_take_the_nearest() -> None:
    table = Table.draw(31, spacing_s=0.3)
    assert len(table.values) == 11
    got = predict_recording(local_run(Local(), 0), table, device="cpu").probabilities
    rows = whole(Local(), table)
    np.testing.assert_allclose(got[::3], rows, rtol=1e-6)
    np.testing.assert_array_equal(got[1], got[0])
    np.testing.assert_array_equal(got[2], got[3])


def test_a_network_gone_wrong_is_told() -> None:
    model = Local()
    model.convolve.bias.data[0] = float("nan")
    with pytest.raises(InputError, match="not a number"):
        predict_recording(local_run(model, 5), Table.draw(20), device="cpu")


# files


@pytest.fixture(scope="module")
def pose_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"), recordings=3, unlabelled=1)


@pytest.fixture(scope="module")
def pose_run(pose_project: Path) -> Path:
    return train(pose_project, pose_recipe(epochs=30))


@pytest.fixture(scope="module")
def video_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_study(tmp_path_factory.mktemp("video"))


@pytest.fixture(scope="module")
def video_run(video_project: Path) -> Path:
    return train(video_project, video_recipe(epochs=2))


def test_an_unseen_recording_is_predicted_well(
    pose_run: Path, pose_project: Path, tmp_path: Path
) -> None:
    (path,) = predict(pose_run, [pose_project.parent / "m3_pose.csv"], tmp_path / "out", fps=FPS)
    assert path == tmp_path / "out" / "m3_pose.parquet"
    prediction = read_prediction(path)
    _, truth = make_pose(120, 3)
    said = prediction.probabilities.argmax(axis=1)
    assert (said == truth.classes()).mean() > 0.9
    assert prediction.meta["model_hash"] == load_run(pose_run).hash
    assert prediction.meta["files"] == {"pose": "m3_pose.csv"}
    bouts = read_labels(tmp_path / "out" / "m3_pose.bouts.csv", prediction.timeline)
    decided = apply(prediction, make_steps(pose_recipe().postprocess))
    assert bouts.intervals() == decided.intervals()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "m3_pose.bouts.csv",
        "m3_pose.parquet",
    ]


def test_a_project_is_predicted_unlabelled_first(
    pose_run: Path, pose_project: Path, tmp_path: Path
) -> None:
    paths = predict(pose_run, [pose_project], tmp_path)
    assert [p.stem for p in paths] == ["m3", "m0", "m1", "m2"]
    alone = predict(pose_run, [pose_project.parent / "m3_pose.csv"], tmp_path / "file")
    np.testing.assert_array_equal(
        read_prediction(paths[0]).probabilities, read_prediction(alone[0]).probabilities
    )


def test_finished_files_are_skipped_and_changed_ones_are_not(
    pose_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose, _ = make_pose(50, 7)
    write_pose(tmp_path / "a.csv", pose)
    write_pose(tmp_path / "b.csv", make_pose(50, 8)[0])
    inputs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    done: list[str] = []
    real = predict_run.predict_into

    def counting(partial: Partial, run: TrainedRun, source: Any, **rest: Any) -> None:
        done.append(source.recording)
        real(partial, run, source, **rest)

    monkeypatch.setattr(predict_run, "predict_into", counting)
    first = predict(pose_run, inputs, tmp_path / "out")
    assert predict(pose_run, inputs, tmp_path / "out") == first
    assert done == ["a", "b"]
    write_pose(tmp_path / "b.csv", make_pose(50, 9)[0])
    predict(pose_run, inputs, tmp_path / "out")
    assert done == ["a", "b", "b"]
    predict(pose_run, inputs, tmp_path / "out", fps=20)
    assert done == ["a", "b", "b", "a", "b"]
    predict(pose_run, inputs, tmp_path / "out", fps=20, resume=False)
    assert done[5:] == ["a", "b"]


def test_interrupted_anywhere_it_goes_on_from_there(
    video_run: Path, video_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = video_project.parent / "v1.mkv"
    (expected,) = predict(video_run, [video], tmp_path / "whole")
    real = Partial.add
    for stop in (1, 3, 6):
        out = tmp_path / str(stop)
        calls = []

        def stopping(
            self: Partial, start: int, values: Any, calls: list[int] = calls, stop: int = stop
        ) -> None:
            real(self, start, values)
            calls.append(start)
            if len(calls) == stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Partial, "add", stopping)
            with pytest.raises(KeyboardInterrupt):
                predict(video_run, [video], out)
            assert not (out / "v1.parquet").exists()
            interrupted = len(calls)
            predict(video_run, [video], out)
        assert calls[interrupted] > calls[interrupted - 1]
        np.testing.assert_array_equal(
            read_prediction(out / "v1.parquet").probabilities, read_prediction(expected).probabilities
        )
        assert sorted(p.name for p in out.iterdir()) == ["v1.bouts.csv", "v1.parquet"]


def test_what_another_network_left_unfinished_is_thrown_away(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "x", "a", 2)
    partial.add(0, np.ones((3, 2), np.float32))
    partial.commit()
    partial.add(3, np.zeros((2, 2), np.float32))  # never committed
    partial.close()
    again = Partial(tmp_path / "x", "a", 2)
    assert again.rows == 3
    (rows,) = again.pieces(np.array([0, 0, 2]))
    np.testing.assert_array_equal(rows, np.ones((3, 2)))
    again.close()
    other = Partial(tmp_path / "x", "b", 2)
    assert other.rows == 0
    other.remove()
    assert not (tmp_path / "x").exists()


def test_rows_that_a_crash_lost_are_made_again(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "x", "a", 2)
    partial.add(0, np.ones((3, 2), np.float32))
    partial.commit()
    partial.close()
    write_json(tmp_path / "x" / "state.json", {"key": "a", "rows": 5})
    again = Partial(tmp_path / "x", "a", 2)
    assert again.rows == 0
    again.close()


def test_video_in_pieces_equals_the_prepared_one(
    video_run: Path, video_project: Path, tmp_path: Path
) -> None:
    """The stream from the file gives what training's cached arrays give."""
    from murine.predict import PreparedSource
    from murine.train.study import open_study

    (path,) = predict(video_run, [video_project.parent / "v0.mkv"], tmp_path)
    run = load_run(video_run)
    study = open_study(video_project, run.recipe)
    cached = predict_recording(run, PreparedSource(study.prepared["v0"]), device="cpu")
    np.testing.assert_array_equal(read_prediction(path).probabilities, cached.probabilities)


# wrong inputs


def test_pose_for_a_video_model_and_the_reverse(
    video_run: Path, pose_run: Path, video_project: Path, pose_project: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="sees video"):
        predict(video_run, [pose_project.parent / "m0_pose.csv"], tmp_path)
    with pytest.raises(InputError, match="sees pose, and a video came"):
        predict(pose_run, [video_project.parent / "v0.mkv"], tmp_path)


def test_other_keypoints_are_named(pose_run: Path, tmp_path: Path) -> None:
    pose, _ = make_pose(30, 1)
    write_pose(tmp_path / "a.csv", replace(pose, keypoints=("centre", "snout", "tail")))
    with pytest.raises(InputError, match="nose"):
        predict(pose_run, [tmp_path / "a.csv"], tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "not found"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"hello, not a video" * 10, "text.mp4"),
    ],
)
def test_bad_files_are_told(
    video_run: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        predict(video_run, [tmp_path / name], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_one_bad_file_does_not_stop_the_others(
    video_run: Path, video_project: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video at all" * 20)
    with pytest.raises(InputError, match=r"1 of 2 recordings(?s:.)*bad"):
        predict(video_run, [bad, video_project.parent / "v0.mkv"], tmp_path / "out")
    assert (tmp_path / "out" / "v0.parquet").exists()


def test_two_files_of_one_name_are_refused(pose_run: Path, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_pose(tmp_path / folder / "a.csv", make_pose(20, 1)[0])
    with pytest.raises(InputError, match="both be called 'a'"):
        predict(pose_run, [tmp_path / "x" / "a.csv", tmp_path / "y" / "a.csv"], tmp_path / "out")


def test_a_full_disk_is_told_and_what_is_done_is_kept(
    video_run: Path, video_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **rest: Any) -> None:
        raise StorageError("x: the disk is full. Free some space and run the command again.")

    with monkeypatch.context() as patch:
        patch.setattr(predict_run, "write_pieces", full)
        with pytest.raises(StorageError, match="disk is full"):
            predict(video_run, [video_project.parent / "v0.mkv"], tmp_path)
    assert not (tmp_path / "v0.parquet").exists()
    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(Partial, "add", lambda *a: calls.append(1))
        predict(video_run, [video_project.parent / "v0.mkv"], tmp_path)
    assert not calls
    assert len(read_prediction(tmp_path / "v0.parquet")) == 60


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_length(video_run: Path, tmp_path: Path) -> None:
    """Peak memory for eight times the length is the same, to a twentieth."""
    # not resource.getrusage: its peak begins with the parent's
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from murine.predict import predict\n"
        "predict(Path(sys.argv[1]), [Path(sys.argv[2])], Path(sys.argv[3]))\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    position, _ = walk(8000, 0)
    peaks = []
    for n in (1000, 8000):
        video = tmp_path / f"{n}.mp4"
        frames = (frame for i in range(0, n, 100) for frame in draw(position[i : i + 100]))
        write_video(video, frames, FPS)
        command = [sys.executable, "-c", code, str(video_run), str(video), str(tmp_path / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0]
