"""From a project, an evaluation or predictions to groups compared, with tables and a picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from murine.errors import InputError
from murine.files import results_folder, write_json, write_text
from murine.groups.comparison import Comparison, compare_observed
from murine.groups.measures import Observed
from murine.postprocess import apply_own
from murine.predictions import find_predictions, read_prediction
from murine.progress import SILENT, Progress
from murine.project import PROJECT_FILE, Project, load_bouts, load_project, timeline

RESULT_FILE = "groups.json"


def compare_groups(
    source: Path,
    by: str,
    *,
    animal: str = "",
    bin_min: float | None = None,
    study: Path | None = None,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare groups of animals, and write groups.json, groups.csv, animals.csv and a picture of the animals.

    `source`: a project (its labels), an evaluation or a folder of predictions (what was predicted); the last needs
    `study`, the project whose recordings.csv has the columns. `by`, `animal`: such columns; `bin_min`: also
    measure stretches of so many minutes. `out`: default SOURCE/groups/BY. Raises InputError as
    `compare_observed` does.
    """
    source = Path(source)
    observed = read_observed(source, study, progress)
    bin_s = None if bin_min is None else 60 * bin_min
    found = compare_observed(observed, by, animal=animal, bin_s=bin_s)
    folder = Path(out) if out is not None else _place(source) / "groups" / by
    with results_folder(folder):
        write_json(folder / RESULT_FILE, found.to_dict())
        write_text(folder / "groups.csv", _csv(result_rows(found)))
        write_text(folder / "animals.csv", _csv(found.animals))
        # drawing takes a second to import, and nobody compares without having read the data first
        from murine.report.drawing import save_picture
        from murine.report.strips import draw_groups

        figure = draw_groups(found.to_dict())
        if figure is not None:
            save_picture(figure, folder / "groups")
    return found


def read_observed(
    source: Path, study: Path | None = None, progress: Progress = SILENT
) -> list[Observed]:
    """Return what is compared, a recording each; raises InputError where there is nothing."""
    if (source / PROJECT_FILE).is_file():
        project = load_project(source)
        found = [
            Observed(r.id, load_bouts(project, r), timeline(r), r.groups) for r in project.labelled()
        ]
        if not found:
            raise InputError(
                f"{source}: none of its recordings has labels. Give a folder of predictions."
            )
        return found
    if not source.exists():
        raise InputError(
            f"{source}: not found. Give a project, an evaluation or a folder of predictions."
        )
    known = {r.id: r.groups for r in _project(source, study).recordings}
    paths = find_predictions(source)
    found = []
    with progress.task("reading", len(paths), "recordings") as task:
        for path in paths:
            prediction = read_prediction(path)
            if prediction.recording not in known:
                raise InputError(
                    f"{path}: the project has no recording '{prediction.recording}', so nothing tells its group."
                )
            bouts = apply_own(prediction, path)
            found.append(
                Observed(prediction.recording, bouts, prediction.timeline, known[prediction.recording])
            )
            task.advance()
    return found


def _project(source: Path, study: Path | None) -> Project:
    if study is not None:
        return load_project(study)
    # what networks are trained with takes seconds to import, and a project's labels need none of it
    from murine.train.crossval import EVALUATION_FILE, project_of

    if (source / EVALUATION_FILE).is_file():
        return load_project(project_of(source))
    raise InputError(
        f"{source}: predictions do not tell which animal is in which group. Name the project with --study."
    )


def _place(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def result_rows(found: Comparison) -> list[dict[str, Any]]:
    """Return the compared pairs as flat rows."""
    rows = []
    for row in found.rows:
        flat: dict[str, Any] = {"behaviour": row.behaviour, "measure": row.measure, "bin": row.bin}
        for what, side in (("first", row.first), ("second", row.second)):
            flat |= {
                what: side.group,
                f"{what}_animals": side.animals,
                f"{what}_mean": side.mean,
                f"{what}_sd": side.sd,
            }
        for name in ("difference", "g"):
            low, high = getattr(row, f"{name}_interval") or (None, None)
            flat |= {name: getattr(row, name), f"{name}_low": low, f"{name}_high": high}
        for name in ("rank_biserial", "p", "p_holm", "exact", "paired"):
            flat[name] = getattr(row, name)
        rows.append(flat)
    return rows


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
