"""Commands that list what there is: models, formats, recipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from murine.cli.console import Json, guarded, result
from murine.columns import table


@guarded
def models(
    backbones: Annotated[
        bool, typer.Option("--backbones", help="List the networks of single pictures instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the networks with their parameters, by PyTorch's count and by the papers' (Keras) count."""
    from murine.models import describe_models

    if backbones:
        _backbones(as_json)
        return
    found = describe_models()
    rows = [
        (m["name"], "+".join(m["streams"]), m["parameters"], m["keras_parameters"], m["source"])
        for m in found
    ]
    result(found, as_json, table(("model", "streams", "parameters", "by Keras", "source"), rows))


def _backbones(as_json: bool) -> None:
    from murine.models.backbones import describe_backbones, weights_folder

    found = describe_backbones()
    rows = [
        (
            b["name"],
            b["features"],
            "{} x {}".format(*b["size"]),
            b["keras_parameters"],
            b["file_found"],
            b["file"],
        )
        for b in found
    ]
    head = ("backbone", "features", "pictures", "parameters by Keras", "weights found", "file")
    result(found, as_json, f"{table(head, rows)}\n\nFiles are looked for in {weights_folder()}.")


@guarded
def formats(as_json: Json = False) -> None:
    """List the file formats, and what each cannot hold."""
    from murine.formats import FORMATS

    found: list[dict[str, Any]] = [
        {
            "name": f.name,
            "kind": f.kind,
            "suffixes": list(f.suffixes),
            "writes": f.write is not None,
            "summary": f.summary,
            "lossy": f.lossy,
        }
        for f in FORMATS.values()
    ]
    rows = [
        (
            f["name"],
            f["kind"],
            " ".join(f["suffixes"]),
            "read, write" if f["writes"] else "read",
            f["summary"],
        )
        for f in found
    ]
    text = table(("format", "kind", "files", "murine can", "what it is"), rows)
    lost = [f"{f['name']}: {f['lossy']}" for f in found if f["lossy"]]
    result(found, as_json, f"{text}\n\nNot carried over:\n" + "\n".join(f"  {line}" for line in lost))


@guarded
def recipes(
    name: Annotated[str, typer.Argument(help="Show this recipe whole.")] = "",
    as_json: Json = False,
) -> None:
    """List the recipes: every configuration by name, with its source and what it needs."""
    from dataclasses import asdict

    from murine.config import list_recipes, load_recipe, recipe_to_dict

    if name:
        import json

        whole = recipe_to_dict(load_recipe(name))
        result(whole, as_json, json.dumps(whole, indent=2, default=list))
        return
    found = [asdict(info) for info in list_recipes()]
    entries = [_entry(f"{f['name']}  ({f['model']})", f["description"], f["source"]) for f in found]
    result(found, as_json, "\n".join(entries))


def _entry(head: str, *texts: str) -> str:
    """Return a headline and under it texts, whose lines end where a terminal does."""
    from textwrap import fill

    told = [fill(text, 98, initial_indent="    ", subsequent_indent="    ") for text in texts if text]
    return "\n".join([head, *told])


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("models", models, "murine models --json"),
    ("formats", formats, "murine formats"),
    ("recipes", recipes, "murine recipes dual-stream/srs-sharing"),
]
