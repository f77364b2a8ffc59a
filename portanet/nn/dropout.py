"""Dropout: training with some of the numbers left out."""

from math import prod

from portanet.backend import Array, dtype_name
from portanet.checks import number
from portanet.nn.context import Context, Pullback
from portanet.nn.layer import Layer
from portanet.random import Shape


class _Dropout(Layer):
    def __init__(self, p: float = 0.5) -> None:
        self.p = number("p", p, high=1.0)

    def _drawn_shape(self, shape: Shape) -> Shape:
        """Return the shape of the numbers that decide what is dropped; it broadcasts with x's."""
        return shape

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps the mask."""
        backend = self.accept(x)
        drawn_shape = self._drawn_shape(tuple(x.shape))
        if not ctx.training or self.p == 0.0:
            return x, lambda dy: (dy, {})
        key = ctx.rng
        if key is None:
            self.fail("training needs random numbers: Context(training=True, rng=Key(seed))")
        xp = backend.xp
        if not drawn_shape:
            self.fail(f"expected x of shape (N, …), got {drawn_shape}")
        shape = (drawn_shape[0], prod(drawn_shape[1:]))
        drawn = backend.random(key, shape, dtype_name(x), ctx.first_sample)
        scale = 1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0
        # With the batch innermost in memory, which is the order of the layers' outputs.
        columns = xp.empty(shape[::-1], dtype=x.dtype, device=x.device)
        columns[...] = xp.astype(drawn >= self.p, x.dtype).T * scale
        mask = xp.reshape(columns.T, drawn_shape)
        return x * mask, lambda dy: (dy * mask, {})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training, zeros each element with probability p and scales the rest by 1 / (1 − p).

    y = x · mask, mask = 0 with probability p, else 1 / (1 − p); in inference y is x itself.

    Args:
        p: the probability of a zero, in [0, 1] (PyTorch's; some texts give the share kept).

    Shapes: x and y (N, …). In training the context must carry `rng`; the same key gives the same
    mask. Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """


class Dropout2d(_Dropout):
    """In training, zeros each channel of each image with probability p; else as `Dropout`.

    Neighboring pixels say much the same, so dropping single ones would leave out little.

    Args:
        p: the probability that a channel is zero, in [0, 1].

    Shapes: x and y (N, C, H, W). Source: Tompson et al., "Efficient object localization using
    convolutional networks", 2015.
    """

    def _drawn_shape(self, shape: Shape) -> Shape:
        if len(shape) != 4:
            self.fail(f"expected x of shape (N, C, H, W), got {shape}")
        return (*shape[:2], 1, 1)
