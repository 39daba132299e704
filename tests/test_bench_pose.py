"""The benchmarks of pose against other programs: both ways agree, and a difference stops them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import bench_hour, bench_ms_tcn, bench_rolling
from benchmarks.bench_models import multiply_adds
from benchmarks.bench_pose import encounter
from murine.models import create_model


def test_statistics_are_those_of_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = bench_rolling.signals_of(encounter(5_000))
    assert rows.shape == (11, 5_000)  # four of each animal, three of the pair
    assert 0.05 < np.isnan(rows).mean() < 0.5
    bench_rolling.compare(rows)
    own = bench_rolling.statistics
    monkeypatch.setattr(bench_rolling, "statistics", lambda rows: [1.001 * t for t in own(rows)])
    with pytest.raises(RuntimeError, match="statistic 0 differs from pandas' after frame 0"):
        bench_rolling.compare(rows)


def test_plain_build_gives_our_logits() -> None:
    ours = create_model("ms_tcn_pp", classes=4, features=bench_ms_tcn.FEATURES)
    plain = bench_ms_tcn.Plain()
    pose = torch.randn(1, 120, bench_ms_tcn.FEATURES)
    with pytest.raises(RuntimeError, match="logits differ from the plain build's"):
        bench_ms_tcn.compare(ours, plain, pose)
    bench_ms_tcn.take_weights(plain, ours)
    bench_ms_tcn.compare(ours, plain, pose)
    # Both learn: the same loss falls.
    before = bench_ms_tcn.loss_of(plain.train()(pose)).item()
    bench_ms_tcn.training(plain, plain, [pose] * 3)()
    assert bench_ms_tcn.loss_of(plain(pose)).item() < before


def test_multiply_adds_of_the_published_size() -> None:
    model = create_model("ms_tcn_pp", classes=4, features=28)
    dual, refining = 2 * 3 * 64 * 64 + 128 * 64, 3 * 64 * 64 + 64 * 64
    each = 28 * 64 + 11 * dual + 64 * 4 + 3 * (4 * 64 + 10 * refining + 64 * 4)
    assert multiply_adds(model, {"pose": torch.zeros(1, 50, 28)}) == 50 * each


@pytest.mark.slow  # four processes, each of which loads torch
def test_an_hour_is_predicted_by_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    whole = bench_hour.murine

    def counted(*arguments: str) -> None:
        asked.append(arguments)
        whole(*arguments)

    monkeypatch.setattr(bench_hour, "murine", counted)
    (figure,) = bench_hour.main(quick=True)
    assert [a[0] for a in asked] == ["init", "train", "predict"]
    assert "--restart" in asked[-1]
    assert (figure.unit, figure.lower) == ("s", True)
    # Python and torch alone take longer than the products.
    assert figure.measured > 0.5 > figure.floor > 0
    with pytest.raises(RuntimeError, match=r"murine predict: .*nowhere"):
        whole("predict", "nowhere", "nothing.csv", "-o", "out")
