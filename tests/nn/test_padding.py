"""Padding layers: known borders, and that a convolution with its own padding is the same."""

from typing import Any

import numpy as np
import pytest
from cases import fill, numbers

from portanet import nn
from portanet.nn import Context

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ZeroPad2d((1, 0, 0, 1)), [[0, 1, 2, 3], [0, 4, 5, 6], [0, 0, 0, 0]]),
        (nn.ReflectionPad2d((0, 2, 1, 0)), [[4, 5, 6, 5, 4], [1, 2, 3, 2, 1], [4, 5, 6, 5, 4]]),
        (nn.ReplicationPad2d((2, 0, 0, 1)), [[1, 1, 1, 2, 3], [4, 4, 4, 5, 6], [4, 4, 4, 5, 6]]),
    ],
    ids=repr,
)
def test_left_right_top_and_bottom(place: Any, layer: Any, expected: Any) -> None:
    y, pullback = layer.vjp(place.array(X[None, None]), Context(True))
    assert place.host(y)[0, 0].tolist() == expected
    # Each pixel's gradient counts how often it is there.
    dx, _ = pullback(place.array(np.ones(y.shape)))
    counts = [[np.count_nonzero(np.equal(expected, value)) for value in row] for row in X]
    assert place.host(dx)[0, 0].tolist() == counts


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (nn.ZeroPad2d, "zeros"),
        (nn.ReflectionPad2d, "reflect"),
        (nn.ReplicationPad2d, "replicate"),
    ],
)
def test_a_convolution_pads_likewise(place: Any, layer: Any, mode: str) -> None:
    x = place.array(numbers("x", (2, 2, 4, 5)))
    padded = fill(nn.Conv2d(2, 3, 3, padding=(2, 1), padding_mode=mode))
    plain = nn.Conv2d(2, 3, 3)
    plain.load_state_dict(padded.state_dict())
    y, pullback = nn.Sequential(layer((1, 1, 2, 2)), plain).vjp(x, Context(True))
    expected, expected_pullback = padded.vjp(x, Context(True))
    np.testing.assert_allclose(place.host(y), place.host(expected), place.rtol, place.rtol)
    dx, expected_dx = pullback(y)[0], expected_pullback(y)[0]
    np.testing.assert_allclose(place.host(dx), place.host(expected_dx), place.rtol, 10 * place.rtol)
