"""Pooling: one number for each window of each channel.

Max-pooling may hand gradients on by multiplication with 1 or 0: where dy is not finite, the whole
window may get NaN. With windows of one pixel, it may return a view of x.
"""

from typing import Any

from portanet.backend import Array
from portanet.checks import flag, integer
from portanet.im2col import Window, batch_first, pad
from portanet.nn.context import Context, Pullback
from portanet.nn.window import OnSequences, Size, WindowLayer
from portanet.pooling import sum_along


class Pool(WindowLayer):
    """What pooling layers share: their arguments."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        stride = kernel_size if stride is None else stride
        self.window = self.make_window(kernel_size, stride, padding, dilation)
        self.ceil_mode = flag("ceil_mode", ceil_mode)
        pads = zip(self.window.padding, self.window.kernel, strict=True)
        if any(2 * before > k for (before, _), k in pads):
            self.fail(f"padding must be at most half of kernel_size {kernel_size}, got {padding}")

    def _widened(self, x: Array) -> Window:
        """Return the window with the padding that `ceil_mode` adds for an image."""
        size = self.output_size(x)
        return self.window.widened(*x.shape[2:], size) if self.ceil_mode else self.window

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return super().extra_repr() + (", ceil_mode=True" if self.ceil_mode else "")


class MaxPool(Pool):
    """The largest number in each window, of images or sequences."""

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps where in each window its largest element is."""
        y, back = self.accept(x).max_pool(x, self._widened(x), ctx.needs_pullback)
        return y, lambda dy: (back(dy), {})


class AvgPool(Pool):
    """The mean of each window, of images or sequences."""

    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.count_include_pad = flag("count_include_pad", count_include_pad)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        backend, window = self.accept(x), self._widened(x)
        total, back = backend.sum_pool(x, window)
        share = self._share(backend.xp, x, window)
        return total * share, lambda dy: (back(dy * share), {})

    def _share(self, xp: Any, x: Array, window: Window) -> Any:
        """Return what a pixel counts for: a number, or (1, 1, H', W') where positions differ.

        `window` has the padding that `ceil_mode` adds, which is never counted.
        """
        if self.divisor_override is not None:
            return 1.0 / self.divisor_override
        own = self.window.padding if self.count_include_pad else ((0, 0), (0, 0))
        if window.padding == own:
            return 1.0 / (window.kernel[0] * window.kernel[1])
        # The mean of ones, and of zeros where pixels are not counted.
        ones = xp.ones((1, *x.shape[2:], 1), dtype=x.dtype, device=x.device)
        counted = pad(xp, ones, self.window.padding, float(self.count_include_pad))
        (_, bottom), (_, right) = self.window.padding
        (_, low), (_, far) = window.padding
        counted = pad(xp, counted, ((0, low - bottom), (0, far - right)))
        height, width = self.output_size(x)
        count, _ = sum_along(xp, counted, window, 1, width)
        count, _ = sum_along(xp, count, window, 0, height)
        return batch_first(xp, 1.0 / count)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        rest = "" if self.count_include_pad else ", count_include_pad=False"
        if self.divisor_override is not None:
            rest += f", divisor_override={self.divisor_override}"
        return super().extra_repr() + rest


class MaxPool2d(MaxPool):
    """The largest number in each window: y[n, c, i, j] = max over the window at (i, j).

    Args:
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels from one position to the next; `kernel_size` by default.
        padding: rows and columns of −∞ on both sides, at most half of the window.
        dilation: pixels from one element of the window to the next.
        ceil_mode: whether a last window may reach beyond the image and its padding; it must begin
            before the padding on that side.

    Shapes: x (N, C, H, W), y (N, C, H', W') with H' = ⌊(H + 2·padding − dilation·(kh − 1) − 1) /
    stride⌋ + 1, ⌈…⌉ with `ceil_mode`, in x's dtype. The gradient goes to the largest element; of
    equal ones, to the first in row-major order. Where a window contains NaN, y is NaN, and which
    element gets the gradient depends on the backend.
    """


class MaxPool1d(OnSequences, MaxPool):
    """The largest number in each window: y[n, c, i] = max over the window at i.

    Arguments are those of `MaxPool2d`, each one number.

    Shapes: x (N, C, L), y (N, C, L') with L' = ⌊(L + 2·padding − dilation·(k − 1) − 1) / stride⌋ +
    1, ⌈…⌉ with `ceil_mode`, in x's dtype. The gradient goes to the largest element; of equal ones,
    to the first.
    """


class AvgPool2d(AvgPool):
    """The mean of each window: y[n, c, i, j] = (1 / (kh·kw)) Σ over the window at (i, j).

    Args:
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels from one position to the next; `kernel_size` by default.
        padding: rows and columns of zeros on both sides, at most half of the window.
        ceil_mode: whether a last window may reach beyond the image and its padding; it must begin
            before the padding on that side, and what lies beyond does not count.
        count_include_pad: whether the zeros count in the mean.
        divisor_override: what sums are divided by, instead of the number of pixels that count.

    Shapes: x (N, C, H, W), y (N, C, H', W') with H' = ⌊(H + 2·padding − kh) / stride⌋ + 1, ⌈…⌉ with
    `ceil_mode`, in x's dtype.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override is not None:
            self.divisor_override = integer("divisor_override", divisor_override)


class AvgPool1d(OnSequences, AvgPool):
    """The mean of each window: y[n, c, i] = (1 / k) Σ over the window at i.

    Arguments are those of `AvgPool2d`, each one number, without `divisor_override`.

    Shapes: x (N, C, L), y (N, C, L') with L' = ⌊(L + 2·padding − k) / stride⌋ + 1, ⌈…⌉ with
    `ceil_mode`, in x's dtype.
    """
