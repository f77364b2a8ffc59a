"""CUDA sources made into kernels, by NVRTC: no compiler need be installed."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

Kernel = Callable[[tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]

REALS = {"float32": "float", "float64": "double"}  # what kernels compute in, and C's word for it

THREADS = 256  # of a block
_ROWS = 65535  # CUDA's limit to a grid's second and third axis


@cache
def source(file: str) -> str:
    """Return the text of a file of kernels beside this one, with those that it includes."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    return re.sub(r'#include "(.+)"', lambda found: source(found[1]), text)


def options(dtype: str, **constants: int) -> tuple[str, ...]:
    """Return what NVRTC is told: which dtype ``real`` is, and constants by name.

    Each operation rounds by itself, none is fused into a multiply-add: so results are those of the
    generic version. These kernels wait for memory, not for arithmetic. A formula may leave results
    unused, for the compiler to drop without the warning 177.
    """
    values = {"real": REALS[dtype], **constants}
    definitions = (f"-D{name}={value}" for name, value in values.items())
    return ("--fmad=false", "--diag-suppress=177", *definitions)


@cache
def kernel(code: str, name: str, options: tuple[str, ...]) -> Kernel:
    """Return a kernel of a source: ``kernel(grid, block, arguments)``.

    Arguments are arrays, Python integers (C's long long) and floats (double), and NumPy's arrays of
    one structure, which come by value. It is compiled at its first launch on each device; CuPy
    keeps the result in a file for the next process.
    """
    import cupy

    return cupy.RawKernel(code, name, options)  # type: ignore[no-any-return]


def address(array: Any) -> int:
    """Return where an array's memory begins on the device."""
    return array.data.ptr  # type: ignore[no-any-return]


def grid(width: int, height: int = 1, depth: int = 1) -> tuple[int, int, int]:
    """Return how many blocks of `THREADS` have ``width × height × depth`` threads; at least one.

    Along height and depth there may be fewer: there a kernel steps by the size of the grid.
    """
    return max(1, -(-width // THREADS)), max(1, min(height, _ROWS)), max(1, min(depth, _ROWS))
