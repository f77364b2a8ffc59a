"""What a model predicts from: x alone, batch by batch."""

from collections.abc import Iterable, Iterator
from typing import Any

from portanet.backend import Array, Backend
from portanet.data.loader import DataLoader
from portanet.train.batch import EVALUATION, NO_BATCH, as_array, is_arrays


def inputs(x: Any, backend: Backend, batch_size: int | None) -> Iterator[Array]:
    """Yield what a model predicts from, batch by batch, on its backend.

    `x` is an array, a DataLoader, or an iterable of batches: x alone, or tuples of which it is the
    first. A list of numbers, or of rows of them, is an array. Raises ValueError for a loader that
    gives the samples in another order than its own, or not all of them.
    """
    if isinstance(x, tuple):
        raise TypeError("predict takes x alone, got a tuple")
    if not isinstance(x, Iterable) or hasattr(x, "shape") or _is_list_of_numbers(x):
        x = DataLoader(as_array(backend, x), EVALUATION if batch_size is None else batch_size)
    elif batch_size is not None:
        raise ValueError("batch_size goes with arrays; a loader or an iterable has its own")
    if isinstance(x, DataLoader):
        if x.shuffle or x.replacement:
            raise ValueError(
                "predict gives scores in the order of the samples, but the loader draws another: "
                "give one without shuffle and replacement"
            )
        if left := x.samples - min(x.samples, len(x) * x.batch_size):
            raise ValueError(
                f"predict gives scores for all samples, but drop_last leaves out the last {left} "
                f"of {x.samples}"
            )
        x = x.batches(0)
    parts = (b[0] if isinstance(b, (tuple, list)) and b else b for b in x)
    brought = map(backend.overlapped().asarray, parts)
    if (first := next(brought, None)) is None:
        raise ValueError(f"predict: {NO_BATCH}")
    yield first
    yield from brought


def _is_list_of_numbers(x: Any) -> bool:
    """Say whether `x` is a list of numbers or rows, and not of batches."""
    if not isinstance(x, list):
        return False
    first: Any = x[0] if x else ()
    if is_arrays(first):  # a batch as `fit` takes it
        return getattr(first[0], "ndim", 1) == 0
    return getattr(first, "ndim", 0) < 2
