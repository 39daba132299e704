"""Errors a user may meet: each says what came, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


class MurineError(Exception):
    """Base of every error murine raises on purpose; the command line prints it and exits with 2."""


class InputError(MurineError):
    """A file, a folder or a value from outside cannot be used."""


class ConfigError(MurineError):
    """A recipe or project file is wrong; `faults` lists everything found, not only the first."""

    def __init__(self, source: str | Path, faults: Sequence[str]) -> None:
        self.source = str(source)
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"{self.source}: {count}\n" + "\n".join(f"  - {f}" for f in self.faults))


class ProjectError(ConfigError):
    """The recordings, poses and labels of a project do not fit together."""


class MissingExtraError(MurineError):
    """An optional library is needed and not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the extra '{extra}', which is not installed. "
            f"Install it with: pip install 'murine[{extra}]'"
        )


class VersionError(MurineError):
    """A run folder, project or cache was written by a version that this one cannot read."""


class StorageError(MurineError):
    """A file or folder cannot be written: no permission, a full disk, a missing parent."""


class LeakError(MurineError):
    """A split puts related frames on both sides."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"`, or the names there are when none is close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=2, cutoff=0.6)
    if close:
        return " Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return f" Known: {', '.join(names)}." if names else ""
