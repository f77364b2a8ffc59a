"""Random flips, crops, holes, brightness and contrast; for rotations see `affine`.

Names and definitions are torchvision's, where it has them.
"""

from typing import Any

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.checks import Pair, integer, number, pair
from portanet.data.pixels import bordered, gather, limited, numbered
from portanet.data.ranges import Range, between, span
from portanet.data.transform import Transform

GRAY = (0.2989, 0.587, 0.114)  # the weights of red, green and blue in a pixel's gray value


class RandomHorizontalFlip(Transform):
    """Mirrors each image, left to right, with probability p.

    Shapes: x and y (N, C, H, W).
    """

    draws = 1

    def __init__(self, p: float = 0.5) -> None:
        self.p = number("p", p, high=1.0)

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the images, some of them mirrored."""
        xp, mirrored = backend.xp, backend.asarray(u < self.p)
        return xp.where(mirrored[:, :, None, None], xp.flip(x, axis=3), x)


class RandomCrop(Transform):
    """Cuts a piece from each image, at a random place.

    ``RandomCrop(28, padding=2)`` so shifts images of 28×28 by up to 2 pixels, which takes less than
    `RandomAffine`, for nothing is interpolated.

    Args:
        size: the height and width of a piece; one number is both.
        padding: the width of a border that is put around each image first.
        fill: the value of the border's pixels.

    Shapes: x (N, C, H, W), y (N, C, *size). Raises ValueError where a piece is larger than an image
    with its border.
    """

    draws = 2

    def __init__(self, size: int | Pair, padding: int = 0, fill: float = 0.0) -> None:
        self.size = pair("size", size)
        self.padding = integer("padding", padding, least=0)
        self.fill = number("fill", fill, low=-float("inf"))

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the pieces."""
        xp, host, (h, w) = backend.xp, backend_of(u).xp, self.size
        image = bordered(xp, x, self.padding, self.padding, self.fill)
        n, c, height, width = image.shape
        if h > height or w > width:
            self.fail(
                f"a piece of {self.size} is larger than images of {(height, width)}, "
                f"with padding {self.padding}"
            )
        top, left = host.floor(u[:, 0] * (height - h + 1)), host.floor(u[:, 1] * (width - w + 1))
        corner = backend.asarray(top * width + left, "int64")[:, None, None]
        row, column = (xp.arange(k, dtype=xp.int64, device=x.device) for k in self.size)
        index = numbered(xp, image, corner + (row[:, None] * width + column))
        y = xp.empty((n, c, h, w), dtype=x.dtype, device=x.device)
        for k in range(c):
            y[:, k, :, :] = xp.reshape(gather(xp, image, index, k), (n, h, w))
        return y


class Cutout(Transform):
    """Covers a rectangle of each image; its center is a random pixel, so it may be cut off.

    Args:
        size: the rectangle's height and width; one number is both.
        fill: the value of covered pixels. The source's is 0, the mean of its images.

    Shapes: x and y (N, C, H, W). Source: DeVries and Taylor, "Improved regularization of
    convolutional neural networks with cutout", 2017.
    """

    draws = 2

    def __init__(self, size: int | Pair, fill: float = 0.0) -> None:
        self.size = pair("size", size)
        self.fill = number("fill", fill, low=-float("inf"))

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the images, each with its hole."""
        xp, host = backend.xp, backend_of(u).xp
        inside = []
        for axis, size in enumerate(self.size):
            length = x.shape[2 + axis]
            start = host.floor(u[:, axis] * length) - size // 2
            start = backend.asarray(start, "int64")[:, None]
            pixel = xp.arange(length, dtype=xp.int64, device=x.device)
            inside.append((pixel >= start) & (pixel < start + size))
        hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        y = x * xp.astype(~hole, x.dtype)
        return y + self.fill * xp.astype(hole, x.dtype) if self.fill else y


class ColorJitter(Transform):
    """Changes the brightness, then the contrast, of images whose pixels are in [0, 1].

    y = clip(b x), then y = clip(k y + (1 − k) m), where clip limits to [0, 1] and m is the mean of
    the image's gray values, 0.2989 R + 0.587 G + 0.114 B. (torchvision draws which comes first.)
    Pixels are standardized after it, not before.

    Args:
        brightness: b is drawn from [max(0, 1 − brightness), 1 + brightness], or from (low, high).
        contrast: k is drawn likewise.

    Shapes: x and y (N, C, H, W), C 1 or 3. Raises ValueError for another number of channels.
    """

    draws = 2

    def __init__(self, brightness: float | Range = 0.0, contrast: float | Range = 0.0) -> None:
        self.brightness = span("brightness", brightness, least=0.0, center=1.0)
        self.contrast = span("contrast", contrast, least=0.0, center=1.0)

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the images in another light."""
        xp, c = backend.xp, x.shape[1]
        if c not in (1, 3):
            self.fail(f"expected images of 1 or 3 channels, got {tuple(x.shape)}")
        factors = [between(self.brightness, u[:, :1]), between(self.contrast, u[:, 1:])]
        b, k = (backend.asarray(factor, dtype_name(x))[:, :, None, None] for factor in factors)
        y = limited(xp, b * x, 1.0)
        mean = xp.mean(y, axis=(2, 3), keepdims=True)
        if c == 3:
            mean = sum(weight * mean[:, i : i + 1, :, :] for i, weight in enumerate(GRAY))
        return limited(xp, k * y + (1.0 - k) * mean, 1.0)
