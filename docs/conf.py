"""How the documentation is built: `make docs`, warnings are errors."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import tables

import murine

project = "murine"
author = "the murine developers"
copyright = "2026, the murine developers"
version = release = murine.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"murine {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
default_role = "code"
nitpicky = False


def _fill(app: Any, name: str, source: list[str]) -> None:
    source[0] = tables.fill(source[0])


def _escape(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    # Docstrings are plain sentences with `code`: outside of it a star or a bar means itself.
    for i, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def setup(app: Any) -> None:
    """Let Sphinx fill in the tables that come from the code, and read docstrings as they are meant."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _escape)
