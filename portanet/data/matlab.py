"""Reading arrays from MATLAB files by SciPy, in a process of its own.

SciPy's reader trusts what it reads: damaged files make it crash, or ask for all memory. What comes
of it here is a DataError.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from portanet.data.files import AnyPath, DataError, DataNotFoundError
from portanet.data.formats import read_npz, room

CHILD = Path(__file__).with_name("matlab_child.py")
SECONDS = 300
MEMORY = 1 << 30  # bytes; SVHN takes less than half


def require_scipy() -> None:
    """Raise ImportError, with the command that installs it, where SciPy is missing."""
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        raise ImportError("MATLAB files need SciPy; install it with: pip install scipy")


def read_mat(path: AnyPath, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return named arrays of real numbers from a MATLAB file, version 4 to 7.2.

    Raises DataNotFoundError for a missing file, and DataError for one that is damaged, lacks a
    name, holds anything but numbers under it, expands as no sound file does (see `room`), or cannot
    be read within SECONDS and MEMORY (where the system can limit it: Linux can).
    """
    import subprocess
    from tempfile import TemporaryDirectory

    path = os.fspath(path)
    if not os.path.exists(path):
        raise DataNotFoundError(f"{path}: no such file")
    # The same modules as here, whatever the environment says: -I ignores what it says.
    modules = os.pathsep.join(filter(None, sys.path))
    limits = str(MEMORY), str(int(SECONDS) + 1)
    python = [sys.executable, "-I", "-W", "ignore", str(CHILD), *limits, modules]
    # Each thread of BLAS, which SciPy loads, would take some of the memory.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory(prefix="portanet-") as scratch:
        target = os.path.join(scratch, "arrays.npz")
        try:
            child = subprocess.run(
                [*python, path, target, *names],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"{path}: SciPy did not read it within {SECONDS} s") from None
        if child.returncode == 1:
            lines = child.stderr.decode(errors="replace").splitlines() or ["it did not say why"]
            raise DataError(f"{path}: not a MATLAB file that SciPy can read: {lines[-1][:500]}")
        if child.returncode != 0:
            raise DataError(
                f"{path}: damaged: SciPy crashed on it, with exit status {child.returncode}"
            )
        try:
            return list(read_npz(target, names, room(path)).values())
        except DataError as error:  # says of the copy what is true of the file
            raise DataError(str(error).replace(target, path)) from None
