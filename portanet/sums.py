"""Sums of many terms that keep their digits, in whichever order the terms lie in memory.

A library may add terms one by one, as NumPy does unless they lie side by side: in portanet's order,
the batch innermost, those of one sample never do. Of 10⁶ float32 numbers the sum then keeps two to
four digits of seven. Here sums are made of shorter ones, by steps that are fast in that order, too.
"""

from typing import Any

Array = Any

LONGEST = 1024  # terms along an axis that may be added one by one: that costs a digit
BLOCK = 128  # terms that are added first, where there are more


def total(xp: Any, x: Array, *stages: tuple[int, ...]) -> Array:
    """Return the sum over the axes of all stages, which stay, of length 1.

    The axes of a stage, counted from 0, are summed together; one stage comes after the other. What
    lies innermost in memory had better come last.
    """
    for axes in stages:
        for axis in axes:
            while x.shape[axis] > LONGEST:
                x = _in_blocks(xp, x, axis)
        x = xp.sum(x, axis=axes, keepdims=True)
    return x


def _in_blocks(xp: Any, x: Array, axis: int) -> Array:
    """Return the sums of blocks along an axis, and of what is left."""
    shape, before = tuple(x.shape), (slice(None),) * axis
    count, left = divmod(shape[axis], BLOCK)
    whole, rest = slice(count * BLOCK), slice(count * BLOCK, None)
    split = (*shape[:axis], count, BLOCK, *shape[axis + 1 :])
    sums = xp.sum(xp.reshape(x[(*before, whole, ...)], split), axis=axis + 1)
    if not left:
        return sums
    return xp.concat([sums, xp.sum(x[(*before, rest, ...)], axis=axis, keepdims=True)], axis=axis)
