"""Forced swim tests as Nguyen et al. scored them: a video and its bouts, from the side or from above."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from murine.errors import InputError, ProjectError, suggest
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, some
from murine.project.datasets.converting import OnFrames, label_files, read_on_frames, renamed, writer
from murine.project.gather import unique_ids
from murine.project.pairing import Named, pair, stem
from murine.types import Ethogram, Recording

VIEWS: Mapping[str, tuple[str, ...]] = {
    "side": ("swim", "struggle", "float"),
    "top": ("mobile", "immobile"),
}
"""The behaviours of each view (Nguyen et al. 2019, section 3)."""

_SPELLINGS = {
    "swim": "swim", "swimming": "swim",
    "struggle": "struggle", "struggling": "struggle",
    "float": "float", "floating": "float",
    "mobile": "mobile", "mobility": "mobile",
    "immobile": "immobile", "immobility": "immobile",
}  # fmt: skip


def read(request: Request) -> Content:
    """Return the recordings of one view; each video is decoded, so that frames outside all bouts are told.

    Raises InputError for a wrong folder or an open choice of the view, ProjectError for label files
    that fit no video or name other behaviours.
    """
    labels = label_files(request.files)
    missing = [
        what for what, found in (("no video", request.videos), ("no label file", labels)) if not found
    ]
    if missing:
        raise FORCED_SWIM.wrong_folder(request, [f"{what} in it" for what in missing])
    pairs, unpaired = pair(
        [Named.of(p) for p in request.videos], [Named.of(p) for p in labels], "label file", "video"
    )
    if unpaired:
        raise FORCED_SWIM.wrong_folder(request, list(unpaired.values()))
    found = _read(request, {request.videos[a]: labels[o] for o, a in pairs.items()})
    view = _view(request, found)
    kept = {film: item for film, item in found.items() if _view_of(item) == view}
    bare = [film.name for film in request.videos if film not in found]
    return _content(request, kept, VIEWS[view], [f"no labels, left out: {some(bare)}"] if bare else [])


def _read(request: Request, labels_of: Mapping[Path, Path]) -> dict[Path, OnFrames]:
    faults: list[str] = []
    found = {}
    with request.progress.task("videos", len(labels_of), "recordings") as task:
        for film, path in sorted(labels_of.items()):
            try:
                item = read_on_frames(path, film, request.tolerance_s)
                _view_of(item)
                found[film] = item
            except InputError as error:
                faults.append(str(error))
            task.advance()
    if faults:
        raise ProjectError(request.source, faults)
    return found


def _view_of(item: OnFrames) -> str:
    """Return the view whose behaviours a label file names; raises InputError for others or for a mixture."""
    names = {_SPELLINGS.get(name.casefold(), "") for name in item.names}
    for view, behaviours in VIEWS.items():
        if names <= set(behaviours):
            return view
    unknown = [name for name in item.names if name.casefold() not in _SPELLINGS]
    if unknown:
        known = [name for behaviours in VIEWS.values() for name in behaviours]
        raise InputError(f"{item.path}: unknown behaviour '{unknown[0]}'.{suggest(unknown[0], known)}")
    raise InputError(
        f"{item.path}: names behaviours of both views: {', '.join(item.names)}. Expected "
        + " or ".join(f"{', '.join(behaviours)} ({view} view)" for view, behaviours in VIEWS.items())
    )


def _view(request: Request, found: Mapping[Path, OnFrames]) -> str:
    there = {_view_of(item) for item in found.values()}
    if request.part is None:
        if len(there) > 1:
            raise InputError(
                f"{request.source}: holds videos from the side (swim, struggle, float) and from above (mobile, "
                "immobile); each is a study of its own. Choose with --part side or --part top"
            )
        return there.pop()
    if request.part not in there:
        names = some(dict.fromkeys(name for item in found.values() for name in item.names))
        raise InputError(f"{request.source}: no labels of the {request.part} view; they name {names}")
    return request.part


def _content(
    request: Request, found: Mapping[Path, OnFrames], behaviours: tuple[str, ...], notes: list[str]
) -> Content:
    names = {
        film: {name: _SPELLINGS[name.casefold()] for name in item.names} for film, item in found.items()
    }
    used = {new for table in names.values() for new in table.values()}
    if unused := [name for name in behaviours if name not in used]:
        notes.append(f"no label file names {', '.join(unused)}: left out of the behaviours")
    ethogram = Ethogram(tuple(name for name in behaviours if name in used))
    films = list(found)
    files: dict[str, Callable[[Path], None]] = {}
    recordings = []
    faults = []
    for id_, film in zip(
        unique_ids([stem(p) for p in films], films, request.source), films, strict=True
    ):
        place = f"labels/{id_}.csv"
        try:
            bouts = renamed(found[film], dict(names[film]), ethogram)
            files[place] = writer(bouts, found[film].timeline)
        except InputError as error:
            faults.append(str(error))
        recordings.append(Recording(id_, video=film, labels=request.study / place))
    if faults:
        raise ProjectError(request.source, faults)
    return Content(ethogram, tuple(recordings), files=files, notes=tuple(notes))


FORCED_SWIM = DATASETS.add(
    "forced-swim",
    Dataset(
        name="forced-swim",
        summary="videos of forced swim tests with their bouts",
        source="Nguyen et al. 2019, BIOINFORMATICS (the 12th BIOSTEC)",
        url="not published, as far as is known: for videos of your own",
        licence="not known",
        size="two videos of about 5 min",
        tree="""
forced-swim/
  videos/
    mouse1.mp4                        (any video; all may lie in one folder)
  labels/
    mouse1.csv                        bouts in any form murine reads; named after the video
                                      side view: swim, struggle, float; top view: mobile, immobile
""",
        read=read,
        parts={
            "side": "the side view: swim, struggle, float",
            "top": "the top view: mobile, immobile",
        },
    ),
)
