"""Element-wise non-linearities: any shape, x's dtype and memory order.

Gradients are masked by multiplication: choosing element by element (`where`) costs NumPy ten times
as much where the choice is hard to foresee.
"""

from portanet.backend import Array
from portanet.checks import number
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer


class ReLU(Layer):
    """Rectified linear unit: y = max(x, 0), y' = 1 where x > 0, else 0.

    Shapes: x and y (…). Source: Nair and Hinton, "Rectified linear units improve restricted
    Boltzmann machines", 2010.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps y: it is positive where x is."""
        xp, needs_input_grad = self.accept(x).xp, ctx.needs_input_grad
        # An array of zeros, not the number: NumPy compares two arrays several times as fast.
        y = xp.maximum(x, xp.zeros_like(x))

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (dy * xp.astype(y > 0, dy.dtype) if needs_input_grad else None), {}

        return y, pullback


class LeakyReLU(Layer):
    """Leaky rectified linear unit: y = x where x > 0, else a·x; y' = 1 or a.

    Args:
        negative_slope: a, the slope below zero.

    Shapes: x and y (…). Source: Maas et al., "Rectifier nonlinearities improve neural network
    acoustic models", 2013.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number("negative_slope", negative_slope, low=-float("inf"))

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x."""
        xp, slope, needs_input_grad = self.accept(x).xp, self.negative_slope, ctx.needs_input_grad
        zeros = xp.zeros_like(x)
        y = xp.maximum(x, zeros) + slope * xp.minimum(x, zeros)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            if not needs_input_grad:
                return None, {}
            above = dy * xp.astype(x > 0, dy.dtype)
            return above + slope * (dy - above), {}

        return y, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Layer):
    """Logistic function: y = 1 / (1 + exp(−x)), y' = y (1 − y).

    Shapes: x and y (…). It never overflows: only exp(−abs(x)) is taken.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps y."""
        xp, needs_input_grad = self.accept(x).xp, ctx.needs_input_grad
        e = xp.exp(-xp.abs(x))
        y = xp.where(x > 0, 1.0, e) / (1.0 + e)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (dy * (y * (1.0 - y)) if needs_input_grad else None), {}

        return y, pullback


class Tanh(Layer):
    """Hyperbolic tangent: y = tanh(x), y' = 1 − y².

    Shapes: x and y (…).
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps y."""
        xp, needs_input_grad = self.accept(x).xp, ctx.needs_input_grad
        y = xp.tanh(x)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (dy * (1.0 - y * y) if needs_input_grad else None), {}

        return y, pullback
