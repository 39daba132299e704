"""DeepEthogram label tables: frame number, `background`, then a column of 0 and 1 per behaviour.

`background` is 1 where no behaviour is, so it says "annotated as none" and is no behaviour here. -1 means
that the frame is not labelled yet; in a row with some -1, a behaviour that is 1 still counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.formats import states as shared
from murine.formats.base import FORMATS, LabelFormat, LabelTable, LabelTarget, unseen
from murine.formats.text import head_text
from murine.types import Bouts

BACKGROUND = "background"


def parse(path: Path) -> LabelTable:
    """Read a label table; raises InputError that names the file and the row."""
    path = Path(path)
    names, content, separator = shared.load(path, "label file")
    if not _is_header(names):
        raise InputError(
            f"{path}: the header begins with {names[:2]}; an unnamed column and '{BACKGROUND}' were expected in "
            "a label table of DeepEthogram."
        )
    values = shared.numbers(path, content, separator, names, range(len(names)))
    frames = shared.frame_numbers(path, values[:, 0], len(values))
    states = shared.states_of(path, names[1:], values[:, 1:])
    whole, some = (states >= 0).all(axis=1), (states == 1).any(axis=1)
    return shared.label_table(
        "deepethogram", path, names[2:], np.where(states[:, 1:] == 1, 1, 0).astype(np.int8), frames,
        seen=whole | some,
    )  # fmt: skip


def _is_header(names: list[str]) -> bool:
    return len(names) > 2 and names[0].lower() in ("", "unnamed: 0") and names[1].lower() == BACKGROUND


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write a label table; frames without a behaviour are background, frames nobody annotated -1."""
    states = bouts.frames()
    named = {n: states[:, i] == 1 for i, n in enumerate(bouts.ethogram.behaviours) if n != BACKGROUND}
    if not named:
        raise InputError(
            f"DeepEthogram has '{BACKGROUND}' already; no other behaviour came to be written."
        )
    none = ~np.logical_or.reduce(list(named.values()))
    nobody = unseen(bouts)
    columns: dict[str, NDArray[Any]] = {BACKGROUND: none} | named
    shared.write_states(path, "", {n: np.where(nobody, -1, c) for n, c in columns.items()})


def _sniff(path: Path, head: bytes) -> bool:
    _, rows = shared.first_rows(head_text(head), 2)
    return bool(rows) and _is_header(rows[0])


FORMATS.add(
    "deepethogram",
    LabelFormat(
        "deepethogram", "DeepEthogram label table", (".csv",), _sniff, parse, write,
        lossy="a behaviour called 'background' comes back as none; no subject, no times",
    ),
)  # fmt: skip
