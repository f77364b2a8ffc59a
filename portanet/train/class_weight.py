"""How much each class counts in a loss."""

from collections.abc import Mapping
from math import inf

from portanet.backend import Array, Backend
from portanet.checks import number
from portanet.train.batch import check_weight

ClassWeight = Mapping[int, float] | Array | None


def class_weights(given: ClassWeight, classes: int, backend: Backend) -> Array:
    """Return the weights by class index as an array (K,); those that a mapping lacks are 1."""
    if isinstance(given, str):
        raise TypeError(
            f"class_weight must be a dict or an array (K,), got {given!r}; "
            "len(y) / (K * numpy.bincount(y)) gives all classes the same weight in sum"
        )
    if isinstance(given, Mapping):
        if unknown := [c for c in given if c not in range(classes)]:
            raise ValueError(f"class_weight: there are no classes {unknown}")
        pairs = [(f"class_weight[{c}]", given.get(c, 1.0)) for c in range(classes)]
        given = [number(what, value, low=-inf) for what, value in pairs]
    array = backend.asarray(given, backend.dtype)
    if tuple(array.shape) != (classes,):
        got = tuple(array.shape)
        raise ValueError(f"class_weight: expected {classes} weights, got shape {got}")
    check_weight("class_weight", array)
    return array
