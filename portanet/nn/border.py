"""Borders of an image's own pixels, which padding may have instead of zeros."""

from collections.abc import Callable
from typing import Any

from portanet.checks import Pair
from portanet.im2col import Pads, crop, pad

# Which pixel of a line of n stands at place i of its border: i < 0 before the line, i ≥ n after it.
BORDERS: dict[str, Callable[[int, int], int]] = {
    "reflect": lambda i, n: n - 1 - abs(n - 1 - abs(i)),
    "replicate": lambda i, n: min(max(i, 0), n - 1),
    "circular": lambda i, n: i % n,
}


def extend(xp: Any, x: Any, padding: Pads, mode: str) -> Any:
    """Return `x` (C, H, W, N) with a border of its own pixels, as `BORDERS` has them for `mode`.

    Raises ValueError where a reflection or a circle would need more pixels than there are.
    """
    rows, columns = _copies(x.shape[1], padding[0], mode), _copies(x.shape[2], padding[1], mode)
    image = pad(xp, x, padding)
    for place, source in rows:
        image[:, place, :, :] = image[:, source, :, :]
    for place, source in columns:
        image[:, :, place, :] = image[:, :, source, :]
    return image


def fold(image: Any, padding: Pads, mode: str) -> Any:
    """Add a border back to the pixels that it copies: the transpose of `extend`, done in place.

    `image` is padded, (C, H, W, N); the result is the view of it without the border.
    """
    height, width = (image.shape[axis + 1] - sum(padding[axis]) for axis in (0, 1))
    for place, source in _copies(width, padding[1], mode):
        image[:, :, source, :] += image[:, :, place, :]
    for place, source in _copies(height, padding[0], mode):
        image[:, source, :, :] += image[:, place, :, :]
    return crop(image, padding, height, width)


def _copies(length: int, pads: Pair, mode: str) -> list[Pair]:
    """Return each place of a padded line's border with the place of the pixel that it copies."""
    before, after = pads
    most = {"reflect": length - 1, "circular": length}.get(mode, max(pads))
    if max(pads) > most:
        raise ValueError(
            f"padding_mode={mode!r} of {length} pixels allows padding of {most}, got {max(pads)}"
        )
    border = (*range(-before, 0), *range(length, length + after))
    return [(before + i, before + BORDERS[mode](i, length)) for i in border]
