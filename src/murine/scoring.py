"""Two sets of labels met by name and scored: files, predictions, projects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from murine.errors import InputError, suggest
from murine.formats import describe_labels, read_labels
from murine.metrics import PROTOCOLS, score_many
from murine.postprocess import apply, apply_own
from murine.predictions import find_predictions, predictions_folder, read_prediction
from murine.progress import SILENT, Progress
from murine.project import PROJECT_FILE, load_bouts, load_project
from murine.project import timeline as recording_timeline
from murine.types import Bouts, Ethogram, FloatArray, Timeline

LABEL_SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".parquet", ".boris", ".annot"),
    *(".nwb", ".json", ".npy", ".mat"),
)


@dataclass(frozen=True, eq=False)
class Labelled:
    """One recording's bouts on its own frames; of a prediction also the probabilities (T,) of each behaviour."""

    bouts: Bouts
    timeline: Timeline
    probabilities: Mapping[str, FloatArray] = field(default_factory=dict)


def read_decided(path: Path, *, plain: bool = False) -> Labelled:
    """Return a prediction's bouts, decided by the post-processing its recipe asked for (`plain`: by none)."""
    prediction = read_prediction(path)
    names = prediction.ethogram.behaviours
    values = dict(zip(names, prediction.probabilities.T, strict=True))
    bouts = apply(prediction) if plain else apply_own(prediction, path)
    return Labelled(bouts, prediction.timeline, values)


def score_paths(
    truth: Path,
    predicted: Path,
    *,
    fps: float | None = None,
    n_frames: int | None = None,
    background: str | None = None,
    by: str = "",
    protocol: str = "",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Score `predicted` against `truth` and return scores as JSON-like values.

    Each side is a label file, a prediction, a folder of either, or a project; folders and projects meet
    by recording id (a file's name without suffix). The frames come from a prediction or a project's
    recordings; for two bare label files from `fps` and `n_frames`. `background` names the behaviour that
    means "none of the others". `by`: a column of recordings.csv whose values are drawn as wholes for intervals;
    default: what an evaluation was split by, else each recording. `protocol`: a published way to score, such as
    "calms21", which also says how predictions are decided. Keys: `recordings` (their number), `pooled` (frame
    scores), `segments`, `each` (per recording), `bouts` (matched one by one), `intervals` (95 %), `drawn` (over what,
    how many), `protocols`. Raises InputError where nothing meets or the behaviours differ.
    """
    plain = bool(protocol) and PROTOCOLS[protocol].plain
    groups, over = _drawn((Path(truth), Path(predicted)), by)
    frames = _known_frames(predicted) | _known_frames(truth)
    one_each = _is_single(truth) and _is_single(predicted)
    if one_each and frames:
        frames = {"": next(iter(frames.values()))}
    sides: list[dict[str, Labelled]] = []
    for path in (Path(truth), Path(predicted)):
        found = _read_side(path, frames, fps, n_frames, one_each, plain)
        sides.append(found)
    sides = _with_common_names(sides, background)
    common = [""] if one_each else [id_ for id_ in sides[0] if id_ in sides[1]]
    if not common:
        raise InputError(
            f"no recording is in both {truth} and {predicted}: "
            f"{', '.join(sorted(sides[0])[:5]) or 'none'} against {', '.join(sorted(sides[1])[:5]) or 'none'}"
        )
    each: dict[str, Any] = {}
    with progress.task("scoring", len(common), "recordings") as task:
        for id_ in common:
            name = id_ or Path(predicted).stem
            try:
                each[name] = _scored(sides, [id_], [id_], protocol)
            except InputError as error:
                raise InputError(f"recording '{name}': {error}") from error
            task.advance()
    units = [groups.get(id_, id_) for id_ in common]
    pooled = _scored(sides, common, units, protocol)
    return {
        "recordings": len(common),
        "only_in_truth": sorted(set(sides[0]) - set(common)),
        "only_in_predicted": sorted(set(sides[1]) - set(common)),
        "pooled": pooled["frames"],
        "segments": pooled["segments"],
        "bouts": pooled["bouts"],
        "intervals": pooled["intervals"],
        "drawn": {"over": over, "count": len(set(units))},
        "protocols": pooled["protocols"],
        "each": each,
    }


def _scored(
    sides: Sequence[Mapping[str, Labelled]], ids: Sequence[str], units: Sequence[str], protocol: str
) -> dict[str, Any]:
    truth, predicted = ([side[id_].bouts for id_ in ids] for side in sides)
    return score_many(
        truth,
        predicted,
        [sides[0][id_].timeline for id_ in ids],
        probabilities=[sides[1][id_].probabilities for id_ in ids],
        groups=units,
        protocols=[protocol] if protocol else [],
    ).to_dict()


def _drawn(paths: Sequence[Path], by: str) -> tuple[dict[str, str], str]:
    """Return the group of each recording, and what groups are called; no groups: each recording is its own."""
    if not by and not any(path.is_dir() for path in paths):
        return {}, "recording"
    # What networks are trained with takes seconds to import, and label files need none of it.
    from murine.config import load_recipe
    from murine.train.crossval import EVALUATION_FILE, drawn_over, project_of, read_splits
    from murine.train.runs import CONFIG_FILE

    judged = [path for path in paths if (path / EVALUATION_FILE).is_file()]
    if not by:
        if not judged:
            return {}, "recording"
        splits = read_splits(judged[0])
        groups = {id_: str(group) for split in splits for id_, group in split.groups.items()}
        return groups, drawn_over(load_recipe(str(judged[0] / CONFIG_FILE)).split)
    places = [path for path in paths if (path / PROJECT_FILE).is_file()]
    if not places and not judged:
        raise InputError(
            f"--by {by}: neither side is a project or an evaluation, so no column is known."
        )
    project = load_project(places[0] if places else project_of(judged[0]))
    known = dict.fromkeys(["recording", *(c for r in project.recordings for c in r.groups)])
    if by not in known:
        raise InputError(f"--by: recordings.csv has no column '{by}'.{suggest(by, known)}")
    return {r.id: r.group(by) for r in project.recordings if project.is_labelled(r)}, by


def _is_single(path: Path) -> bool:
    return Path(path).is_file()


def _is_prediction(path: Path) -> bool:
    if path.suffix != ".parquet":
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return b"murine" in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return True  # to be refused by name where it is read


def find_labels(folder: Path) -> dict[str, Path]:
    """Return the predictions of a folder, or else its label files, by recording id; raises InputError."""
    if any(predictions_folder(folder).glob("*.parquet")):
        return {p.stem: p for p in find_predictions(folder)}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in LABEL_SUFFIXES:
            other = found.setdefault(path.stem.removesuffix(".bouts"), path)
            if other != path:
                raise InputError(f"{other} and {path} are labels of one recording. Take one away.")
    if not found:
        raise InputError(f"{folder}: holds neither predictions (*.parquet) nor label files.")
    return found


def _known_frames(path: Path) -> dict[str, Timeline]:
    """Return the timelines a side knows by itself: those of predictions and of projects."""
    path = Path(path)
    if (path / PROJECT_FILE).is_file():
        project = load_project(path)
        return {r.id: recording_timeline(r) for r in project.recordings if project.is_labelled(r)}
    if path.is_dir():
        return {
            i: read_prediction(p).timeline for i, p in find_labels(path).items() if _is_prediction(p)
        }
    if path.is_file() and _is_prediction(path):
        return {path.stem: read_prediction(path).timeline}
    return {}


def _read_side(
    path: Path,
    frames: Mapping[str, Timeline],
    fps: float | None,
    n_frames: int | None,
    one_each: bool,
    plain: bool,
) -> dict[str, Labelled]:
    if (path / PROJECT_FILE).is_file():
        project = load_project(path)
        return {
            r.id: Labelled(load_bouts(project, r), frames[r.id])
            for r in project.labelled()
            if r.id in frames
        }
    if path.is_dir():
        files = find_labels(path)
    elif path.exists():
        files = {"" if one_each else path.stem: path}
    else:
        raise InputError(f"{path}: not found. Give a label file, a prediction, a folder or a project.")
    result = {}
    for id_, file in files.items():
        if _is_prediction(file):
            result[id_] = read_decided(file, plain=plain)
            continue
        if id_ not in frames and not one_each and frames:
            continue  # the other side does not have it; said under only_in_...
        timeline = frames[id_] if id_ in frames else _asked_timeline(file, fps, n_frames)
        result[id_] = Labelled(read_labels(file, timeline), timeline)
    return result


def _asked_timeline(path: Path, fps: float | None, n_frames: int | None) -> Timeline:
    """Return the frames of a bare label file; raises InputError that says what is missing."""
    summary = describe_labels(path)
    rate = fps or summary.fps
    if rate is None and summary.unit == "frames":
        rate = 1.0  # labels that count frames need no clock to be compared
    if rate is None:
        raise InputError(f"{path}: in seconds, and no file tells the frame rate. Give it with --fps.")
    if n_frames is None:
        raise InputError(
            f"{path}: no file tells how many frames the recording has. Give it with --frames."
        )
    return Timeline.uniform(n_frames, rate)


def _with_common_names(
    sides: list[dict[str, Labelled]], background: str | None
) -> list[dict[str, Labelled]]:
    """Give both sides one ethogram."""
    told = {"first": sides[0], "second": sides[1]}
    ethograms = {name: [item.bouts.ethogram for item in side.values()] for name, side in told.items()}
    if not any(ethograms.values()):
        return sides
    common = common_ethogram(ethograms, background, clash=_two_spellings)
    return [
        {id_: replace(item, bouts=carried_over(item.bouts, common)) for id_, item in side.items()}
        for side in sides
    ]


def _two_spellings(first: str, second: str, only: tuple[list[str], list[str]]) -> str:
    told = [f"'{b}' only in the {first}.{suggest(b, only[1])}" for b in only[0]]
    told += [f"'{b}' only in the {second}.{suggest(b, only[0])}" for b in only[1]]
    return "the two sides have different behaviours: " + " ".join(told)


Clash = Callable[[str, str, tuple[list[str], list[str]]], str]
"""From the names of two sides and the behaviours that only one of them has to the words of an error."""


def common_ethogram(
    sides: Mapping[str, Sequence[Ethogram]], background: str | None, *, clash: Clash | None
) -> Ethogram:
    """Return the ethogram of all sides, by name: exclusive only if all are.

    A file lists only what happened in it, so a behaviour may be missing from a file, or from all files of
    a side: it then never happened there. Behaviours that each of two sides has and the other lacks are two
    spellings: InputError in the words of `clash` (None: all sides spell alike). InputError too for a
    `background` that nobody has, and for two of them.
    """
    ethograms = [ethogram for side in sides.values() for ethogram in side]
    names = {
        name: list(dict.fromkeys(b for ethogram in side for b in ethogram.behaviours))
        for name, side in sides.items()
    }
    every = list(dict.fromkeys(b for behaviours in names.values() for b in behaviours))
    if background not in (None, *every):
        raise InputError(
            f"no behaviour '{background}' to be the background.{suggest(background or '', every)}"
        )
    backgrounds = {e.background for e in ethograms if e.background is not None} | ({background} - {None})
    if len(backgrounds) > 1:
        raise InputError(
            f"the labels name different backgrounds: {', '.join(sorted(map(str, backgrounds)))}"
        )
    found = next(iter(backgrounds), None)
    for (a, mine), (b, theirs) in combinations(names.items(), 2):
        first = [x for x in mine if x not in theirs and x != found]
        second = [x for x in theirs if x not in mine and x != found]
        if clash is not None and first and second:
            raise InputError(clash(a, b, (first, second)))
    exclusive = all(e.exclusive for e in ethograms)
    kept = every if exclusive else [b for b in every if b != found]
    return Ethogram(tuple(kept), exclusive, found if exclusive else None)


def carried_over(bouts: Bouts, ethogram: Ethogram) -> Bouts:
    """Return bouts in an ethogram of more behaviours, or of fewer: those of others are left out.

    What nobody looked for stays unknown. Of bouts in tasks so does every behaviour that they lack: tasks
    name all that was asked, where a plain file names only what happened.
    """
    own = bouts.ethogram
    if own == ethogram:
        return bouts
    kept = [row for row in bouts.intervals() if row[2] in ethogram.behaviours]
    never = {own.behaviours[c] for c in bouts.unknown}
    if own.tasks:
        never |= set(ethogram.behaviours) - set(own.behaviours)
    unknown = tuple(c for c, name in enumerate(ethogram.behaviours) if name in never)
    return replace(Bouts.build(ethogram, bouts.n_frames, kept, bouts.annotated), unknown=unknown)
