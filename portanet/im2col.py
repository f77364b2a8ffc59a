"""The shared hot core of convolution and pooling: windows, padding, im2col and its transpose.

Users see images as (N, C, H, W). Here the batch is the *last* axis, (C, H, W, N): then every slice
that a window position takes is a long contiguous run, one 2-D matrix product serves the whole
batch, and its result is already in the same order. `batch_last` and `batch_first` change between
the two views without copying; element-wise functions keep whatever order the memory has.

The functions take the array namespace `xp` and use nothing outside the array API standard. They
are the generic versions, and the oracles, of `Backend.im2col` and `Backend.col2im`.
"""

from functools import lru_cache
from itertools import product
from typing import Any, Literal, NamedTuple

from portanet.checks import Pair, pair

# Pixels. Longer borders, and larger images made of smaller ones, are surely mistakes: refused
# before memory is allocated, which would fail late, or end the process.
LONGEST, LARGEST = 2**20, 2**31

Padding = int | Pair | Literal["same", "valid"]
Pads = tuple[Pair, Pair]  # pixels before and after an image, along each of its axes


class Window(NamedTuple):
    """A window that slides over an image: all lengths as ``(height, width)``, in pixels.

    `padding` holds ``(before, after)`` for each of the two axes.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pads = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    @classmethod
    def of(
        cls,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: Padding = 0,
        dilation: int | Pair = 1,
    ) -> "Window":
        """Read the arguments of a layer, as PyTorch defines them.

        ``padding="same"`` keeps the image's size and needs stride 1; where the padding is odd, the
        extra pixel goes to the bottom and the right.
        """
        kernel, strides = pair("kernel_size", kernel_size), pair("stride", stride)
        dilations = pair("dilation", dilation)
        if padding == "valid":
            padding = 0
        if padding == "same":
            if strides != (1, 1):
                raise ValueError(f'padding="same" needs stride 1, got stride {stride!r}')
            total = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
            (top, left) = (t // 2 for t in total)
            pads = ((top, total[0] - top), (left, total[1] - left))
        elif isinstance(padding, str):
            raise ValueError(f'padding must be numbers, "same" or "valid", got {padding!r}')
        else:
            vertical, horizontal = pair("padding", padding, least=0)
            pads = ((vertical, vertical), (horizontal, horizontal))
        if (most := max(map(max, pads))) > LONGEST:
            raise ValueError(f"padding must be at most {LONGEST} on each side, got {most}")
        return cls(kernel, strides, pads, dilations)

    # The answers are asked for again and again, and at small batches computing them counts.
    @lru_cache(maxsize=1024)  # noqa: B019 (windows are values, few and small)
    def mirrored(self) -> "Window | None":
        """Return the window that carries gradients from the positions back to the pixels.

        With stride 1 that is a convolution, too: of the outputs' gradients with the weights turned
        by 180°. None where a stride leaves gaps, or the padding is wider than the window reaches.
        """
        reach = [d * (k - 1) for k, d in zip(self.kernel, self.dilation, strict=True)]
        pads = tuple(
            (r - before, r - after) for r, (before, after) in zip(reach, self.padding, strict=True)
        )
        if self.stride != (1, 1) or min(map(min, pads)) < 0:
            return None
        return Window(self.kernel, (1, 1), pads, self.dilation)  # type: ignore[arg-type]

    @lru_cache(maxsize=1024)  # noqa: B019
    def output_size(self, height: int, width: int, ceil_mode: bool = False) -> Pair:
        """Return how many positions the window takes along each axis of an image.

        With `ceil_mode` the last may reach beyond the padding, if it does not begin within it.
        """
        sizes = []
        for length, k, s, (before, after), d in zip(
            (height, width), self.kernel, self.stride, self.padding, self.dilation, strict=True
        ):
            free = length + before + after - d * (k - 1) - 1
            size = free // s + 1
            if ceil_mode and free % s and size * s < length + before:
                size += 1
            if size < 1:
                raise ValueError(
                    f"a window of {self.kernel} (dilation {self.dilation}, padding {self.padding}) "
                    f"does not fit into an image of {height}×{width}"
                )
            sizes.append(size)
        if slip := absurd((height, width), (sizes[0], sizes[1])):
            raise ValueError(slip)
        return sizes[0], sizes[1]

    @lru_cache(maxsize=1024)  # noqa: B019
    def widened(self, height: int, width: int, size: Pair) -> "Window":
        """Return the window with as much padding at the bottom and right as `size` positions need.

        That is what `ceil_mode` asks of an image of `height` × `width`.
        """
        pads = []
        for length, k, s, (before, after), d, count in zip(
            (height, width),
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            size,
            strict=True,
        ):
            last = s * (count - 1) + d * (k - 1)  # the last pixel that is met, counted from padding
            pads.append((before, max(after, last + 1 - length - before)))
        return self._replace(padding=(pads[0], pads[1]))

    @lru_cache(maxsize=1024)  # noqa: B019
    def reach(self, axis: int, size: int) -> tuple[slice, ...]:
        """Return, for each kernel element along an axis, the padded pixels that it meets.

        The axis is 0 for height and 1 for width; there are `size` positions along it.
        """
        d, s = self.dilation[axis], self.stride[axis]
        return tuple(slice(k * d, k * d + s * (size - 1) + 1, s) for k in range(self.kernel[axis]))

    def positions(self, size: Pair) -> tuple[tuple[slice, slice], ...]:
        """Return, for each kernel element in row-major order, the padded rows and columns it meets.

        `size` is the outputs' height and width.
        """
        return tuple(product(self.reach(0, size[0]), self.reach(1, size[1])))


def absurd(before: Pair, after: Pair) -> str | None:
    """Return what to say of images that become others of a size that was hardly meant, or None."""
    (height, width), (h, w) = after, before
    if height * width <= max(LARGEST, h * w):
        return None
    return f"images of {h}×{w} would become {height}×{width}"


def batch_last(xp: Any, x: Any) -> Any:
    """View (N, C, H, W) as (C, H, W, N)."""
    return xp.permute_dims(x, (1, 2, 3, 0))


def batch_first(xp: Any, x: Any) -> Any:
    """View (C, H, W, N) as (N, C, H, W)."""
    return xp.permute_dims(x, (3, 0, 1, 2))


def pad(xp: Any, x: Any, padding: Pads, value: float = 0.0) -> Any:
    """Return `x` (C, H, W, N) with a border of `value`; `x` itself where there is none."""
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    c, h, w, n = x.shape
    shape = (c, h + top + bottom, w + left + right, n)
    padded = xp.full(shape, value, dtype=x.dtype, device=x.device)
    padded[:, top : top + h, left : left + w, :] = x
    return padded


def crop(x: Any, padding: Pads, height: int, width: int) -> Any:
    """Undo `pad`: view the inner `height` × `width` pixels of `x` (C, H, W, N)."""
    top, left = padding[0][0], padding[1][0]
    return x[:, top : top + height, left : left + width, :]


def im2col(xp: Any, x: Any, window: Window) -> Any:
    """Lay the pixels under each window position in a column.

    `x` is (N, C, H, W); the result is (C·kh·kw, OH·OW·N), so that a convolution is ``W @ columns``.
    """
    n, c, h, w = x.shape
    oh, ow = window.output_size(h, w)
    kh, kw = window.kernel
    image = pad(xp, batch_last(xp, x), window.padding)
    columns = xp.empty((c, kh * kw, oh, ow, n), dtype=x.dtype, device=x.device)
    for k, (rows, cols) in enumerate(window.positions((oh, ow))):
        columns[:, k, :, :, :] = image[:, rows, cols, :]
    return xp.reshape(columns, (c * kh * kw, oh * ow * n))


def col2im(xp: Any, columns: Any, shape: tuple[int, int, int, int], window: Window) -> Any:
    """Add columns back to the pixels they came from: the transpose of `im2col`.

    `shape` is the image's (N, C, H, W). Where windows overlap, their values are summed.
    """
    n, c, h, w = shape
    oh, ow = window.output_size(h, w)
    (top, bottom), (left, right) = window.padding
    parts = xp.reshape(columns, (c, window.kernel[0] * window.kernel[1], oh, ow, n))
    padded = (c, h + top + bottom, w + left + right, n)
    image = xp.zeros(padded, dtype=columns.dtype, device=columns.device)
    for k, (rows, cols) in enumerate(window.positions((oh, ow))):
        image[:, rows, cols, :] += parts[:, k, :, :, :]
    return batch_first(xp, crop(image, window.padding, h, w))
