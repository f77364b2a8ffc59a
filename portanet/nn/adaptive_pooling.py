"""Pooling to an output of a given size, whatever the image's, or the sequence's."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

from portanet.backend import Array
from portanet.im2col import LONGEST, Window, absurd, batch_first, batch_last
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.window import ImageLayer, OnSequences
from portanet.pooling import at, mean_along

Bins = tuple[slice, ...]  # the pixels of each output along an axis
OutputSize = int | tuple[int | None, ...] | None


class AdaptivePool(ImageLayer):
    """What the poolings share: their output's size."""

    def __init__(self, output_size: OutputSize) -> None:
        if isinstance(output_size, tuple | list):
            given = tuple(output_size)
        else:
            given = (output_size,) * len(self.axes)
        most = max(self.lengths("output_size", tuple(1 if n is None else n for n in given)))
        if most > LONGEST:
            self.fail(f"output_size must be at most {LONGEST}, got {output_size}")
        self.size = given

    def bins(self, x: Array) -> tuple[Bins, Bins]:
        """Return the rows and the columns of each output, or raise ValueError for x."""
        self.require_images(x)
        before = (x.shape[2], x.shape[3])
        wanted = (*(None,) * (2 - len(self.size)), *self.size)  # a sequence keeps its height, 1
        height, width = (size or n for size, n in zip(wanted, before, strict=True))
        if slip := absurd(before, (height, width)):
            self.fail(slip)
        return bins(before[0], height), bins(before[1], width)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"output_size={self.size}"


class AdaptiveAvgPool(AdaptivePool):
    """The mean of each bin, of images or sequences."""

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp, (rows, columns) = self.accept(x).xp, self.bins(x)
        # Rows first: whole rows of pixels are added up, which lie in one run of memory.
        down, back_down = mean_along(xp, batch_last(xp, x), rows, 0)
        y, back_across = mean_along(xp, down, columns, 1)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return batch_first(xp, back_down(back_across(batch_last(xp, dy)))), {}

        return batch_first(xp, y), pullback


class AdaptiveMaxPool(AdaptivePool):
    """The largest number of each bin, of images or sequences."""

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps where in each bin its largest element is."""
        backend, (rows, columns) = self.accept(x), self.bins(x)
        xp = backend.xp
        # Bins of equal length, side by side, are the windows of a pooling.
        image, back_down = side_by_side(xp, batch_last(xp, x), rows, 0)
        image, back_across = side_by_side(xp, image, columns, 1)
        kernel = (image.shape[1] // len(rows), image.shape[2] // len(columns))
        images, window = batch_first(xp, image), Window(kernel, kernel)
        y, back = backend.max_pool(images, window, ctx.needs_pullback)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return batch_first(xp, back_down(back_across(batch_last(xp, back(dy))))), {}

        return y, pullback


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """The means of H'×W' windows that cover the image as evenly as can be.

    y[n, c, i, j] is the mean over rows ⌊i·H/H'⌋ to ⌈(i + 1)·H/H'⌉ − 1, and columns likewise. With
    ``AdaptiveAvgPool2d(1)`` it is each channel's mean (global average pooling).

    Args:
        output_size: H' and W', an int or a pair; None keeps the image's. Where it is larger than
            the image's, pixels are there several times.

    Shapes: x (N, C, H, W), y (N, C, H', W'), in x's dtype; of the image's size, a view of x. Source
    of the global one: Lin et al., "Network in network", 2014.
    """


class AdaptiveAvgPool1d(OnSequences, AdaptiveAvgPool):
    """The means of L' windows that cover the sequence as evenly as can be.

    y[n, c, i] is the mean over places ⌊i·L/L'⌋ to ⌈(i + 1)·L/L'⌉ − 1; see `AdaptiveAvgPool2d`.

    Args:
        output_size: L', an int; None keeps the sequence's.

    Shapes: x (N, C, L), y (N, C, L'), in x's dtype.
    """


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """The largest numbers of H'×W' windows that cover the image as evenly as can be.

    The windows are those of `AdaptiveAvgPool2d`. With ``AdaptiveMaxPool2d(1)`` it is each channel's
    largest number (global max pooling).

    Args:
        output_size: H' and W', an int or a pair; None keeps the image's.

    Shapes: x (N, C, H, W), y (N, C, H', W'), in x's dtype. The gradient goes to the largest
    element; of equal ones, to the first in row-major order. Where a window contains NaN, y is NaN,
    and which element gets the gradient depends on the backend.
    """


class AdaptiveMaxPool1d(OnSequences, AdaptiveMaxPool):
    """The largest numbers of L' windows that cover the sequence as evenly as can be.

    The windows are those of `AdaptiveAvgPool1d`; else as `AdaptiveMaxPool2d`.

    Args:
        output_size: L', an int; None keeps the sequence's.

    Shapes: x (N, C, L), y (N, C, L'), in x's dtype.
    """


@lru_cache(maxsize=1024)
def bins(length: int, size: int) -> Bins:
    """Return the pixels of each of `size` windows along an axis of `length` pixels."""
    return tuple(slice(i * length // size, -(-(i + 1) * length // size)) for i in range(size))


def side_by_side(
    xp: Any, x: Array, places: Bins, axis: int
) -> tuple[Array, Callable[[Array], Array]]:
    """Return x (C, H, W, N) with the bins along an axis side by side, and the pullback.

    Where bins overlap, their pixels are there several times. Shorter bins have their last pixel
    again, which changes no maximum, nor which element is the first to have it.
    """
    sizes = [b.stop - b.start for b in places]
    longest = max(sizes)
    if longest * len(places) == x.shape[axis + 1]:
        return x, lambda dy: dy
    parts = []
    for b, size in zip(places, sizes, strict=True):
        parts += [at(x, axis, b)] + [at(x, axis, slice(b.stop - 1, b.stop))] * (longest - size)
    shape = x.shape
    overlap = any(b.stop > after.start for b, after in pairwise(places))

    def back(dy: Array) -> Array:
        dx = xp.zeros(shape, dtype=dy.dtype, device=dy.device)
        for i, (b, size) in enumerate(zip(places, sizes, strict=True)):
            place, d = at(dx, axis, b), at(dy, axis, slice(i * longest, i * longest + size))
            place[...] = place + d if overlap else d
        return dx

    return xp.concat(parts, axis=axis + 1), back
