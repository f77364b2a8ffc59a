"""What slides a window over images, as one kernel each; `*.cu` say how they work."""

from functools import cache
from math import prod
from typing import Any

from portanet.im2col import Window
from portanet.kernels import Image, Pooled
from portanet_cupy import compiler
from portanet_cupy.layout import batch_first, batch_last


def serves(dtype: Any, shape: Image, window: Window) -> bool:
    """Say whether the kernels serve such images: they count a row's numbers in 32 bits."""
    n, _, h, w = shape
    return str(dtype) in compiler.REALS and n * max(w, window.output_size(h, w)[1]) < 2**31


def im2col(xp: Any, x: Any, window: Window) -> Any:
    """Lay the pixels under each window position in a column; see `portanet.im2col.im2col`."""
    size = _Size(x.shape, window)
    columns = xp.empty((size.c * prod(window.kernel), size.oh * size.ow * size.n), dtype=x.dtype)
    size.run("windows.cu", "im2col", batch_last(xp, x), columns)
    return columns


def col2im(xp: Any, columns: Any, shape: Image, window: Window) -> Any:
    """Add columns back to the pixels they came from; see `portanet.im2col.col2im`."""
    size = _Size(shape, window)
    image = xp.empty(size.image, dtype=columns.dtype)
    size.run("windows.cu", "col2im", xp.ascontiguousarray(columns), image)
    return batch_first(xp, image)


def max_pool(xp: Any, x: Any, window: Window) -> Pooled:
    """Return each window's largest element and the pullback, which keeps its place as a byte."""
    size = _Size(x.shape, window)
    y = xp.empty(size.positions, dtype=x.dtype)
    place = xp.empty(size.positions, dtype=xp.uint8)
    size.run("pooling.cu", "max_pool", batch_last(xp, x), y, place)

    def back(dy: Any) -> Any:
        dx = xp.empty(size.image, dtype=dy.dtype)
        size.run("pooling.cu", "max_pool_back", batch_last(xp, dy), place, dx)
        return batch_first(xp, dx)

    return batch_first(xp, y), back


def sum_pool(xp: Any, x: Any, window: Window) -> Pooled:
    """Return each window's sum and the pullback, which keeps nothing."""
    size = _Size(x.shape, window)
    y = xp.empty(size.positions, dtype=x.dtype)
    size.run("pooling.cu", "sum_pool", batch_last(xp, x), y)

    def back(dy: Any) -> Any:
        dx = xp.empty(size.image, dtype=dy.dtype)
        size.run("pooling.cu", "sum_pool_back", batch_last(xp, dy), dx)
        return batch_first(xp, dx)

    return batch_first(xp, y), back


class _Size:
    """The lengths of images and of a window's positions over them, for each kernel's launch."""

    def __init__(self, shape: Image, window: Window) -> None:
        self.n, self.c, self.h, self.w = shape
        self.oh, self.ow = window.output_size(self.h, self.w)
        self.window = window
        self.image = (self.c, self.h, self.w, self.n)
        self.positions = (self.c, self.oh, self.ow, self.n)

    def run(self, file: str, name: str, *arrays: Any) -> None:
        """Launch a kernel with a thread for each element of the last of the arrays' rows."""
        dtype = str(arrays[0].dtype)
        kernel = compiler.kernel(compiler.source(file), name, options(dtype, self.window))
        c, h, w, n, oh, ow = self.c, self.h, self.w, self.n, self.oh, self.ow
        rows = (w * n, h, c) if arrays[-1].shape == self.image else (ow * n, oh, c)
        kernel(compiler.grid(*rows), (compiler.THREADS,), (*arrays, c, h, w, oh, ow, n))


@cache
def options(dtype: str, window: Window) -> tuple[str, ...]:
    """Return what NVRTC is told: the dtype, and a window's lengths as the sources call them."""
    (top, _), (left, _) = window.padding
    constants = {"TOP": top, "LEFT": left}
    for name, (height, width) in zip(
        "KSD", (window.kernel, window.stride, window.dilation), strict=True
    ):
        constants |= {name + "H": height, name + "W": width}
    return compiler.options(dtype, **constants)
