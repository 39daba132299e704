"""A project on disk: project.toml and recordings.csv, written together and read with all faults at once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import murine
from murine.config.convert import show
from murine.config.tomlfile import read_toml, toml_text
from murine.errors import InputError, MurineError, ProjectError, VersionError
from murine.files import replacing, require_file
from murine.project.keys import typed
from murine.project.tasks import read_tasks, task_tables
from murine.project.values import RESERVED, Project
from murine.types import VIEW_COLUMN, Ethogram, LabelChoice, Recording

PROJECT_FILE = "project.toml"
TABLE_FILE = "recordings.csv"

_TOP = {"murine_version": str, "name": str, "unit": str, "tolerance_s": float}
_ETHOGRAM = {"behaviours": tuple[str, ...], "exclusive": bool, "background": str}
_LABELS = {"ignore": tuple[str, ...]}


def load_project(folder: Path) -> Project:
    """Read a project folder. Files named in it are not opened: that is what `check` does.

    Raises InputError where there is no project, VersionError where a newer murine wrote it, ProjectError
    with every fault of both files.
    """
    folder = Path(folder)
    if folder.is_file():
        raise InputError(f"{folder}: a file came where a project folder was expected. Give its folder.")
    if not (folder / PROJECT_FILE).exists():
        raise InputError(
            f"{folder}: no project here ({PROJECT_FILE} is missing). Make one with: murine init {folder}"
        )
    tables = read_toml(folder / PROJECT_FILE, "the project file")
    _check_version(folder / PROJECT_FILE, tables.get("murine_version"))
    faults: list[str] = []
    values = _settings(tables, faults)
    faults = [f"{PROJECT_FILE}: {fault}" for fault in faults]
    recordings = _read_table(folder, faults)
    if faults:
        raise ProjectError(folder, faults)
    return Project(root=folder, recordings=recordings, **values)


def save_project(project: Project) -> None:
    """Write project.toml and recordings.csv, both or neither.

    Paths inside the project or its parent folder are written relative to the project, so that both can
    be moved together. Raises StorageError.
    """
    table = project.root / TABLE_FILE
    fresh = not table.exists()
    try:
        # The project file comes last: without it there is no project.
        with replacing(project.root / PROJECT_FILE) as settings_part:
            settings_part.write_text(_project_text(project), encoding="utf-8", newline="\n")
            with replacing(table) as table_part:
                table_part.write_text(_table_text(project), encoding="utf-8", newline="\n")
    except BaseException:
        if fresh:
            with suppress(OSError):
                table.unlink(missing_ok=True)
        raise


def _project_text(project: Project) -> str:
    ethogram: dict[str, Any] = {
        "behaviours": project.ethogram.behaviours,
        "exclusive": project.ethogram.exclusive,
    }
    if project.ethogram.background is not None:
        ethogram["background"] = project.ethogram.background
    tables: dict[str, Any] = {
        "murine_version": murine.__version__,
        "name": project.name,
        "unit": project.unit,
        "tolerance_s": project.tolerance_s,
        "ethogram": ethogram,
        "labels": {"ignore": project.ignore, "rename": dict(project.rename)},
    }
    if project.sources:
        del tables["ethogram"]
        tables["tasks"] = task_tables(project.sources)
    remarks = {
        "unit": '"frame": labels are bouts inside a recording; "recording": one label covers all of it.',
        "tolerance_s": "By how many seconds labels and pose may end before or after the recording.",
        "behaviours": "The order is the order of columns and colours.",
        "exclusive": "true: one behaviour at a time; false: several may hold in one frame.",
        "background": "Stands for annotated frames in which none of the others holds.",
        "ignore": "Behaviours of the label files that are left out.",
        "[labels.rename]": 'Name in a label file = name above, such as "drinking" = "drink".',
    }
    lines = []
    for line in toml_text(tables).splitlines():
        remark = remarks.get(line.split(" = ")[0])
        lines += [f"# {remark}", line] if remark else [line]
    return "\n".join(lines) + "\n"


def _table_text(project: Project) -> str:
    columns = dict.fromkeys(c for r in project.recordings for c in r.groups)
    views = dict.fromkeys(c for r in project.recordings for c in r.views)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*RESERVED, *views, *columns])
    for r in project.recordings:
        files = [relative_path(path, project.root) for path in (r.video, r.pose, r.labels)]
        choice = [r.choice.stream or "", r.choice.observation or "", r.choice.subject or ""]
        fps = "" if r.fps is None else f"{r.fps:.12g}"
        others = [relative_path(r.views.get(c), project.root) for c in views]
        writer.writerow([r.id, *files, fps, *choice, *others, *(r.groups.get(c, "") for c in columns)])
    return text.getvalue()


def relative_path(path: Path | None, root: Path) -> str:
    """Return a file as recordings.csv names it: relative to the project where both can be moved together."""
    if path is None:
        return ""
    whole, base = (Path(os.path.normpath(p.absolute())) for p in (path, root))
    if whole.is_relative_to(base) or whole.is_relative_to(base.parent):
        return Path(os.path.relpath(whole, base)).as_posix()
    return whole.as_posix()


def _check_version(path: Path, version: object) -> None:
    if not isinstance(version, str):
        return
    try:
        theirs = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return
    if theirs > tuple(int(part) for part in murine.__version__.split(".")[:2]):
        raise VersionError(
            f"{path}: written by murine {version}; this is murine {murine.__version__}. Update it with: "
            "pip install --upgrade murine"
        )


def _settings(tables: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Return the fields of a Project that project.toml holds."""
    others = ("ethogram", "labels", "tasks")
    top = {k: v for k, v in tables.items() if k not in others}
    values = typed(top, _TOP, "", faults, extra=others)
    sources = read_tasks(tables["tasks"], faults) if "tasks" in tables else ()
    if "tasks" in tables and "ethogram" in tables:
        faults.append("[ethogram]: its behaviours are those of the tasks; take it out, or [tasks]")
    ethogram = typed(tables.get("ethogram", {}), _ETHOGRAM, "ethogram", faults)
    labels = tables.get("labels", {})
    renamed = labels.get("rename", {}) if isinstance(labels, Mapping) else {}
    if isinstance(labels, Mapping):
        labels = {k: v for k, v in labels.items() if k != "rename"}
    ignored = typed(labels, _LABELS, "labels", faults, extra=("rename",))
    if not isinstance(renamed, Mapping) or not all(isinstance(v, str) for v in renamed.values()):
        faults.append('labels.rename: expected lines such as "drinking" = "drink"')
        renamed = {}
    if "tasks" in tables:
        ethogram["behaviours"] = ("?",)
    if "behaviours" not in ethogram:
        if not any("ethogram" in fault for fault in faults):
            faults.append('[ethogram]: missing; expected behaviours = ["drink", "eat", ...]')
        ethogram["behaviours"] = ("?",)
    try:
        value = Ethogram(**{**ethogram, "background": ethogram.get("background") or None})
        value = Ethogram.of_tasks([source.task for source in sources]) if sources else value
    except InputError as error:
        faults.append(f"[ethogram]: {error}")
        value = Ethogram(("?",))
    if values.get("unit", "frame") not in ("frame", "recording"):
        faults.append(f"unit: expected 'frame' or 'recording'; came {show(values['unit'])}")
    if values.get("tolerance_s", 0.0) < 0:
        faults.append(f"tolerance_s: expected at least 0; came {values['tolerance_s']:g}")
    return {
        "name": values.get("name", ""),
        "unit": values.get("unit", "frame"),
        "tolerance_s": values.get("tolerance_s", 0.0),
        "ethogram": value,
        "ignore": ignored.get("ignore", ()),
        "rename": dict(renamed),
        "sources": sources,
    }


def _read_table(root: Path, faults: list[str]) -> tuple[Recording, ...]:
    """Return the rows of recordings.csv; a row with a fault is left out and named."""
    path = root / TABLE_FILE
    try:
        text = require_file(path, "the table of recordings").read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        faults.append(f"{TABLE_FILE}: not UTF-8; save it again as 'CSV UTF-8'")
        return ()
    except InputError as error:
        faults.append(str(error))
        return ()
    heading = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=heading.count)  # spreadsheets of many countries write semicolons
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    columns = [cell.strip() for cell in rows[0]]
    if "id" not in columns:
        faults.append(f"{TABLE_FILE}: no column 'id'; the columns are: {', '.join(columns)}")
        return ()
    twice = sorted({c for c in columns if c and columns.count(c) > 1})
    if twice:
        faults.append(f"{TABLE_FILE}: columns named twice: {', '.join(twice)}")
        return ()
    recordings = []
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            faults.append(
                f"{TABLE_FILE} line {number}: {len(cells)} cells for {len(columns)} columns; "
                "a comma inside a cell needs quotes"
            )
            continue
        cells += [""] * (len(columns) - len(cells))
        try:
            recordings.append(_recording(root, dict(zip(columns, cells, strict=False))))
        except MurineError as error:
            faults.append(f"{TABLE_FILE} line {number}: {error}")
    return tuple(recordings)


def _recording(root: Path, row: dict[str, str]) -> Recording:
    named = {
        key: Path(os.path.normpath(root / Path(cell).expanduser()))
        for key, cell in row.items()
        if cell and (key in ("video", "pose", "labels") or VIEW_COLUMN.fullmatch(key))
    }
    files = {key: named.pop(key, None) for key in ("video", "pose", "labels")}
    fps = None
    if row.get("fps"):
        try:
            fps = float(row["fps"].replace(",", "."))
        except ValueError:
            raise InputError(f"fps must be a number; came '{row['fps']}'") from None
    choice = LabelChoice(
        row.get("stream") or None, row.get("observation") or None, row.get("subject") or None
    )
    groups = {
        column: cell
        for column, cell in row.items()
        if column and column not in RESERVED and not VIEW_COLUMN.fullmatch(column)
    }
    return Recording(row["id"], fps=fps, choice=choice, groups=groups, views=named, **files)
