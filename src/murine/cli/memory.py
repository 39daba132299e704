"""Memory that a network gives back is kept for its next step."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Names of settings in glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """Have the C library keep large pieces of memory rather than ask the system anew; True where it does.

    A step of a 3D network asks for hundreds of megabytes and gives them back. Pages fresh from the system are
    filled with zeros one by one, a quarter of the time of an inflated network. Holds for the whole
    process, so that only the command line does it; settings of the user's own (MALLOC_...) are left alone.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    return all(set_option(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in options)
