"""A line of pixels at another distance: each new one is a weighted sum of its neighbors.

That is a matrix with one or two numbers in each row. Rows with the same numbers, which lie at equal
distances as do their pixels, are done at once: to double a line takes four slices. Distances are
fractions, so which rows these are, and on which pixel one lies, is no matter of rounding.
"""

from collections.abc import Callable
from functools import lru_cache
from math import floor
from typing import TYPE_CHECKING, Any, NamedTuple

from portanet.backend import Array
from portanet.pooling import at

if TYPE_CHECKING:  # importing it takes 5 ms
    from fractions import Fraction

Resampled = tuple[Array, Callable[[Array], Array]]  # the new pixels, and the pullback


class Scale(NamedTuple):
    """Where each pixel after lies among those before: pixel i at ``start + i · step``, at least 0.

    It is the pixel there or below it, or, where `between`, a mean of that and the next.
    """

    before: int
    after: int
    start: "Fraction"
    step: "Fraction"
    between: bool


class Run(NamedTuple):
    """New pixels at equal distances, the old ones that each is made of, and their weights."""

    after: slice
    before: tuple[slice, ...]
    weights: tuple[float, ...]


def resampled(xp: Any, x: Array, scale: Scale, axis: int) -> Resampled:
    """Return x (C, H, W, N) resampled along an axis, 0 for height and 1 for width; see `Scale`.

    Where as many pixels are asked for as there are, it is x itself.
    """
    if scale.before == scale.after:  # however a factor was rounded down to it
        return x, lambda dy: dy
    before = tuple(x.shape)
    after = (*before[: axis + 1], scale.after, *before[axis + 2 :])
    y = xp.empty(after, dtype=x.dtype, device=x.device)
    for run in runs(scale):
        (first, *others), (weight, *weights) = run.before, run.weights
        value = at(x, axis, first) if weight == 1.0 else at(x, axis, first) * weight
        for part, weight in zip(others, weights, strict=True):
            value = value + at(x, axis, part) * weight
        at(y, axis, run.after)[...] = value

    def back(dy: Array) -> Array:
        dx = xp.zeros(before, dtype=dy.dtype, device=dy.device)
        for run in runs(scale):
            d = at(dy, axis, run.after)
            for part, weight in zip(run.before, run.weights, strict=True):
                place = at(dx, axis, part)
                place += d if weight == 1.0 else d * weight
        return dx

    return y, back


@lru_cache(maxsize=256)
def runs(scale: Scale) -> tuple[Run, ...]:
    """Return what a scale does, in as few runs as can be."""
    found = []
    hop, leap = scale.step.as_integer_ratio()  # `leap` pixels after are `hop` pixels before
    for phase in range(min(leap, scale.after)):
        rows = [_row(scale, i) for i in range(phase, scale.after, leap)]
        begin = 0
        for end in range(1, len(rows) + 1):
            # At the borders rows are others, and where all lie on one pixel none goes with another.
            if end < len(rows) and hop and rows[end] == (rows[end - 1][0] + hop, rows[begin][1]):
                continue
            first, weights = rows[begin]
            last = rows[end - 1][0]
            parts = tuple(slice(first + k, last + k + 1, hop or 1) for k in range(len(weights)))
            place = slice(phase + begin * leap, phase + (end - 1) * leap + 1, leap)
            found.append(Run(place, parts, weights))
            begin = end
    return tuple(found)


def _row(scale: Scale, i: int) -> tuple[int, tuple[float, ...]]:
    """Return the first pixel that pixel i is made of, and the weights of it and the next."""
    place = max(scale.start + i * scale.step, 0 * scale.step)
    first = min(floor(place), scale.before - 1)
    share = float(place - first)
    if not scale.between or share == 0.0 or first == scale.before - 1:
        return first, (1.0,)
    return first, (1.0 - share, share)
