"""Turn arrays of a MATLAB file into an ``.npz`` file, in a process of its own: see matlab.py.

This file runs as a script, which imports nothing of portanet and starts the sooner:
``python -I matlab_child.py MEMORY SECONDS MODULES FILE TARGET NAME...``. Where it fails, the last
line of standard error says why.
"""

import os
import sys
from contextlib import suppress
from typing import Any

# MATLAB's words for arrays of numbers; cells, structs, sparse matrices, … are none.
NUMERIC = {"logical", "double", "single"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def read(path: str, names: list[str]) -> dict[str, Any]:
    """Return named arrays of real numbers; raise almost anything where they are not there."""
    from scipy.io import loadmat, whosmat

    with open(path, "rb") as file:
        # By the headers first: to read other kinds can take unbounded memory, or recurse too deep.
        kinds: dict[str, str] = {}
        for name, _, kind in whosmat(file):
            if name in kinds:
                raise ValueError(f"holds {name!r} twice")
            kinds[name] = kind
        for name in names:
            if name not in kinds:
                raise ValueError(f"has no {name!r}; it holds {', '.join(kinds) or 'nothing'}")
            if kinds[name] not in NUMERIC:
                raise ValueError(f"{name}: expected an array of numbers, got a {kinds[name]}")
        file.seek(0)
        arrays = loadmat(file, variable_names=names)
    for name in names:
        if arrays[name].dtype.kind not in "biuf":
            raise ValueError(f"{name}: expected real numbers, got {arrays[name].dtype}")
    return {name: arrays[name] for name in names}


def limit(memory: int, seconds: int) -> None:
    """Let this process have no more memory, in bytes, and time, where the system can do that.

    The parent watches the clock; the time of the processor ends a child whose parent was killed.
    """
    if sys.platform == "win32":
        return
    import resource

    limits = {"RLIMIT_CORE": 0, "RLIMIT_CPU": seconds, "RLIMIT_AS": memory}
    for what, most in limits.items():
        with suppress(ValueError, OSError):  # macOS; less is allowed already
            resource.setrlimit(getattr(resource, what), (most, most))


def main(memory: str, seconds: str, modules: str, path: str, target: str, *names: str) -> None:
    """Do what the command line says."""
    sys.path[:] = modules.split(os.pathsep)
    try:
        import numpy as np
        import scipy.io  # noqa: F401  (before the limit, which is for what a file makes of it)

        limit(int(memory), int(seconds))
        np.savez(target, **read(path, list(names)))
    except Exception as error:
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))


if __name__ == "__main__":
    main(*sys.argv[1:])
