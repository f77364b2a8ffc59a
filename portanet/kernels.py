"""What layers ask of a device beyond the array API standard.

Each method has a generic version here, written in nothing but the standard. A backend overrides one
where its library can do better, and the generic version stays the oracle of its tests.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from portanet import im2col as _generic
from portanet import normalization, pooling, special
from portanet.im2col import Window
from portanet.normalization import Normalized as Normalized
from portanet.pooling import Pooled as Pooled
from portanet.sums import total

Array = Any  # an array of any backend; the standard has no common base class
Image = tuple[int, int, int, int]  # (N, C, H, W)


class Kernels:
    """The part of a `Backend` that computes."""

    xp: Any

    def im2col(self, x: Array, window: Window) -> Array:
        """Lay the pixels under each window position in a column; see `portanet.im2col.im2col`."""
        return _generic.im2col(self.xp, x, window)

    def col2im(self, columns: Array, shape: Image, window: Window) -> Array:
        """Add columns back to their pixels; see `portanet.im2col.col2im`."""
        return _generic.col2im(self.xp, columns, shape, window)

    def convolve(self, matrix: Array, x: Array, window: Window) -> Array:
        """Return ``matrix @ columns``, with the columns of `im2col`: a convolution.

        `matrix` is (O, C·kh·kw), `x` (N, C, H, W), the result (O, OH·OW·N). With groups `matrix` is
        (G, O/G, C/G·kh·kw), the result (G, O/G, OH·OW·N).
        """
        return matrix @ self._columns(matrix, x, window)

    def convolve_weight_grad(self, dy: Array, x: Array, window: Window) -> Array:
        """Return ``dy @ columnsᵀ``: dL/dmatrix of `convolve`, in the matrix's shape.

        `dy` has the shape of the product.
        """
        return dy @ self.xp.matrix_transpose(self._columns(dy, x, window))

    def convolve_input_grad(self, matrix: Array, dy: Array, shape: Image, window: Window) -> Array:
        """Return ``matrixᵀ @ dy`` added back to the pixels: dL/dx of `convolve`.

        `dy` has the shape of the product, and `shape` is x's: (N, C, H, W).
        """
        columns = self.xp.matrix_transpose(matrix) @ dy
        rows = shape[1] * prod(window.kernel)
        return self.col2im(self.xp.reshape(columns, (rows, dy.shape[-1])), shape, window)

    def _columns(self, matrix: Array, x: Array, window: Window) -> Array:
        """Return the columns, with a leading axis of groups where the matrix has one."""
        columns, groups = self.im2col(x, window), matrix.shape[:-2]
        rows = columns.shape[0] // prod(groups)
        return self.xp.reshape(columns, (*groups, rows, columns.shape[1])) if groups else columns

    def max_pool(self, x: Array, window: Window, needs_pullback: bool = True) -> Pooled:
        """Return each window's largest element (N, C, OH, OW), and the pullback from it to x.

        Of equal elements the gradient goes to the first in row-major order. Padding is −∞. Without
        `needs_pullback` what it would keep need not be made.
        """
        return pooling.max_pool(self.xp, x, window, needs_pullback)

    def sum_pool(self, x: Array, window: Window) -> Pooled:
        """Return each window's sum (N, C, OH, OW), and the pullback from it to x."""
        return pooling.sum_pool(self.xp, x, window)

    def moments(self, x: Array) -> tuple[Array, Array]:
        """Return the mean and the biased variance of each channel of x (N, C, …), both (C,)."""
        return normalization.moments(self.xp, x)

    def normalize(
        self,
        x: Array,
        mean: Array,
        var: Array,
        eps: float,
        weight: Array | None,
        bias: Array | None,
        of_batch: bool,
    ) -> Normalized:
        """Return y = w n + b with n = (x − mean) / √(var + eps), for each channel of x (N, C, …).

        `mean`, `var`, and `weight` and `bias`, which may both be None, are (C,). The pullback takes
        dy, and whether dx is needed, and returns dx, Σ dy n and Σ dy. `of_batch` says that `mean`
        and `var` are x's moments; with their part dx = w (dy − mean(dy) − n mean(dy n)) / √(var +
        eps).
        """
        return normalization.normalize(self.xp, x, mean, var, eps, weight, bias, of_batch)

    def index_add(self, x: Array, indices: Array, values: Array) -> Array:
        """Add ``values[i]`` to ``x[indices[i]]`` in place, for every i, and return `x`.

        `x` is (V, …), `indices` integers (N,) in [0, V), `values` (N, …) in x's dtype. Indices may
        repeat: their values are summed. They are not checked, for that would wait for the device.
        The standard has no assignment through integer arrays, so the generic version is a product
        with one-hot rows: it takes O(N·V) and needs finite values.
        """
        xp = self.xp
        rows = xp.arange(x.shape[0], dtype=xp.int64, device=x.device)
        hits = rows[:, None] == xp.astype(indices, xp.int64)[None, :]
        flat = xp.reshape(values, (values.shape[0], prod(x.shape[1:])))
        x[...] += xp.reshape(xp.astype(hits, x.dtype) @ flat, x.shape)
        return x

    def cross_entropy(
        self, scores: Array, t: Array, each: bool
    ) -> tuple[Array, Callable[[], Array]]:
        """Return −Σ t log softmax(scores) over classes, axis 1, and what returns its gradient.

        `scores` and `t`, what each term weighs, are (N, K, …). The sum is over all, or with `each`
        it is an array (N, …). The gradient is softmax(scores) Σₖ tₖ − t.
        """
        xp = self.xp
        z = scores - xp.max(scores, axis=1, keepdims=True)
        e = xp.exp(z)
        sums = total(xp, e, (1,))
        # A score of −∞ has probability 0; where t is 0, too, it must not make 0 · ∞.
        losses = xp.where(t != 0, xp.log(sums) - z, 0.0) * t

        def gradient() -> Array:
            return e * (total(xp, t, (1,)) / sums) - t

        return xp.sum(losses, axis=1 if each else None), gradient

    def erf(self, x: Array) -> Array:
        """Return the error function of each element; see `portanet.special.erf`."""
        return special.erf(self.xp, x)

    def fused(self, formula: Callable[..., Any]) -> Callable[..., Any]:
        """Return an element-wise `formula` as this library runs it fastest; here, as it is.

        It takes arrays of one shape, by themselves or in dicts, and changes some in place or
        returns a new one. Its other arguments (numbers, `xp`) may decide what it does, but neither
        the arrays' values nor anything else: it may be written down once and run many times.
        """
        return formula

    def fused_each(self, formula: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
        """Run an element-wise formula that changes arrays in place, with each of the arguments.

        Of one call's arrays, none is another's: a library may take them all at once.
        """
        run = self.fused(formula)
        for arguments in calls:
            run(*arguments)

    def elementwise(
        self, formula: Callable[..., Any], back: Callable[..., Array], *arguments: Any
    ) -> tuple[Array, Callable[[Any], Array]]:
        """Return an element-wise formula's value, and its pullback.

        ``formula(xp, *arguments)`` returns ``(y, *kept)``, and ``back(xp, *kept, dy)`` the
        gradient. Both keep to what `fused` says, and `back` asks for nothing else: where a library
        computes faster than it remembers, it makes what is kept anew from the arguments.
        """
        xp = self.xp
        y, *kept = formula(xp, *arguments)
        return y, partial(back, xp, *kept)
