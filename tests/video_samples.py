"""Videos made for tests: the number of every frame is written in its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 16

Pixels = NDArray[np.uint8]


def numbered(count: int, height: int = 96, width: int = 128, *, first: int = 0, seed: int = 0) -> Pixels:
    """(count, H, W, 3): the upper half shows the frame's number as 16 black or white blocks, the lowest
    bit at the left; the lower half is a colourful texture that moves."""
    y, x = np.mgrid[0 : height - height // 2, 0:width].astype(np.float64)
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for i in range(count):
        n = first + i
        for bit in range(BITS):
            frames[i, : height // 2, edges[bit] : edges[bit + 1]] = 255 if n >> bit & 1 else 0
        for c in range(3):
            wave = np.sin(0.2 * (x + n) + phase[c]) + np.cos(0.15 * (y - 2 * n) + c)
            frames[i, height // 2 :, :, c] = 127.5 + 60 * wave
    return frames


def read_number(frame: Pixels) -> int:
    """The number in a frame of any size, RGB or grey, even after lossy coding."""
    grey = frame.reshape(*frame.shape[:2], -1).mean(axis=-1)
    rows = grey[: max(1, grey.shape[0] // 4)].mean(axis=0)
    centres = ((np.arange(BITS) + 0.5) * len(rows) / BITS).astype(int)
    return int(sum(1 << bit for bit in range(BITS) if rows[centres[bit]] > 127.5))


def encode(
    path: Path,
    frames: Sequence[Pixels] | Pixels,
    codec: str = "libx264",
    *,
    rate: int = 25,
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container: str | None = None,
    container_options: Mapping[str, str] | None = None,
    pts: Sequence[int] | None = None,
    rotation: float = 0,
    sound_seconds: float = 0,
    matrix: str | None = None,
) -> Path:
    """Write RGB frames (or whatever fits `pixel_format`, for 16-bit grey) with PyAV as asked for.

    `pts` are in ticks of 1 / (40 * rate) s, so 40 is one frame. `matrix`: "ITU709" for colours by it.
    """
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", format=container, options=dict(container_options or {})) as out:
        stream = out.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if rotation:
            stream.set_display_rotation(rotation)
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 40 * rate)
        sound = out.add_stream("aac", rate=8000, layout="mono") if sound_seconds else None
        for i, frame in enumerate(frames):
            kind = "rgb24" if frame.ndim == 3 else ("gray16le" if frame.dtype == np.uint16 else "gray")
            picture = av.VideoFrame.from_ndarray(frame, format=kind)
            if matrix is not None:
                picture = picture.reformat(format=pixel_format, dst_colorspace=matrix)
            picture.time_base = Fraction(1, 40 * rate)
            picture.pts = 40 * i if pts is None else pts[i]
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
        if sound is not None:
            for i in range(round(sound_seconds * 8000 / 1024)):
                block = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
                )
                block.sample_rate, block.pts = 8000, 1024 * i
                out.mux(sound.encode(block))
            out.mux(sound.encode(None))
    return path


CODECS: dict[str, tuple[str, dict[str, object]]] = {
    "ffv1": ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}),
    "ffv1-gop": ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0", "options": {"g": "30"}}),
    "h264": ("a.mp4", {"options": {"g": "250", "bf": "3", "sc_threshold": "0"}}),
    "h264-short": ("a.mp4", {"options": {"g": "12", "bf": "2"}}),
    "h264-open-gop": (
        "a.mkv",
        {"options": {"g": "15", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-pyramid=normal"}},
    ),
    "h264-open-gop-mp4": (
        "a.mp4",
        {"options": {"g": "15", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-pyramid=normal"}},
    ),
    "h264-refresh": ("a.mp4", {"options": {"g": "20", "x264-params": "intra-refresh=1"}}),
    "h264-transport": ("a.ts", {"options": {"g": "20", "bf": "2"}}),
    "mpeg4-avi": ("a.avi", {"codec": "mpeg4", "options": {"g": "12", "q:v": "2"}}),
    "mpeg4-b-avi": ("a.avi", {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}}),
    "mpeg4-mp4": ("a.mp4", {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}}),
    "h264-avi": ("a.avi", {"options": {"g": "12", "bf": "2"}}),
    "mpeg1": ("a.mpg", {"codec": "mpeg1video", "options": {"g": "12"}}),
    "mpeg2": ("a.mpg", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2", "b": "4000000"}}),
    "mjpeg": ("a.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
    "vp9": (
        "a.webm",
        {"codec": "libvpx-vp9", "options": {"g": "30", "deadline": "realtime", "cpu-used": "8"}},
    ),
    "raw-h264": ("a.h264", {"options": {"g": "20", "bf": "2"}}),
}
"""Name -> (file name, arguments of `encode`): what people's files are."""
