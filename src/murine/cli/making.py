"""Commands that make data: simulate and demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from murine.cli.console import Json, Quiet, guarded, many, progress, result


@guarded
def simulate(
    folder: Annotated[Path, typer.Argument(help="Where videos, pose and labels go.")],
    animals: Annotated[int, typer.Option(help="How many animals.")] = 4,
    recordings: Annotated[int, typer.Option(help="Recordings of each animal.")] = 1,
    seconds: Annotated[float, typer.Option(help="Length of a recording.")] = 60.0,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 15.0,
    height: Annotated[int, typer.Option(help="Pixels.")] = 128,
    width: Annotated[int, typer.Option(help="Pixels.")] = 128,
    view: Annotated[str, typer.Option(help="side or top.")] = "side",
    night: Annotated[bool, typer.Option(help="Infrared: grey and noisier.")] = False,
    unlabelled: Annotated[int, typer.Option(help="Animals whose labels are kept apart, in truth/.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same study.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Render mice in a cage, with exact pose and labels, as a study to try things on."""
    from murine.simulate import simulate as call

    call(
        folder,
        animals=animals,
        recordings=recordings,
        seconds=seconds,
        fps=fps,
        size=(height, width),
        view=view,
        night=night,
        unlabelled=unlabelled,
        seed=seed,
        progress=progress(quiet),
    )
    text = (
        f"{many(animals * recordings, 'recording')} of {seconds:g} s in {folder}\nNext: murine init {folder}/study "
        f"--videos '{folder}/videos/*.mp4' --labels '{folder}/labels/*.csv'"
    )
    result({"folder": str(folder), "recordings": animals * recordings}, as_json, text)


@guarded
def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the simulation and the training.")] = 0,
    force: Annotated[bool, typer.Option(help="Remove what an earlier demo left in the folder.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Do the whole main job on a simulated study: check, evaluate, train, predict, report."""
    from murine.demo import demo as call

    outcome = call(folder, seed=seed, force=force, progress=progress(quiet))
    result(outcome.to_dict(), as_json, outcome.text())


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("simulate", simulate, "murine simulate cage --animals 4 --seconds 60 --view side"),
    ("demo", demo, "murine demo"),
]
