"""Dropout: training with some of the numbers left out."""

from math import prod

from portanet.backend import Array, dtype_name
from portanet.checks import number
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer


class Dropout(Layer):
    """In training, zeros each element with probability p and scales the rest by 1 / (1 − p).

    y = x · mask, mask = 0 with probability p, else 1 / (1 − p); in inference y = x.

    Args:
        p: the probability of a zero, in [0, 1] (PyTorch's; some texts give the share kept).

    Shapes: x and y (N, …). In training the context must carry `rng`; the same key gives the same
    mask. Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = number("p", p, high=1.0)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps the mask."""
        backend, needs_input_grad = self.accept(x), ctx.needs_input_grad
        if not ctx.training or self.p == 0.0:
            return x, (_identity if needs_input_grad else _nothing)
        if ctx.rng is None:
            self.fail("training needs random numbers: Context(training=True, rng=Key(seed))")
        xp = backend.xp
        shape = (x.shape[0], prod(x.shape[1:]))
        drawn = backend.random(ctx.rng, shape, dtype_name(x), ctx.first_sample)
        scale = 1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0
        # With the batch innermost in memory, which is the order of the layers' outputs.
        columns = xp.empty(shape[::-1], dtype=x.dtype, device=x.device)
        columns[...] = xp.astype(drawn >= self.p, x.dtype).T * scale
        mask = xp.reshape(columns.T, x.shape)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (dy * mask if needs_input_grad else None), {}

        return x * mask, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"p={self.p}"


def _identity(dy: Array) -> tuple[Array, Gradients]:
    return dy, {}


def _nothing(dy: Array) -> tuple[Array, Gradients]:
    return None, {}
