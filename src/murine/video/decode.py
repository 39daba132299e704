"""One file being decoded: read onward, or entered at the key frame before the frame that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from murine.errors import InputError
from murine.video.container import ADVICE, Orientation, claims_of, open_container
from murine.video.listening import errors_said
from murine.video.scan import Scan, ScanBuilder

Pixels = NDArray[np.uint8]

_SAYS_IN_LOG = ("ffv1", "mpeg1video", "mpeg2video")
"""Decoders that patch a picture up without returning an error."""


class Converter:
    """Frames to arrays: 8 bit, RGB or grey, resized on the way, upright."""

    def __init__(self, orientation: Orientation, size: tuple[int, int] | None, grey: bool) -> None:
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise InputError(f"a picture's size is its height and width, both at least 1; came {size}")
        self._orientation = orientation
        self._size = size
        self._grey = grey
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> Pixels:
        """Return (H, W, 3) RGB or (H, W) grey."""
        height, width = frame.height, frame.width
        how, kind = "BILINEAR", "rgb24"
        if self._size is not None:
            height, width = self._size[::-1] if self._orientation.quarter_turns % 2 else self._size
            if height <= frame.height and width <= frame.width:
                how = "AREA"
            if (height, width) != (frame.height, frame.width):
                # Planes keep the full resolution of the colours, and are faster to make.
                kind = "gbrp"
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="gray" if self._grey else kind,
            interpolation=how,
            threads=1,
        )
        pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(self._orientation.apply(pixels))


class Cursor:
    """A place in a file: gives frame n by decoding onward, or from the key frame before it.

    Without a scan it starts at the first frame, notes every frame it meets and, having reached the
    end, has made a scan (`scan`). Raises InputError, with the frame, where the file is damaged: any
    error the decoder reports counts, none is hidden by a repaired picture.
    """

    def __init__(self, path: Path, scan: Scan | None = None, threads: int = 0) -> None:
        self.path = path
        self.scan = scan
        self.position = 0
        """The frame that the next step gives."""
        self._threads = threads
        self._last: Any = None
        self._may_jump = scan is not None and scan.seekable
        # A file with a scan has been read strictly once; strictness is in the way of entering it.
        self._open(strict=scan is None)

    def close(self) -> None:
        """Let go of the file."""
        # A decoder's threads that have something to say wait for the interpreter, and being freed it waits for
        # them with the interpreter in hand. Emptying waits for them without.
        self._stream.codec_context.flush_buffers()
        self._container.close()
        self._last = None
        self._frames = iter(())  # it holds this cursor, which would stay until someone collects cycles

    def __del__(self) -> None:
        if hasattr(self, "_container"):  # not where the file could not be opened
            self.close()

    def go(self, frame: int) -> Any:
        """Return frame `frame` as decoded; raises InputError past the end."""
        if self._last is not None and frame == self.position - 1:
            return self._last
        self._approach(frame)
        while (picture := self.step()) is not None:
            if self.position == frame + 1:
                return picture
        raise InputError(f"{self.path}: has {self.position} frames; frame {frame} was asked for")

    def step(self) -> Any:
        """Return the next frame as decoded, or None after the last."""
        try:
            picture = self._next()
        except av.FFmpegError as error:
            if not self._strict or self.position > 0:
                raise self._damaged(str(error.strerror)) from error
            # A recording cut without a full key frame lacks what its first frames refer to.
            self.close()
            self._open(strict=False)
            return self.step()
        if picture is None:
            if self._builder is not None and self.scan is None:
                self.scan = self._builder.finish()
            return None
        if self._builder is not None:
            self._note(self._builder, picture)
        elif not self._as_scanned(picture):
            if not self._jumped:
                raise self._damaged("its time stamps differ from one reading to the next")
            # The jump led astray; without jumps every container gives its frames in order.
            wanted, self._may_jump = self.position, False
            self.close()
            self._open(strict=False)
            return self.go(wanted)
        self._last = picture
        self.position += 1
        return picture

    def _next(self) -> Any:
        if not self._listens:
            return next(self._frames, None)
        with errors_said() as said:  # for no longer than one frame: the log is the whole process'
            picture = next(self._frames, None)
        if said:
            raise av.InvalidDataError(0, said[0][2].strip())
        return picture

    def _open(self, *, strict: bool) -> None:
        self._strict = strict
        self._jumped = False
        self._container, self._stream = open_container(self.path)
        self._claims = claims_of(self.path, self._container, self._stream)
        context = self._stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = self._threads
        # Some decoders only write a fault into the log. It can be read safely from this thread alone.
        self._listens = self.scan is None and self._stream.codec_context.name in _SAYS_IN_LOG
        if self.scan is None:
            # What a decoder's own threads say is not heard in this one; one thread is nearly as fast.
            context.thread_count = 1
        if strict:
            # Without this a decoder may paint over what it cannot read and say nothing.
            context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
        self._first: tuple[int, int, str] | None = None
        self._builder = None
        if self.scan is None:
            self._builder = ScanBuilder(self.path, self._claims, lenient=not strict)
        self._frames = self._decode_from_start()
        self.position = 0

    def _decode_from_start(self) -> Iterator[Any]:
        """Give all frames. What cannot be decoded before the first key frame is counted as lost.

        Every player leaves such beginnings out. A fault after that frame raises FFmpegError, even if
        the decoder reports it before giving that frame.
        """
        early: list[int] = []
        fault: av.FFmpegError | None = None
        begun = False
        for packet in self._container.demux(self._stream):
            if begun and packet.is_corrupt:
                raise av.InvalidDataError(0, "the container calls it corrupt")
            if not begun and packet.pts is not None and not packet.is_discard:
                early.append(packet.pts)
            try:
                pictures = packet.decode()
            except av.FFmpegError as error:
                if begun or self._strict:
                    raise
                fault = error
                continue
            for picture in pictures:
                if not begun:
                    begun = True
                    lost = sum(pts < picture.pts for pts in early) if picture.pts is not None else 0
                    if fault is not None and not (lost and picture.key_frame):
                        raise fault
                    if self._builder is not None:
                        self._builder.lost = lost
                yield picture
        if not begun and fault is not None:
            raise fault

    def _note(self, builder: ScanBuilder, picture: Any) -> None:
        if picture.is_corrupt:
            raise self._damaged("the decoder calls it corrupt")
        look = (picture.width, picture.height, picture.format.name)
        if self._first is None:
            self._first = look
        elif look != self._first:
            raise InputError(
                f"{self.path}: frame {self.position} is {look[0]}x{look[1]} {look[2]}, the first is "
                f"{self._first[0]}x{self._first[1]} {self._first[2]}. Cut the file there with ffmpeg."
            )
        # A stream that is refreshed bit by bit marks pictures as entries that need the ones before.
        whole = picture.pict_type not in (PictureType.P, PictureType.B)
        builder.add(picture.pts, bool(picture.key_frame) and whole, picture.duration or 0)

    def _as_scanned(self, picture: Any) -> bool:
        scan = self.scan
        if scan is None or not scan.seekable:
            return True
        return self.position < len(scan) and picture.pts == int(scan.pts[self.position])

    def _damaged(self, what: str) -> InputError:
        claims = self._claims
        total = claims.frames or round(claims.end * claims.rate)
        of = f" of {'' if claims.frames else 'about '}{total}" if total > self.position else ""
        return InputError(
            f"{self.path}: damaged: decodes only up to frame {self.position}{of}; frame {self.position} "
            f"cannot be decoded ({what}). {ADVICE}"
        )

    def _approach(self, frame: int) -> None:
        """Move to where decoding onward reaches `frame` soonest."""
        if frame == self.position:
            return
        if self.scan is not None and self._may_jump:
            key = self.scan.key_before(frame)
            if (frame < self.position or key > self.position) and self._enter(key):
                return
        if frame < self.position:
            self.close()
            self._open(strict=False)

    def _enter(self, key: int) -> bool:
        """Seek to a key frame; False, and back at the start, where the container does not lead there."""
        if self.scan is None or key == 0:
            return False
        # Some containers lead to a point too late; the key frame before then leads past the one wanted.
        for aim in (key, self.scan.key_before(key - 1)):
            try:
                self._container.seek(int(self.scan.pts[aim]), stream=self._stream, backward=True)
                if self._reach(int(self.scan.pts[key])):
                    self.position = key
                    self._jumped = True
                    return True
            except av.FFmpegError:
                break
        self.close()
        self._open(strict=False)
        return False

    def _reach(self, stamp: int) -> bool:
        """Decode up to the frame of this time stamp, which comes next then; False if it is behind."""
        packets = self._container.demux(self._stream)
        for packet in packets:
            pictures = _decoded_or_nothing(packet)
            stamps = [picture.pts for picture in pictures]
            if stamp in stamps:
                self._frames = _onward(pictures[stamps.index(stamp) :], packets)
                return True
            if any(pts is None or pts > stamp for pts in stamps):
                return False
        return False


def _decoded_or_nothing(packet: Any) -> list[Any]:
    # Pictures shown before the key frame may need ones that were jumped over; nobody asked for them.
    try:
        return list(packet.decode())
    except av.FFmpegError:
        return []


def _onward(pictures: list[Any], packets: Iterator[Any]) -> Iterator[Any]:
    yield from pictures
    for packet in packets:
        yield from packet.decode()
