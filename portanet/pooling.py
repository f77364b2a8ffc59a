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
Part = tuple[slice, Array]  # places along the axis, and a gradient for them


def max_pool(xp: Any, x: Array, window: Window) -> Pooled:
    """Return the largest element of each window of x (N, C, H, W), and the pullback.

    Of equal ones the gradient goes to the first in row-major order, of windows of −∞, too.
    """
    image = pad(xp, batch_last(xp, x), window.padding, -float("inf"))
    # The first of equal elements: the first of its row, in the first row.
    return _both_axes(xp, max_along, image, x.shape[2:], window)


def sum_pool(xp: Any, x: Array, window: Window) -> Pooled:
    """Return the sum of each window of x (N, C, H, W), and the pullback."""
    image = pad(xp, batch_last(xp, x), window.padding)
    return _both_axes(xp, sum_along, image, x.shape[2:], window)


def _both_axes(xp: Any, along: Any, image: Array, inner: tuple[int, ...], window: Window) -> Pooled:
    height, width = inner
    oh, ow = window.output_size(height, width)
    taken, back_across = along(xp, image, window, 1, ow)
    taken, back_down = along(xp, taken, window, 0, oh)

    def back(dy: Array) -> Array:
        d_image = back_across(back_down(batch_last(xp, dy)))
        return batch_first(xp, crop(d_image, window.padding, height, width))

    return batch_first(xp, taken), back


def max_along(xp: Any, x: Array, window: Window, axis: int, size: int) -> Pooled:
    """Return the largest element of each of the window's `size` positions.

    Of equal ones the gradient goes to the first that is not padding.
    """
    first, *others = window.reach(axis, size)
    highest, above = at(x, axis, first), []
    for part, entering in zip(others, _entering(window, axis, size), strict=True):
        candidate = at(x, axis, part)
        is_above = candidate > highest
        if entering:  # all before is padding, which yields to −∞, too
            at(is_above, axis, entering)[...] = True
        above.append((part, is_above))
        highest = xp.maximum(highest, candidate)
    shape = x.shape

    def back(dy: Array) -> Array:
        parts, left = [], dy
        for part, is_above in reversed(above):  # the last above all before it is the largest
            found = left * xp.astype(is_above, dy.dtype)
            parts.append((part, found))
            left = left - found
        return _spread(xp, [*parts, (first, left)], shape, axis, _overlap(window, axis))

    return highest, back


def sum_along(xp: Any, x: Array, window: Window, axis: int, size: int) -> Pooled:
    """Return the sum of each of the window's `size` positions."""
    reach, shape = window.reach(axis, size), x.shape
    taken = at(x, axis, reach[0])
    for part in reach[1:]:
        taken = taken + at(x, axis, part)

    def back(dy: Array) -> Array:
        return _spread(xp, [(p, dy) for p in reach], shape, axis, _overlap(window, axis))

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
        parts = [(b, at(dy, axis, slice(i, i + 1)) * share) for i, (b, share) in enumerate(pairs)]
        return _spread(xp, parts, shape, axis, overlap)

    return (means[0] if len(means) == 1 else xp.concat(means, axis=axis + 1)), back


def at(x: Array, axis: int, part: slice) -> Array:
    """View places along an axis."""
    return x[:, part, :, :] if axis == 0 else x[:, :, part, :]


@lru_cache(maxsize=1024)
def _entering(window: Window, axis: int, size: int) -> tuple[slice | None, ...]:
    """Return the positions at which a kernel element is the first in the image, or None for none.

    All elements have their own, but for the first, which has nothing before it.
    """
    d, s, before = window.dilation[axis], window.stride[axis], window.padding[axis][0]
    # The positions from which on an element is in the image: the quotient is rounded up.
    since = [min(size, max(0, -((k * d - before) // s))) for k in range(window.kernel[axis])]
    return tuple(slice(b, a) if b < a else None for a, b in pairwise(since))


def _overlap(window: Window, axis: int) -> bool:
    """Say whether two positions of a window may meet the same pixel."""
    return window.dilation[axis] * (window.kernel[axis] - 1) >= window.stride[axis]


def _spread(xp: Any, parts: Sequence[Part], shape: Any, axis: int, overlap: bool) -> Array:
    """Add gradients up at their places along an axis of an array of zeros.

    Where none `overlap`, they are copied there, which is one pass less.
    """
    dy = parts[0][1]
    image = xp.zeros(shape, dtype=dy.dtype, device=dy.device)
    for part, d in parts:
        place = at(image, axis, part)
        place[...] = place + d if overlap else d
    return image
