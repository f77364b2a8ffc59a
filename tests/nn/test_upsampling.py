"""Upsample: known values, what is kept whatever the size, and how few passes it takes."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from cases import numbers

from portanet import nn
from portanet.nn import Context
from portanet.nn.resampling import Scale, runs

WAYS = [
    nn.Upsample(5),
    nn.Upsample((7, 2)),
    nn.Upsample(scale_factor=2),
    nn.Upsample(scale_factor=(1.7, 0.4)),
    nn.Upsample(5, mode="bilinear"),
    nn.Upsample((2, 9), mode="bilinear", align_corners=True),
    nn.Upsample(scale_factor=(0.6, 3), mode="bilinear"),
    nn.Upsample(scale_factor=2.5, mode="bilinear", align_corners=True),
]
every_way = pytest.mark.parametrize("layer", WAYS, ids=repr)


def line(place: Any, values: Any, dy: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
    """Return what an upsampling makes of one sequence, and of a gradient."""
    x = place.array(np.reshape(np.asarray(values, float), (1, 1, -1)))
    y, pullback = nn.Upsample(*args, **options).vjp(x, Context(True))
    dx, _ = pullback(place.array(np.reshape(np.asarray(dy, float), (1, 1, -1))))
    return place.host(y)[0, 0].tolist(), place.host(dx)[0, 0].tolist()


def test_the_nearest_pixels_are_repeated_and_their_gradients_summed(place: Any) -> None:
    dy = [1, 10, 100, 1000, 1e4, 1e5]
    assert line(place, [3, 7, 5], dy, scale_factor=2) == ([3, 3, 7, 7, 5, 5], [11, 1100, 110000])
    assert line(place, [3, 7], dy, 6) == ([3, 3, 3, 7, 7, 7], [111, 111000])
    assert line(place, [3, 7, 5], dy[:5], 5) == ([3, 3, 7, 7, 5], [11, 1100, 10000])
    assert line(place, [3, 7, 5, 1], dy[:2], scale_factor=0.5) == ([3, 5], [1, 0, 10, 0])


def test_pixels_between_two_are_their_weighted_means(place: Any) -> None:
    y, dx = line(place, [0, 4], [1, 1, 2, 4], scale_factor=2, mode="linear")
    assert y == [0, 1, 3, 4]
    assert dx == [1 + 0.75 + 0.5, 0.25 + 1.5 + 4]
    y, dx = line(place, [0, 4, 6], [1, 2, 4, 8, 16], 5, mode="linear", align_corners=True)
    assert y == [0, 2, 4, 5, 6]
    assert dx == [1 + 1, 1 + 4 + 4, 4 + 16]


def test_a_scale_is_the_fraction_that_was_meant(place: Any) -> None:
    """As a float 0.1 is a little more than a tenth, and 3 / 0.1 might be a little less than 30."""
    y, _ = line(place, range(70), np.ones(7), scale_factor=0.1)
    assert y == [0, 10, 20, 30, 40, 50, 60]
    y, _ = line(place, range(10), np.ones(7), scale_factor=0.7)
    assert y == [i * 10 // 7 for i in range(7)]


@every_way
@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
def test_an_even_image_stays_even(place: Any, layer: Any, size: Any) -> None:
    if layer.scale_factor is not None and min(np.multiply(size, layer.scale_factor)) < 1:
        size = (3, 4)
    y, pullback = layer.vjp(place.array(np.full((2, 3, *size), 0.3)), Context(True))
    np.testing.assert_allclose(place.host(y), 0.3, 1e-6)
    # … and what is shared out of the gradient is all of it.
    dy = numbers("dy", tuple(y.shape))
    dx, _ = pullback(place.array(dy))
    sums = [place.host(dx).sum(axis=(2, 3)), dy.sum(axis=(2, 3))]
    np.testing.assert_allclose(*sums, 1e-5, 1e-5)


@pytest.mark.parametrize("corners", [None, True])
def test_a_slope_goes_through_the_corners_where_they_are_aligned(place: Any, corners: Any) -> None:
    x = place.array(np.arange(4.0).reshape(1, 1, 1, 4))
    y = nn.Upsample((1, 10), mode="bilinear", align_corners=corners)(x)
    slope = np.linspace(0, 3, 10) if corners else np.clip((np.arange(10) + 0.5) * 0.4 - 0.5, 0, 3)
    np.testing.assert_allclose(place.host(y)[0, 0, 0], slope, 1e-6, 1e-6)


def test_what_has_the_size_is_not_copied() -> None:
    x = numbers("x", (2, 3, 5, 7))
    for layer in (nn.Upsample((5, 7)), nn.Upsample(scale_factor=1.1, mode="bilinear")):
        y, pullback = layer.vjp(x[:, :, :5, :5], Context(True))
        assert np.shares_memory(y, x) == (y.shape == (2, 3, 5, 5))
    y, pullback = nn.Upsample((5, 7), mode="bilinear", align_corners=True).vjp(x, Context(True))
    assert np.shares_memory(y, x)
    assert np.shares_memory(pullback(y)[0], x)


@pytest.mark.parametrize(
    ("scale", "count"),
    [
        (Scale(100, 200, Fraction(0), Fraction(1, 2), False), 2),  # doubled
        (Scale(100, 300, Fraction(0), Fraction(1, 3), False), 3),
        (Scale(100, 50, Fraction(0), Fraction(2), False), 1),  # every second
        (Scale(100, 200, Fraction(-1, 4), Fraction(1, 2), True), 4),  # and both borders
        (Scale(100, 300, Fraction(-1, 3), Fraction(1, 3), True), 5),
        (Scale(101, 201, Fraction(0), Fraction(1, 2), True), 2),
        (Scale(1, 4, Fraction(0), Fraction(0), True), 4),
        (Scale(4, 3, Fraction(-1), Fraction(1), False), 2),  # twice the first pixel, and the second
    ],
)
def test_equal_rows_are_done_at_once(scale: Scale, count: int) -> None:
    assert len(runs(scale)) == count
    covered = [i for run in runs(scale) for i in range(scale.after)[run.after]]
    assert sorted(covered) == list(range(scale.after))
