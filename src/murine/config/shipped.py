"""Files that come with murine, in the package or, from a repository, beside it."""

from __future__ import annotations

from pathlib import Path

import murine


def shipped_folder(name: str) -> Path:
    """Return the folder of what comes with murine under this name, such as "recipes"."""
    package = Path(murine.__file__).resolve().parent
    packaged = package / name
    return packaged if packaged.is_dir() else package.parent.parent / name


def shipped_files(name: str) -> dict[str, Path]:
    """Return the TOML files of such a folder by their names, "folder/file"."""
    folder = shipped_folder(name)
    found = sorted(folder.rglob("*.toml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
