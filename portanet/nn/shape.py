"""Layers that change nothing but the shape, or nothing at all."""

from math import inf, prod

from portanet.backend import Array, backend_of
from portanet.checks import integer
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer
from portanet.random import Shape


class Identity(Layer):
    """Pass x on: y = x. It stands where a network has a layer in one variant and none in another.

    Shapes: x and y alike, any. Any dtype; y is x itself.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return x and the pullback, which keeps nothing."""
        backend_of(x)
        needs_input_grad = ctx.needs_input_grad

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (dy if needs_input_grad else None), {}

        return x, pullback


class Flatten(Layer):
    """Join the axes `start_dim` to `end_dim` into one.

    Args:
        start_dim: the first of the axes; negative ones count from the end.
        end_dim: the last of them.

    Shapes: x (N, C, H, W) becomes y (N, C·H·W) by default; any others likewise. Any dtype; the
    result is a view where the memory allows it.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = integer("start_dim", start_dim, least=-inf)
        self.end_dim = integer("end_dim", end_dim, least=-inf)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps only x's shape."""
        xp = backend_of(x).xp
        shape, ndim = x.shape, x.ndim
        first, last = (d + ndim if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < ndim:
            self.fail(
                f"cannot flatten axes {self.start_dim} to {self.end_dim} of shape {tuple(shape)}"
            )
        joined = (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])
        needs_input_grad = ctx.needs_input_grad
        y = xp.reshape(x, joined)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (xp.reshape(dy, shape) if needs_input_grad else None), {}

        return y, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Reshape(Layer):
    """Give each sample another shape; the batch stays.

    Args:
        shape: the lengths of a sample's axes, such as ``Reshape(16, 4, 4)``, or one tuple of them;
            one of them may be −1: what is left for it.

    Shapes: x (N, …), y (N, *shape), with the elements in the same order. Any dtype; the result is a
    view where the memory allows it.
    """

    def __init__(self, *shape: int | Shape) -> None:
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        self.shape = tuple(-1 if size == -1 else integer("shape", size) for size in given)
        if self.shape.count(-1) > 1:
            self.fail(f"only one axis can be what is left, got {shape}")

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps only x's shape."""
        xp, shape, needs_input_grad = backend_of(x).xp, x.shape, ctx.needs_input_grad
        size, known = prod(shape[1:]), prod(n for n in self.shape if n != -1)
        fits = size % known == 0 if -1 in self.shape else size == known
        if not shape or not fits:
            expected = ", ".join(map(str, ("N", *self.shape)))
            self.fail(f"cannot make ({expected}) of x of shape {tuple(shape)}")
        # Said in full: what is left over could not be told for an empty batch.
        y = xp.reshape(x, (shape[0], *(size // known if n == -1 else n for n in self.shape)))

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            return (xp.reshape(dy, shape) if needs_input_grad else None), {}

        return y, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return ", ".join(map(str, self.shape))
