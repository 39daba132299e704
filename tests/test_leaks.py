"""Splits whose tested recordings are related to what taught the network: found, refused, marked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from small_study import FPS, clip_study, pose_recipe, pose_study, video_recipe, walk
from typer.testing import CliRunner

from murine.cli import app
from murine.config import SplitSettings, save_recipe
from murine.data.leaks import NEAR, find_leaks, look_distances, refuse_leaks, signature
from murine.data.splits import Split, make_splits
from murine.ensemble import combine
from murine.errors import LeakError
from murine.files import read_json
from murine.project import load_project, save_project
from murine.reporting import evaluation_data
from murine.train.crossval import evaluate, load_scores
from murine.video import open_video, write_video

CLIPS = (
    Path(os.environ.get("MURINE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    / "rat-clips"
    / "clips"
)


def split_of(train: list[str], test: list[str], validation: tuple[str, ...] = ()) -> Split:
    return Split(
        "fold-1", tuple(train), validation, tuple(test), {r: r for r in (*train, *validation, *test)}
    )


def recode(source: Path, target: Path, first: int = 0) -> Path:
    """Write a video again, compressed hard, from some frame on."""
    with open_video(source) as video:
        frames, fps = np.stack(list(video.frames(first))), video.fps
    height, width = frames.shape[1:3]
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps), options={"crf": "33"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return target


def noisy_scene(seed: int, shift: int = 0, n: int = 12) -> np.ndarray:
    """Frames (n, 96, 128, 3) of a textured cage in which a square walks; later ones by `shift`."""
    rng = np.random.default_rng(0)
    cage = np.kron(rng.integers(20, 90, (12, 16, 1)), np.ones((8, 8, 3))).astype(np.uint8)
    frames = np.repeat(cage[None], n, axis=0)
    position, _ = walk(n + 40, seed)
    for frame, (x, y) in zip(frames, np.round(position[shift : shift + n]).astype(int), strict=True):
        frame[y : y + 24, x : x + 24] = 220
    return frames


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("leaks")
    made = {}
    for name, seed in (("a", 1), ("b", 5), ("c", 9)):
        made[name] = folder / f"{name}.mkv"
        write_video(made[name], noisy_scene(seed), FPS, lossless=True)
    made["a-again"] = recode(made["a"], folder / "a-again.mp4")
    made["a-later"] = recode(made["a"], folder / "a-later.mp4", first=2)
    return made


def test_the_same_footage_is_near_whatever_its_coding(videos):
    looks = {name: signature(path)[None] for name, path in videos.items()}
    assert look_distances(looks["a"], looks["a"])[0, 0] == pytest.approx(0.0, abs=1e-3)
    assert look_distances(looks["a"], looks["a-again"])[0, 0] < 3.0
    for other in ("b", "c"):
        assert look_distances(looks["a"], looks[other])[0, 0] > NEAR
    there = look_distances(looks["a"], looks["b"])
    assert there == pytest.approx(look_distances(looks["b"], looks["a"]).T)


def test_distances_by_hand():
    first = np.array([[[0.0, 0.0], [10.0, 10.0], [20.0, 20.0]]], dtype=np.float32)
    second = np.array([[[1.0, 1.0], [11.0, 11.0], [50.0, 50.0]]], dtype=np.float32)
    # there: 1, 1, 9 -> 1; back: 1, 1, 30 -> 1
    assert look_distances(first, second)[0, 0] == pytest.approx(1.0)
    third = np.array([[[0.0, 2.0], [100.0, 100.0], [100.0, 100.0]]], dtype=np.float32)
    # there: sqrt(2), 9.05.., 19.. -> 9.06; back: sqrt(2), 80, 80 -> 80
    assert look_distances(first, third)[0, 0] == pytest.approx(80.0)


def test_a_signature_is_computed_once(videos, monkeypatch):
    before = signature(videos["b"])
    monkeypatch.setattr("murine.data.leaks.open_video", lambda path: pytest.fail("opened again"))
    assert np.array_equal(signature(videos["b"]), before)


def test_animals_files_and_footage_on_two_sides(tmp_path, videos):
    study = clip_study(tmp_path / "c", clips=4)
    project = load_project(study)
    first, second, third, fourth = project.recordings
    copied = tmp_path / "copy.mkv"
    shutil.copy(first.video, copied)
    recordings = [
        replace(first, groups={**first.groups, "animal": "x"}),
        replace(second, groups={**second.groups, "animal": "x"}),
        replace(third, video=copied),
        replace(fourth, video=videos["a"]),
    ]
    ids = [r.id for r in recordings]
    found = find_leaks([split_of(ids[1:], ids[:1])], recordings, clips=False)
    assert [(leak.test, leak.other) for leak in found] == [("c0", "c1"), ("c0", "c2")]
    assert "fold-1: 'c0' (test) and 'c1' (train) are both of animal 'x'" in str(found[0])
    assert "are files with the same content" in str(found[1])
    with pytest.raises(LeakError, match=r"(?s)2 tested recordings .* --allow-leak"):
        refuse_leaks(found)
    assert find_leaks([split_of(ids[3:], ids[:3])], recordings, clips=False) == []
    again = [*recordings[:2], replace(third, video=videos["a-again"]), recordings[3]]
    assert find_leaks([split_of([ids[3]], [ids[2]])], again, clips=False) == []
    (leak,) = find_leaks([split_of([ids[3]], [ids[2]])], again, clips=True)
    assert (leak.test, leak.other) == (ids[2], ids[3])
    assert "nearly the same pictures" in leak.why
    (leak,) = find_leaks([split_of([ids[0]], [ids[2]], (ids[3],))], again, clips=True)
    assert leak.side == "validation"


def test_an_evaluation_is_refused_or_marked_and_so_is_what_is_made_of_it(tmp_path):
    study = pose_study(tmp_path, recordings=4, n=60)
    project = load_project(study)
    rows = [replace(r, groups={"animal": f"a{i // 2}"}) for i, r in enumerate(project.recordings)]
    save_project(replace(project, recordings=tuple(rows)))
    recipe = replace(
        pose_recipe(epochs=1), split=SplitSettings(fixed=(("m0",), ("m3",)), validation=0.0)
    )
    with pytest.raises(LeakError, match="are both of animal 'a0'"):
        evaluate(study, recipe)
    assert not (study / "evaluations").exists() or not list((study / "evaluations").iterdir())
    done = evaluate(study, recipe, allow_leak=True)
    assert len(done.scores["leaks"]) == 2
    assert read_json(done.folder / "evaluation.json", "evaluation")["leaks"] == done.scores["leaks"]
    warned = evaluation_data(done.folder).warnings
    assert warned[0].startswith("LEAK, so that these scores are too good: fold-1: 'm0' (test)")
    other = evaluate(study, replace(recipe, name="test/other"), out=tmp_path / "other", allow_leak=True)
    both = combine(tmp_path / "both", [done.folder, other.folder])
    assert both.scores["leaks"] == done.scores["leaks"]
    assert load_scores(tmp_path / "both")["notes"][0].startswith("LEAK")
    save_recipe(recipe, tmp_path / "r.toml")
    words = [
        "evaluate",
        str(study),
        "--recipe",
        str(tmp_path / "r.toml"),
        "--out",
        str(done.folder),
        "-q",
    ]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 2
    assert "--allow-leak" in run.output
    run = CliRunner().invoke(app, [*words, "--allow-leak"])
    assert run.exit_code == 0, run.output
    assert run.output.startswith("LEAK, so that these scores are too good")
    by_animal = replace(recipe, split=SplitSettings(by="animal", folds=2, validation=0.0))
    assert "leaks" not in evaluate(study, by_animal, out=tmp_path / "honest").scores


def test_clips_are_looked_at(tmp_path):
    study = clip_study(tmp_path / "c", clips=8)
    project = load_project(study)
    rows = list(project.recordings)
    target = tmp_path / "again.mp4"
    rows[7] = replace(rows[7], video=recode(rows[1].video, target))
    save_project(replace(project, recordings=tuple(rows)))
    recipe = replace(video_recipe(epochs=1), split=SplitSettings(by="session", folds=4, validation=0.0))
    with pytest.raises(LeakError, match=r"'c1' .* 'c7' .* nearly the same pictures"):
        evaluate(study, recipe)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="needs rat-clips")
@pytest.mark.slow
def test_rat_clips_hold_copies_and_sessions_do_not_share_them():
    from murine.types import Recording

    recordings = []
    for path in sorted(CLIPS.glob("*/*.mp4")):
        parts = path.stem.split("_")
        session = "_".join(parts[:-1]) if len(parts) > 2 else "unknown"
        recordings.append(
            Recording(f"{path.parent.name}-{path.stem}", video=path, groups={"session": session})
        )
    settings = SplitSettings(by="session", folds=5, validation=0.0)
    assert find_leaks(make_splits(recordings, settings), recordings, clips=True) == []
    alone = make_splits(recordings, SplitSettings(by="recording", folds=5, validation=0.0))
    found = {frozenset((leak.test, leak.other)) for leak in find_leaks(alone, recordings, clips=True)}
    assert len(found) > 15
    pair = frozenset(("grooming-10800", "grooming-10800(1)"))
    groups = {id_: i for i, s in enumerate(alone) for id_ in s.test}
    assert (pair in found) == (groups["grooming-10800"] != groups["grooming-10800(1)"])
    assert all(recording_session(pair, recordings) for pair in found)


def recording_session(pair: frozenset[str], recordings: list) -> bool:
    """True if both of a pair come from one session: nothing else is near."""
    return len({r.groups["session"] for r in recordings if r.id in pair}) == 1


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_and_runs_nothing_twice(tmp_path):
    """Killed outright in the second fold: the first is not trained again, the result is the same."""
    study = pose_study(tmp_path / "p", recordings=4)
    recipe = pose_recipe(epochs=20)
    save_recipe(recipe, tmp_path / "recipe.toml")
    out = tmp_path / "parts"
    code = (
        "import sys; from murine.config import load_recipe; from murine.train.crossval import evaluate;"
        "evaluate(sys.argv[1], load_recipe(sys.argv[2]), out=sys.argv[3])"
    )
    words = [sys.executable, "-c", code, str(study), str(tmp_path / "recipe.toml"), str(out)]
    process = subprocess.Popen(words)
    state = out / "folds" / "fold-2" / "state.safetensors"
    deadline = time.monotonic() + 200
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it was over before it could be killed"
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    assert not (out / "scores.json").exists()
    first = out / "folds" / "fold-1"
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir() if path.is_file()}
    again = evaluate(study, recipe, out=out)
    assert again.scores["reused"] == ["fold-1"]
    for name in ("weights.safetensors", "metrics.csv"):
        assert (first / name).stat().st_mtime_ns == before[name]
    whole = evaluate(study, recipe, out=tmp_path / "whole")
    assert {**again.scores, "reused": []} == whole.scores
    epochs = (out / "folds" / "fold-2" / "metrics.csv").read_text().splitlines()
    assert len(epochs) == len({line.split(",")[0] for line in epochs}) == 21
    assert json.loads((out / "evaluation.json").read_text())["recipe"] == recipe.name
