"""Element-wise formulas as CUDA kernels; `portanet.fusion` says how they are written down."""

from collections.abc import Callable
from functools import cache
from typing import Any

from portanet.fusion import Fusion, Kernel, Launch
from portanet_cupy import compiler

OPERATIONS = {
    "copy": "{}",
    "negative": "-{}",
    "sqrt": "sqrt({})",
    "exp": "exp({})",
    "log1p": "log1p({})",
    "tanh": "tanh({})",
    "erf": "erf({})",
    "abs": "fabs({})",
    "sign": "{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)",
    "maximum": "{0} >= {1} || {0} != {0} ? {0} : {1}",
    "minimum": "{0} <= {1} || {0} != {0} ? {0} : {1}",
    "where": "{} ? {} : {}",
    "astype": "{}",
}

# A thread for each element. What the formula changes in place is stored back.
ONE = """\
extern "C" __global__ void formula({arrays}, {numbers}long long size)
{{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= size) return;
    {lines}
}}
"""
# The same for several rows of arrays, whose addresses come by value: nothing is copied before. A
# row has blockIdx.y to itself, and its threads step by the size of the grid.
EACH = """\
struct Rows {{ real* x[{rows}][{columns}]; long long size[{rows}]; }};

extern "C" __global__ void formula_each({numbers}const Rows rows)
{{
    const long long row = blockIdx.y, first = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const long long step = gridDim.x * (long long)blockDim.x;
    for (long long i = first; i < rows.size[row]; i += step)
    {{
        {lines}
    }}
}}
"""
BYTES = 3072  # of the table of addresses; CUDA takes 4096 bytes of arguments
BLOCKS = 1024  # for a row


class Formulas(Fusion):
    """Formulas as kernels on CuPy's arrays."""

    def serves(self, array: Any) -> bool:
        """Say whether kernels compute in an array's dtype."""
        return str(array.dtype) in compiler.REALS

    def made(self, kernel: Kernel, dtype: str) -> Launch:
        """Return what launches a kernel, once for many rows of arrays."""
        code, options = of_one(kernel), compiler.options(dtype)

        def run(rows: list[list[Any]], numbers: tuple[float, ...]) -> None:
            if len(rows) > 1:
                launch_each(kernel, options, rows, numbers)
                return
            (arrays,), size = rows, rows[0][0].size
            one = compiler.kernel(code, "formula", options)
            one(compiler.grid(size), (compiler.THREADS,), (*arrays, *numbers, size))

        return run


def launch_each(
    kernel: Kernel, options: Any, rows: list[list[Any]], numbers: tuple[float, ...]
) -> None:
    """Launch a kernel once for as many rows as its arguments have room for."""
    import numpy as np

    columns = len(rows[0])
    room = BYTES // (8 * (columns + 1))
    for first in range(0, len(rows), room):
        part = rows[first : first + room]
        count = 1 << (len(part) - 1).bit_length()  # few tables, so that few kernels are compiled
        table = np.zeros((), [("x", "u8", (count, columns)), ("size", "i8", count)])
        table["x"][: len(part)] = [[compiler.address(a) for a in arrays] for arrays in part]
        table["size"][: len(part)] = [arrays[0].size for arrays in part]
        run = compiler.kernel(of_each(kernel, count), "formula_each", options)
        blocks = min(BLOCKS, compiler.grid(max(arrays[0].size for arrays in part))[0])
        run((blocks, len(part)), (compiler.THREADS,), (*numbers, table))


@cache
def of_one(kernel: Kernel) -> str:
    """Return the text of a kernel for one row of arrays."""
    kept, changed = f"x{kernel.arrays}", {f"x{k}" for k in kernel.changed}
    names = [f"x{k}" for k in range(kernel.arrays)] + [kept] * bool(kernel.result)
    arrays = [f"{'' if x in changed or x == kept else 'const '}real* all_{x}" for x in names]
    return ONE.format(
        arrays=", ".join(arrays),
        numbers=numbers_of(kernel),
        lines="\n    ".join(lines_of(kernel, "all_x{}[i]".format)),
    )


@cache
def of_each(kernel: Kernel, rows: int) -> str:
    """Return the text of a kernel for up to so many rows."""
    return EACH.format(
        rows=rows,
        columns=kernel.arrays + bool(kernel.result),
        numbers=numbers_of(kernel),
        lines="\n        ".join(lines_of(kernel, "rows.x[row][{}][i]".format)),
    )


def numbers_of(kernel: Kernel) -> str:
    """Return the numbers as parameters, each with its comma."""
    return "".join(f"double all_n{k}, " for k in range(kernel.numbers))


def lines_of(kernel: Kernel, element: Callable[[int], str]) -> list[str]:
    """Return what is done to an element of each array; raises KeyError where C has no word."""
    lines = [f"const real n{k} = (real)all_n{k};" for k in range(kernel.numbers)]
    lines += [f"real x{k} = {element(k)};" for k in range(kernel.arrays)]
    lines += [line.put("{kind} {name} = {value};", OPERATIONS).strip() for line in kernel.lines]
    lines += [f"{element(k)} = x{k};" for k in kernel.changed]
    return lines + ([f"{element(kernel.arrays)} = {kernel.result};"] if kernel.result else [])
