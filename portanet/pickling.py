"""Backends in pickles: they hold modules and devices, which cannot be pickled, nor copied."""

from functools import partial
from inspect import signature
from operator import attrgetter
from typing import Any, ClassVar, Self


class Remade:
    """Pickles and deep copies hold the constructor's options; the object is made anew from them.

    Only options kept as attributes of the same name survive. The device is stored as what
    identifies it: the other process must have it, else reading the pickle raises what making the
    object does.
    """

    device_key: ClassVar[str]

    def __reduce__(self) -> tuple[Any, ...]:
        names = signature(type(self)).parameters
        options = {name: getattr(self, name) for name in names if hasattr(self, name)}
        options["device"] = attrgetter(self.device_key)(self)
        return partial(type(self), **options), ()

    def __copy__(self) -> Self:  # not through a pickle: it is the same but for what is changed then
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other
