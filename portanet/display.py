"""How objects that are made of options show themselves."""

from inspect import signature
from reprlib import Repr
from typing import Any


class _Brief(Repr):
    """Values in one line: what takes more is shown by its class alone."""

    def repr_instance(self, x: Any, level: int) -> str:
        """Return an object's own words, where they are few."""
        words = repr(x)
        fits = len(words) <= 80 and "\n" not in words and " at 0x" not in words
        return words if fits else f"{type(x).__name__}(…)"

    def repr_function(self, x: Any, level: int) -> str:
        """Return a function's name: where it lies in memory says nothing."""
        return str(x.__name__)


_brief = _Brief()
_brief.maxstring = 80


def shown(self: Any) -> str:
    """Return ``Class(option=value, …)``: the options that differ from their defaults.

    Of those that the object keeps under their own names, as a `__repr__` for it.
    """
    told = []
    for option in signature(type(self)).parameters.values():
        value = getattr(self, option.name, option.default)
        if value is not option.default and not _same(value, option.default):
            told.append(f"{option.name}={_brief.repr(value)}")
    return f"{type(self).__name__}({', '.join(told)})"


def _same(value: Any, usual: Any) -> bool:
    value = tuple(value) if isinstance(value, list) else value
    return isinstance(value, int | float | str | tuple) and value == usual
