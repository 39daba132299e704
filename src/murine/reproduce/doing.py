"""One table or figure of a document done again, and the list of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from murine.errors import InputError, suggest
from murine.files import make_folder, write_json
from murine.progress import SILENT, Progress
from murine.reproduce.beside import Outcome, compare_orders, fill, plain_paths
from murine.reproduce.entries import Document, Entry, list_documents, load_document
from murine.reproduce.running import SCALES, Workbench
from murine.reproduce.studies import find_sources

SMALL = (
    "simulated mice, narrow networks, few epochs: this shows that the whole path runs, and the numbers say nothing of "
    "the published ones"
)


@dataclass(frozen=True)
class EntryInfo:
    """A table or figure that can be done again. `data`: what it needs; `trainings`: networks, folds not counted.

    `cpu_hours`, `gpu_hours`: estimated (see docs/papers.md), of two cores and of one GPU; `small_minutes`: measured on
    two cores, None where it was not.
    """

    document: str
    entry: str
    also: tuple[str, ...]
    title: str
    place: str
    data: tuple[str, ...]
    trainings: int
    cpu_hours: float
    gpu_hours: float
    small_minutes: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; times carry how they were had."""
        return {**asdict(self), "hours_are": "estimated", "small_minutes_are": "measured"}


def list_reproductions(document: str = "") -> list[EntryInfo]:
    """Return every table and figure of results, or those of one document; raises InputError for an unknown one."""
    names = (document,) if document else list_documents()
    found = []
    for one in (load_document(name) for name in names):
        found += [_info(one, entry) for entry in one.entries]
    return found


def _info(document: Document, entry: Entry) -> EntryInfo:
    runs = [document.runs[name] for name in document.needed_runs(entry)]
    return EntryInfo(
        document.name,
        entry.name,
        entry.also,
        entry.title,
        entry.place,
        tuple(
            f"{key}{' (may be left out)' if document.data[key].optional else ''}"
            for key in dict.fromkeys(document.data[k].of or k for k in document.needed_data(entry))
        ),
        sum(run.seeds for run in runs if run.recipe),
        sum(run.hours[0] * run.seeds for run in runs),
        sum(run.hours[1] * run.seeds for run in runs),
        entry.small_minutes or None,
    )


def reproduce(
    document: str,
    entry: str,
    *,
    data: Sequence[str] = (),
    scale: str = "full",
    out: Path | str = "reproduced",
    seeds: int = 0,
    progress: Progress = SILENT,
) -> Outcome:
    """Do a table or figure of a document again and return ours beside theirs.

    `data`: FOLDER, or DATA=FOLDER for each of several. `scale` "small": simulated recordings and narrow networks.
    `seeds`: so many instead of as published. What several tables need is done once, in OUT/SCALE/DOCUMENT; finished
    parts are used again, a stopped one goes on. Tables whose counts are printed need no data: then the counts go
    through our metrics. Raises InputError for an unknown document, table, scale or data, a folder of the wrong shape.
    """
    if scale not in SCALES:
        raise InputError(f"--scale is {' or '.join(SCALES)}; came '{scale}'.{suggest(scale, SCALES)}")
    if seeds < 0:
        raise InputError(f"seeds are a number from 1; came {seeds}")
    told = load_document(document)
    chosen = told.entry(entry)
    small = scale == "small"
    if small and data:
        raise InputError("--scale small simulates its recordings; leave --data out, or say --scale full")
    printed = all(row.counts or row.model for row in chosen.rows)
    folder = Path(out) / scale / told.name
    notes: list[str] = [SMALL] if small else []
    scores: dict[str, Sequence[Any]] = {}
    folders: dict[str, Sequence[Path]] = {}
    if any(row.run for row in chosen.rows) and (small or data or not printed):
        sources = {} if small else find_sources(told, chosen, data)
        bench = Workbench(told, make_folder(folder), scale, sources, seeds, progress)
        with progress.task("rows", len(chosen.rows)) as task:
            for row in chosen.rows:
                task.note(row.label)
                folders[row.label], scores[row.label] = bench.do(row.run)
                task.advance()
    elif any(row.counts for row in chosen.rows):
        notes.append(
            "from the printed counts, through murine's metrics; --data FOLDER trains the networks instead. What needs "
            "probabilities does not follow from counts"
        )
    cells = fill(told, chosen, scores, told.small.behaviours if small else {})
    outcome = Outcome(
        told.name, chosen.name, f"{told.title}: {chosen.place}, {chosen.title}", scale, cells,
        compare_orders(told, chosen, cells), (*chosen.reasons, *told.reasons), tuple(notes), plain_paths(folders),
    )  # fmt: skip
    if not scores:
        return outcome
    file = folder / f"{chosen.name}.json"
    outcome = replace(outcome, file=str(file))
    write_json(file, outcome.to_dict())
    return outcome
