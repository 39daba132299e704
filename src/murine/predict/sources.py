"""Where a prediction's streams come from when they are prepared already.

Streams read straight from a recording's files are `murine.data.source.Source`; both are a
`predict.stream.Source`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from murine.data.prepared import Prepared
from murine.data.windows import Sampling
from murine.types import Timeline

CHUNK = 256
"""Samples read at once."""


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """A prepared recording, read piece by piece from the cache."""

    prepared: Prepared

    @property
    def recording(self) -> str:
        """Its name."""
        return self.prepared.recording_id

    @property
    def timeline(self) -> Timeline:
        """The times of its frames."""
        return self.prepared.timeline

    @property
    def sampling(self) -> Sampling:
        """Which of them are samples."""
        return self.prepared.sampling

    def chunks(self, start: int) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Give (first sample, streams of n samples) from sample `start` on."""
        samples = len(self.prepared)
        for first in range(start, samples, CHUNK):
            stop = min(first + CHUNK, samples)
            yield first, {name: values[first:stop] for name, values in self.prepared.streams.items()}
