"""How many CPUs this process may use: those that it is bound to, and its container's share."""

import os
from math import ceil, inf
from pathlib import Path

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # of Linux


def usable_cpus() -> int:
    """Return how many threads of this process can be at work at once.

    A share of the CPUs' time, as of ``docker run --cpus=1.5`` or a pod's limit, counts as so many
    CPUs, rounded up: of more threads all are halted for the rest of each tenth of a second.
    Python's own counts know nothing of it.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13; PYTHON_CPU_COUNT overrides it
        bound = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count()
    return max(1, ceil(min(bound or 1, _share())))


def _share() -> float:
    """Return the least quota of the control groups that this process is in, in CPUs."""
    try:
        lines = OWN.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return inf
    share = inf
    for line in lines:  # number:controllers:/path/of/the/group, which a container may not see
        _, controllers, path = line.split(":", 2)
        root = GROUPS / "cpu" if controllers else GROUPS
        if not controllers or "cpu" in controllers.split(","):
            group = root / path.lstrip("/")
            for folder in (group, *group.parents)[: len(Path(path).parts)]:  # up to the root
                share = min(share, _quota(folder))
    return share


def _quota(group: Path) -> float:
    """Return the CPUs' time that a group has of each period: version 2's file, or version 1's."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            words = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
            quota, period = (float(word) for word in words)
        except (OSError, ValueError):  # "max", or there are no such files
            continue
        if quota > 0 and period > 0:  # -1: no limit
            return quota / period
    return inf
