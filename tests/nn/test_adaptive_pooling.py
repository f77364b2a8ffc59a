"""Adaptive max-pooling: known values, and who of equals gets the gradient."""

from typing import Any

import numpy as np
import pytest
from cases import numbers

from portanet import nn
from portanet.nn import Context

INF = float("inf")


def test_windows_may_share_pixels_and_be_of_several_sizes(place: Any) -> None:
    x = place.array([[[5.0, 1.0, 2.0, 9.0, 3.0]]])  # pixels 0–1, 1–3 and 3–4
    y, pullback = nn.AdaptiveMaxPool1d(3).vjp(x, Context(True))
    assert place.host(y).tolist() == [[[5, 9, 9]]]
    dx, _ = pullback(place.array([[[1.0, 10.0, 100.0]]]))
    assert place.host(dx).tolist() == [[[1, 0, 0, 110, 0]]]


@pytest.mark.parametrize("value", [0.0, -INF])
@pytest.mark.parametrize("size", [1, 2, (2, 1), 3, (5, 3), (4, 7)])
def test_of_equals_the_first_gets_the_gradient(library: Any, size: Any, value: float) -> None:
    """Not what fills a window that is shorter than others."""
    layer, x = nn.AdaptiveMaxPool2d(size), library.array(np.full((1, 1, 5, 4), value))
    y, pullback = layer.vjp(x, Context(True))
    dx = library.host(pullback(library.array(np.ones(y.shape)))[0])
    expected = np.zeros((5, 4))
    height, width = y.shape[2:]
    for i in range(height):
        for j in range(width):
            expected[i * 5 // height, j * 4 // width] += 1.0
    np.testing.assert_array_equal(dx[0, 0], expected)


def test_where_the_size_divides_it_is_a_pooling(place: Any) -> None:
    x = place.array(numbers("x", (2, 3, 6, 4)))
    y, pullback = nn.AdaptiveMaxPool2d((2, 4)).vjp(x, Context(True))
    expected, expected_pullback = nn.MaxPool2d((3, 1)).vjp(x, Context(True))
    np.testing.assert_array_equal(place.host(y), place.host(expected))
    dx, expected_dx = pullback(y)[0], expected_pullback(y)[0]
    np.testing.assert_array_equal(place.host(dx), place.host(expected_dx))


def test_the_largest_number_of_each_channel(place: Any) -> None:
    x = numbers("x", (2, 3, 4, 5))
    y = place.host(nn.AdaptiveMaxPool2d(1)(place.array(x)))
    np.testing.assert_allclose(y, x.max(axis=(2, 3), keepdims=True), 1e-6)
    y = place.host(nn.AdaptiveMaxPool1d(1)(place.array(x[:, 0, :, :])))
    np.testing.assert_allclose(y, x[:, 0].max(axis=2, keepdims=True), 1e-6)


def test_a_sequence_is_an_image_of_height_one(place: Any) -> None:
    x = numbers("x", (2, 3, 7))
    images = place.array(x[:, :, None, :])
    for one, two in (
        (nn.AdaptiveAvgPool1d(3), nn.AdaptiveAvgPool2d((1, 3))),
        (nn.AdaptiveMaxPool1d(3), nn.AdaptiveMaxPool2d((1, 3))),
    ):
        y, expected = place.host(one(place.array(x))), place.host(two(images))
        np.testing.assert_array_equal(y, expected[:, :, 0, :])
