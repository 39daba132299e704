"""What a score must not rest on: the same animal, file or footage on both sides of a split.

R recordings, F frames looked at, P pixels of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.cache import Cache
from murine.data.splits import SIDES, Split
from murine.errors import LeakError
from murine.files import file_hash, value_hash
from murine.progress import SILENT, Progress
from murine.types import Recording
from murine.video import open_video

GUARDED = ("animal",)
"""Columns of recordings.csv whose values must not be on both sides."""

FRAMES = 4
"""Frames of a clip that are compared, evenly spread from the first to the last."""

SIZE = (24, 32)
"""Height and width to which they are reduced: what compression changes is averaged away."""

NEAR = 4.0
"""Grey levels (root mean square over pixels) below which two clips show the same footage.

In rat-clips copies and clips of the same seconds lie at 0 to 4, clips of different recordings of one cage at 7.5 and
more (all 468 clips, 2026-11-21).
"""

_ROWS = 2000


@dataclass(frozen=True)
class Leak:
    """A tested recording that is related to one that taught the network. `why`: in words."""

    split: str
    test: str
    other: str
    side: str
    why: str

    def __str__(self) -> str:
        return f"{self.split}: '{self.test}' (test) and '{self.other}' ({self.side}) {self.why}"


def find_leaks(
    splits: Sequence[Split],
    recordings: Sequence[Recording],
    *,
    clips: bool,
    progress: Progress = SILENT,
) -> list[Leak]:
    """Return how tested recordings are related to those their network learns from or stops by.

    They share an animal (a column of `GUARDED`), are files with the same content, or, if `clips`, show nearly
    the same pictures. The pictures of each clip are looked at once and kept in the cache. Raises InputError for
    a video that cannot be read.
    """
    known = {recording.id: recording for recording in recordings}
    needed = [id_ for id_ in known if any(id_ in getattr(s, side) for s in splits for side in SIDES)]
    same = _same_files([known[id_] for id_ in needed])
    looks: dict[str, NDArray[np.float32]] = {}
    if clips:
        with progress.task("looking for copies", len(needed), "clips") as task:
            for id_ in needed:
                video = known[id_].video
                if video is not None:
                    looks[id_] = signature(video)
                task.advance()
    near = _near(looks)
    found: list[Leak] = []
    for split in splits:
        side_of = {id_: side for side in SIDES for id_ in getattr(split, side)}
        for column in GUARDED:
            found += _shared(split, known, column)
        for pairs, why in (
            (same, "are files with the same content"),
            (near, "show nearly the same pictures"),
        ):
            told = {(leak.test, leak.other) for leak in found if leak.split == split.name}
            for first, second in pairs:
                for test, other in ((first, second), (second, first)):
                    side = side_of.get(other, "test")
                    if side_of.get(test) == "test" and side != "test" and (test, other) not in told:
                        found.append(Leak(split.name, test, other, side, why))
    return found


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Raise LeakError that names the first of some leaks, if there are any."""
    if not leaks:
        return
    more = f"\n  and {len(leaks) - 5} more" if len(leaks) > 5 else ""
    raise LeakError(
        f"{len(leaks)} tested recordings are related to what their network learns from, so that scores would be too "
        "good:\n"
        + "\n".join(f"  - {leak}" for leak in leaks[:5])
        + more
        + "\nSplit by a column that keeps "
        "them together (split.by, split.pattern), or go on with --allow-leak, which marks every result."
    )


def leak_note(leaks: Sequence[str]) -> str:
    """Return the line that marks a result made in spite of leaks."""
    more = f" and {len(leaks) - 1} more" if len(leaks) > 1 else ""
    return f"LEAK, so that these scores are too good: {leaks[0]}{more} (--allow-leak)"


def signature(video: Path) -> NDArray[np.float32]:
    """Return (F, P) the grey pictures, reduced, of a few frames of a video; kept in the cache by its content."""
    cache = Cache()
    key = value_hash(["look", 1, FRAMES, SIZE, file_hash(video)])
    kept = cache.get(key)
    if kept is None:
        with open_video(video) as opened:
            at = np.unique(np.linspace(0, opened.n_frames - 1, FRAMES).round().astype(np.int64))
            pictures = list(opened.frames(size=SIZE, grey=True, indices=at, threads=1))
        pictures += [pictures[-1]] * (FRAMES - len(pictures))
        with cache.build(key, {"look": ((FRAMES, SIZE[0] * SIZE[1]), np.uint8)}) as arrays:
            arrays["look"][:] = np.stack(pictures).reshape(FRAMES, -1)
        return np.asarray(np.stack(pictures).reshape(FRAMES, -1), dtype=np.float32)
    return np.asarray(kept["look"], dtype=np.float32)


def look_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (R, S) how far clips (R, F, P) and (S, F, P) are apart, in grey levels.

    Each frame's distance to the nearest of the other clip's, the median over frames; of both directions the
    larger. So clips that overlap in time are near, and not only those that start together.
    """
    pixels = first.shape[2]
    a, b = (part.reshape(-1, pixels).astype(np.float64) for part in (first, second))
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2.0 * a @ b.T
    apart = np.sqrt(np.maximum(squares, 0.0) / pixels)
    apart = apart.reshape(len(first), first.shape[1], len(second), second.shape[1])
    there = np.median(apart.min(axis=3), axis=1)
    back = np.median(apart.min(axis=1), axis=2)
    return np.asarray(np.maximum(there, back), dtype=np.float32)


def _near(looks: Mapping[str, NDArray[np.float32]]) -> list[tuple[str, str]]:
    if len(looks) < 2:
        return []
    ids, every = list(looks), np.stack(list(looks.values()))
    step = max(1, _ROWS // FRAMES)
    pairs = []
    for i in range(0, len(ids), step):
        for j in range(i, len(ids), step):
            apart = look_distances(every[i : i + step], every[j : j + step])
            for a, b in np.argwhere(apart < NEAR).tolist():
                if i + a < j + b:
                    pairs.append((ids[i + a], ids[j + b]))
    return pairs


def _same_files(recordings: Sequence[Recording]) -> list[tuple[str, str]]:
    """Return recordings that have a video or pose of the same content under two names."""
    by_size: dict[tuple[str, int], list[tuple[str, Path]]] = {}
    for recording in recordings:
        for kind, path in (*recording.videos.items(), ("pose", recording.pose)):
            if path is not None and path.is_file():
                size = path.stat().st_size
                by_size.setdefault((kind, size), []).append((recording.id, path))
    pairs = set()
    for group in by_size.values():
        if len({path.resolve() for _, path in group}) < 2:
            continue
        first: dict[str, str] = {}
        for id_, path in group:
            other = first.setdefault(file_hash(path), id_)
            if other != id_:
                pairs.add((other, id_))
    return sorted(pairs)


def _shared(split: Split, known: Mapping[str, Recording], column: str) -> list[Leak]:
    """Return a leak for each tested recording whose value of a column others have, that are not tested."""
    teaching: dict[str, tuple[str, str]] = {}
    for side in ("train", "validation"):
        for id_ in getattr(split, side):
            value = known[id_].groups.get(column, "")
            if value:
                teaching.setdefault(value, (id_, side))
    found = []
    for id_ in split.test:
        value = known[id_].groups.get(column, "")
        if value in teaching:
            other, side = teaching[value]
            found.append(Leak(split.name, id_, other, side, f"are both of {column} '{value}'"))
    return found
