"""The contract of every augmentation: a pure function of images, a key and the samples' places.

Each sample has random numbers of its own, drawn on the host from the key and the sample's place in
the whole. So the same seed gives the same images on every backend, however the whole is cut into
batches, and a run that is resumed continues as if it had never stopped.
"""

import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from reprlib import repr as shortened
from typing import Any, ClassVar, NoReturn

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.checks import CheckedOptions, instance, integer, listed
from portanet.random import Key
from portanet.registry import find_backend

Function = Callable[[Array, Key, int], Array]


class Transform(metaclass=CheckedOptions):
    """A random change of images: ``y = transform(x, key)``.

    The same `key`, a `portanet.Key`, gives the same change each time. Where x is a part of the
    data, `first` is the place of its first sample: the parts then change as the whole would.

    A subclass says in `draws` how many random numbers a sample takes, and implements `apply`.

    Shapes: x (N, C, H, W), floating-point, on any backend; y a new array of x's dtype there. Raises
    TypeError where x is something else, and ValueError where it has another shape.
    """

    draws: ClassVar[int]

    def __call__(self, x: Array, key: Key, first: int = 0) -> Array:
        """Return the changed images."""
        backend = backend_of(x)
        if x.ndim != 4 or 0 in x.shape[1:]:
            self.fail(f"expected images of shape (N, C, H, W), got {tuple(x.shape)}")
        if x.dtype not in backend.floats:
            self.fail(
                f"expected floating-point images, got {dtype_name(x)}; "
                "portanet.asarray(x, dtype='float32') / 255 makes them of bytes",
                TypeError,
            )
        first = integer("first", first, least=0)
        # Whatever the dtype, in float64: then only pixels are rounded, not what happens to them.
        u = instance("key", key, Key).samples((x.shape[0], self.draws), "float64", first)
        return self.apply(backend, x, u)

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the images changed as `u` says, a NumPy array (N, draws) uniform in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply")

    def fail(self, message: str, error: type[Exception] = ValueError) -> NoReturn:
        """Raise an error that names this transform."""
        raise error(f"{type(self).__name__}: {message}")


class Compose(metaclass=CheckedOptions):
    """Transforms one after another: ``Compose([RandomCrop(28, padding=2), Cutout(8)])``.

    Args:
        transforms: functions ``transform(x, key, first)``, such as each `Transform`; every one
            has a key of its own, a child of the one that is given.
    """

    def __init__(self, transforms: Iterable[Function]) -> None:
        given = listed("transforms", transforms)
        self.transforms = [as_transform("Compose: expected", transform) for transform in given]

    def __call__(self, x: Array, key: Key, first: int = 0) -> Array:
        """Return `x` after all transforms."""
        instance("key", key, Key)
        for number, transform in enumerate(self.transforms):
            x = apply(transform, x, key.child(number), first)
        return x


def as_transform(expected: str, transform: Any) -> Function:
    """Return a transform, or raise TypeError where it cannot be called as one is."""
    with suppress(ValueError):  # what is written in C may not say what it takes
        try:
            inspect.signature(transform).bind("x", "key", "first")
        except TypeError:
            form = "a function transform(x, key, first), such as a Compose"
            raise TypeError(f"{expected} {form}, got {transform!r}") from None
    return transform  # type: ignore[no-any-return]


def apply(transform: Function, x: Array, key: Key, first: int) -> Array:
    """Return what a transform makes of `x`, or raise TypeError where that is no array."""
    changed = transform(x, key, first)
    if find_backend(changed) is None:
        got = shortened(changed)
        raise TypeError(f"the transform {transform!r} must return the changed x, got {got}")
    return changed
