"""Sums of many terms: each is taken once, and float32 keeps its digits."""

from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn
from portanet.nn import Context
from portanet.sums import BLOCK, LONGEST, total

SIZES = [0, 1, LONGEST, LONGEST + 1, LONGEST + BLOCK, LONGEST * BLOCK, 3 * LONGEST * BLOCK + 7]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("axis", [0, 1])
def test_no_term_is_left_out_nor_taken_twice(library: Any, size: int, axis: int) -> None:
    terms = np.arange(float(size)) % 7.0 + 1.0
    host = np.stack([terms, terms - 4.0], axis=1 - axis)
    found = total(library.backend.xp, library.array(host), (axis,))
    np.testing.assert_array_equal(library.host(found), host.sum(axis, keepdims=True))


def test_stages_are_summed_one_after_the_other(library: Any) -> None:
    host = np.arange(2.0 * 3 * 1030 * 2).reshape(2, 3, 1030, 2)
    x = library.array(host)
    for stages in (((0, 2, 3),), ((0,), (2,), (3,)), ((3, 2), (0,))):
        found = total(library.backend.xp, x, *stages)
        np.testing.assert_array_equal(library.host(found), host.sum((0, 2, 3), keepdims=True))
    assert total(library.backend.xp, x) is x


IMAGES, SEQUENCES, ROWS = (2, 16, 128, 128), (300, 1000, 8), (500_000, 2)
MORE = (2_000_000, 2)
BOUNDS = {"y": 3e-6, "dx": 2e-5, "weight": 1e-5, "bias": 1e-6}
LONG = {
    "group norm": (lambda: nn.GroupNorm(1, 16), IMAGES),
    "layer norm": (lambda: nn.LayerNorm(IMAGES[1:]), IMAGES),
    "layer norm of sequences": (lambda: nn.LayerNorm(8), SEQUENCES),
    "layer norm of many features": (lambda: nn.LayerNorm(ROWS[0]), ROWS[::-1]),
    "batch norm": (lambda: nn.BatchNorm1d(2), ROWS),
    "linear": (lambda: nn.Linear(2, 2), MORE),
    "prelu": (lambda: nn.PReLU(2), MORE),
    "transposed convolution": (lambda: nn.ConvTranspose2d(2, 2, 1), (*MORE, 1, 1)),
    "softmax": (lambda: nn.Softmax(1), ROWS[::-1]),
    "log-softmax": (lambda: nn.LogSoftmax(1), ROWS[::-1]),
    "average": (lambda: nn.AdaptiveAvgPool2d(1), (2, 2, 1, ROWS[0])),
}


def run(make: Any, shape: Any, dtype: str, batch_last: bool) -> dict[str, Any]:
    """Return a layer's results for numbers far from zero, in one of two orders in memory."""
    pn.set_backend("numpy", dtype=dtype)
    layer = make().initialize(0)

    def drawn(shape: Any, *seeds: int) -> Any:
        draws = (np.random.default_rng(seed).standard_normal(shape, "float32") for seed in seeds)
        host = sum(draw.clip(-1.0, 1.0) - 3.0 for draw in draws)
        return pn.asarray(
            np.moveaxis(np.moveaxis(host, 0, -1).copy(), -1, 0) if batch_last else host
        )

    y, pullback = layer.vjp(drawn(shape, 0), Context(True))
    dx, grads = pullback(drawn(y.shape, 0, 1))  # such that no sum cancels
    return {"y": y, "dx": dx, **grads}


@pytest.mark.parametrize("batch_last", [True, False])
@pytest.mark.parametrize("case", LONG)
def test_long_sums_keep_the_digits_of_float32(case: str, batch_last: bool) -> None:
    exact = run(*LONG[case], "float64", batch_last)
    for name, array in run(*LONG[case], "float32", batch_last).items():
        bound = BOUNDS[name] * np.abs(exact[name]).max()
        np.testing.assert_allclose(array, exact[name], 0.0, bound, err_msg=name)


def test_a_cross_entropy_of_many_classes_keeps_the_digits_of_float32() -> None:
    found = []
    for dtype in ("float64", "float32"):
        pn.set_backend("numpy", dtype=dtype)
        scores = pn.asarray(np.random.default_rng(0).random((500_000, 2), "float32")).T
        value, pullback = nn.CrossEntropyLoss().vjp(scores, pn.asarray([0, 7]))
        found.append((float(value), pullback()[:, ::100]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], 1e-5)
