"""Recordings of a project made ready for a network, once: streams in the cache, labels beside them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from murine import formats
from murine.cache import Cache, write_rows
from murine.config import InputSettings
from murine.data.embedding import Embedder
from murine.data.prepared import PICTURES, Prepared, StoredArray, Stream
from murine.data.source import Source, open_source
from murine.data.windows import sample_frames
from murine.errors import InputError, StorageError
from murine.progress import SILENT, Progress
from murine.project import Project, load_bouts, load_pose, timeline
from murine.types import UNLABELLED, Recording
from murine.video.photometry import Night


def prepare(
    project: Project,
    recording: Recording,
    settings: InputSettings,
    streams: Sequence[str],
    cache: Cache | None = None,
    *,
    animals: Sequence[str] = (),
    keypoints: Sequence[str] = (),
    night: Night | None = None,
    embedder: Embedder | None = None,
    movable: bool = False,
    progress: Progress = SILENT,
) -> Prepared:
    """Return a recording's streams, from the cache or newly made, and its labels.

    `animals`, `keypoints`: names in the order wanted (`tracking.arrange_pose`). `night`: what day is made to
    look like (`night.night_reference`). `embedder`: who makes the stream "embedding". `movable`: the pose is kept, to
    be moved in training (`augment.pose_changes`). Without any stream the labels come alone. A recording without
    labels is unlabelled throughout. Raises InputError for files that do not fit, StorageError for a full disk.
    """
    times = timeline(recording)
    sampling = sample_frames(times, settings.spacing_s)
    kept: dict[str, Stream] = {}
    keys: dict[str, str] = {}
    source = None
    if streams:
        tracks = _tracks(recording, settings, streams, embedder)
        source = open_source(
            recording,
            settings,
            streams,
            timeline=times,
            pose=load_pose(project, recording) if tracks else None,
            animals=animals,
            keypoints=keypoints,
            night=night,
            embedder=embedder,
        )
        sampling = source.sampling
    target = np.full((len(times), len(project.ethogram)), UNLABELLED, dtype=np.int8)
    if project.is_labelled(recording):
        bouts = load_bouts(project, recording)
        if project.ethogram.exclusive:
            # refuses frames without a behaviour now, also between samples: scores are of all frames
            bouts.classes()
        target = bouts.frames()
    target = target[sampling.samples]
    posed = None
    if source is not None:
        keys = source.keys()
        kept = cached_streams(source, cache, progress=progress)
        posed = source.posed() if movable and "pose" in streams else None
    return Prepared(recording.id, kept, target, sampling, times, project.ethogram, keys, posed)


def pose_names(recording: Recording) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the animals and keypoints of a recording's pose file; raises InputError without one."""
    if recording.pose is None:
        raise InputError(f"recording '{recording.id}' has no pose file, and this model sees pose")
    summary = formats.describe_pose(recording.pose, formats.chosen_part(recording))
    return tuple(summary.animals), tuple(summary.keypoints)


def cached_streams(
    source: Source, cache: Cache | None = None, *, progress: Progress = SILENT
) -> dict[str, Stream]:
    """Return all streams of a source, making and keeping those that the cache does not hold yet.

    Raises StorageError for a full disk or a cache that cannot be written; nothing is left then.
    """
    cache = Cache() if cache is None else cache
    keys = source.keys()
    kept = {name: cache.get(key) for name, key in keys.items()}
    missing = tuple(name for name, arrays in kept.items() if arrays is None)
    if missing:
        part = replace(source, streams=missing)
        with ExitStack() as stack:
            # Each stream is an entry of its own: a network that sees flow alone finds it again.
            places = {
                name: stack.enter_context(cache.build(keys[name], {name: shape}))[name]
                for name, shape in part.shapes().items()
            }
            task = stack.enter_context(progress.task(source.recording, len(source.sampling), "frames"))
            for first, chunk in part.chunks():
                for name, values in chunk.items():
                    write_rows(places[name], first, values)
                task.advance(len(next(iter(chunk.values()))))
        kept.update({name: cache.get(keys[name]) for name in missing})
    result: dict[str, Stream] = {}
    for name, arrays in kept.items():
        if arrays is None:
            raise StorageError(
                f"{cache.folder}: the streams of '{source.recording}' vanished from the cache while they "
                "were needed. Give it more room (MURINE_CACHE_GB) and run the command again."
            )
        result[name] = StoredArray.of(arrays[name])
    return result


def _tracks(
    recording: Recording, settings: InputSettings, streams: Sequence[str], embedder: Embedder | None
) -> bool:
    crops = bool(settings.crop_keypoint) and bool(set(streams) & set(PICTURES))
    described = "embedding" in streams and embedder is not None and embedder.tracks(settings)
    return recording.pose is not None and ("pose" in streams or crops or described)
