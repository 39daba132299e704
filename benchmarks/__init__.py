"""Speed and memory, each figure beside the floor it cannot pass. `python -m benchmarks`, or `make bench`.

A module `bench_<part>.py` has one function, `main(quick: bool) -> list[Figure]`, and prints nothing. The
runner calls each in a process of its own, so that one's memory and threads do not meet the other's.
`quick`: small sizes, seconds rather than minutes; the figures then only show that everything runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured number, and its floor measured in the same process.

    `unit`: of both numbers, such as "frames/s" or "MiB". `floor_is`: in words, what the floor is and
    why nothing could pass it. `lower`: less is better (memory, seconds).
    """

    name: str
    measured: float
    unit: str
    floor: float
    floor_is: str
    lower: bool = False

    @property
    def ratio(self) -> float:
        """Return measured / floor."""
        return self.measured / self.floor


def seconds_of(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the least wall time of some repeats, in seconds: other processes can only add to it."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def peak_memory() -> float:
    """Return the most memory this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Counted from the start of this program; what getrusage tells may be that of its parent.
        line = next(s for s in status.read_text(encoding="utf-8").splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024
