"""Element-wise non-linearities: any shape, x's dtype and memory order."""

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
        y = xp.maximum(x, 0.0)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (xp.where(y > 0, dy, 0.0) if needs_input_grad else None), {}

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

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (xp.where(x > 0, dy, dy * slope) if needs_input_grad else None), {}

        return xp.where(x > 0, x, x * slope), pullback

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
