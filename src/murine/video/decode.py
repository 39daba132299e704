"""One file being decoded: opened with every fault named, read onward, entered at key frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from murine.errors import InputError
from murine.files import require_file
from murine.video.scan import Claims, Scan, ScanBuilder

Pixels = NDArray[np.uint8]

_ADVICE = "Copy it again from its source, or repair it with: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"
_NOT_FILM = ("image2", "tty", "srt", "ass", "webvtt", "concat", "hls", "ffmetadata")


@dataclass(frozen=True)
class Orientation:
    """How stored pixels are turned to be shown: `quarter_turns` counter-clockwise, then mirrored."""

    quarter_turns: int = 0
    mirrored: bool = False

    def apply(self, pixels: Pixels) -> Pixels:
        """Return the picture as it is shown."""
        turned = np.rot90(pixels, self.quarter_turns) if self.quarter_turns else pixels
        return turned[:, ::-1] if self.mirrored else turned


def open_container(path: Path) -> tuple[Any, Any]:
    """Return an open container and its video stream; raises InputError that names the fault."""
    require_file(path, "video")
    try:
        # "file:" keeps a colon in a name from being read as a protocol.
        container = av.open(f"file:{path}", options={"err_detect": "explode"})
    except av.FFmpegError as error:
        raise InputError(_not_opened(path, error)) from error
    try:
        return container, _video_stream(path, container)
    except BaseException:
        container.close()
        raise


def _not_opened(path: Path, error: Exception) -> str:
    head = path.read_bytes()[:64]
    if b"ftyp" in head[:12]:
        return (
            f"{path}: the file is cut short: an MP4 without its index (moov), as a recorder leaves it that "
            f"was switched off while writing. No frame can be decoded. {_ADVICE}"
        )
    return f"{path}: not a video, or a damaged one ({error.strerror if isinstance(error, OSError) else error})."


def _video_stream(path: Path, container: Any) -> Any:
    name = container.format.name
    if name.endswith("_pipe") or name in _NOT_FILM:
        raise InputError(f"{path}: not a video: its content is read as '{name}'. Give a video file.")
    pictures = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise InputError(f"{path}: has no picture, only: {kinds}. Give a video file.")
    stream = streams[0]
    if stream.codec_context is None:
        raise InputError(f"{path}: its codec is unknown here. Convert it: ffmpeg -i IN OUT.mp4")
    return stream


def claims_of(container: Any, stream: Any) -> Claims:
    """Return what the container says of its length."""
    tick = stream.time_base
    rate = stream.guessed_rate or stream.average_rate
    seconds = float(stream.duration * tick) if stream.duration else 0.0
    if not seconds and (text := stream.metadata.get("DURATION")):
        hours, minutes, rest = text.split(":")
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    return Claims(stream.frames, seconds, float(rate or 0.0), tick)


def orientation_of(path: Path, frame: Any) -> Orientation:
    """Return how a frame is to be turned; raises InputError for an angle that is no quarter turn."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    signs = tuple(int(np.sign(v)) if abs(v) > 655 else 0 for v in (a, b, c, d))
    known = {
        (1, 0, 0, 1): Orientation(0), (0, 1, -1, 0): Orientation(3), (-1, 0, 0, -1): Orientation(2),
        (0, -1, 1, 0): Orientation(1), (-1, 0, 0, 1): Orientation(0, True),
        (1, 0, 0, -1): Orientation(2, True), (0, 1, 1, 0): Orientation(3, True),
        (0, -1, -1, 0): Orientation(1, True),
    }  # fmt: skip
    if signs not in known:
        raise InputError(
            f"{path}: is to be shown turned by {frame.rotation} degrees; only quarter turns are handled. "
            "Write it upright first: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"
        )
    return known[signs]


class Converter:
    """Frames to arrays: 8 bit, RGB or grey, resized on the way, upright."""

    def __init__(self, orientation: Orientation, size: tuple[int, int] | None, grey: bool) -> None:
        self._orientation = orientation
        self._size = size
        self._grey = grey
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> Pixels:
        """Return (H, W, 3) RGB or (H, W) grey."""
        height, width = frame.height, frame.width
        how = "BILINEAR"
        if self._size is not None:
            height, width = self._size[::-1] if self._orientation.quarter_turns % 2 else self._size
            if (
                height <= frame.height
                and width <= frame.width
                and (height, width) != (frame.height, frame.width)
            ):
                how = "AREA"
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format="gray" if self._grey else "rgb24",
            interpolation=how, threads=1,
        )  # fmt: skip
        pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(self._orientation.apply(pixels))


class Cursor:
    """A place in a file: gives frame n by decoding onward, or from the key frame before it.

    Without a scan it starts at the first frame, notes every frame it meets and, on reaching the end,
    has made a scan (`scan`). Raises InputError, with the frame, where the file is damaged.
    """

    def __init__(self, path: Path, scan: Scan | None = None, threads: int = 0) -> None:
        self.path = path
        self.scan = scan
        self.position = 0
        """The frame that the next step decodes."""
        self._threads = threads
        self._last: Any = None
        self._open()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()
        self._last = None

    def go(self, frame: int) -> Any:
        """Return frame `frame` as decoded; raises InputError past the end."""
        if self._last is not None and frame == self.position - 1:
            return self._last
        self._approach(frame)
        while True:
            picture = self.step()
            if picture is None:
                raise InputError(f"{self.path}: has {self.position} frames; frame {frame} was asked for")
            if self.position == frame + 1:
                return picture

    def step(self) -> Any:
        """Return the next frame as decoded, or None after the last."""
        try:
            picture = next(self._frames, None)
        except av.FFmpegError as error:
            raise self._damaged(str(error.strerror or error)) from error
        if picture is None:
            if self._builder is not None and self.scan is None:
                self.scan = self._builder.finish()
            return None
        if self._builder is not None:
            self._check(picture)
            kind = picture.pict_type
            self._builder.add(
                picture.pts,
                bool(picture.key_frame)
                and kind not in (av.video.frame.PictureType.P, av.video.frame.PictureType.B),
                picture.duration or 0,
            )
        elif not self._as_scanned(picture):
            raise self._damaged("its time stamps differ from one reading to the next")
        self._last = picture
        self.position += 1
        return picture

    def _open(self, checking: bool = True) -> None:
        self._container, self._stream = open_container(self.path)
        context = self._stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = self._threads
        if checking:
            context.options = {"err_detect": "explode"}
        self._first: Any = None
        self._builder = (
            ScanBuilder(self.path, claims_of(self._container, self._stream))
            if self.scan is None
            else None
        )
        self._frames = self._container.decode(self._stream)
        self.position = 0

    def _check(self, picture: Any) -> None:
        if picture.is_corrupt:
            raise self._damaged("the decoder calls it corrupt")
        look = (picture.width, picture.height, picture.format.name)
        if self._first is None:
            self._first = look
        elif look != self._first:
            raise InputError(
                f"{self.path}: frame {self.position} is {look[0]}x{look[1]} {look[2]}, the first is "
                f"{self._first[0]}x{self._first[1]} {self._first[2]}. Cut the file there, or {_ADVICE}"
            )

    def _as_scanned(self, picture: Any) -> bool:
        scan = self.scan
        if scan is None or not scan.seekable:
            return True
        return self.position < len(scan) and picture.pts == scan.pts[self.position]

    def _damaged(self, what: str) -> InputError:
        claimed = claims_of(self._container, self._stream)
        total = claimed.frames or round(claimed.seconds * claimed.rate)
        of = f" of {'' if claimed.frames else 'about '}{total}" if total else ""
        return InputError(
            f"{self.path}: damaged: decodes only up to frame {self.position}{of}; frame {self.position} "
            f"cannot be decoded ({what}). {_ADVICE}"
        )

    def _approach(self, frame: int) -> None:
        """Move to where decoding onward reaches `frame` soonest."""
        if self.scan is not None and self.scan.seekable and self._builder is None:
            key = self.scan.key_before(frame)
            if (frame < self.position or key > self.position) and self._enter(key):
                return
        if frame < self.position:
            self.close()
            self._open()

    def _enter(self, key: int) -> bool:
        """Seek to a key frame; False where the container does not lead there."""
        scan = self.scan
        if scan is None or key == 0:
            return False
        try:
            self._container.seek(int(scan.pts[key]), stream=self._stream, backward=True)
            self._frames = self._container.decode(self._stream)
            for picture in self._frames:
                if picture.pts == scan.pts[key]:
                    self._frames = _before(picture, self._frames)
                    self.position = key
                    return True
                if picture.pts is None or picture.pts > scan.pts[key]:
                    break
        except av.FFmpegError:
            pass
        self.close()
        self._open()
        return False


def _before(first: Any, rest: Any) -> Any:
    yield first
    yield from rest
