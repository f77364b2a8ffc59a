"""What layers share that map each element by itself."""

from collections.abc import Callable
from typing import Any, ClassVar

from portanet.backend import Array
from portanet.nn.context import Context, Pullback
from portanet.nn.layer import Layer


class Elementwise(Layer):
    """A layer with y = f(x) for each element: any shape, x's dtype and memory order.

    A subclass says what y and dx are, each in one formula, a static method::

        class Softsign(nn.Elementwise):
            @staticmethod
            def formula(xp, x):  # y, and what the gradient needs
                d = 1.0 + xp.abs(x)
                return x / d, d

            @staticmethod
            def gradient(xp, d, dy):
                return dy / (d * d)

    Options that the formula needs are what `constants` returns; it is given them after x. A backend
    may make one kernel of each formula, where it keeps to what `Kernels.fused` says.
    """

    formula: ClassVar[Callable[..., Any]]  # (xp, x, *constants) → y and what is kept
    gradient: ClassVar[Callable[..., Array]]  # (xp, *kept, dy) → dx

    def constants(self) -> tuple[Any, ...]:
        """Return what the formula is given beside x."""
        return ()

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps what the formula says, or x."""
        constants = self.constants()
        y, back = self.accept(x).elementwise(self.formula, self.gradient, x, *constants)
        return y, lambda dy: (back(dy), {})
