"""Checks of arguments: errors that name what came and what was expected."""

import inspect
from abc import ABCMeta
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from math import inf
from operator import index
from os import PathLike
from os.path import expanduser
from pathlib import Path
from reprlib import repr as shortened  # a whole array would bury the message
from typing import Any, ParamSpec, TypeVar, Unpack, get_args, get_origin

from portanet.display import shown
from portanet.words import hint

Pair = tuple[int, int]
Kind = TypeVar("Kind")
Given = ParamSpec("Given")
Result = TypeVar("Result")


class CheckedOptions(ABCMeta):
    """Metaclass: a call with an unknown option raises TypeError and suggests the known one.

    Objects show their options, too, where their class does not say how it is shown.
    """

    def __init__(cls, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if cls.__repr__ is object.__repr__:  # type: ignore[comparison-overlap]
            cls.__repr__ = shown  # type: ignore[assignment]

    def __call__(cls, *args: Any, **options: Any) -> Any:
        function = cls._initializer
        check_places(cls.__name__, function, args)
        if options:
            check_options(cls.__name__, function, options)
        return super().__call__(*args, **options)

    @property
    def _initializer(cls) -> Any:
        """``__init__``; object's takes anything where there is a ``__new__``, this one nothing."""
        function = cls.__init__  # type: ignore[misc]
        return _takes_nothing if function is object.__init__ else function

    @property
    def __signature__(cls) -> inspect.Signature:
        """The arguments as `help` and notebooks show them: not this class's ``*args``."""
        signature = inspect.signature(cls._initializer)
        parameters = list(signature.parameters.values())[1:]
        return signature.replace(parameters=parameters, return_annotation=signature.empty)


def _takes_nothing(self: Any) -> None: ...


def check_places(who: str, function: Any, args: tuple[Any, ...]) -> None:
    """Raise TypeError where more is given without a name than a constructor takes so."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS or len(args) < code.co_argcount:
        return
    names = ", ".join(code.co_varnames[1 : code.co_argcount]) or "no arguments"
    raise TypeError(f"{who} takes {names}, got {', '.join(map(shortened, args))}")


def check_options(who: str, function: Any, options: dict[str, Any]) -> None:
    """Raise TypeError where `function` does not take one of the options.

    ``**common: Unpack[SomeTypedDict]`` names options, too; a bare ``**options`` takes any.
    """
    known: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            known += [name] if name != "self" else []
        elif get_origin(parameter.annotation) is Unpack:
            known += get_args(parameter.annotation)[0].__annotations__
        else:
            return
    for option in options:
        if option not in known:
            raise TypeError(f"{who} has no option {option!r}; {hint(option, known)}")


def checks_options(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """Check a method's options as `CheckedOptions` does a class's; `help` shows it as it is."""

    @wraps(method)
    def checked(*args: Given.args, **options: Given.kwargs) -> Result:
        who = f"{type(args[0]).__name__}.{method.__name__}"
        if len(args) > 2:  # the object, and the one thing
            first = list(inspect.signature(method).parameters)[1]
            such = "such as the tuple (x, y)" if first == "data" else first
            raise TypeError(f"{who} takes one thing without a name, {such}")
        check_options(who, method, options)
        return method(*args, **options)

    return checked


def flag(what: str, value: Any) -> bool:
    """Return `value` as a bool, or raise TypeError: any word, "no" among them, would be true."""
    if type(value).__name__ != "bool":  # Python's, or NumPy's
        raise TypeError(f"{what} must be True or False, got {shortened(value)}")
    return bool(value)


def integer(what: str, value: Any, least: float = 1) -> int:
    """Return `value` as an int of at least `least`, or raise TypeError or ValueError."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, got {shortened(value)}")
    if number < least:
        raise ValueError(f"{what} must be at least {least}, got {value!r}")
    return number


def lengths(what: str, value: Any, least: int = 0) -> tuple[int, ...]:
    """Return a shape: a tuple of ints of at least `least`, or raise TypeError or ValueError."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{what} must be a tuple of ints, got {shortened(value)}")
    return tuple(integer(what, length, least) for length in value)


def listed(what: str, values: Any) -> list[Any]:
    """Return a list of an iterable's items; raise TypeError for a string or no iterable."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be a list, got {shortened(values)}")
    return list(values)


def complete(who: str, state: Any, keys: Collection[str]) -> Mapping[str, Any]:
    """Return a state, or raise TypeError where it is no mapping, ValueError where it lacks keys."""
    if lacking := [key for key in keys if key not in instance("state", state, Mapping)]:
        raise ValueError(f"{who}: the state lacks {', '.join(lacking)}")
    return state  # type: ignore[no-any-return]


def instance(what: str, value: Kind, kind: type[Any]) -> Kind:
    """Return `value`, or raise TypeError where it is no `kind`."""
    if not isinstance(value, kind):
        a = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{what} must be {a} {kind.__name__}, got {shortened(value)}")
    return value


def path(what: str, value: Any) -> Path:
    """Return a Path, ``~`` the home directory, or raise TypeError for no path and no str."""
    if not isinstance(value, (str, PathLike)):
        raise TypeError(f"{what} must be a str or a Path, got {shortened(value)}")
    return Path(expanduser(value))


def pair(what: str, value: Any, least: int = 1) -> Pair:
    """Return ``(height, width)`` from an int or a pair of ints of at least `least`."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{what} must be an int or a pair of ints, got {shortened(value)}")
    return integer(what, both[0], least), integer(what, both[1], least)


def number(
    what: str, value: Any, low: float = 0.0, high: float = inf, *, infinite: bool = False
) -> float:
    """Return `value` as a float in [low, high], or raise TypeError or ValueError.

    `infinite` says whether ±∞ will do, where it is in the range.
    """
    try:
        result = None if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = None
    if result is None:
        raise TypeError(f"{what} must be a number, got {shortened(value)}")
    if not low <= result <= high:
        raise ValueError(f"{what} must be in [{low:g}, {high:g}], got {value!r}")
    if abs(result) == inf and not infinite:
        raise ValueError(f"{what} must be finite, got {value!r}")
    return result


def word(what: str, value: Any, *words: str) -> str:
    """Return `value`, or raise ValueError where it is none of the words."""
    if not isinstance(value, str) or value not in words:
        *first, last = map(repr, words)
        raise ValueError(f"{what} must be {', '.join(first)} or {last}, got {shortened(value)}")
    return value


def sign_of(monitor: str, mode: str = "auto") -> float:
    """Return 1 where the larger value of a quantity is the better, else −1."""
    instance("monitor", monitor, str)
    if word("mode", mode, "auto", "min", "max") == "auto":
        if not any(word in monitor for word in ("loss", "error", "mae", "mse", "acc")):
            raise ValueError(f"say with mode='min' or 'max' which {monitor!r} is the better")
        mode = "max" if "acc" in monitor else "min"
    return 1.0 if mode == "max" else -1.0


def checked_betas(betas: tuple[float, float]) -> tuple[float, float]:
    """Return the two decay rates, each in [0, 1), or raise TypeError or ValueError."""
    try:
        first, second = betas
    except (TypeError, ValueError):
        raise TypeError(f"betas must be a pair of numbers, got {shortened(betas)}") from None
    for beta in (first, second):
        if number("betas", beta) >= 1.0:
            raise ValueError(f"betas must be in [0, 1), got {beta!r}")
    return float(first), float(second)
