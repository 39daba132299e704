"""The behaviours of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from murine.errors import InputError


@dataclass(frozen=True)
class Ethogram:
    """Ordered behaviour names; `exclusive` means that at most one of them holds in a frame.

    `background` names the behaviour, one of `behaviours`, that stands for "annotated as none of the
    others" in an exclusive ethogram; None where every annotated frame carries a behaviour.
    """

    behaviours: tuple[str, ...]
    exclusive: bool = True
    background: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        if not self.behaviours:
            raise InputError("an ethogram needs at least one behaviour; none came")
        if len(set(self.behaviours)) != len(self.behaviours):
            twice = sorted({b for b in self.behaviours if self.behaviours.count(b) > 1})
            raise InputError(f"behaviour names must differ; named twice: {', '.join(twice)}")
        if any(not b or b != b.strip() for b in self.behaviours):
            raise InputError(f"a behaviour name is empty or padded with spaces: {self.behaviours}")
        if self.background is not None and self.background not in self.behaviours:
            raise InputError(
                f"background '{self.background}' is not a behaviour: {', '.join(self.behaviours)}"
            )
        if self.background is not None and not self.exclusive:
            raise InputError("only an exclusive ethogram has a background; take it out")

    def __len__(self) -> int:
        return len(self.behaviours)

    def index(self, name: str) -> int:
        """Return the column of a behaviour; raises InputError that lists the names."""
        if name not in self.behaviours:
            raise InputError(f"unknown behaviour '{name}'; known: {', '.join(self.behaviours)}")
        return self.behaviours.index(name)

    def alone(self, name: str) -> Ethogram:
        """Return the ethogram of one of the behaviours against all else; raises InputError."""
        return Ethogram((self.behaviours[self.index(name)],), exclusive=False)

    @property
    def background_index(self) -> int | None:
        """The background's column, or None."""
        return None if self.background is None else self.behaviours.index(self.background)

    @property
    def foreground(self) -> tuple[int, ...]:
        """The columns of all behaviours but the background."""
        return tuple(i for i, b in enumerate(self.behaviours) if b != self.background)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `Ethogram(**form)` gives the ethogram back."""
        return {
            "behaviours": list(self.behaviours),
            "exclusive": self.exclusive,
            "background": self.background,
        }
