"""What layers share that map each element by itself."""

from collections.abc import Callable
from typing import Any, ClassVar

from portanet.backend import Array
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer


class Elementwise(Layer):
    """A layer with y = f(x) for each element: any shape, x's dtype and memory order.

    A subclass says what y and dx are, each in one formula; see `Kernels.elementwise`.
    """

    _formula: ClassVar[Callable[..., Any]]  # (xp, x, *numbers) → y and what the pullback keeps
    _back: ClassVar[Callable[..., Array]]  # (xp, *kept, dy) → dx

    @property
    def _numbers(self) -> tuple[Any, ...]:
        """What the formula is given beside x."""
        return ()

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps what the formula says, or x."""
        backend, needs_input_grad = self.accept(x), ctx.needs_input_grad
        y, back = backend.elementwise(self._formula, self._back, x, *self._numbers)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (back(dy) if needs_input_grad else None), {}

        return y, pullback
