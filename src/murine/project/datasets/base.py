"""What a reader of a published data set is given, what it hands over, and how it refuses a wrong folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from murine.errors import InputError
from murine.progress import SILENT, Progress
from murine.project.pairing import natural
from murine.project.values import TaskLabels, Unit
from murine.registry import Registry
from murine.types import Ethogram, Recording
from murine.video import VIDEO_SUFFIXES

SHOWN = 8
"""So many names or faults of one kind stand in a message; the others are counted."""


@dataclass(frozen=True)
class Request:
    """The publisher's folder, the project folder to be written, and the part of the data set that is meant.

    `tolerance_s`: by how much labels may run past the end of their video.
    """

    source: Path
    study: Path
    part: str | None = None
    tolerance_s: float = 0.0
    progress: Progress = SILENT

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every file below the publisher's folder in natural order, without hidden ones and the project's."""
        return tuple(sorted(self._walk(self.source), key=lambda p: natural(str(p))))

    def _walk(self, folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            if path.name.startswith((".", "__MACOSX")) or path.absolute() == self.study.absolute():
                continue
            if path.is_dir():
                yield from self._walk(path)
            else:
                yield path

    @property
    def videos(self) -> tuple[Path, ...]:
        """The files that are videos by their names."""
        return tuple(p for p in self.files if p.suffix.lower() in VIDEO_SUFFIXES)

    def place(self, path: Path) -> str:
        """Return where a file lies inside the publisher's folder, for messages."""
        return path.relative_to(self.source).as_posix()

    def folders(self, path: Path) -> tuple[str, ...]:
        """Return the folders between the publisher's folder and a file in it."""
        return path.relative_to(self.source).parts[:-1]


@dataclass(frozen=True)
class Content:
    """What a reader found. `files`: name inside the project -> what writes the file at that path.

    Label files among them are named in `recordings` by their place in the project. `notes` is what the
    user should know: what was left out, merged or missing. `sources`: of a data set with tasks, where the labels
    of each are.
    """

    ethogram: Ethogram
    recordings: tuple[Recording, ...]
    unit: Unit = "frame"
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sources: tuple[TaskLabels, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A published data set. `tree` is the folder as text; `parts`: name -> what it is.

    `url`, `licence` and `size` say "not known" where no document tells.
    """

    name: str
    summary: str
    source: str
    url: str
    licence: str
    size: str
    tree: str
    read: Callable[[Request], Content]
    parts: Mapping[str, str] = field(default_factory=dict)

    def wrong_folder(self, request: Request, faults: Sequence[str]) -> InputError:
        """Return the error that lists the faults and sets the expected tree beside what was found."""
        told = "\n".join(f"  - {fault}" for fault in faults)
        return InputError(
            f"{request.source}: not {self.summary}, or not all of it:\n{told}\n"
            f"Expected:\n{_indented(self.tree)}\n"
            f"Found in {request.source}:\n{_indented(tree_of(request.source))}"
        )


DATASETS: Registry[Dataset] = Registry("dataset")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())


def tree_of(folder: Path, *, depth: int = 3, most: int = 6) -> str:
    """Return what is in a folder as indented text: the first entries of each level, the others counted."""
    entries = [p for p in folder.iterdir() if not p.name.startswith(".")]
    entries.sort(key=lambda p: (not p.is_dir(), natural(p.name)))
    if not entries:
        return "(nothing)"
    lines = []
    for path in entries[:most]:
        lines.append(f"{path.name}/" if path.is_dir() else path.name)
        if path.is_dir() and depth > 1:
            below = tree_of(path, depth=depth - 1, most=max(2, most // 2))
            lines += [f"  {line}" for line in below.splitlines()]
    if rest := entries[most:]:
        kinds = Counter("folders" if p.is_dir() else p.suffix or "other" for p in rest)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
        lines.append(f"... and {len(rest)} more ({told})")
    return "\n".join(lines)


def some(names: Iterable[str]) -> str:
    """Return the first names and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def shorten(faults: Sequence[str]) -> list[str]:
    """Return the first faults of a kind and the number of the others."""
    more = [f"... and {len(faults) - SHOWN} more like these"] if len(faults) > SHOWN else []
    return [*faults[:SHOWN], *more]
