"""The command line keeps freed memory, where the C library can."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from murine.cli.memory import keep_freed_memory
kept = keep_freed_memory()
import numpy as np
def touch():
    np.ones(100_000_000, dtype=np.uint8)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> tuple[str, int]:
    """Return whether memory is kept, and how many pages came fresh from the system for 5 x 100 MB."""
    made = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment, check=True, capture_output=True, text=True
    )
    kept, count = made.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_large_pieces_are_used_again_and_the_users_own_settings_stay() -> None:
    kept, fresh = faults()
    if kept == "False":
        pytest.skip("another C library than glibc")
    assert fresh < 1000
    kept, fresh = faults(MALLOC_MMAP_THRESHOLD_="65536")
    assert kept == "False"
    assert fresh > 1000
