"""Ranges from which augmentations draw."""

from math import inf
from typing import Any

from portanet.checks import number

Range = tuple[float, float]


def two(what: str, value: Any, least: float, most: float = inf) -> Range:
    """Return two numbers in [least, most], or raise TypeError or ValueError."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{what} must be a pair of numbers, got {value!r}")
    return number(what, value[0], least, most), number(what, value[1], least, most)


def span(what: str, value: Any, least: float = -inf, center: float | None = None) -> Range:
    """Return (low, high) from a pair of numbers of at least `least`.

    Where there is a `center`, one number is a pair, too: how far the two are from it.
    """
    if center is None or isinstance(value, (tuple, list)):
        low, high = two(what, value, least)
    else:
        distance = number(what, value)
        low, high = max(least, center - distance), center + distance
    if not -inf < low <= high < inf:
        raise ValueError(f"{what} must give a range from a low to a high number, got {value!r}")
    return low, high


def between(ends: Range, u: Any) -> Any:
    """Return numbers uniform between the ends, from `u` uniform in [0, 1)."""
    low, high = ends
    return low + (high - low) * u
