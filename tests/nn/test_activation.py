"""What activations promise beside their gradients: values far from zero, at kinks, of softmax."""

from math import inf, log
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn
from portanet.nn import Context
from portanet.train.parallel import Team

# What y tends to far below zero, with which slope, and far above.
LIMITS = {
    "relu": (nn.ReLU, (0, 0), (inf, 1)),
    "leaky-relu": (lambda: nn.LeakyReLU(0.25), (-inf, 0.25), (inf, 1)),
    "prelu": (nn.PReLU, (-inf, 0.25), (inf, 1)),
    "elu": (lambda: nn.ELU(0.5), (-0.5, 0), (inf, 1)),
    "selu": (nn.SELU, (-1.7580993408473766, 0), (inf, 1.0507009873554805)),
    "sigmoid": (nn.Sigmoid, (0, 0), (1, 0)),
    "tanh": (nn.Tanh, (-1, 0), (1, 0)),
    "softplus": (nn.Softplus, (0, 0), (inf, 1)),
    "softplus-never-linear": (lambda: nn.Softplus(2.0, inf), (0, 0), (inf, 1)),
    "softplus-mirrored": (lambda: nn.Softplus(-2.0), (-inf, 1), (0, 0)),
    "silu": (nn.SiLU, (0, 0), (inf, 1)),
    "gelu": (nn.GELU, (0, 0), (inf, 1)),
    "gelu-tanh": (lambda: nn.GELU("tanh"), (0, 0), (inf, 1)),
    "hardswish": (nn.Hardswish, (0, 0), (inf, 1)),
    "hardsigmoid": (nn.Hardsigmoid, (0, 0), (1, 0)),
    "hardtanh": (lambda: nn.Hardtanh(-0.5, 2.0), (-0.5, 0), (2, 0)),
    "relu6": (nn.ReLU6, (0, 0), (6, 0)),
    "mish": (nn.Mish, (0, 0), (inf, 1)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LIMITS)
def test_far_from_zero_all_is_exact_and_silent(place: Any, name: str, dtype: str) -> None:
    place = place.select(dtype)
    make, below, above = LIMITS[name]
    rtol = {"float32": 1e-6, "float64": 1e-15}[dtype]
    for sign, (limit, slope) in ((-1.0, below), (1.0, above)):
        values = sign * np.array([1e3, 1e4, 1e30, inf])
        y, pullback = make().vjp(place.array(values), Context(True))
        dx, _ = pullback(place.array(np.ones(4)))
        expected = slope * values if np.isinf(limit) else np.full(4, limit)
        np.testing.assert_allclose(place.host(y), expected, rtol, atol=1e-40)
        np.testing.assert_allclose(place.host(dx), np.full(4, slope), rtol, atol=1e-40)


def test_elu_is_exact_near_zero(place: Any) -> None:
    x = -(10.0 ** np.arange(-30.0, 3.0))
    y = place.host(nn.ELU()(place.array(x)))
    np.testing.assert_allclose(y, np.expm1(x), 1e-15 if place.dtype == "float64" else 1e-6)


def test_slopes_at_kinks(place: Any) -> None:
    kinks = {
        (nn.PReLU(init=0.5), 0.0): 0.5,
        (nn.ELU(0.5), 0.0): 0.5,
        (nn.SELU(), 0.0): 1.7580993408473766,
        (nn.Hardswish(), -3.0): 0.0,
        (nn.Hardswish(), 3.0): 1.0,
        (nn.Hardsigmoid(), -3.0): 0.0,
        (nn.Hardsigmoid(), 3.0): 0.0,
        (nn.Hardtanh(), -1.0): 0.0,
        (nn.Hardtanh(), 1.0): 0.0,
        (nn.ReLU6(), 0.0): 0.0,
        (nn.ReLU6(), 6.0): 0.0,
        (nn.Softplus(2.0, 0.0), 0.0): 0.5,
    }
    for (layer, at), slope in kinks.items():
        _, pullback = layer.vjp(place.array([at]), Context(True))
        dx, _ = pullback(place.array([1.0]))
        np.testing.assert_allclose(place.host(dx), slope, rtol=1e-6, err_msg=repr(layer))


def test_softplus_is_linear_above_its_threshold(place: Any) -> None:
    x = place.array([0.4, 0.5, 0.6])
    y, pullback = nn.Softplus(beta=2.0, threshold=1.0).vjp(x, Context(True))
    soft = [np.log1p(np.exp(0.8)) / 2, np.log1p(np.exp(1.0)) / 2, 0.6]
    np.testing.assert_allclose(place.host(y), soft, rtol=1e-6)
    dx, _ = pullback(place.array([1.0, 1.0, 1.0]))
    np.testing.assert_allclose(place.host(dx), [1 / (1 + np.exp(-0.8)), 1 / (1 + np.exp(-1)), 1])


def test_the_tanh_gelu_is_near_the_exact_one(place: Any) -> None:
    x = place.array(np.linspace(-6, 6, 101))
    exact, close = (place.host(nn.GELU(how)(x)) for how in ("none", "tanh"))
    assert 1e-5 < np.max(np.abs(exact - close)) < 1e-3


def test_prelu_trains_a_slope_for_each_channel(place: Any) -> None:
    layer = nn.PReLU(2)
    np.testing.assert_array_equal(place.host(layer.params["weight"]), [0.25, 0.25])
    layer.params["weight"] = [0.5, -1.0]
    y, pullback = layer.vjp(place.array([[-2.0, -3.0], [4.0, -5.0]]), Context(True))
    np.testing.assert_array_equal(place.host(y), [[-1, 3], [4, 5]])
    dx, grads = pullback(place.array([[1.0, 10.0], [100.0, 1000.0]]))
    np.testing.assert_array_equal(place.host(dx), [[0.5, -10], [100, -1000]])
    np.testing.assert_array_equal(place.host(grads["weight"]), [-2, -30 - 5000])


# --- softmax -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4])
def test_softmax_sums_to_one_and_forgets_a_shift(place: Any, shift: float) -> None:
    scores = place.array(np.array([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]) + shift)
    y = place.host(nn.Softmax()(scores))
    np.testing.assert_allclose(y.sum(axis=-1), 1.0, rtol=1e-6)
    e = np.exp([0.0, 1.0, 3.0])
    np.testing.assert_allclose(y, [e / e.sum(), [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(place.host(nn.LogSoftmax()(scores)), np.log(y), rtol=1e-6)


def test_scores_far_apart_and_of_minus_infinity(place: Any) -> None:
    x = place.array([[0.0, -1e4, 1e4], [-inf, 0.0, 0.0]])
    dy = place.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    y, pullback = nn.Softmax().vjp(x, Context(True))
    np.testing.assert_allclose(place.host(y), [[0, 0, 1], [0, 0.5, 0.5]], atol=1e-40)
    np.testing.assert_allclose(place.host(pullback(dy)[0]), [[0, 0, 0], [0, -0.25, 0.25]])
    y, pullback = nn.LogSoftmax().vjp(x, Context(True))
    np.testing.assert_allclose(place.host(y), [[-1e4, -2e4, 0], [-inf, -log(2), -log(2)]])
    np.testing.assert_allclose(place.host(pullback(dy)[0]), [[1, 2, -3], [4, -2.5, -1.5]])


@pytest.mark.parametrize("make", [nn.Softmax, nn.LogSoftmax])
def test_a_softmax_along_the_batch_is_not_computed_in_parts(make: Any, monkeypatch: Any) -> None:
    backend = pn.set_backend("numpy")
    monkeypatch.setattr(type(backend), "part_size", lambda self, shape: 2)
    assert not Team(backend, make())._whole
    assert not Team(backend, make(1))._whole
    for dim in (0, -2, -3):  # -2 is the batch of (N, K)
        assert Team(backend, nn.Sequential(nn.Linear(3, 3), make(dim)))._whole
