"""Pooling to an output of a given size, whatever the image's."""

from functools import lru_cache

from portanet.backend import Array
from portanet.checks import pair
from portanet.im2col import LONGEST, absurd, batch_first, batch_last
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer
from portanet.pooling import mean_along


class AdaptiveAvgPool2d(Layer):
    """The means of H'×W' windows that cover the image as evenly as can be.

    y[n, c, i, j] is the mean over rows ⌊i·H/H'⌋ to ⌈(i + 1)·H/H'⌉ − 1, and columns likewise. With
    ``AdaptiveAvgPool2d(1)`` it is each channel's mean (global average pooling).

    Args:
        output_size: H' and W', an int or a pair; None keeps the image's. Where it is larger than
            the image's, pixels are there several times.

    Shapes: x (N, C, H, W), y (N, C, H', W'), in x's dtype; of the image's size, a view of x. Source
    of the global one: Lin et al., "Network in network", 2014.
    """

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        both = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
        most = max(pair("output_size", [1 if size is None else size for size in both]))
        if most > LONGEST:
            self.fail(f"output_size must be at most {LONGEST}, got {output_size}")
        self.size = tuple(both)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp = self.accept(x).xp
        if x.ndim != 4 or 0 in x.shape[2:]:
            self.fail(f"expected x of shape (N, C, H, W), got {tuple(x.shape)}")
        needs_input_grad = ctx.needs_input_grad
        height, width = (size or n for size, n in zip(self.size, x.shape[2:], strict=True))
        if slip := absurd(x.shape[2:], (height, width)):
            self.fail(slip)
        rows, columns = bins(x.shape[2], height), bins(x.shape[3], width)
        # Rows first: whole rows of pixels are added up, which lie in one run of memory.
        down, back_down = mean_along(xp, batch_last(xp, x), rows, 0)
        y, back_across = mean_along(xp, down, columns, 1)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            if not needs_input_grad:
                return None, {}
            return batch_first(xp, back_down(back_across(batch_last(xp, dy)))), {}

        return batch_first(xp, y), pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"output_size={self.size}"


@lru_cache(maxsize=1024)
def bins(length: int, size: int) -> tuple[slice, ...]:
    """Return the pixels of each of `size` windows along an axis of `length` pixels."""
    return tuple(slice(i * length // size, -(-(i + 1) * length // size)) for i in range(size))
