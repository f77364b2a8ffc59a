"""What the loaders of data sets return: the images and labels of a split."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Images (N, C, H, W), float32, and labels (N,), int64, on the host, contiguous and writeable.
Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def scaled(images: NDArray[Any], top: int) -> NDArray[np.float32]:
    """Return a contiguous copy in float32, divided by `top`."""
    with np.errstate(over="ignore"):  # a float64 may become infinite; the caller looks
        pixels = np.array(images, dtype=np.float32, order="C")
    if top != 1:
        pixels /= top
    return pixels
