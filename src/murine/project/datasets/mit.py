"""What both databases of the MIT home cage share: behaviours, aliases, dates in the names of recordings."""

from __future__ import annotations

import re

from murine.formats.clips import MIT_LABELS

PAPER = "Jhuang et al. 2010, Nature Communications 1:68"
PAGE = "https://cbmm.mit.edu/mouse-dataset"
LICENCE = "data: not known; the page's software is free for academic and non-commercial research"

BEHAVIOURS = tuple(dict.fromkeys(sorted(MIT_LABELS.values())))

_DATE = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def session_of(name: str) -> str:
    """Return the date in a recording's name (`agoutivideo320080229A`: 20080229), else the whole name.

    Recordings of one day may show one animal; the database does not tell which animal is which.
    """
    found = _DATE.search(name)
    return found[0] if found else name


def plain_label(label: str) -> str | None:
    """Return the behaviour a short or long label means, None for an unknown one."""
    return MIT_LABELS.get(label.casefold().replace("-", "").replace("_", ""))
