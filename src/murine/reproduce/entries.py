"""What the documents printed, as data: each table and figure of results, its rows, and the runs that fill them.

A file of `published/` is one document. Numbers stand there and nowhere in code, each in the row it was printed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from murine.config.tomlfile import read_toml
from murine.errors import ConfigError, InputError, suggest

FOLDER = Path(__file__).resolve().parent / "published"

T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    """A column of a table. `score`: where it stands in our scores, "" where murine has none like it.

    `factor`: what ours are multiplied with (100 for percent); `digits`: decimals in print.
    """

    score: str
    title: str
    factor: float = 1.0
    digits: int = 3


@dataclass(frozen=True)
class Data:
    """Recordings that runs need. `dataset`, `part`: as `murine init --dataset`; or `files`: what lies in the folder,
    read as pose and labels. `folder`: its name inside a folder of several. `of`: another one with the same source.
    `small`: what is simulated in its place.
    """

    what: str
    dataset: str = ""
    part: str = ""
    files: tuple[str, ...] = ()
    init: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    of: str = ""
    optional: bool = False
    small: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One way to get predictions and their scores; which, says what is given.

    `recipe` and `data`: cross-validated there; with `test` trained there and judged on `test`; with `only_train`
    trained alone. `combine`: the mean of other runs' networks, each by its `pick` ("test" as published, optimistic;
    "first" for its first seed), or the `top` best seeds of one. `sweep`: two runs fused at ratios 0, 0.1, ... 1.
    `score` of another run on `data`. `labels`: a second annotator's, scored as predictions. `search`: the name of a
    published grid. `initial`, `weights`: the trained run (or data) that a network begins from, or that describes its
    recordings. `hours`: of one seed on a CPU and on a GPU, estimated.
    """

    recipe: str = ""
    data: str = ""
    test: str = ""
    only_train: bool = False
    combine: tuple[str, ...] = ()
    pick: str = "test"
    top: int = 1
    sweep: tuple[str, ...] = ()
    score: str = ""
    labels: str = ""
    search: str = ""
    initial: str = ""
    weights: str = ""
    seeds: int = 1
    protocol: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    hours: tuple[float, ...] = (0.0, 0.0)

    @property
    def before(self) -> tuple[str, ...]:
        """The runs (or data) that this one builds upon."""
        return tuple(
            n for n in (*self.combine, *self.sweep, self.score, self.initial, self.weights) if n
        )


@dataclass(frozen=True)
class Row:
    """A printed row. `published`: number, or number and deviation, by the key of its measure.

    `run` fills it; or `counts` (true and false positives, true and false negatives in print) through our metrics;
    or `model`, whose parameters are counted. `seed`: of that run alone. `tasks`: a regular
    expression of the tasks whose mean is meant.
    """

    label: str
    published: Mapping[str, Any]
    run: str = ""
    counts: tuple[int, ...] = ()
    model: str = ""
    seed: int = -1
    tasks: str = ""


@dataclass(frozen=True)
class Entry:
    """A table or figure of results. `place`: where it stands; `also`: names of what it fills besides.

    `measures`: shown in rows without printed numbers. `orders`: [better, worse] rows by the measure
    `order_by`, as the document has them. `small_minutes`: of `--scale small` on two shared
    cores; 0: not measured.
    """

    name: str
    title: str
    place: str
    rows: tuple[Row, ...]
    also: tuple[str, ...] = ()
    behaviour: str = ""
    measures: tuple[str, ...] = ()
    orders: tuple[tuple[str, str], ...] = ()
    order_by: str = ""
    reasons: tuple[str, ...] = ()
    small_minutes: float = 0.0


@dataclass(frozen=True)
class Small:
    """How a document is done at a small scale: `set` for every recipe, `models` by the network's name."""

    set: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    behaviours: Mapping[str, str] = field(default_factory=dict)
    trials: int = 2


@dataclass(frozen=True)
class Document:
    """One document. `reasons`: why ours may differ from any of its numbers."""

    name: str
    title: str
    reasons: tuple[str, ...]
    measures: Mapping[str, Measure]
    data: Mapping[str, Data]
    runs: Mapping[str, Run]
    entries: tuple[Entry, ...]
    small: Small

    def entry(self, name: str) -> Entry:
        """Return an entry by its name, or that of another table or figure it fills; raises InputError."""
        named = {other: entry for entry in self.entries for other in (entry.name, *entry.also)}
        key = name.strip().lower().replace(" ", "-")
        if key not in named:
            raise InputError(f"{self.name}: no table or figure '{name}'.{suggest(key, named)}")
        return named[key]

    def needed_runs(self, entry: Entry) -> tuple[str, ...]:
        """Return the runs of an entry, each after those it builds upon."""
        found: dict[str, None] = {}

        def add(name: str) -> None:
            if name in self.runs and name not in found:
                for before in self.runs[name].before:
                    add(before)
                found[name] = None

        for row in entry.rows:
            add(row.run)
        return tuple(found)

    def needed_data(self, entry: Entry) -> tuple[str, ...]:
        """Return the data of an entry, by key."""
        found: dict[str, None] = {}
        for name in self.needed_runs(entry):
            run = self.runs[name]
            for key in (run.data, run.test, run.initial, run.weights):
                if key in self.data:
                    found[key] = None
        return tuple(found)


def list_documents() -> tuple[str, ...]:
    """Return the names of the documents."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def load_document(name: str) -> Document:
    """Return a document by name; raises InputError for an unknown one, ConfigError for a broken file."""
    if name not in list_documents():
        raise InputError(f"no document '{name}'.{suggest(name, list_documents())}")
    path = FOLDER / f"{name}.toml"
    tables = read_toml(path, "the document's file")
    try:
        entries = tuple(
            _made(Entry, {**table, "rows": tuple(_made(Row, row) for row in table["rows"])})
            for table in tables["entries"]
        )
        document = Document(
            name,
            tables["title"],
            tuple(tables["reasons"]),
            {key: _made(Measure, table) for key, table in tables["measures"].items()},
            {key: _made(Data, table) for key, table in tables.get("data", {}).items()},
            {key: _made(Run, table) for key, table in tables.get("runs", {}).items()},
            entries,
            _made(Small, tables.get("small", {})),
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(path, [f"{type(error).__name__}: {error}"]) from error
    if faults := _faults(document):
        raise ConfigError(path, faults)
    return document


def _made(kind: type[T], table: Mapping[str, Any]) -> T:
    """Return a dataclass of a table, lists as tuples; raises TypeError for a key that it does not have."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if odd := sorted(set(table) - known):
        raise TypeError(f"{kind.__name__} has no '{odd[0]}'")
    return kind(**{key: _frozen(value) for key, value in table.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


def _faults(document: Document) -> list[str]:
    """Return what names something that is not there."""
    faults = []
    known: Sequence[str] = [*document.runs, *document.data]
    for name, run in document.runs.items():
        faults += [f"runs.{name}: no '{other}'" for other in run.before if other not in known]
        faults += [
            f"runs.{name}: no data '{k}'" for k in (run.data, run.test) if k and k not in document.data
        ]
    for entry in document.entries:
        labels = [row.label for row in entry.rows]
        for row in entry.rows:
            if row.run and row.run not in document.runs:
                faults.append(f"{entry.name}, {row.label}: no run '{row.run}'")
            odd = [key for key in row.published if key not in document.measures]
            faults += [f"{entry.name}, {row.label}: no measure '{key}'" for key in odd]
        faults += [
            f"{entry.name}: no measure '{k}'" for k in entry.measures if k not in document.measures
        ]
        if entry.orders and entry.order_by not in document.measures:
            faults.append(f"{entry.name}: no measure '{entry.order_by}' to order by")
        faults += [
            f"{entry.name}: no row '{k}'" for pair in entry.orders for k in pair if k not in labels
        ]
    return faults
