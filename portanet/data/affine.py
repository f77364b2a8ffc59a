"""Random rotations, shifts and scalings of images: one resampling does them all.

Names and definitions are torchvision's, but for the interpolation: always bilinear.
"""

from math import inf, pi
from typing import Any

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.checks import number
from portanet.data.pixels import bordered, gather, limited, numbered
from portanet.data.ranges import Range, between, span, two
from portanet.data.transform import Transform


class RandomAffine(Transform):
    """Rotates, scales and shifts each image about its center.

    The pixel at p of y is that of x at R⁻¹ (p − t) / s, with rotation R by φ, shift t and scale s;
    p is measured from the center, rightwards and downwards.

    Args:
        degrees: φ is drawn from [−degrees, degrees], or from (low, high); clockwise.
        translate: t is drawn from ± these shares of the width and the height, and rounded to whole
            pixels.
        scale: s is drawn from (low, high).
        fill: the value outside of the image.

    Shapes: x and y (N, C, H, W).
    """

    draws = 4

    def __init__(
        self,
        degrees: float | Range,
        translate: Range = (0.0, 0.0),
        scale: Range = (1.0, 1.0),
        fill: float = 0.0,
    ) -> None:
        self.degrees = span("degrees", degrees, center=0.0)
        self.translate = two("translate", translate, 0.0, 1.0)
        self.scale = span("scale", scale, least=0.0)
        if self.scale[0] == 0.0:
            raise ValueError(f"scale must be above 0, got {scale!r}")
        self.fill = number("fill", fill, low=-inf)

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the images in their new places."""
        xp, (height, width) = backend_of(u).xp, x.shape[2:]
        across, down = (share * k for share, k in zip(self.translate, (width, height), strict=True))
        return resample(
            x,
            _inverse(
                between(self.degrees, u[:, 0]),
                between(self.scale, u[:, 1]),
                xp.round(between((-across, across), u[:, 2])),
                xp.round(between((-down, down), u[:, 3])),
            ),
            self.fill,
        )


class RandomRotation(Transform):
    """Rotates each image about its center.

    Args:
        degrees: the angle is drawn from [−degrees, degrees], or from (low, high);
            counter-clockwise, unlike `RandomAffine`'s.
        fill: the value outside of the image.

    Shapes: x and y (N, C, H, W).
    """

    draws = 1

    def __init__(self, degrees: float | Range, fill: float = 0.0) -> None:
        self.degrees = span("degrees", degrees, center=0.0)
        self.fill = number("fill", fill, low=-inf)

    def apply(self, backend: Backend, x: Array, u: Any) -> Array:
        """Return the images, rotated."""
        return resample(x, _inverse(-between(self.degrees, u[:, 0])), self.fill)


def _inverse(degrees: Any, scale: Any = 1.0, right: Any = 0.0, down: Any = 0.0) -> Any:
    """Return the matrices of R⁻¹ (p − t) / s: from a pixel of y to where it comes from."""
    xp = backend_of(degrees).xp
    cos, sin = (f(degrees * (pi / 180)) / scale for f in (xp.cos, xp.sin))
    rows = (cos, sin, -cos * right - sin * down), (-sin, cos, sin * right - cos * down)
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=1)


def resample(x: Array, matrices: Any, fill: float = 0.0) -> Array:
    """Return images whose pixel at p is that of `x` at ``matrix @ (p, 1)``, interpolated.

    Bilinear, between the four pixels around; those outside of the image are `fill`. p is measured
    in pixels from the center, rightwards and downwards.

    Shapes: x and the result (N, C, H, W); `matrices` (N, 2, 3), a NumPy array.
    """
    backend = backend_of(x)
    xp, (n, c, h, w) = backend.xp, x.shape
    # A border instead of masks. After the image it is one pixel wider, so that the last place
    # within it has a neighbor, too.
    image = bordered(xp, x, 1, 2, fill)
    width = image.shape[3]
    matrices = backend.asarray(matrices, dtype_name(x))
    across, down = (xp.arange(k, dtype=x.dtype, device=x.device) - (k - 1) / 2 for k in (w, h))

    def source(row: int, length: int) -> tuple[Array, Array]:
        """Return the last pixel before each place in the bordered image, and the way from there."""
        a, b, shift = (matrices[:, row, i : i + 1] for i in range(3))
        vertical, horizontal = b * down + (shift + (length + 1) / 2), a * across
        place = limited(xp, vertical[:, :, None] + horizontal[:, None, :], length + 1.0)
        pixel = xp.astype(place, xp.int32)  # NumPy converts four times as fast as to int64
        return pixel, xp.reshape(place - xp.astype(pixel, x.dtype), (-1,))

    column, right = source(0, w)
    line, below = source(1, h)
    index = numbered(xp, image, line * width + column)
    y = xp.empty(x.shape, dtype=x.dtype, device=x.device)
    for k in range(c):
        upper, lower = (
            _mix(gather(xp, image, index, k, skip), gather(xp, image, index, k, skip + 1), right)
            for skip in (0, width)
        )
        y[:, k, :, :] = xp.reshape(_mix(upper, lower, below), (n, h, w))
    return y


def _mix(a: Array, b: Array, share: Array) -> Array:
    return a + share * (b - a)
