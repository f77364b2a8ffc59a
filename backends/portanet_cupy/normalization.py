"""Batch normalization in few kernels; `normalization.cu` says how they work."""

from math import prod
from typing import Any

from portanet.kernels import Array, Normalized
from portanet_cupy import compiler
from portanet_cupy.layout import batch_first, batch_last

# Of a channel's numbers each thread of a block takes so many.
CONSTANTS = {"THREADS": compiler.THREADS, "EACH": 16}


def moments(xp: Any, x: Array) -> tuple[Array, Array]:
    """Return the mean and the variance of each channel; see `Kernels.moments`."""
    size = _Size(x)
    of_slices = xp.empty((2, size.c, size.slices), dtype=x.dtype)
    size.run("slice_moments", batch_last(xp, x), *of_slices, size.c, size.m)
    if size.slices == 1:
        mean, var = xp.reshape(of_slices, (2, size.c))
    else:
        mean, var = xp.empty((2, size.c), dtype=x.dtype)
        size.reduce("moments", size.c, *of_slices, mean, var, size.slices, size.m)
    return mean, var


def normalize(
    xp: Any,
    x: Array,
    mean: Array,
    var: Array,
    eps: float,
    weight: Array | None,
    bias: Array | None,
    of_batch: bool,
) -> Normalized:
    """Return y and the pullback, which keeps x; see `Kernels.normalize`."""
    size, affine = _Size(x), int(weight is not None)
    x, mean, var = batch_last(xp, x), xp.ascontiguousarray(mean), xp.ascontiguousarray(var)
    # Without a weight nothing reads it, but a kernel is given an array.
    scale, shift = (mean if v is None else xp.ascontiguousarray(v) for v in (weight, bias))
    numbers = (float(eps), size.c, size.m)
    y = xp.empty_like(x)
    size.run("normalize", x, mean, var, scale, shift, y, affine, *numbers)

    def back(dy: Array, needs_input_grad: bool) -> tuple[Array | None, Array, Array]:
        dy = batch_last(xp, dy)
        of_slices = xp.empty((2, size.c, size.slices), dtype=dy.dtype)
        size.run("slice_sums", dy, x, mean, var, *of_slices, *numbers)
        totals = xp.reshape(of_slices, (2 * size.c, size.slices))
        if size.slices > 1:
            totals = xp.empty((2 * size.c, 1), dtype=dy.dtype)
            size.reduce("row_sums", 2 * size.c, of_slices, totals, size.slices)
        products, sums = xp.reshape(totals, (2, size.c))
        if not needs_input_grad:
            return None, products, sums
        dx = xp.empty_like(dy)
        arrays = (dy, x, mean, var, scale, products, sums, dx)
        size.run("normalize_back", *arrays, affine, int(of_batch), *numbers)
        return batch_first(xp, dx), products, sums

    return batch_first(xp, y), back


class _Size:
    """How many channels an array has, of how many numbers, in how many slices."""

    def __init__(self, x: Array) -> None:
        self.c, self.m = x.shape[1], prod(x.shape) // x.shape[1]
        self.grid = compiler.grid(-(-self.m // CONSTANTS["EACH"]), self.c)
        self.slices, self.dtype = self.grid[0], str(x.dtype)

    def run(self, name: str, *arguments: Any) -> None:
        """Launch a kernel with a block for each slice."""
        self._launch(name, self.grid, arguments)

    def reduce(self, name: str, rows: int, *arguments: Any) -> None:
        """Launch a kernel with a block for each row of what the slices gave."""
        self._launch(name, (rows,), arguments)

    def _launch(self, name: str, grid: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        code = compiler.source("normalization.cu")
        options = compiler.options(self.dtype, **CONSTANTS)
        compiler.kernel(code, name, options)(grid, (compiler.THREADS,), arguments)
