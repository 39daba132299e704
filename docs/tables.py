"""The tables of the pages that come from the code: filled in when the pages are built.

A page holds `<!-- table: NAME -->`; `conf.py` puts the table there. What is registered is documented: to add
a model, a format or a feature no page need be edited.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from murine.columns import cell
from murine.config import list_recipes
from murine.data.augment import AUGMENT
from murine.formats import FORMATS
from murine.formats.clips import MIT_LABELS, SUFFIXES
from murine.models import MODELS, Model, describe_models, model_settings
from murine.models.backbones import describe_backbones
from murine.models.settings import describe
from murine.pose import FEATURE_SETS, FEATURES, feature_names
from murine.postprocess import STEPS
from murine.project import DATASETS
from murine.search import list_searches
from murine.train.losses import LOSSES
from murine.train.schedule import OPTIMIZERS, SCHEDULES
from murine.video import VIDEO_SUFFIXES
from murine.video.flow import ENCODINGS, FLOW_METHODS
from murine.video.photometry import PHOTOMETRY

MARK = re.compile(r"^<!-- table: (\w+) -->$", re.MULTILINE)


def fill(text: str) -> str:
    """Return a page with its tables; raises KeyError for a name there is no table of."""
    return MARK.sub(lambda match: f"{match[0]}\n\n{TABLES[match[1]]()}", text)


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines) + "\n"


def formats() -> str:
    rows = [
        (
            f"`{f.name}`",
            f.kind,
            f"`{'` `'.join(f.suffixes)}`",
            "yes",
            f.write is not None,
            f.summary,
            f.lossy,
        )
        for f in FORMATS.values()
    ]
    return markdown(
        ("format", "holds", "usual files", "read", "write", "what it is", "not carried over"), rows
    )


def datasets() -> str:
    rows = [
        (f"`{d.name}`", d.summary, d.source, d.url, d.licence, d.size, "; ".join(_parts(d.parts)))
        for d in DATASETS.values()
    ]
    return markdown(
        ("name", "what it is", "source", "where to get it", "licence", "size", "`--part`"), rows
    )


def _parts(parts: Mapping[str, str]) -> list[str]:
    return [f"`{name}`: {what}" for name, what in parts.items()]


def models() -> str:
    rows = []
    for m in describe_models():
        counted = ", ".join(f"{n} {what}" for what, n in m["counted"].items())
        streams = " + ".join(m["streams"])
        cells = (m["parameters"], m["keras_parameters"], m["published"], counted, m["source"])
        rows.append((f"`{m['name']}`", streams, m["predicts"], *cells))
    head = (
        "model",
        "sees",
        "predicts",
        "parameters",
        "by Keras' count",
        "published",
        "counted at",
        "source",
    )
    return markdown(head, rows)


def backbones() -> str:
    rows = [
        (
            f"`{b['name']}`",
            b["features"],
            "{} x {}".format(*b["size"]),
            b["smallest"],
            b["parameters"],
            b["keras_parameters"],
            b["published"],
            f"`{b['file']}`",
            b["source"],
        )
        for b in describe_backbones()
    ]
    head = (
        "backbone",
        "features",
        "pictures",
        "from",
        "parameters",
        "by Keras' count",
        "published",
        "file of weights",
        "source",
    )
    return markdown(head, rows)


def settings_of_models() -> str:
    """Return a part for each model: what it is, in its own words, and its settings.

    Models of one base with the same settings share one table, at the first of them.
    """
    parts = []
    described: set[type] = set()
    first: dict[tuple[type | None, str], str] = {}
    for name, entry in MODELS.items():
        settings = [
            (f"`{key}`", describe(kind), _toml(default))
            for key, (kind, default) in model_settings(name).items()
        ]
        above = [c for c in _bases(entry.build) if c not in described]
        described.update(above)
        parts.append(f"### {name}\n")
        parts += [
            inspect.cleandoc(c.__doc__ or "") + "\n"
            for c in ([entry.build, *above] if above else [entry.build])
        ]
        key = (next(iter(_bases(entry.build)[-1:]), None), repr(settings))
        if key in first:
            parts.append(f"Settings: as of `{first[key]}`.\n")
            continue
        first[key] = name
        parts.append(markdown(("setting", "takes", "default"), settings))
    return "\n".join(parts)


def recipes() -> str:
    rows = [(f"`{r.name}`", f"`{r.model}`", r.description, r.source) for r in list_recipes()]
    return markdown(("recipe", "model", "what it is", "source"), rows)


def searches() -> str:
    rows = [
        (f"`{s.name}`", s.method, s.trials, s.seeds, f"`{s.criterion}`", s.description, s.source)
        for s in list_searches()
    ]
    return markdown(("search", "method", "trials", "seeds", "by", "what it is", "source"), rows)


def features() -> str:
    rows = []
    for family in FEATURES.values():
        columns = [_columns(family.name, animals) for animals in (1, 2)]
        rows.append((f"`{family.name}`", *columns, f"{family.reach_s:.2g}", family.summary))
    head = ("family", "columns, 1 animal", "columns, 2 animals", "looks ahead, s", "what it is")
    return markdown(head, rows)


def feature_sets() -> str:
    rows = []
    for name, chosen in FEATURE_SETS.items():
        columns = [_columns(name, animals) for animals in (1, 2)]
        rows.append(
            (f"`{name}`", *columns, chosen.summary, ", ".join(f"`{f}`" for f in chosen.families))
        )
    head = ("set", "columns, 1 animal", "columns, 2 animals", "what it is", "families")
    return markdown(head, rows)


def steps() -> str:
    rows = []
    for name, step in STEPS.items():
        settings = ", ".join(f"`{f.name} = {_plain(f.default)}`" for f in fields(step))  # type: ignore[arg-type]
        rows.append((f"`{name}`", step.kind, settings, _summary(step)))  # type: ignore[attr-defined]
    return markdown(("step", "works on", "settings and defaults", "what it does"), rows)


def augmentations() -> str:
    rows = [(f"`{name}`", " and ".join(a.streams) or "all", a.summary) for name, a in AUGMENT.items()]
    return markdown(("name", "changes", "how"), rows)


def names() -> str:
    """Return all names a recipe may give for functions that have no table of their own."""
    registries = {
        "training.loss": LOSSES,
        "training.optimizer": OPTIMIZERS,
        "training.schedule": SCHEDULES,
        "input.photometry": PHOTOMETRY,
        "input.flow": FLOW_METHODS,
        "input.flow_encoding": ENCODINGS,
    }
    rows = [(f"`{key}`", ", ".join(f"`{name}`" for name in found)) for key, found in registries.items()]
    return markdown(("setting", "names"), rows)


def clip_labels() -> str:
    words: dict[str, list[str]] = {}
    for short, label in MIT_LABELS.items():
        words.setdefault(label, []).append(f"`{short}`")
    return markdown(
        ("behaviour", "in the name"), [(label, ", ".join(short)) for label, short in words.items()]
    )


def suffixes() -> str:
    videos, clips = (", ".join(f"`{s}`" for s in sorted(found)) for found in (VIDEO_SUFFIXES, SUFFIXES))
    return markdown(
        ("where", "files taken for videos"), [("folders of videos", videos), ("folders of clips", clips)]
    )


_ALL = (
    formats,
    datasets,
    models,
    backbones,
    settings_of_models,
    recipes,
    searches,
    features,
    feature_sets,
    steps,
    augmentations,
    names,
    clip_labels,
    suffixes,
)

TABLES: dict[str, Callable[[], str]] = {function.__name__: function for function in _ALL}


def _cell(value: Any) -> str:
    return cell(value).replace("|", "\\|")


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_plain(v) for v in value) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def _toml(value: Any) -> str:
    return "-" if value is None else f"`{_plain(value)}`"


def _summary(thing: object) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].split())


def _bases(build: object) -> list[type]:
    """Return the classes between a model and the base of all models."""
    classes = build.__mro__[1:] if isinstance(build, type) else ()
    return [c for c in classes if issubclass(c, Model) and c is not Model]


def _columns(family: str, animals: int) -> int | None:
    """Return how many columns a family gives for animals of seven keypoints."""
    points = ("nose", "left_ear", "right_ear", "neck", "left_hip", "right_hip", "tail_base")
    try:
        return len(feature_names([f"a{i}" for i in range(animals)], points, [family]))
    except Exception as error:
        if type(error).__name__ != "InputError":
            raise
        return None
