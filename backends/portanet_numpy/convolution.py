"""Convolution on a CPU: columns made a few rows of the output at a time, and used at once.

All columns of a batch together are many times larger than the images; written to main memory and
read back they cost as much as the product that they are made for. A block of them stays in the
cache.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from portanet.im2col import Window, batch_first, batch_last, pad

BLOCK = 1 << 20  # bytes of columns made at once: about a core's second-level cache


def windows(x: Any, window: Window) -> Any:
    """View the pixels under each window position: (C, kh, kw, OH, OW, N), without copying them."""
    oh, ow = window.output_size(*x.shape[2:])
    (kh, kw), (down, right), (below, beside) = window.kernel, window.stride, window.dilation
    # Once in order, so that the many copies made of the view read long runs.
    image = np.ascontiguousarray(pad(np, batch_last(np, x), window))
    channel, row, column, sample = image.strides
    strides = (channel, row * below, column * beside, row * down, column * right, sample)
    # What as_strided does, at a tenth of its cost for small images.
    shape = (image.shape[0], kh, kw, oh, ow, image.shape[3])
    return np.ndarray(shape, image.dtype, image, strides=strides)


def blocks(x: Any, window: Window) -> Iterator[tuple[slice, Any]]:
    """Yield the columns of `x` in blocks (C·kh·kw, …), each with its place among all columns.

    A block is overwritten by the next.
    """
    view = windows(x, window)
    c, kh, kw, oh, ow, n = view.shape
    rows = min(oh, max(1, BLOCK // (c * kh * kw * ow * n * x.itemsize)))
    memory = np.empty(c * kh * kw * rows * ow * n, dtype=x.dtype)
    for first in range(0, oh, rows):
        pixels = view[:, :, :, first : first + rows]
        block = memory[: prod(pixels.shape)].reshape(pixels.shape)
        block[...] = pixels
        yield slice(first * ow * n, (first + rows) * ow * n), block.reshape(c * kh * kw, -1)


def convolve(matrix: Any, x: Any, window: Window) -> Any:
    """Return ``matrix @ columns``; see `Backend.convolve`."""
    oh, ow = window.output_size(*x.shape[2:])
    product = np.empty((matrix.shape[0], oh * ow * x.shape[0]), dtype=x.dtype)
    for at, columns in blocks(x, window):
        np.matmul(matrix, columns, out=product[:, at])
    return product


def convolve_weight_grad(dy: Any, x: Any, window: Window) -> Any:
    """Return ``dy @ columnsᵀ``; see `Backend.convolve_weight_grad`."""
    return sum(dy[:, at] @ columns.T for at, columns in blocks(x, window))


def convolve_input_grad(matrix: Any, dy: Any, shape: tuple[int, ...], window: Window) -> Any:
    """Return dy convolved with the mirrored weights; see `Backend.convolve_input_grad`.

    It is the same as `matrixᵀ @ dy` added back to the pixels, and copies pixels where that adds
    them up. The window must have a `mirrored` one.
    """
    mirrored = window.mirrored()
    assert mirrored is not None
    n, c, h, w = shape
    weight = matrix.reshape(-1, c, *window.kernel)[:, :, ::-1, ::-1]
    images = dy.reshape(len(weight), *window.output_size(h, w), n)
    matrix = weight.transpose(1, 0, 2, 3).reshape(c, -1)
    product = convolve(matrix, batch_first(np, images), mirrored)
    return batch_first(np, product.reshape(c, h, w, n))
