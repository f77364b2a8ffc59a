"""Numbers into another dtype: whatever it cannot hold is an error, never another number.

But floating-point numbers hold the nearest, as ever, and booleans whether one is not zero.
"""

from contextlib import suppress
from typing import Any

REAL = "biuf"  # NumPy's kinds of dtypes that hold real numbers


def float_dtype(dtype: Any) -> str:
    """Return the name of a dtype to compute in, or raise ValueError."""
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return str(dtype)  # NumPy's own dtypes equal these words


def real_dtype(xp: Any, dtype: Any) -> str:
    """Return the name of a dtype of real numbers that a library has, or raise TypeError."""
    import numpy as np

    with suppress(TypeError):
        real = np.dtype(dtype)
        if real.kind in REAL and hasattr(xp, real.name):
            return str(real.name)
    raise TypeError(f"dtype must be one of real numbers, such as 'float32', got {dtype!r}")


def require_fit(xp: Any, x: Any, dtype: Any) -> None:
    """Raise ValueError where integers of `dtype` cannot hold the numbers, in range and whole.

    They are looked at only where they might not fit, for that waits for the device.
    """
    if xp.can_cast(x.dtype, dtype) or not xp.isdtype(dtype, "integral"):
        return
    if not (0 in x.shape or xp.isdtype(x.dtype, "bool")):
        number = int if xp.isdtype(x.dtype, "integral") else float
        low, high, bounds = number(xp.min(x)), number(xp.max(x)), xp.iinfo(dtype)
        whole = number is int or bool(xp.all(x == xp.trunc(x)))
        if not (whole and bounds.min <= low <= high <= bounds.max):  # nor where one is NaN
            kind = "numbers" if whole else "numbers, not all of them whole,"
            raise ValueError(f"{kind} from {low} to {high} cannot become {dtype}")


def cast(host: Any, dtype: Any, copy: bool) -> Any:
    """Return a NumPy array in another dtype, or raise ValueError where that cannot hold it."""
    import numpy as np

    if np.can_cast(host.dtype, dtype):  # at once: steps are counted in microseconds
        return host.astype(dtype, copy=copy)
    require_fit(np, host, dtype)
    try:
        with np.errstate(over="raise"):
            return host.astype(dtype, copy=copy)
    except FloatingPointError:
        raise ValueError(f"some of the numbers are too large for {dtype}") from None


def remedy(x: Any, host: Any) -> str:
    """Return how numbers are made of what holds none, to end a message; `host` is NumPy's view."""
    if hasattr(x, "toarray"):
        return "; .toarray() makes a sparse matrix dense"
    if host.ndim and host.dtype.kind == "U":
        return "; numpy.unique(…, return_inverse=True) numbers labels"
    if host.ndim and host.dtype.kind == "O" and hasattr(x, "astype"):
        return "; .astype(float) makes numbers of objects"
    return ""
