"""Dicts of arrays whose items are assigned by copying into place."""

from collections.abc import Iterable
from typing import Any, NoReturn

from portanet.backend import Array, backend_of, dtype_name


class Arrays(dict[str, Array]):
    """CheckedOptions arrays: ``arrays["weight"] = values`` copies `values` into the existing array.

    So whoever else holds the array (an optimizer, a layer that shares it) sees the new values. The
    values may be of any backend and floating dtype; their shape must fit. Names cannot be added or
    deleted: the layer that owns the arrays declares them.
    """

    def __setitem__(self, name: str, values: Any) -> None:
        self[name][...] = self.fitting(name, values)

    def fitting(self, name: str, values: Any) -> Array:
        """Return `values` as they can be copied to `name`, or raise ValueError or KeyError."""
        if name not in self:
            raise KeyError(f"no array named {name!r}; there are {', '.join(self) or 'none'}")
        target = self[name]
        new = backend_of(target).asarray(values, dtype=dtype_name(target))
        if new.shape != target.shape:
            raise ValueError(
                f"{name}: expected shape {tuple(target.shape)}, got {tuple(new.shape)}"
            )
        return new

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError("a layer's arrays are declared by it: none can be added or deleted")

    __delitem__ = pop = popitem = clear = setdefault = _refuse

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Copy several arrays into place; none is written where one does not fit."""
        new = {name: self.fitting(name, v) for name, v in dict(*args, **kwargs).items()}
        assign((self[name], values) for name, values in new.items())

    def __ior__(self, other: Any) -> "Arrays":  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)  # the default would copy through __setitem__

    def replace(self, arrays: dict[str, Array]) -> None:
        """Hold other array objects from now on: for the layer itself, when it moves or is drawn."""
        dict.update(self, arrays)


def assign(pairs: Iterable[tuple[Array, Array]]) -> None:
    """Copy values into arrays, given as (array, values); all of the values are read before.

    They may be these same arrays, in another order or turned around.
    """
    copies = [(array, backend_of(new).xp.asarray(new, copy=True)) for array, new in pairs]
    for array, new in copies:
        array[...] = new
