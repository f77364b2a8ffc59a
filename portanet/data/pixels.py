"""What augmentations do to the pixels of images (N, C, H, W)."""

from typing import Any

from portanet.backend import Array


def bordered(xp: Any, x: Array, before: int, after: int, fill: float) -> Array:
    """Return a copy with a border of `fill`: `before` wide above and left, `after` elsewhere."""
    n, c, h, w = x.shape
    width = before + after
    image = xp.full((n, c, h + width, w + width), fill, dtype=x.dtype, device=x.device)
    image[:, :, before : before + h, before : before + w] = x
    return image


def numbered(xp: Any, image: Array, pixel: Array) -> Array:
    """Return the index for `gather` of each sample's pixels.

    `pixel` is integers (N, h, w) that number the pixels of one channel, row by row.
    """
    n, c, h, w = image.shape
    start = xp.arange(n, dtype=xp.int64, device=image.device) * (c * h * w)
    return xp.reshape(xp.astype(pixel, xp.int64) + start[:, None, None], (-1,))


def gather(xp: Any, image: Array, index: Array, channel: int, skip: int = 0) -> Array:
    """Return pixels of one channel, or those `skip` places further on, as a vector.

    One index serves all channels and neighbors: they lie at the same place in a view of the pixels
    that begins later. To compute indices takes longer than to follow them.
    """
    start = channel * image.shape[2] * image.shape[3] + skip if image.shape[0] else 0
    return xp.take(xp.reshape(image, (-1,))[start:], index, axis=0)


def limited(xp: Any, x: Array, high: float) -> Array:
    """Return `x` (…, H, W) with its values limited to [0, high]."""
    # Limits as arrays of an image's size: NumPy takes twice as long over numbers.
    low = xp.zeros(x.shape[-2:], dtype=x.dtype, device=x.device)
    return xp.minimum(xp.maximum(x, low), low + high)
