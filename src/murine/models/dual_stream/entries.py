"""How a network of the paper enters the list of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from murine.models.contract import Model
from murine.models.factory import MODELS, ModelEntry


def add_published(
    name: str, build: type[Model], column: str, published: int, tiny: Mapping[str, Any]
) -> None:
    """Register a network of Tables 1 and 2 with its published count at 8 behaviours."""
    MODELS.add(
        name,
        ModelEntry(
            build=build,
            streams=build.streams,
            family="dual_stream",
            source=f"Nwokedi et al., dual-stream spatiotemporal networks, Tables 1 and 2 ({column})",
            published=published,
            tiny=tiny,
        ),
    )
