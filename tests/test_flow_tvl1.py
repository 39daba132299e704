"""TV-L1 as torch code against OpenCV's, and its parts against their definitions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_flow import SHIFTS, shifted, texture

from murine.video import open_video
from murine.video.flow import FLOW_METHODS, flow_stack, median, tvl1
from murine.video.flow.tvl1 import tvl1_flow


def end_point_errors(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(B,) mean over a picture, in pixels."""
    return np.linalg.norm(one - other, axis=-1).mean(axis=(1, 2))


def test_it_is_opencvs_flow_on_known_shifts() -> None:
    base = texture(size=96)
    past = np.stack([shifted(base, 0, 0)] * len(SHIFTS))
    present = np.stack([shifted(base, u, v) for u, v in SHIFTS])
    ours, theirs = (flow_stack(name, past, present) for name in ("tvl1_torch", "tvl1"))
    assert end_point_errors(ours, theirs).max() < 0.015
    assert end_point_errors(ours, theirs).mean() < 0.007
    truth = np.array(SHIFTS, dtype=np.float32)[:, None, None]
    inner = np.s_[:, 16:-16, 16:-16]
    assert end_point_errors(ours[inner], np.broadcast_to(truth, ours.shape)[inner]).max() < 0.02


def test_it_is_opencvs_flow_on_a_real_rat(data: Path) -> None:
    """docs/guide.md states 0.004 pixels over 156 pairs, 0.011 for the worst."""
    clips = sorted((data / "rat-clips" / "clips").glob("*/*.mp4"))[::60]
    assert len(clips) >= 7
    frames = [list(open_video(c).frames(indices=[0, 3, 6], size=(128, 128), grey=True)) for c in clips]
    past = np.stack([f[i] for f in frames for i in (0, 1)])
    present = np.stack([f[i + 1] for f in frames for i in (0, 1)])
    theirs = flow_stack("tvl1", past, present)
    errors = end_point_errors(tvl1_flow(past, present), theirs)
    assert np.linalg.norm(theirs, axis=-1).max() > 2  # something moves
    assert errors.mean() < 0.008
    assert errors.max() < 0.02


def test_two_motions_meet_in_an_edge() -> None:
    """What L1 is for: the flow stays flat on both sides, as in OpenCV's."""
    base = texture(3, 96)
    moved = shifted(base, 0, 0)
    moved[30:70, 30:70] = shifted(base, 2, 1)[30:70, 30:70]
    pair = shifted(base, 0, 0)[None], moved[None]
    flow = tvl1_flow(*pair)
    assert np.median(flow[0, 38:60, 38:60], axis=(0, 1)) == pytest.approx([2, 1], abs=0.05)
    assert np.abs(flow[0, 80:, :]).mean() < 0.03
    assert end_point_errors(flow, flow_stack("tvl1", *pair)).max() < 0.03


def test_a_picture_that_stands_still_has_no_flow_at_all() -> None:
    for size in (96, 61):
        picture = shifted(texture(size=size), 0, 0)
        assert np.abs(FLOW_METHODS["tvl1_torch"](picture, picture)).max() < 1e-6


def test_flow_does_not_depend_on_the_batch_nor_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs end after different numbers of iterations and leave the batch one by one."""
    pictures = [shifted(texture(seed, 70), 0, 0) for seed in range(6)]
    others = [shifted(texture(s, 70), u, v) for s, (u, v) in enumerate(SHIFTS[:6])]
    past, present = np.stack(pictures), np.stack(others)
    whole = tvl1_flow(past, present)
    assert np.array_equal(tvl1_flow(past[::-1], present[::-1])[::-1], whole)
    for pixels in (1, 70 * 70 * 4, 10**9):
        monkeypatch.setattr(tvl1, "_PIXELS", pixels)
        assert np.array_equal(tvl1_flow(past, present), whole), pixels
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert np.array_equal(tvl1_flow(past, present), whole)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_more_pairs_at_once_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tvl1.pairs_at_once() == (256 if torch.cuda.is_available() else 16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert tvl1.pairs_at_once() == 256


@pytest.mark.parametrize("shape", [(2, 2, 20, 31), (1, 1, 5, 5), (1, 2, 2, 3), (3, 1, 1, 9)])
def test_median_by_network_is_the_median(shape: tuple[int, ...]) -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    pictures[..., ::3] = pictures[..., ::3].round()  # some are equal
    padded = np.pad(pictures.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(2, 3))
    expected = torch.from_numpy(np.median(around, axis=(4, 5)).astype(np.float32))
    assert torch.equal(median._by_network(pictures), expected)
    assert torch.equal(median.median5_(pictures), expected)
    assert torch.equal(pictures, expected)


def test_the_network_sorts_every_pattern_of_lower_and_higher() -> None:
    """A network that sorts all sequences of zeros and ones sorts everything (Knuth, 5.3.4)."""
    for wires in (1, 2, 5, 9, 13):
        patterns = (np.arange(2**wires)[:, None] >> np.arange(wires)) & 1
        values = patterns.copy()
        for low, high in median._sorting(wires):
            values[:, [low, high]] = np.sort(values[:, [low, high]], axis=1)
        assert np.array_equal(values, np.sort(patterns, axis=1)), wires


def test_parameters_are_opencvs() -> None:
    theirs = cv2.optflow.DualTVL1OpticalFlow_create()
    assert theirs.getTau() == tvl1.TAU
    assert theirs.getLambda() == tvl1.LAMBDA
    assert theirs.getTheta() == tvl1.THETA
    assert theirs.getScaleStep() == tvl1.STEP
    assert theirs.getEpsilon() == tvl1.EPSILON
    assert (theirs.getScalesNumber(), theirs.getWarpingsNumber()) == (tvl1.SCALES, tvl1.WARPS)
    assert (theirs.getOuterIterations(), theirs.getInnerIterations()) == (tvl1.OUTER, tvl1.INNER)
    assert theirs.getMedianFiltering() == median._SIDE


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    base = texture(size=128)
    past = np.stack([shifted(base, 0, 0)] * len(SHIFTS))
    present = np.stack([shifted(base, u, v) for u, v in SHIFTS])
    ours = tvl1_flow(past, present)
    monkeypatch.setattr(tvl1, "_device", lambda: torch.device("cpu"))
    assert end_point_errors(ours, tvl1_flow(past, present)).max() < 0.01
