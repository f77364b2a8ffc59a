"""The generic versions, and oracles, of `Backend.max_pool` and `Backend.sum_pool`.

What a window's largest element or its sum is can be taken along one axis after the other: fewer
passes over the image, and shorter ones. The functions with an `axis`, 0 for height and 1 for width,
take images (C, H, W, N); each reduction comes with its pullback.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from portanet.im2col import Window, batch_first, batch_last, crop, pad
from portanet.sums import total

Array = Any
Pooled = tuple[Array, Callable[[Array], Array]]  # what was taken, and its pullback
Index = tuple[Any, ...]
Part = tuple[Index, Array]  # places along the axis, and a gradient for them


def max_pool(xp: Any, x: Array, window: Window, needs_pullback: bool = True) -> Pooled:
    """Return the largest element of each window of x (N, C, H, W), and the pullback.

    Of equal ones the gradient goes to the first in row-major order, of windows of −∞, too. The
    pullback needs masks, which are not made without it.
    """
    image = pad(xp, batch_last(xp, x), window.padding, -float("inf"))
    # The first of equal elements: the first of its row, in the first row.
    reduce = max_along if needs_pullback else highest_along
    return _both_axes(xp, reduce, image, x.shape[2:], window)


def sum_pool(xp: Any, x: Array, window: Window) -> Pooled:
    """Return the sum of each window of x (N, C, H, W), and the pullback."""
    image = pad(xp, batch_last(xp, x), window.padding)
    return _both_axes(xp, sum_along, image, x.shape[2:], window)


def _both_axes(
    xp: Any, reduce: Any, image: Array, inner: tuple[int, ...], window: Window
) -> Pooled:
    height, width = inner
    oh, ow = window.output_size(height, width)
    taken, back_across = reduce(xp, image, window, 1, ow)
    taken, back_down = reduce(xp, taken, window, 0, oh)

    def back(dy: Array) -> Array:
        d_image = back_across(back_down(batch_last(xp, dy)))
        return batch_first(xp, crop(d_image, window.padding, height, width))

    return batch_first(xp, taken), back


def max_along(xp: Any, x: Array, window: Window, axis: int, size: int) -> Pooled:
    """Return the largest element of each of the window's `size` positions.

    Of equal ones the gradient goes to the first that is not padding.
    """
    (first, *others), overlap = _reach(window, axis, size)
    highest, above, shape = x[first], [], x.shape
    for index, entering in zip(others, _entering(window, axis, size), strict=True):
        candidate = x[index]
        is_above = candidate > highest
        if entering:  # all before is padding, which yields to −∞, too
            is_above[entering] = True
        above.append((index, is_above))
        highest = xp.maximum(highest, candidate)

    def back(dy: Array) -> Array:
        parts, left = [], dy
        for index, is_above in reversed(above):  # the last above all before it is the largest
            found = left * xp.astype(is_above, dy.dtype)
            parts.append((index, found))
            left = left - found
        return _spread(xp, [*parts, (first, left)], shape, overlap)

    return highest, back


def highest_along(xp: Any, x: Array, window: Window, axis: int, size: int) -> Pooled:
    """Return the largest element of each of the window's `size` positions, without a pullback."""
    (first, *others), _ = _reach(window, axis, size)
    highest = x[first]
    for index in others:
        highest = xp.maximum(highest, x[index])
    return highest, no_pullback


def sum_along(xp: Any, x: Array, window: Window, axis: int, size: int) -> Pooled:
    """Return the sum of each of the window's `size` positions."""
    (first, *others), overlap = _reach(window, axis, size)
    taken, shape = x[first], x.shape
    for index in others:
        taken = taken + x[index]

    def back(dy: Array) -> Array:
        return _spread(xp, [(index, dy) for index in (first, *others)], shape, overlap)

    return taken, back


def mean_along(xp: Any, x: Array, bins: Sequence[slice], axis: int) -> Pooled:
    """Return the mean of each bin: of places side by side, which two bins may share."""
    if len(bins) == x.shape[axis + 1]:  # one place each
        return x, lambda dy: dy
    shares = [1.0 / (b.stop - b.start) for b in bins]
    pairs = list(zip(bins, shares, strict=True))
    means = [total(xp, at(x, axis, b), (axis + 1,)) * share for b, share in pairs]
    shape = x.shape
    overlap = any(b.stop > after.start for b, after in pairwise(bins))

    def back(dy: Array) -> Array:
        ds = [at(dy, axis, slice(i, i + 1)) * share for i, (_, share) in enumerate(pairs)]
        parts = [(along(axis, b), d) for b, d in zip(bins, ds, strict=True)]
        return _spread(xp, parts, shape, overlap)

    return (means[0] if len(means) == 1 else xp.concat(means, axis=axis + 1)), back


def no_pullback(dy: Array) -> Array:
    """Stand in for the pullback of a pass that keeps none."""
    raise RuntimeError("this pass ran with needs_pullback=False: it has no backward pass")


def along(axis: int, part: slice) -> Index:
    """Return the index of places along an axis of images (C, H, W, N)."""
    return (slice(None), part, ...) if axis == 0 else (slice(None), slice(None), part, ...)


def at(x: Array, axis: int, part: slice) -> Array:
    """View places along an axis."""
    return x[along(axis, part)]


# The answers are asked for again and again, and at small batches computing them counts.
@lru_cache(maxsize=1024)
def _reach(window: Window, axis: int, size: int) -> tuple[tuple[Index, ...], bool]:
    """Return where each kernel element is met, and whether two may be at the same pixel."""
    overlap = window.dilation[axis] * (window.kernel[axis] - 1) >= window.stride[axis]
    return tuple(along(axis, part) for part in window.reach(axis, size)), overlap


@lru_cache(maxsize=1024)
def _entering(window: Window, axis: int, size: int) -> tuple[Index | None, ...]:
    """Return the positions at which a kernel element is the first in the image, or None for none.

    All elements have their own, but for the first, which has nothing before it.
    """
    d, s, before = window.dilation[axis], window.stride[axis], window.padding[axis][0]
    # The positions from which on an element is in the image: the quotient is rounded up.
    since = [min(size, max(0, -((k * d - before) // s))) for k in range(window.kernel[axis])]
    return tuple(along(axis, slice(b, a)) if b < a else None for a, b in pairwise(since))


def _spread(xp: Any, parts: Sequence[Part], shape: Any, overlap: bool) -> Array:
    """Add gradients up at their places along an axis of an array of zeros.

    Where none `overlap`, they are copied there, which is one pass less.
    """
    dy = parts[0][1]
    image = xp.zeros(shape, dtype=dy.dtype, device=dy.device)
    for index, d in parts:
        image[index] = image[index] + d if overlap else d
    return image
