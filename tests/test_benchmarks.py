"""The benchmarks run, and every figure they promise is there. Their speed is no test."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import Figure, peak_memory
from benchmarks.__main__ import PARTS, as_text

ROOT = Path(__file__).resolve().parent.parent

PROMISED = {
    "training": (
        "training",
        "training, augmented",
        "prediction from the cache",
        "prediction from the video",
        "peak memory",
    ),
    "video": ("640x480 decoded", "Farneback", "decoded, resized, flow", "the same, memory"),
    "flow": (
        "farneback, one core",
        "dis, one core",
        "tvl1, one core",
        "tvl1_torch, one core",
        "tvl1_torch, ",
    ),
    "networks": (
        "srs_sharing 8x64x64 predicts, float32, torch",
        "c3d 8x32x32 trains, bfloat16, torch",
        "small_cnn 32x32 predicts, float32, torch",
    ),
    "models": ("baseline_sharing predicts", "srs_sharing trains", "ms_tcn_pp predicts"),
    "ms_tcn": (
        "ms_tcn_pp trains",
        "ms_tcn_pp trains, beside the plain build",
        "ms_tcn_pp predicts, beside the plain build",
    ),
    "hour": ("1,000 frames of two animals, file to ethogram",),
    "rolling": ("statistics alone, 132 columns", "statistics alone, beside pandas", "from the pose on"),
    "windows": ("c3d, 6 of 8", "c3d, 7 of 8", "i3d_rgb, 15 of 16"),
}


@pytest.mark.slow
def test_every_benchmark_runs_and_gives_finite_figures() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=280
    )
    told = json.loads(done.stdout)
    wrong = {part: result["error"] for part, result in told["parts"].items() if "error" in result}
    assert not wrong
    assert done.returncode == 0
    assert list(told["parts"]) == PARTS
    for part, result in told["parts"].items():
        names = [figure["name"] for figure in result["figures"]]
        assert names
        assert len(set(names)) == len(names)
        for promised in PROMISED.get(part, ()):
            assert any(name.startswith(promised) for name in names), f"{part}: {promised} is missing"
        for figure in result["figures"]:
            assert figure["floor_is"]
            assert figure["unit"]
            for key in ("measured", "floor", "ratio"):
                assert 0 < figure[key] < math.inf, f"{part}: {figure}"
        assert result["peak_memory_mib"] > 10


def test_table_shows_the_figure_its_floor_and_their_ratio() -> None:
    figure = Figure("decoding", 1234.5, "frames/s", 1500.0, "bare decoding")
    result = {"figures": [{**vars(figure), "ratio": figure.ratio}]}
    about = {
        "processor": "x",
        "cores": 2,
        "threads": 1,
        "torch": "2",
        "load": None,
        "date": "2026-01-01",
    }
    text = as_text({"video": result, "broken": {"figures": [], "error": "no such file"}}, about)
    row = text.splitlines()[2].split()
    assert row == ["video:", "decoding", "1,234", "1,500", "frames/s", "0.82"]
    assert "bare decoding" in text
    assert "broken: stopped\nno such file" in text


def test_peak_memory_counts_what_was_held() -> None:
    code = (
        "from benchmarks import peak_memory; before = peak_memory(); held = bytearray(200 << 20); del held;"
        "print(peak_memory() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 180 < float(done.stdout) < 220
    assert peak_memory() > 10
