"""TF32, the short floating-point numbers of tensor cores: on or off, once for the process."""

import os

from portanet.backend import BackendError

VARIABLE = "CUPY_TF32"  # CuPy reads it at its first product of float32 matrices, and never again
_chosen: bool | None = None


def choose(tf32: bool | None) -> None:
    """Switch TF32 on or off for the process; None leaves it as it is.

    Raises BackendError where it was settled before: there may have been products since, and CuPy
    would go on as it began, without a word.
    """
    global _chosen
    if tf32 not in (None, True, False):
        raise ValueError(f"tf32 must be True or False, got {tf32!r}")
    if _chosen is None:
        if tf32 is not None:
            os.environ[VARIABLE] = str(int(tf32))
        _chosen = os.environ.get(VARIABLE, "") not in ("", "0")
    elif tf32 not in (None, _chosen):
        raise BackendError(
            f"tf32={tf32} comes too late: CuPy settles it at the first product of float32 matrices,"
            f" and this program began with tf32={_chosen}; say it in the first set_backend, or set "
            f"{VARIABLE}={int(tf32)} in the environment"
        )
