"""Convolution on a CPU: columns made a few rows of the output at a time, and used at once.

All columns of a batch together are many times larger than the images; written to main memory and
read back they cost as much as the product that they are made for. A block of them stays in the
cache.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from portanet.im2col import Window, pad

BLOCK = 1 << 20  # bytes of columns made at once: about a core's second-level cache


def windows(x: Any, window: Window) -> Any:
    """View the pixels under each window position: (C, kh, kw, OH, OW, N), without copying them."""
    oh, ow = window.output_size(*x.shape[2:])
    (kh, kw), (down, right), _, (below, beside) = window
    # Once in order, so that the many copies made of the view read long runs.
    image = np.ascontiguousarray(pad(np, x.transpose(1, 2, 3, 0), window.padding))
    channel, row, column, sample = image.strides
    strides = (channel, row * below, column * beside, row * down, column * right, sample)
    # What as_strided does, at a tenth of its cost for small images.
    shape = (image.shape[0], kh, kw, oh, ow, image.shape[3])
    return np.ndarray(shape, image.dtype, image, strides=strides)


def columns_of(view: Any, groups: tuple[int, ...]) -> Any:
    """Lay windows in columns (C·kh·kw, …), with a leading axis where groups are (G,)."""
    c, kh, kw, *_ = view.shape
    rows = c * kh * kw
    return view.reshape((*groups, rows // prod(groups), -1) if groups else (rows, -1))


def blocks(view: Any, groups: tuple[int, ...]) -> Iterator[tuple[slice, Any]]:
    """Yield the columns in blocks, each with its place among all; the next overwrites it."""
    c, kh, kw, oh, ow, n = view.shape
    rows = min(oh, max(1, BLOCK * oh // view.nbytes))
    memory = np.empty(c * kh * kw * rows * ow * n, dtype=view.dtype)
    for first in range(0, oh, rows):
        part = view[:, :, :, first : first + rows]
        block = memory[: part.size].reshape(part.shape)
        block[...] = part
        yield slice(first * ow * n, (first + rows) * ow * n), columns_of(block, groups)


def convolve(matrix: Any, x: Any, window: Window) -> Any:
    """Return ``matrix @ columns``; see `Kernels.convolve`."""
    view, groups = windows(x, window), matrix.shape[:-2]
    if view.nbytes <= BLOCK:
        return matrix @ columns_of(view, groups)
    product = np.empty((*matrix.shape[:-1], prod(view.shape[3:])), dtype=x.dtype)
    for at, columns in blocks(view, groups):
        np.matmul(matrix, columns, out=product[..., at])
    return product


def convolve_weight_grad(dy: Any, x: Any, window: Window) -> Any:
    """Return ``dy @ columnsᵀ``; see `Kernels.convolve_weight_grad`."""
    view, groups = windows(x, window), dy.shape[:-2]
    # `matmul` keeps other threads waiting where its result has less than 500 numbers, as a small
    # layer's weights have; `dot` does not, but knows no groups.
    product = np.matmul if groups else np.dot
    if view.nbytes <= BLOCK:
        return product(dy, columns_of(view, groups).swapaxes(-1, -2))
    return sum(product(dy[..., at], c.swapaxes(-1, -2)) for at, c in blocks(view, groups))


def convolve_input_grad(
    matrix: Any, dy: Any, shape: tuple[int, ...], window: Window, mirrored: Window
) -> Any:
    """Return dy convolved with the mirrored weights; see `Kernels.convolve_input_grad`.

    It is the same as `matrixᵀ @ dy` added back to the pixels, and copies pixels where that adds
    them up.
    """
    n, c, h, w = shape
    groups, out, kernel = matrix.shape[:-2], matrix.shape[-2], window.kernel
    weight = matrix.reshape(*groups, out, -1, *kernel)[..., ::-1, ::-1]
    matrix = weight.swapaxes(-4, -3).reshape(*groups, -1, out * kernel[0] * kernel[1])
    images = dy.reshape(prod(groups) * out, *window.output_size(h, w), n)
    product = convolve(matrix, images.transpose(3, 0, 1, 2), mirrored)
    return product.reshape(c, h, w, n).transpose(3, 0, 1, 2)
