"""Video files opened, with every fault named, and what they say of themselves."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.files import require_file
from murine.video.timing import Claims

ADVICE = "Copy it again from its source, or repair it with: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"

_NOT_FILM = ("image2", "tty", "srt", "ass", "webvtt", "concat", "hls", "ffmetadata", "lrc")
_TICKS_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class Orientation:
    """How stored pixels are turned to be shown: `quarter_turns` counter-clockwise, then mirrored."""

    quarter_turns: int = 0
    mirrored: bool = False

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture as it is shown."""
        turned = np.rot90(pixels, self.quarter_turns) if self.quarter_turns else pixels
        return turned[:, ::-1] if self.mirrored else turned


# The four signs (a, b, c, d) of a display matrix: x' = a x + c y, y' = b x + d y, y downwards.
_ORIENTATIONS = {
    (1, 0, 0, 1): Orientation(0),
    (0, -1, 1, 0): Orientation(1),
    (-1, 0, 0, -1): Orientation(2),
    (0, 1, -1, 0): Orientation(3),
    (-1, 0, 0, 1): Orientation(0, True),
    (0, 1, 1, 0): Orientation(3, True),
    (1, 0, 0, -1): Orientation(2, True),
    (0, -1, -1, 0): Orientation(1, True),
}


def orientation_of(path: Path, frame: Any) -> Orientation:
    """Return how a frame is to be turned; raises InputError for an angle that is no quarter turn."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    largest = max(abs(a), abs(b), abs(c), abs(d), 1)
    signs = tuple(int(np.sign(v)) if abs(v) > 0.01 * largest else 0 for v in (a, b, c, d))
    if signs not in _ORIENTATIONS:
        raise InputError(
            f"{path}: is to be shown turned by {frame.rotation} degrees; only quarter turns are handled. "
            "Write it upright first: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"
        )
    return _ORIENTATIONS[signs]


def open_container(path: Path) -> tuple[Any, Any]:
    """Return an open container and its video stream.

    Raises InputError for a file that is missing, empty, no video, without a picture, or of an
    unknown codec.
    """
    require_file(path, "video")
    try:
        # "file:" keeps a colon in a name from being read as a protocol.
        # a camera may write names of its own alphabet, which are no UTF-8, into the file
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(_why_not_opened(path, error)) from error
    try:
        return container, _video_stream(path, container)
    except BaseException:
        container.close()
        raise


def _why_not_opened(path: Path, error: av.FFmpegError) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: cannot be read (no permission)."
    boxes = _mp4_boxes(path)
    if "ftyp" in boxes and "moov" not in boxes:
        return (
            f"{path}: cut short: an MP4 without its index (moov), as a recorder leaves it that was switched "
            "off while writing. No frame can be decoded. Copy it again from its source; a recovery tool "
            "such as untrunc may help."
        )
    if "ftyp" in boxes:
        return f"{path}: damaged: its MP4 index cannot be read ({error.strerror}). {ADVICE}"
    return f"{path}: not a video, or a damaged one ({error.strerror}). Give a file such as .mp4, .avi, .mkv."


def _mp4_boxes(path: Path) -> list[str]:
    """Return the names of the whole top-level boxes of an MP4 file; nothing for other files."""
    names: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as handle:
        at = 0
        while at + 8 <= size:
            handle.seek(at)
            head = handle.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if not head[4:8].isalnum() or length < 8 or at + length > size:
                break
            names.append(head[4:8].decode("latin-1"))
            at += length
    return names


def _video_stream(path: Path, container: Any) -> Any:
    name = container.format.name
    if name.endswith("_pipe") or name in _NOT_FILM:
        raise InputError(f"{path}: not a video; its content is read as '{name}'.")
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise InputError(f"{path}: has no moving picture, only: {kinds}.")
    if streams[0].codec_context is None:
        raise InputError(
            f"{path}: its codec is unknown here. Convert it with the program that wrote it, or: "
            "ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"
        )
    return streams[0]


def claims_of(path: Path, container: Any, stream: Any) -> Claims:
    """Return what the container says of its length.

    Only where a header says it: other containers are measured by FFmpeg, from bit rates even.
    """
    tick = stream.time_base
    rate = float(stream.guessed_rate or stream.average_rate or 0)
    name = container.format.name
    end = 0.0
    cut = False
    if "mp4" in name:
        if stream.duration:
            end = float((stream.duration + (stream.start_time or 0)) * tick)
        entries = stream.index_entries
        cut = len(entries) > 0 and entries[-1].pos + entries[-1].size > path.stat().st_size
    elif name == "avi":
        # FFmpeg fits an AVI's duration to the size of the file; the header's count stays.
        end = float(stream.frames * tick)
    elif "matroska" in name:
        end = _seconds(stream.metadata.get("DURATION", ""))
        if not end and len(container.streams) == 1 and container.duration:
            end = container.duration / _TICKS_PER_SECOND
    return Claims(stream.frames, end, rate, tick, name, cut)


def _seconds(text: str) -> float:
    """Return the seconds of "hours:minutes:seconds", 0 for anything else."""
    try:
        hours, minutes, rest = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)
    except ValueError:
        return 0.0
