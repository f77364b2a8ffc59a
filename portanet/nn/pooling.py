"""Pooling: one number for each window of each channel."""

from portanet.backend import Array
from portanet.checks import Pair
from portanet.im2col import Window, batch_first, batch_last, crop, pad
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.window import WindowLayer


class _Pool2d(WindowLayer):
    def __init__(
        self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
    ) -> None:
        stride = kernel_size if stride is None else stride
        self.window = Window.of(kernel_size, stride, padding)
        if any(2 * before > k for (before, _), k in self._padded_axes()):
            self.fail(f"padding must be at most half of kernel_size {kernel_size}, got {padding}")

    def _padded_axes(self) -> list[tuple[Pair, int]]:
        return list(zip(self.window.padding, self.window.kernel, strict=True))


class MaxPool2d(_Pool2d):
    """The largest number in each window: y[n, c, i, j] = max over the window at (i, j).

    Args:
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels from one position to the next; `kernel_size` by default.
        padding: rows and columns of −∞ on both sides, at most half of the window.

    Shapes: x (N, C, H, W), y (N, C, H', W') with H' = ⌊(H + 2·padding − kh) / stride⌋ + 1, in x's
    dtype. The gradient goes to the largest element; of equal ones, to the first in row-major
    order.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x and y."""
        xp = self.accept(x).xp
        window, needs_input_grad = self.window, ctx.needs_input_grad
        size, (height, width) = self.output_size(x), x.shape[2:]
        image = pad(xp, batch_last(xp, x), window, -float("inf"))
        first, *others = window.positions(size)
        highest = image[:, *first, :]
        for at in others:
            highest = xp.maximum(highest, image[:, *at, :])

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            if not needs_input_grad:
                return None, {}
            d_image = xp.zeros_like(image)
            left = batch_last(xp, dy)  # what has not found its element yet
            *before, last = (first, *others)
            for at in before:
                found = left * xp.astype(image[:, *at, :] == highest, dy.dtype)
                d_image[:, *at, :] += found
                left = left - found
            d_image[:, *last, :] += left
            return batch_first(xp, crop(d_image, window, height, width)), {}

        return batch_first(xp, highest), pullback


class AvgPool2d(_Pool2d):
    """The mean of each window: y[n, c, i, j] = (1 / (kh·kw)) Σ over the window at (i, j).

    Args:
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels from one position to the next; `kernel_size` by default.
        padding: rows and columns of zeros on both sides, at most half of the window; the zeros
            count in the mean, as by default in PyTorch.

    Shapes: x (N, C, H, W), y (N, C, H', W') with H' = ⌊(H + 2·padding − kh) / stride⌋ + 1, in x's
    dtype.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing."""
        xp = self.accept(x).xp
        window, needs_input_grad = self.window, ctx.needs_input_grad
        size, (height, width) = self.output_size(x), x.shape[2:]
        image = pad(xp, batch_last(xp, x), window)
        shape, device = image.shape, x.device
        share = 1.0 / (window.kernel[0] * window.kernel[1])
        first, *others = window.positions(size)
        total = image[:, *first, :] * share
        for at in others:
            total += image[:, *at, :] * share

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            if not needs_input_grad:
                return None, {}
            part = batch_last(xp, dy) * share
            d_image = xp.zeros(shape, dtype=dy.dtype, device=device)
            for at in (first, *others):
                d_image[:, *at, :] += part
            return batch_first(xp, crop(d_image, window, height, width)), {}

        return batch_first(xp, total), pullback
