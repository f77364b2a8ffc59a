"""Softmax and its logarithm: scores along one axis become a probability distribution.

A network that is trained with a cross-entropy ends in neither: the loss takes the raw scores.
"""

from math import inf
from typing import Any

from portanet.backend import Array
from portanet.checks import integer
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer
from portanet.sums import total


class _Softmax(Layer):
    def __init__(self, dim: int = -1) -> None:
        self.dim = integer("dim", dim, least=-inf)
        # Along the batch, samples depend on each other. A negative axis may be the batch's, too,
        # but for the last one: it is that only where a sample is a single number.
        self.couples_samples = dim == 0 or dim < -1

    def _exponentials(self, x: Array) -> tuple[Any, int, Array, Array, Array]:
        """Return xp, the axis, z = x − max x, exp(z) and its sums: nothing in it overflows."""
        xp = self.accept(x).xp
        if not -x.ndim <= self.dim < x.ndim:
            self.fail(f"there is no axis {self.dim} in x of shape {tuple(x.shape)}")
        if x.shape[self.dim] == 0:
            self.fail(f"axis {self.dim} of x is empty, in shape {tuple(x.shape)}")
        axis = self.dim % x.ndim
        z = x - xp.max(x, axis=axis, keepdims=True)
        e = xp.exp(z)
        return xp, axis, z, e, total(xp, e, (axis,))

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"dim={self.dim}"


class Softmax(_Softmax):
    """Exponentials over their sum: yₖ = exp(xₖ) / Σⱼ exp(xⱼ), along one axis.

    dx = y (dy − Σⱼ dyⱼ yⱼ).

    Args:
        dim: the axis; the last by default. PyTorch's ``dim=None``, which guesses it, is deprecated
            there and not taken here.

    Shapes: x and y (…). For training, `CrossEntropyLoss` takes x itself: it is faster and exact
    where y is 0 to the last bit.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps y."""
        xp, axis, _, e, sums = self._exponentials(x)
        y = e / sums

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            weighted = dy * y
            return weighted - y * total(xp, weighted, (axis,)), {}

        return y, pullback


class LogSoftmax(_Softmax):
    """Logarithm of softmax: yₖ = xₖ − log Σⱼ exp(xⱼ), along one axis.

    dx = dy − exp(y) Σⱼ dyⱼ.

    Args:
        dim: the axis; the last by default, as in `Softmax`.

    Shapes: x and y (…). Unlike the logarithm of `Softmax` it stays finite where exp(y) is 0.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps exp(z) and its sums."""
        xp, axis, z, e, sums = self._exponentials(x)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return dy - e * (total(xp, dy, (axis,)) / sums), {}

        return z - xp.log(sums), pullback
