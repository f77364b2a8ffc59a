"""glibc's allocator, told to keep what is freed.

A training step makes and drops the same large temporaries over and over. By default glibc maps each
of them anew, and the kernel clears every page at its first touch: that costs more than the
arithmetic. Kept memory is not mapped again. The setting is the whole process's; so it is made only
when training starts, never against a setting of the user's own, and `release` gives it back.
"""

import ctypes
import os
import sys
from functools import cache
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h

OPT_OUT = "PORTANET_KEEP_MEMORY"


@cache
def keep() -> bool:
    """Let freed memory stay with the process, once; say whether that was done.

    It is not done without glibc, where ``PORTANET_KEEP_MEMORY=0`` says no, or where the user has
    tuned the allocator (``MALLOC_…`` or ``GLIBC_TUNABLES`` in the environment).
    """
    tuned = [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]
    if tuned or os.environ.get(OPT_OUT) == "0" or (libc := _glibc()) is None:
        return False
    # One arena for all threads: the others' heaps are mapped and unmapped whatever is set here.
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_ARENA_MAX, 1))
    return all(libc.mallopt(what, value) for what, value in settings)


def release() -> None:
    """Give free memory back to the system, where the allocator can be asked to."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    # Another libc, such as musl, has neither; it may have a mallopt that does nothing.
    return libc if hasattr(libc, "gnu_get_libc_version") else None
