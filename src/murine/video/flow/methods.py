"""Optical flow between two pictures, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.registry import Registry

Grey = NDArray[np.uint8]
Flow = NDArray[np.float32]
FlowMethod = Callable[[Grey, Grey], Flow]

FLOW_METHODS: Registry[FlowMethod] = Registry("flow method")
"""Functions of the previous and the present frame, (H, W) uint8, to (H, W, 2) float32: how far in
pixels each point of the previous frame has moved, u to the right, v down. A `BatchMethod` takes stacks too."""

_PAIRS = 16
"""Pairs handed over together to a method that takes one after the other."""

_DIS_SIDE = 16
"""Pixels: OpenCV's DIS ends the whole program on smaller pictures, and on those wider than twice their height."""


@dataclass(frozen=True)
class BatchMethod:
    """A method for many pairs at once. `compute`: of two stacks (B, H, W) to (B, H, W, 2), each pair as if it
    were alone; `pairs`: how many are best given together on this machine.
    """

    compute: FlowMethod
    pairs: Callable[[], int]

    def __call__(self, previous: Grey, present: Grey) -> Flow:
        """Return the flow of one pair of pictures (H, W), or of a stack of pairs (B, H, W)."""
        if previous.ndim == 3:
            return self.compute(previous, present)
        alone: Flow = self.compute(previous[None], present[None])[0]
        return alone


def flow_stack(name: str, previous: Grey, present: Grey) -> Flow:
    """Return the flow (B, H, W, 2) of B pairs of pictures in two stacks (B, H, W)."""
    method = FLOW_METHODS[name]
    if isinstance(method, BatchMethod):
        return method(previous, present)
    return np.stack([method(*pair) for pair in zip(previous, present, strict=True)])


def pairs_at_once(name: str) -> int:
    """Return how many pairs a method is best given together."""
    method = FLOW_METHODS[name]
    return method.pairs() if isinstance(method, BatchMethod) else _PAIRS


def require_flow(name: str) -> None:
    """Raise InputError for a method that is unknown, or that this OpenCV was built without."""
    if FLOW_METHODS[name] is tvl1:
        _opencv_tvl1()


@FLOW_METHODS.register("farneback")
def farneback(previous: Grey, present: Grey) -> Flow:
    """Return dense flow by polynomial expansion (Farneback 2003), with OpenCV's usual settings."""
    flow = cv2.calcOpticalFlowFarneback(
        previous, present, None, pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5,
        poly_sigma=1.2, flags=0,
    )  # fmt: skip
    return np.asarray(flow, dtype=np.float32)


@FLOW_METHODS.register("tvl1")
def tvl1(previous: Grey, present: Grey) -> Flow:
    """Return TV-L1 flow (Zach, Pock and Bischof 2007) by OpenCV, with its default settings.

    tau 0.25, lambda 0.15, theta 0.3, 5 scales 0.8 apart, 5 warps of at most 10 x 30 iterations, which end
    when the flow changes by less than 0.01 pixels (root mean square), median filter of 5x5. Raises
    InputError where OpenCV was built without it.
    """
    return np.asarray(_opencv_tvl1().calc(previous, present, None), dtype=np.float32)


@FLOW_METHODS.register("dis")
def dis(previous: Grey, present: Grey) -> Flow:
    """Return dense inverse search flow (Kroeger et al. 2016) by OpenCV, preset "medium"."""
    return _dis(previous, present, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


@FLOW_METHODS.register("dis_fast")
def dis_fast(previous: Grey, present: Grey) -> Flow:
    """Return dense inverse search flow by OpenCV, preset "fast": on pictures of a quarter of the size."""
    return _dis(previous, present, cv2.DISOPTICAL_FLOW_PRESET_FAST)


def _tvl1_stack(previous: Grey, present: Grey) -> Flow:
    from murine.video.flow.tvl1 import tvl1_flow

    return tvl1_flow(previous, present)


def _tvl1_pairs() -> int:
    from murine.video.flow.tvl1 import pairs_at_once

    return pairs_at_once()


tvl1_torch = FLOW_METHODS.add("tvl1_torch", BatchMethod(_tvl1_stack, _tvl1_pairs))
"""TV-L1 as torch code; see `murine.video.flow.tvl1`."""


def _dis(previous: Grey, present: Grey, preset: int) -> Flow:
    height, width = previous.shape
    below = max(_DIS_SIDE, (width + 1) // 2) - height
    right = _DIS_SIDE - width
    if below > 0 or right > 0:
        edges = (0, max(below, 0), 0, max(right, 0), cv2.BORDER_REPLICATE)
        previous, present = (cv2.copyMakeBorder(picture, *edges) for picture in (previous, present))
    # A new one each time: it keeps its buffers, and several threads measure flow.
    flow = cv2.DISOpticalFlow.create(preset).calc(previous, present, None)
    return np.asarray(flow[:height, :width], dtype=np.float32)


def _opencv_tvl1() -> Any:
    """Return a new TV-L1 of OpenCV's; raises InputError where it has none."""
    # The module can be left over from a build that another one replaced, so the class itself is asked for.
    made = getattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create", None)
    if made is None:
        raise InputError(
            "flow method 'tvl1' is not in this OpenCV: another build hides the contrib one. Uninstall every "
            'opencv package, then install opencv-contrib-python-headless alone; or use flow = "tvl1_torch"'
        )
    return made()
