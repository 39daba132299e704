"""The benchmark of networks beside Keras: what it counts, whom it asks when, and that both build the same."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import bench_networks
from benchmarks.bench_networks import CASES, KERAS_PYTHON, SMALL, Case, Keras, by_turns, figures_of
from murine.models import create_model

RATES = {"float32": 1e9, "bfloat16": 2e9}
C3D = next(case for case in SMALL if case.name == "c3d")

WORKER = """
import json, sys
print(json.dumps({"keras": "3.0", "tensorflow": "2.0", "threads": int(sys.argv[1])}), flush=True)
built = False
for line in sys.stdin:
    asked = json.loads(line)
    if "build" in asked:
        assert (asked["size"], asked["frames"], asked["batch"]) == ([32, 32], 8, 2), asked
        built = True
        print(json.dumps({"parameters": PARAMETERS}), flush=True)
    else:
        assert built and asked["time"] in ("predicts", "trains")
        if asked["time"] == "BREAKS":
            raise SystemExit(9)
        print(json.dumps({"seconds": 0.5}), flush=True)
"""


def worker(folder: Path, monkeypatch: pytest.MonkeyPatch, parameters: int, breaks: str = "") -> Keras:
    script = folder / "worker.py"
    script.write_text(WORKER.replace("PARAMETERS", str(parameters)).replace("BREAKS", breaks))
    monkeypatch.setattr(bench_networks, "WORKER", script)
    return Keras(sys.executable)


def test_figures_stand_over_the_floor_and_beside_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("c3d", classes=8, settings={"width": 0.125, "frames": 8, "size": [32, 32]})
    monkeypatch.setattr(bench_networks, "by_openvino", lambda *_: lambda: 0.25)
    case = Case(C3D.name, C3D.size, C3D.frames, C3D.settings, keras=True)
    keras = worker(tmp_path, monkeypatch, model.keras_parameters())
    try:
        figures = {f.name: f for f in figures_of(case, RATES, keras, rounds=1, batch=2)}
    finally:
        keras.close()
    work = bench_networks.multiply_adds(case)
    for precision, rate in RATES.items():
        start = f"c3d 8x32x32 predicts, {precision}, "
        assert figures[start + "keras"].measured == 4.0  # two clips in half a second
        assert figures[start + "openvino"].measured == 8.0
        assert figures[start + "openvino"].floor == pytest.approx(rate / work)
        peer = figures[start + "openvino beside Keras"]
        assert (peer.measured, peer.floor, peer.ratio) == (8.0, 4.0, 2.0)
        assert "Keras 3.0 on TensorFlow 2.0" in peer.floor_is
        ours = figures[start + "torch"]
        assert figures[start + "torch beside Keras"].measured == ours.measured > 0
        trains = figures[f"c3d 8x32x32 trains, {precision}, torch"]
        assert trains.floor == pytest.approx(rate / work / 3)
        assert f"c3d 8x32x32 trains, {precision}, openvino" not in figures


def test_where_keras_breaks_down_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("c3d", classes=8, settings={"width": 0.125, "frames": 8, "size": [32, 32]})
    monkeypatch.setattr(bench_networks, "by_openvino", lambda *_: None)
    keras = worker(tmp_path, monkeypatch, model.keras_parameters(), breaks="predicts")
    case = Case(C3D.name, C3D.size, C3D.frames, C3D.settings, keras=True)
    try:
        figures = {f.name: f for f in figures_of(case, RATES, keras, rounds=1, batch=2)}
    finally:
        keras.close()
    start = "c3d 8x32x32 {}, float32, "
    assert start.format("predicts") + "keras" not in figures
    assert start.format("predicts") + "torch beside Keras" not in figures
    assert "broke down" in figures[start.format("predicts") + "torch"].floor_is
    # it was begun anew, with the same network
    assert figures[start.format("trains") + "keras"].measured == 4.0
    assert "broke down" not in figures[start.format("trains") + "torch"].floor_is


def test_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = worker(tmp_path, monkeypatch, 5)
    try:
        with pytest.raises(RuntimeError, match="c3d: Keras' build has 5 parameters, ours 7"):
            keras.build(C3D, "float32", 2, 7)
    finally:
        keras.close()


def test_a_python_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "worker.py"
    script.write_text("raise SystemExit(3)")
    monkeypatch.setattr(bench_networks, "WORKER", script)
    with pytest.raises(RuntimeError, match=f"{KERAS_PYTHON}: stopped with code 3"):
        Keras(sys.executable)


def test_ways_take_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    order: list[str] = []
    ours = iter([100.0, 1.0, 5.0, 2.0])
    theirs = iter([50.0, 4.0, 3.0, 8.0])

    def step() -> None:
        order.append("ours")
        clock[0] += next(ours)

    def other() -> float:
        order.append("theirs")
        clock[0] += 7.0  # the way to the other process does not count
        return next(theirs)

    assert by_turns({"ours": step, "theirs": other}, 3) == {"ours": 2.0, "theirs": 4.0}
    assert order == ["ours", "theirs"] * 4


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_work_of_every_network_can_be_counted(case: Case) -> None:
    assert bench_networks.multiply_adds(case) > 1e8


def test_multiply_adds_are_those_the_kernels_need() -> None:
    # filters an eighth of 64, 128, 256, 512, 512; frames 8 8 4 2 1; the last sees one frame, so one tap of three
    filters, sides, frames, taps = (3, 8, 16, 32, 64, 64), (32, 16, 8, 4, 2), (8, 8, 4, 2, 1), (3,) * 4
    layers = [
        inputs * outputs * side**2 * time * depth * 9
        for inputs, outputs, side, time, depth in zip(
            filters[:-1], filters[1:], sides, frames, (*taps, 1), strict=True
        )
    ]
    dense = 64 * 256 + 256 * 256 + 256 * 8
    assert bench_networks.multiply_adds(C3D) == sum(layers) + dense


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get(KERAS_PYTHON), reason=f"{KERAS_PYTHON} names no Python with Keras"
)
@pytest.mark.parametrize("case", [c for c in (*SMALL, *CASES[:3]) if c.keras], ids=lambda c: c.title)
def test_keras_has_as_many_parameters(case: Case) -> None:
    network = case.build()
    keras = Keras(os.environ[KERAS_PYTHON])
    try:
        keras.build(case, "float32", 1, network.keras_parameters())
    finally:
        keras.close()
