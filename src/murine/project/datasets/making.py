"""A project made from a published data set, all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from murine.errors import InputError, suggest
from murine.files import make_folder, results_folder
from murine.progress import SILENT, Progress
from murine.project.datasets.base import DATASETS, Content, Dataset, Request
from murine.project.gather import with_columns
from murine.project.setup import project_name, refuse_existing
from murine.project.store import load_project, save_project
from murine.project.values import Project

_ARCHIVES = (".zip", ".rar", ".gz", ".tar", ".7z", ".tgz")


@dataclass(frozen=True)
class MadeProject:
    """A project that was written, and what its reader had to say."""

    project: Project
    notes: tuple[str, ...] = ()


def init_dataset(
    folder: Path,
    name: str,
    source: Path,
    *,
    part: str | None = None,
    id_pattern: str | None = None,
    unmatched: str = "unknown",
    tolerance_s: float = 0.0,
    force: bool = False,
    progress: Progress = SILENT,
) -> MadeProject:
    """Write a project for a published data set, as its publisher's folder `source` holds it.

    `name`: one of `DATASETS`. `part`: a part of it, where it has parts. Videos stay where they are; label
    files that need converting are written into the project. The other arguments are those of `init`.
    Raises InputError, which shows the expected tree where the folder is a wrong one, ProjectError for
    files that contradict each other, StorageError; then nothing is written.
    """
    folder, source = Path(folder), Path(source)
    dataset = DATASETS[name]
    refuse_existing(folder, force)
    _check_source(dataset, source)
    _check_part(dataset, part)
    tolerance_s = float(tolerance_s)
    content = dataset.read(Request(source.absolute(), folder.absolute(), part, tolerance_s, progress))
    recordings = with_columns(content.recordings, id_pattern, unmatched)
    project = Project(
        folder,
        project_name(folder),
        content.ethogram,
        recordings,
        unit=content.unit,
        tolerance_s=tolerance_s,
        sources=content.sources,
    )
    _write(project, content)
    return MadeProject(load_project(folder), content.notes)


def _check_source(dataset: Dataset, source: Path) -> None:
    if not source.exists():
        raise InputError(f"{source}: there is no such folder. Give the folder of {dataset.summary}.")
    if source.is_file():
        unpack = " Unpack the archive and give the folder." if source.suffix in _ARCHIVES else ""
        raise InputError(f"{source}: a file came where the folder of {dataset.summary} goes.{unpack}")


def _check_part(dataset: Dataset, part: str | None) -> None:
    if part is None or part in dataset.parts:
        return
    if not dataset.parts:
        raise InputError(f"the dataset '{dataset.name}' has no parts; leave '{part}' out")
    raise InputError(f"the dataset '{dataset.name}' has no part '{part}'.{suggest(part, dataset.parts)}")


def _write(project: Project, content: Content) -> None:
    """Write the label files, then the project; on failure take away what is new."""
    fresh: list[Path] = []
    with results_folder(project.root):
        try:
            for name, write in content.files.items():
                path = project.root / name
                make_folder(path.parent)
                if not path.exists():
                    fresh.append(path)
                write(path)
            save_project(project)
        except BaseException:
            _remove(fresh, project.root)
            raise


def _remove(paths: Iterable[Path], root: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    parents = {p for path in paths for p in path.parents if root in p.parents}
    for parent in sorted(parents, key=lambda p: len(p.parts), reverse=True):
        with suppress(OSError):
            parent.rmdir()
