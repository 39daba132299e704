"""What `murine evaluate --seeds` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from murine.cli.console import progress, result
from murine.columns import table
from murine.errors import InputError

if TYPE_CHECKING:
    from murine.config import Recipe


def tell_seeds(
    study: Path,
    recipe: Recipe,
    seeds: str,
    out: Path | None,
    only: Sequence[str],
    *,
    resume: bool,
    allow_leak: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Evaluate with several seeds and print mean and deviation; `seeds`: how many, or which, with commas."""
    from murine.data.leaks import leak_note
    from murine.reporting import write_evaluation_report
    from murine.train.seeds import evaluate_seeds

    found = evaluate_seeds(
        study,
        recipe,
        _numbers(seeds),
        out=out,
        only=only,
        resume=resume,
        allow_leak=allow_leak,
        progress=progress(quiet),
    )
    pages = [write_evaluation_report(folder) for folder in found.evaluations]
    rows = [
        (name.replace("_", " "), row["mean"], row["sd"], *row["values"])
        for name, row in found.table.items()
    ]
    lines = [leak_note(found.leaks)] if found.leaks else []
    lines += [
        table(("", "mean", "SD", *(f"seed {seed}" for seed in found.seeds)), rows),
        f"each with its report: {found.folder}",
        f"to average what they predict: murine combine OUT {' '.join(map(str, found.evaluations))}",
    ]
    value = {"folder": str(found.folder), "reports": [str(page) for page in pages], **found.to_dict()}
    result(value, as_json, "\n".join(lines))


def _numbers(text: str) -> tuple[int, ...]:
    """Return 0, 1, ... for a single number of seeds, or the seeds that are listed with commas."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if not numbers or (len(numbers) == 1 and "," not in text and numbers[0] < 1):
        raise InputError(
            f"--seeds takes a number of seeds, such as 5, or seeds, such as 0,7,8; came '{text}'"
        )
    return tuple(range(numbers[0])) if len(numbers) == 1 and "," not in text else numbers
