"""Optical flow between two frames, and the 8-bit pictures it is kept and learned as."""

from __future__ import annotations

from murine.video.flow.encodings import CHANNELS, DECODINGS, ENCODINGS, Picture
from murine.video.flow.methods import (
    FLOW_METHODS,
    BatchMethod,
    Flow,
    FlowMethod,
    Grey,
    farneback,
    flow_stack,
    pairs_at_once,
    require_flow,
)

__all__ = [
    "CHANNELS",
    "DECODINGS",
    "ENCODINGS",
    "FLOW_METHODS",
    "BatchMethod",
    "Flow",
    "FlowMethod",
    "Grey",
    "Picture",
    "farneback",
    "flow_stack",
    "pairs_at_once",
    "require_flow",
]
