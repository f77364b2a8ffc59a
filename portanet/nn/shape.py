"""Layers that change nothing but the shape, or nothing at all."""

from math import inf, prod

from portanet.backend import Array, backend_of
from portanet.checks import integer
from portanet.nn.context import Context, Pullback
from portanet.nn.layer import Layer
from portanet.random import Shape


class Identity(Layer):
    """Pass x on: y = x. It stands where a network has a layer in one variant and none in another.

    Shapes: x and y alike, any. Any dtype; y is x itself.
    """

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return x and the pullback, which keeps nothing."""
        backend_of(x)
        return x, lambda dy: (dy, {})


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
        return xp.reshape(x, joined), lambda dy: (xp.reshape(dy, shape), {})

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
        xp, shape = backend_of(x).xp, x.shape
        size, known = prod(shape[1:]), prod(n for n in self.shape if n != -1)
        fits = size % known == 0 if -1 in self.shape else size == known
        if not shape or not fits:
            expected = ", ".join(map(str, ("N", *self.shape)))
            self.fail(f"cannot make ({expected}) of x of shape {tuple(shape)}")
        # Said in full: what is left over could not be told for an empty batch.
        y = xp.reshape(x, (shape[0], *(size // known if n == -1 else n for n in self.shape)))
        return y, lambda dy: (xp.reshape(dy, shape), {})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return ", ".join(map(str, self.shape))


class Permute(Layer):
    """Put a sample's axes in another order: y = permute_dims(x, dims).

    `Linear` and `LayerNorm` work along the last axis, convolutions have the channels second:
    ``Permute(0, 2, 3, 1)`` puts images' channels last, ``Permute(0, 3, 1, 2)`` brings them back.

    Args:
        dims: for each axis of y the axis of x, as in ``torch.permute``, or one tuple of them; the
            batch stays the first, 0.

    Shapes: x (N, …) with as many axes as `dims` names. Any dtype; y is a view.
    """

    def __init__(self, *dims: int | Shape) -> None:
        given = dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
        self.dims = tuple(integer("dims", dim, least=0) for dim in given)
        if self.dims[:1] != (0,) or sorted(self.dims) != list(range(len(self.dims))):
            self.fail(f"expected dims that begin with 0 and name each axis once, got {self.dims}")

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp, dims = backend_of(x).xp, self.dims
        if x.ndim != len(dims):
            self.fail(f"expected x with {len(dims)} axes, got shape {tuple(x.shape)}")
        back = tuple(map(dims.index, range(len(dims))))
        return xp.permute_dims(x, dims), lambda dy: (xp.permute_dims(dy, back), {})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return ", ".join(map(str, self.dims))
