"""What `fit` and `evaluate` were given as data: as a DataLoader, or as the iterable that it is."""

from collections.abc import Iterable, Mapping
from typing import Any

from portanet.backend import Array, Backend
from portanet.data.loader import DataLoader
from portanet.train.batch import EVALUATION, bring, bring_weight, is_arrays, parts_of


def batches_of(
    data: Any,
    backend: Backend,
    *,
    batch_size: int | None,
    shuffle: bool | None,
    replacement: bool,
    seed: int,
    training: bool,
    sample_weight: Array | None,
) -> DataLoader | Iterable[Any]:
    """Return what yields the batches; arrays are brought to the backend.

    Raises ValueError for options that go with arrays alone, and where an evaluation would not be of
    the samples as they are; TypeError for other data.
    """
    if is_arrays(data):
        if sample_weight is not None and len(data) == 3:
            raise ValueError("the data holds weights already: (x, y, weight), or sample_weight")
        arrays = data if sample_weight is None else (*data, sample_weight)
        kinds = (bring, bring, bring_weight)
        arrays = tuple(
            a if is_mapped(a) else kind(backend, a) for a, kind in zip(arrays, kinds, strict=False)
        )
        size = (32 if training else EVALUATION) if batch_size is None else batch_size
        order = training if shuffle is None else shuffle
        return DataLoader(arrays, size, shuffle=order, replacement=replacement, seed=seed)
    if batch_size is not None:
        raise ValueError("batch_size goes with arrays; a loader or an iterable has its own")
    if shuffle is not None:
        raise ValueError("shuffle goes with arrays; a loader or an iterable has its own order")
    if sample_weight is not None:
        raise ValueError(
            "sample_weight goes with arrays; a loader or an iterable yields (x, y, weight)"
        )
    if not isinstance(data, Iterable) or isinstance(data, Mapping):
        raise TypeError(
            "expected a tuple of arrays (x, y), a DataLoader or an iterable of batches, "
            f"got {type(data).__name__}"
        )
    if isinstance(data, list) and data:
        parts_of(data[0])
    if isinstance(data, DataLoader) and data.replacement and not training:
        raise ValueError(
            "an evaluation is of all samples, once each, but the loader draws them at random: "
            "give one without replacement=True"
        )
    return data


def is_mapped(array: Any) -> bool:
    """Say whether an array is a view of a file, which may be larger than memory."""
    from numpy import memmap

    return isinstance(array, memmap)
