"""What batch normalization promises beside its gradients: statistics that hold their digits."""

from typing import Any

import numpy as np
import pytest

from portanet import nn
from portanet.nn import Context

SHAPES = [(500, 2), (20, 2, 25), (5, 2, 10, 10)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_variance_of_large_numbers_keeps_its_digits(place: Any, shape: Any) -> None:
    """Of x² less mean², float32 would leave noise: 10⁸ takes all its digits."""
    host = (1e4 + np.random.default_rng(0).standard_normal(shape)).astype("float32")
    axes = tuple(a for a in range(len(shape)) if a != 1)
    naive = (host**2).mean(axes) - host.mean(axes) ** 2
    exact = host.astype("float64")
    assert not np.allclose(naive, exact.var(axes), 0.5)
    mean, var = place.backend.moments(place.array(host, "float32"))
    place.check(mean, (2,), "float32")
    place.check(var, (2,), "float32")
    np.testing.assert_allclose(place.host(mean), exact.mean(axes), 1e-6)
    np.testing.assert_allclose(place.host(var), exact.var(axes), 1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_without_a_gradient_for_x_the_others_stay(place: Any, training: bool) -> None:
    layer = nn.BatchNorm2d(3)
    x = place.array(np.random.default_rng(0).standard_normal((4, 3, 2, 2)))
    dy = place.array(np.random.default_rng(1).standard_normal((4, 3, 2, 2)))
    _, whole = layer.vjp(x, Context(training))
    _, part = layer.vjp(x, Context(training, needs_input_grad=False))
    (dx, expected), (nothing, grads) = whole(dy), part(dy)
    assert dx.shape == x.shape
    assert nothing is None
    assert grads.keys() == expected.keys() == {"weight", "bias"}
    for name, grad in grads.items():
        np.testing.assert_array_equal(place.host(grad), place.host(expected[name]))
