"""PixelShuffle and PixelUnshuffle: where each number goes, and that one undoes the other."""

from typing import Any

import numpy as np
from cases import numbers

from portanet import nn
from portanet.nn import Context


def test_four_channels_become_the_corners_of_each_pixel(place: Any) -> None:
    x = place.array(np.arange(8.0).reshape(1, 4, 1, 2))  # channels [0 1] [2 3] [4 5] [6 7]
    y = nn.PixelShuffle(2)(x)
    assert place.host(y)[0, 0].tolist() == [[0, 2, 1, 3], [4, 6, 5, 7]]
    np.testing.assert_array_equal(place.host(nn.PixelUnshuffle(2)(y)), place.host(x))


def test_one_is_the_others_pullback(place: Any) -> None:
    x = place.array(numbers("x", (2, 18, 2, 3)))
    y, pullback = nn.PixelShuffle(3).vjp(x, Context(True))
    assert y.shape == (2, 2, 6, 9)
    np.testing.assert_array_equal(place.host(pullback(y)[0]), place.host(x))
    same, pullback = nn.PixelUnshuffle(3).vjp(y, Context(True))
    np.testing.assert_array_equal(place.host(same), place.host(x))
    np.testing.assert_array_equal(place.host(pullback(same)[0]), place.host(y))
