"""What a batch is made of, and how its parts come to the model."""

from typing import Any, NamedTuple

from portanet.backend import Array, Backend, backend_of
from portanet.registry import find_backend

NO_BATCH = (
    "the data gave no batch: it is empty, or an iterator, which can be used only once; "
    "give a DataLoader, a list, or an object whose iteration begins anew"
)

EVALUATION = 256  # samples in a batch where nothing is kept for a backward pass


class Batch(NamedTuple):
    """What one forward pass takes, on the model's backend."""

    x: Array
    y: Array
    weight: Array | None


def parts_of(batch: Any) -> tuple[Any, Any, Any]:
    """Return x, y and the samples' weights, or None for these; raise TypeError for other data."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise TypeError(
            "expected batches (x, y) or (x, y, sample_weight), got "
            + (f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__)
            + "; whole arrays are given as a tuple (x, y)"
        )
    return batch[0], batch[1], batch[2] if len(batch) == 3 else None


def is_arrays(data: Any) -> bool:
    """Say whether data are whole arrays, x and y, and not batches."""
    return (
        isinstance(data, tuple)
        and len(data) in (2, 3)
        and all(hasattr(part, "shape") or isinstance(part, list) for part in data)
    )


def as_array(backend: Backend, part: Any) -> Any:
    """Return a part as an array: where it is, if it is one, else on the backend."""
    return backend.asarray(part) if find_backend(part) is None else part


def bring(backend: Backend, array: Any) -> Array:
    """Return x or y on the backend: floats in its dtype, class indices as int64."""
    array, xp = backend.asarray(array), backend.xp
    if array.ndim == 1 and xp.isdtype(array.dtype, "integral"):
        # `asarray` would look whether uint64 fits, and wait for the device.
        return xp.astype(array, xp.int64, copy=False)
    return array


def bring_weight(backend: Backend, array: Any) -> Array:
    """Return the samples' weights on the backend, in its dtype."""
    return backend.asarray(array, backend.dtype)


def two_of(array: Any) -> Any:
    """Return an array's first two samples, where it has so many."""
    return array[: min(2, array.shape[0]), ...]


def in_main_memory(array: Any) -> bool:
    """Say whether an array's values can be looked at without waiting for a device."""
    return str(getattr(array, "device", "cpu")) == "cpu"


def check_finite(what: str, array: Any) -> None:
    """Raise ValueError where a number is not finite."""
    xp = backend_of(array).xp
    if not xp.isdtype(array.dtype, "real floating") or bool(xp.all(xp.isfinite(array))):
        return
    bad = xp.any(xp.reshape(~xp.isfinite(array), (array.shape[0], -1)), axis=1)
    first = int(xp.argmax(xp.astype(bad, xp.int64)))
    raise ValueError(f"{what} contains numbers that are not finite, first in sample {first}")


def check_weight(what: str, weight: Any) -> None:
    """Raise ValueError for weights that are not one a sample, not finite, or negative."""
    if weight.ndim != 1:
        shape = tuple(weight.shape)
        raise ValueError(f"{what}: expected weights of shape {shape[:1]}, got {shape}")
    check_finite(what, weight)
    if not bool(backend_of(weight).xp.all(weight >= 0)):
        raise ValueError(f"{what} must not be negative")
