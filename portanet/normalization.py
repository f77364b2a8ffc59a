"""The generic versions, and oracles, of `Backend.moments` and `Backend.normalize`.

Both take x (N, C, …) channel by channel: over all samples and positions.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

from portanet.sums import total

Array = Any
# From dy, and whether dx is asked for, to dx or None, and the sums of dy·n and of dy, each (C,).
NormalPullback = Callable[[Array, bool], tuple[Array | None, Array, Array]]
Normalized = tuple[Array, NormalPullback]


def moments(xp: Any, x: Array) -> tuple[Array, Array]:
    """Return the mean and the biased variance of each channel, both (C,).

    The variance is the mean of (x − mean)²: that of x² less mean² would lose all its digits where
    the mean is large.
    """
    axes, _ = _axes(x.ndim)
    count = prod(x.shape) // x.shape[1]  # values per channel
    mean = total(xp, x, axes) / count
    var = total(xp, (x - mean) ** 2, axes) / count
    return xp.reshape(mean, (-1,)), xp.reshape(var, (-1,))


def normalize(
    xp: Any,
    x: Array,
    mean: Array,
    var: Array,
    eps: float,
    weight: Array | None,
    bias: Array | None,
    of_batch: bool,
) -> Normalized:
    """Return y = w n + b with n = (x − mean) / √(var + eps), and the pullback; see `Kernels`."""
    axes, spread = _axes(x.ndim)
    count = prod(x.shape) // x.shape[1]  # values per channel
    mean, inverse = (xp.reshape(v, spread) for v in (mean, 1.0 / xp.sqrt(var + eps)))
    scale = inverse if weight is None else inverse * xp.reshape(weight, spread)

    y = (x - mean) * scale
    if bias is not None:
        y += xp.reshape(bias, spread)

    def back(dy: Array, needs_input_grad: bool) -> tuple[Array | None, Array, Array]:
        normal = (x - mean) * inverse
        products, sums = total(xp, dy * normal, axes), total(xp, dy, axes)
        dx = None
        if needs_input_grad:
            dx = dy - sums / count - normal * (products / count) if of_batch else dy
            dx = dx * scale
        return dx, xp.reshape(products, (-1,)), xp.reshape(sums, (-1,))

    return y, back


@cache
def _axes(ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes that a channel's numbers lie along, and the shape in which (C,) meets x."""
    axes = tuple(a for a in range(ndim) if a != 1)
    return axes, tuple(1 if a in axes else -1 for a in range(ndim))
