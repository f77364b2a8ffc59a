"""How much memory is in use: a backend's answer, and the operating system's."""

import os
import sys
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """Bytes in use now, and the most that were; None where the system does not tell."""

    used: int | None
    peak: int | None


def of_process() -> Memory:
    """Return the memory that this process holds, and the most that it held: its resident size."""
    if sys.platform == "win32":
        return Memory(None, None)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # only Linux has it
        return Memory(None, peak)
    used = pages * os.sysconf("SC_PAGE_SIZE")
    return Memory(used, max(used, peak))  # Linux counts the peak a little late
