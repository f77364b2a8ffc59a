"""What losses of numbers promise beside what every loss does."""

from math import isclose
from typing import Any

import numpy as np
import pytest
from cases import numbers

from portanet import nn

ERRORS = [-3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0]


@pytest.mark.parametrize(
    ("loss", "losses", "slopes"),
    [
        (nn.MSELoss("none"), [9, 1, 0.0625, 0, 0.0625, 1, 9], [-6, -2, -0.5, 0, 0.5, 2, 6]),
        (nn.L1Loss("none"), [3, 1, 0.25, 0, 0.25, 1, 3], [-1, -1, -1, 0, 1, 1, 1]),
        (
            nn.HuberLoss("none", delta=0.5),
            [1.375, 0.375, 0.03125, 0, 0.03125, 0.375, 1.375],
            [-0.5, -0.5, -0.25, 0, 0.25, 0.5, 0.5],
        ),
        (
            nn.SmoothL1Loss("none", beta=0.5),
            [2.75, 0.75, 0.0625, 0, 0.0625, 0.75, 2.75],
            [-1, -1, -0.5, 0, 0.5, 1, 1],
        ),
        (nn.SmoothL1Loss("none", beta=0.0), [3, 1, 0.25, 0, 0.25, 1, 3], [-1, -1, -1, 0, 1, 1, 1]),
    ],
    ids=repr,
)
def test_by_hand(loss: nn.Loss, losses: Any, slopes: Any, place: Any) -> None:
    value, pullback = loss.vjp(place.array(np.array(ERRORS) + 2.0), place.array(np.full(7, 2.0)))
    np.testing.assert_allclose(place.host(value), losses, 1e-6)
    np.testing.assert_allclose(place.host(pullback()), slopes, 1e-6)


@pytest.mark.parametrize("width", [0.3, 1.0, 4.0])
def test_smooth_l1_is_huber_over_beta(width: float, place: Any) -> None:
    inputs = (place.array(numbers(name, (4, 5))) for name in ("scores", "target"))
    scores, target = inputs
    value, pullback = nn.SmoothL1Loss(beta=width).vjp(scores, target)
    huber, huber_pullback = nn.HuberLoss(delta=width).vjp(scores, target)
    assert isclose(float(value) * width, float(huber), rel_tol=1e-6)
    np.testing.assert_allclose(
        place.host(pullback()) * width, place.host(huber_pullback()), 1e-5, 1e-9
    )


@pytest.mark.parametrize("loss", [nn.HuberLoss("none"), nn.SmoothL1Loss("none"), nn.L1Loss("none")])
def test_large_errors_do_not_overflow(loss: nn.Loss, place: Any) -> None:
    value, pullback = loss.vjp(place.array([1e30, -1e30]), place.array([0.0, 0.0]))
    np.testing.assert_allclose(place.host(value), [1e30, 1e30], 1e-6)
    np.testing.assert_array_equal(place.host(pullback()), [1.0, -1.0])


@pytest.mark.parametrize("beta", [1e-30, 1e-37, 1e-40, 1e-50, 1e-300])
def test_a_narrow_corner_is_that_of_l1(place: Any, beta: float) -> None:
    value, pullback = nn.SmoothL1Loss("none", beta=beta).vjp(
        place.array([3.0, -2.0, 0.0]), place.array([0.0, 0.0, 0.0])
    )
    np.testing.assert_allclose(place.host(value), [3.0, 2.0, 0.0])
    np.testing.assert_array_equal(place.host(pullback()), [1.0, -1.0, 0.0])
