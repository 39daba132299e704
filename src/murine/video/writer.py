"""Videos written in one piece: H.264 for people, FFV1 for exact pixels."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, StorageError
from murine.files import replacing, storage_error
from murine.types import FloatArray

_TICKS = 90_000
"""Ticks a second of the time stamps where the frames' own times are given."""


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    lossless: bool = False,
    quality: int = 23,
    times: FloatArray | None = None,
) -> int:
    """Write (H, W, 3) RGB or (H, W) grey uint8 frames and return how many there were.

    `lossless` writes FFV1 into Matroska (.mkv), with a checksum in every slice; otherwise H.264 into
    .mp4 or .mkv, at x264's `quality` (0 best .. 51 worst). `times`: seconds of each frame, for a
    variable rate. An odd height or width is kept: H.264 then stores full colour.
    Raises InputError for no frames, frames that differ in shape, or a suffix that does not fit;
    StorageError for a full disk or a folder that cannot be written.
    """
    path = Path(path)
    suffixes = (".mkv",) if lossless else (".mp4", ".mkv", ".mov")
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: the name must end in {' or '.join(suffixes)}")
    rate = Fraction(fps).limit_denominator(100_000) if fps > 0 else Fraction(0)
    if rate <= 0:
        raise InputError(f"{path}: the frame rate must be a positive number; came {fps}")
    if times is not None and (len(times) == 0 or (np.diff(times) <= 0).any()):
        raise InputError(f"{path}: the times of the frames must increase")
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise InputError(f"{path}: a video needs at least one frame; none came")
    with replacing(path) as part:
        try:
            return _write(path, part, chain([first], iterator), first, rate, lossless, quality, times)
        except av.FFmpegError as error:
            if isinstance(error, OSError) or error.errno in errno.errorcode:
                raise storage_error(path, OSError(error.errno, error.strerror)) from error
            raise StorageError(f"{path}: the video cannot be encoded ({error.strerror})") from error


def _write(
    path: Path,
    part: Path,
    frames: Iterable[NDArray[np.uint8]],
    first: NDArray[np.uint8],
    rate: Fraction,
    lossless: bool,
    quality: int,
    times: FloatArray | None,
) -> int:
    grey = first.ndim == 2
    height, width = first.shape[:2]
    count = 0
    container_format = "matroska" if path.suffix.lower() == ".mkv" else path.suffix.lower()[1:]
    with av.open(f"file:{part}", "w", format=container_format) as container:
        stream = _stream(container, rate, (height, width), grey, lossless, quality)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, _TICKS)
        for frame in frames:
            if frame.shape != first.shape or frame.dtype != np.uint8:
                raise InputError(
                    f"{path}: frame {count} is {frame.shape} {frame.dtype}; expected "
                    f"{first.shape} uint8 as in frame 0"
                )
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(frame), format="gray" if grey else "rgb24"
            )
            if times is None:
                picture.pts, picture.time_base = count, 1 / rate
            elif count < len(times):
                picture.pts = round(float(times[count]) * _TICKS)
                picture.time_base = Fraction(1, _TICKS)
            else:
                raise InputError(f"{path}: more frames came than the {len(times)} times given")
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode(None))
    if times is not None and count != len(times):
        raise InputError(f"{path}: {count} frames came for {len(times)} times")
    return count


def _stream(
    container: Any, rate: Fraction, size: tuple[int, int], grey: bool, lossless: bool, quality: int
) -> Any:
    if lossless:
        options = {"level": "3", "slicecrc": "1", "slices": "4" if min(size) >= 16 else "1"}
        stream = container.add_stream("ffv1", rate=rate, options=options)
        stream.pix_fmt = "gray" if grey else "bgr0"
    else:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality)})
        even = size[0] % 2 == 0 and size[1] % 2 == 0
        stream.pix_fmt = "yuv420p" if even else "yuv444p"
    stream.height, stream.width = size
    return stream
