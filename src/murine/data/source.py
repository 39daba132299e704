"""A recording opened the way a network sees it: the one path from files to streams.

Preparing for training writes what comes out of it into the cache; predicting a long recording reads it
piece by piece. T frames, S samples, A animals, K keypoints, F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from murine import formats
from murine.config import InputSettings
from murine.data.embedding import Embedder
from murine.data.night import night_of
from murine.data.posed import Posed
from murine.data.prepared import PICTURES, TABLES
from murine.data.rates import Rate, at_rate
from murine.data.tracking import arrange_pose, check_seen, lead_animal, place_of, tracked_point
from murine.data.windows import Sampling, sample_frames
from murine.errors import InputError
from murine.files import file_hash, value_hash
from murine.pose import Place, drop_origin, drop_unsure
from murine.types import FloatArray, Pose, Recording, Timeline
from murine.video import StreamSpec, Video, open_video, stream_chunks
from murine.video.geometry import interpolate_centres
from murine.video.photometry import NIGHTIFY, Night
from murine.video.views import check_same_frames

Streams = dict[str, NDArray[Any]]

_VERSION = 3
"""Raise it when the same files and settings give other streams than before: cached ones are then left."""

_OTHER_RATE = 0.02
"""Frame rates that differ by more than this share are different ones."""


@dataclass(frozen=True, eq=False)
class Source:
    """A recording, its sampling, and how `settings` turn its files into `streams`.

    `videos`, by the columns of its views from top to bottom, and `pose`: what those streams need, none
    otherwise; the pose is as long as the timeline. `hashes`: of the contents of the files used, by "video",
    "video2", ... and "pose". `night`: what day is made to look like (photometry "nightify"); None leaves it.
    `embedder` with `seen`: who makes the stream "embedding", and the recording as it sees it. `place`: walls, points
    and scale, where the settings ask for them. `rate`: the other frame rate that the pose is brought to, if it is.
    """

    recording: str
    timeline: Timeline
    sampling: Sampling
    settings: InputSettings
    streams: tuple[str, ...]
    videos: dict[str, Video]
    pose: Pose | None
    hashes: dict[str, str]
    night: Night | None = None
    embedder: Embedder | None = None
    seen: Source | None = None
    place: Place = field(default_factory=Place)
    rate: Rate | None = None

    def chunks(self, start: int = 0, chunk: int = 256) -> Iterator[tuple[int, Streams]]:
        """Give (first sample, streams of n samples) one after the other, from sample `start` on.

        rgb and flow (n, H, W, channels) uint8; pose (n, F) float32, unscaled, NaN where unknown;
        embedding (n, F) float32. The values depend neither on `start` nor on `chunk`, and memory does not
        grow with the recording.
        """
        parts: dict[str, Iterator[tuple[int, NDArray[np.float32]]]] = {}
        if "pose" in self.streams:
            parts["pose"] = self.posed().rows(start)
        if "embedding" in self.streams:
            assert self.embedder is not None
            assert self.seen is not None
            parts["embedding"] = self.embedder.rows(self.seen, self.sampling, start, chunk)
        pictures = self._spec()
        if pictures is None:
            leading = next(iter(parts))
            rest = {name: _Reader(part) for name, part in parts.items() if name != leading}
            for first, rows in parts[leading]:
                yield first, {leading: rows, **{n: table.read(len(rows)) for n, table in rest.items()}}
            return
        tables = {name: _Reader(part) for name, part in parts.items()}
        centres = self.centres()
        samples = self.sampling.samples
        for first, streams in stream_chunks(
            list(self.videos.values()), samples, pictures, centres=centres, start=start, chunk=chunk
        ):
            count = len(next(iter(streams.values())))
            yield first, {**streams, **{name: table.read(count) for name, table in tables.items()}}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """Return the shape and type of each whole stream, as `Cache.build` wants them."""
        spec = self._spec()
        result: dict[str, tuple[tuple[int, ...], DTypeLike]] = {}
        if spec is not None:
            result.update(spec.shapes(len(self.sampling)))
        if "pose" in self.streams:
            assert self.pose is not None
            result["pose"] = ((len(self.sampling), len(self.posed().names())), np.float32)
        if "embedding" in self.streams:
            assert self.embedder is not None
            result["embedding"] = ((len(self.sampling), self.embedder.features), np.float32)
        return result

    def keys(self) -> dict[str, str]:
        """Return what decides each stream's values, as a hash that names it in the cache."""
        chosen = self.settings
        times = hashlib.blake2b(self.timeline.times.tobytes(), digest_size=16).hexdigest()
        common = {"version": _VERSION, "times": times, "spacing_s": chosen.spacing_s}
        cleaned = {
            "pose": self.hashes.get("pose"),
            "gap_s": chosen.gap_s,
            "confidence": chosen.confidence,
        }
        picture: dict[str, Any] = {**common, "video": self.hashes.get("video"), "size": chosen.size,
                   "photometry": chosen.photometry}  # fmt: skip
        if chosen.views:
            picture["views"] = [self.hashes.get(name) for name in chosen.views]
        if chosen.photometry == NIGHTIFY:
            picture["night"] = self.night
        if chosen.crop_keypoint:
            crop = {"crop_keypoint": chosen.crop_keypoint, "crop_size": chosen.crop_size}
            picture = {**picture, **cleaned, **crop}
        flow = {"flow": chosen.flow, "encoding": chosen.flow_encoding, "limit": chosen.flow_limit}
        table: dict[str, Any] = {**common, **cleaned}
        if self.pose is not None:
            table |= self.posed().key()
        parts = {"rgb": picture, "flow": {**picture, **flow}, "pose": table}
        if self.embedder is not None and self.seen is not None:
            parts["embedding"] = {**common, "embedder": self.embedder.key, "of": self.seen.keys()}
        return {name: value_hash({"stream": name, **parts[name]}) for name in self.streams}

    def _spec(self) -> StreamSpec | None:
        if not set(self.streams) & set(PICTURES):
            return None
        chosen = self.settings
        return StreamSpec(
            size=chosen.size,
            photometry=chosen.photometry,
            flow=chosen.flow,
            flow_encoding=chosen.flow_encoding,
            flow_limit=chosen.flow_limit,
            crop_size=chosen.crop_size if chosen.crop_keypoint else None,
            night=self.night,
            want_rgb="rgb" in self.streams,
            want_flow="flow" in self.streams,
        )

    def posed(self) -> Posed:
        """Return how the stream "pose" comes about."""
        assert self.pose is not None
        return Posed(self.pose, self.timeline, self.sampling, self.settings, self.place, self.rate)

    def centres(self) -> FloatArray | None:
        """Return where the crop of each frame lies, (T, 2) x, y, None without a crop.

        Raises InputError where the point is missing for longer than `gap_s`.
        """
        name = self.settings.crop_keypoint
        if not name:
            return None
        assert self.pose is not None
        animal, keypoint = tracked_point(self.pose, name, self.recording)
        pose = drop_unsure(drop_origin(self.pose), self.settings.confidence)
        try:
            return interpolate_centres(
                pose.xy[:, animal, keypoint], round(self.settings.gap_s * self.timeline.fps)
            )
        except InputError as error:
            raise InputError(
                f"recording '{self.recording}', keypoint '{name}': {error}. Correct the tracking, allow longer gaps "
                f"(input.gap_s, now {self.settings.gap_s:g} s), or crop around another point (input.crop_keypoint)"
            ) from error


def open_source(
    recording: Recording,
    settings: InputSettings,
    streams: Sequence[str],
    *,
    timeline: Timeline | None = None,
    pose: Pose | None = None,
    animals: Sequence[str] = (),
    keypoints: Sequence[str] = (),
    night: Night | None = None,
    embedder: Embedder | None = None,
    learned_fps: float | None = None,
) -> Source:
    """Open what these streams need of a recording's files.

    `timeline`, `pose`: where they are known already (a project's pose, cut to its video). `animals`,
    `keypoints`: the names and order a trained network expects, see `arrange_pose`; the file's own by
    default. `night`: what photometry "nightify" makes day look like. `embedder`: who makes the stream
    "embedding". `learned_fps`: the frame rate that a trained network knows; pose of another one is brought to it,
    where samples are frames (`settings.pose_fps` of the source then says so). Raises InputError for a missing file,
    an unknown stream or keypoint, a pose of another length, views that do not show the same frames.
    """
    unknown = [name for name in streams if name not in (*PICTURES, *TABLES)]
    if unknown or not streams:
        raise InputError(
            f"recordings give the streams rgb, flow, pose and embedding; asked for: {list(streams)}"
        )
    if "embedding" in streams and embedder is None:
        raise InputError(
            "the model sees an embedding, and the recipe does not say of what: name a backbone or a recipe "
            "(embedding.backbone, embedding.recipe)"
        )
    sees = bool(set(streams) & set(PICTURES))
    tracks = "pose" in streams or (sees and bool(settings.crop_keypoint))
    if sees and recording.video is None:
        raise InputError(f"recording '{recording.id}' has pose alone, and this model sees video")
    if tracks and recording.pose is None:
        why = f"crops around '{settings.crop_keypoint}'" if "pose" not in streams else "sees pose"
        raise InputError(f"recording '{recording.id}' has no pose file, and this model {why}")
    hashes = {}
    video = None if recording.video is None else open_video(recording.video)
    if tracks and recording.pose is not None:
        part = formats.chosen_part(recording)
        pose = formats.read_pose(recording.pose, part) if pose is None else pose
        if settings.agent:
            pose = lead_animal(pose, settings.agent, recording)
            animals = pose.animals if len(animals) == len(pose.animals) else animals
        pose = arrange_pose(pose, animals, keypoints, str(recording.pose)) if keypoints else pose
        if "pose" in streams:
            check_seen(pose, str(recording.pose))
        # recordings of one file have one hash: without its part they would share what is cached
        hashes["pose"] = file_hash(recording.pose) + (f" {part}" if part else "")
    if timeline is None:
        timeline = _timeline(recording, video, pose)
    if tracks and pose is not None and len(pose) != len(timeline):
        raise InputError(
            f"{recording.pose}: pose has {len(pose)} frames and the video {len(timeline)}. Check that they "
            "belong together"
        )
    videos = _views(recording, settings, video) if sees and video is not None else {}
    hashes |= {name: file_hash(opened.path) for name, opened in videos.items()}
    look = night_of(recording, settings, videos, night) if videos else None
    settings, rate = _rate(timeline, settings, streams, learned_fps)
    sampling = sample_frames(timeline, settings.spacing_s) if rate is None else rate.outer
    place = place_of(recording, settings, pose) if "pose" in streams and pose is not None else Place()
    seen = None
    if embedder is not None and "embedding" in streams:
        seen = embedder.open(recording, settings, timeline, pose)
        hashes = {**seen.hashes, **hashes}
    source = Source(
        recording.id, timeline, sampling, settings, tuple(streams), videos, pose if tracks else None, hashes,
        look, embedder if seen else None, seen, place, rate,
    )  # fmt: skip
    if videos:
        source.centres()  # a point that is missing is told before frames are decoded, or taken from the cache
    return source


def _rate(
    timeline: Timeline, settings: InputSettings, streams: Sequence[str], learned_fps: float | None
) -> tuple[InputSettings, Rate | None]:
    """Return the settings and the rate that pose is brought to, None where it stays as it was filmed."""
    if set(streams) != {"pose"}:
        if settings.pose_fps and "pose" in streams:
            raise InputError(
                "input.pose_fps brings pose to another frame rate, and the model also sees pictures, which stay at "
                "theirs; set it to 0"
            )
        return settings, None
    each_frame = settings.spacing_s == 0 and settings.pose_fps == 0
    if each_frame and learned_fps is not None and abs(timeline.fps / learned_fps - 1) > _OTHER_RATE:
        settings = replace(settings, pose_fps=learned_fps)
    if not settings.pose_fps:
        return settings, None
    return settings, at_rate(timeline, settings.pose_fps, settings.spacing_s)


def _views(recording: Recording, settings: InputSettings, video: Video) -> dict[str, Video]:
    """Return the videos that are stacked, opened; they show the same frames as the one labels are made on."""
    opened = {}
    for name in settings.views or ("video",):
        if name not in recording.videos:
            raise InputError(
                f"recording '{recording.id}' has no '{name}', which the model sees (input.views). Fill that "
                "column of recordings.csv"
            )
        opened[name] = video if name == "video" else open_video(recording.videos[name])
        if name != "video":
            check_same_frames(video, opened[name])
    return opened


def _timeline(recording: Recording, video: Video | None, pose: Pose | None) -> Timeline:
    if video is not None:
        return video.timeline
    if pose is None or recording.fps is None:
        raise InputError(
            f"recording '{recording.id}' has pose and no video, so its frame rate is not known. Give its "
            "frames per second (fps)"
        )
    return Timeline.uniform(len(pose), recording.fps)


class _Reader:
    """Rows out of pieces of other lengths, in order."""

    def __init__(self, pieces: Iterator[tuple[int, NDArray[np.float32]]]) -> None:
        self._pieces = pieces
        self._held = np.empty((0, 0), dtype=np.float32)

    def read(self, number: int) -> NDArray[np.float32]:
        """Return the next `number` rows."""
        while len(self._held) < number:
            rows = next(self._pieces)[1]
            self._held = np.concatenate([self._held, rows]) if len(self._held) else rows
        rows, self._held = self._held[:number], self._held[number:]
        return rows
