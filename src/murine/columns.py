"""Plain tables for a terminal, and what a value looks like in one."""

from __future__ import annotations

from collections.abc import Sequence


def cell(value: object) -> str:
    """Return a value as it stands in a table: "-" for None, yes and no, thousands apart, three decimals."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[bool] | None = None,
    ruled: bool = True,
) -> str:
    """Return rows as aligned columns below their headings, with a rule between if `ruled`.

    `right`: which columns stand to the right; by default those that hold numbers only.
    """
    cells = [[cell(value) for value in row] for row in rows]
    lines = [list(head), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    if right is None:
        right = [
            bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
            for i in range(len(head))
        ]
    if ruled:
        lines.insert(1, ["-" * width for width in widths])
    drawn = []
    for line in lines:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)]
        drawn.append("  ".join(parts).rstrip())
    return "\n".join(drawn)
