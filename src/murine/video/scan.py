"""What one whole decoding of a file tells: how many frames there are, when, and where one may enter."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from murine.cache import Cache
from murine.errors import InputError, StorageError
from murine.files import file_hash, value_hash
from murine.types import BoolArray, FloatArray, IntArray, Timeline
from murine.video.matroska import first_break
from murine.video.timing import Claims, frame_times, jumps

_VERSION = 1
_NONE = -(2**63)
"""FFmpeg's own value for a time stamp that is not there."""
_REORDERED = 16
"""The most frames that any codec stores ahead of ones shown before them."""
_ADVICE = (
    "Copy the file again from its source, or repair it with: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"
)


@dataclass(frozen=True, eq=False)
class Scan:
    """The frames of a whole file, in the order they are shown.

    `pts`: (T,) time stamps in the container's ticks; `times`: (T,) seconds after the first frame, read-only;
    `keys`: (T,) True where decoding may start; `seekable`: time stamps tell every frame apart.
    `notes`: what a person should know, in words.
    """

    pts: IntArray
    times: FloatArray
    keys: BoolArray
    seekable: bool
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def timeline(self) -> Timeline:
        """The time of each frame."""
        return Timeline(self.times)

    @cached_property
    def _entries(self) -> IntArray:
        return np.flatnonzero(self.keys)

    def key_before(self, frame: int) -> int:
        """Return the last frame, at or before `frame`, at which decoding may start (0 if none)."""
        at = int(np.searchsorted(self._entries, frame, side="right"))
        return int(self._entries[at - 1]) if at else 0


@dataclass
class ScanBuilder:
    """Collects a scan while frames are decoded from the first on."""

    path: Path
    claims: Claims
    pts: array[int] = field(default_factory=lambda: array("q"))
    keys: bytearray = field(default_factory=bytearray)
    last_duration: int = 0
    lost: int = 0
    """Frames before the first that could be decoded."""
    lenient: bool = False
    """Whether the decoder's complaints about missing pictures were passed over."""

    def add(self, pts: int | None, key: bool, duration: int) -> None:
        """Note one decoded frame."""
        self.pts.append(_NONE if pts is None else pts)
        self.keys.append(key)
        self.last_duration = duration

    def finish(self) -> Scan:
        """Return the scan; raises InputError for a file that ends before its time or runs backwards."""
        count, claims = len(self.pts), self.claims
        if count == 0:
            raise InputError(f"{self.path}: the video has no frame that can be decoded. {_ADVICE}")
        pts = np.frombuffer(self.pts, dtype=np.int64)
        stamps = np.where(pts == _NONE, np.nan, pts)
        times, seekable, odd = frame_times(self.path, stamps, claims)
        self._check_whole(times)
        notes = list(odd)
        if (jumps(times) or self.lost) and "matroska" in claims.container:
            broken = first_break(self.path)
            if broken is not None:
                raise InputError(
                    f"{self.path}: damaged: its Matroska structure breaks at byte {broken}, and frames are "
                    f"lost ({'; '.join(jumps(times))}). {_ADVICE}"
                )
        if self.lost:
            notes.append(
                f"its first {self.lost} frames cannot be decoded: the recording was cut without a key frame. "
                "Frames count from the first that decodes, as in every player"
            )
        if self.lenient:
            notes.append("it begins without a full key frame, so faults of its pictures may go unseen")
        if claims.frames and claims.frames != count + self.lost:
            notes.append(f"the container says {claims.frames} frames; {count} decode")
        times.setflags(write=False)
        return Scan(pts, times, np.frombuffer(self.keys, dtype=bool), seekable, tuple(notes))

    def _check_whole(self, times: FloatArray) -> None:
        """Raise InputError where the container promises more than came.

        A count alone proves nothing where the time is filled: pictures stored as two fields, dropped
        frames of an AVI and cut-off ends that an editor marked all count more than is shown.
        """
        count, claims = len(times), self.claims
        steps = np.diff(times)
        usual = float(np.median(steps)) if count > 1 else 1.0 / (claims.rate or 25.0)
        # How long the last frame lasts is often not written; at a variable rate it may be any step.
        slack = max(0.75 * usual, float(np.quantile(steps, 0.99)) - usual if count > 1 else 0.0)
        # The stamps of an AVI begin at the delay of its decoder.
        stamped = claims.container != "avi" and self.pts[0] != _NONE
        first = float(self.pts[0] * claims.tick) if stamped else 0.0
        end = first + float(times[-1]) + max(usual, float(self.last_duration * claims.tick))
        expected = max(claims.frames - self.lost, 0)
        late = claims.end - end > slack
        short = late and not 0 < expected <= count if claims.end > 0 else count < expected
        if claims.cut or short:
            total = f"{expected}" if expected else f"about {round((claims.end - first) / usual)}"
            # The last pictures may be ones that are shown after others that are cut off.
            tail = np.flatnonzero(steps[-_REORDERED:] > 1.5 * usual)
            good = count - min(_REORDERED, count - 1) + int(tail[0]) if len(tail) else count
            raise InputError(
                f"{self.path}: cut short: decodes only up to frame {good} of {total}. {_ADVICE}"
            )


def recall(path: Path) -> Scan | None:
    """Return the scan remembered for a file with this content, or None."""
    arrays = Cache().get(_key(path))
    if arrays is None:
        return None
    meta = json.loads(bytes(arrays["meta"]))
    times = np.array(arrays["times"])
    times.setflags(write=False)
    return Scan(
        np.array(arrays["pts"]),
        times,
        np.array(arrays["keys"]),
        bool(meta["seekable"]),
        tuple(meta["notes"]),
    )


def remember(path: Path, scan: Scan) -> None:
    """Keep a scan for the next time; a cache that cannot be written costs time, not the result."""
    meta = json.dumps({"seekable": scan.seekable, "notes": scan.notes}).encode()
    arrays = {
        "pts": np.asarray(scan.pts),
        "times": np.asarray(scan.times),
        "keys": np.asarray(scan.keys),
        "meta": np.frombuffer(meta, dtype=np.uint8),
    }
    try:
        Cache().put(_key(path), arrays)
    except StorageError:
        return


def _key(path: Path) -> str:
    return value_hash({"step": "video.scan", "version": _VERSION, "file": file_hash(path)})
