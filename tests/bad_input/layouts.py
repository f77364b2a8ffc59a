"""The same numbers in every way that memory can hold them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def strided(array: Any) -> Any:
    """Return every second element of a larger array, with NaN or nonsense between them."""
    wide = np.full((*array.shape, 2), np.nan if array.dtype.kind == "f" else 99, array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


def reversed_(array: Any) -> Any:
    """Return a view that runs backwards along every axis."""
    backwards = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[backwards])[backwards]


def unaligned(array: Any) -> Any:
    """Return a view of bytes that begins at an odd address."""
    raw = np.zeros(array.nbytes + 1, "uint8")
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array: Any) -> Any:
    """Return a copy that cannot be written to."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def mapped(array: Any, folder: Path) -> Any:
    """Return a read-only view of a file."""
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "strided": strided,
    "Fortran": np.asfortranarray,
    "reversed": reversed_,
    "unaligned": unaligned,
    "read-only": read_only,
}
NAMES = (*LAYOUTS, "memory-mapped")


def laid_out(array: Any, layout: str, folder: Path) -> Any:
    """Return an array's numbers in another layout; what is no array, as it is."""
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        return array
    return mapped(array, folder) if layout == "memory-mapped" else LAYOUTS[layout](array)
