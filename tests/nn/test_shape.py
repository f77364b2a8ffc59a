"""Identity, Reshape and Permute: what they make of a sample, and of the memory."""

from typing import Any

import numpy as np
import pytest

from portanet import nn
from portanet.nn import Context

X = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((12,), (2, 12)),
        ((-1,), (2, 12)),
        ((6, -1), (2, 6, 2)),
        ((2, -1, 3), (2, 2, 2, 3)),
        ((-1, 12), (2, 1, 12)),
    ],
)
def test_reshape_keeps_the_order_of_the_elements(place: Any, shape: Any, expected: Any) -> None:
    y, pullback = nn.Reshape(*shape).vjp(place.array(X), Context())
    np.testing.assert_array_equal(place.host(y), X.reshape(expected))
    dx, _ = pullback(y)
    np.testing.assert_array_equal(place.host(dx), X)


def test_reshape_of_single_numbers_of_integers_and_of_no_samples(place: Any) -> None:
    assert nn.Reshape()(place.array(np.ones((3, 1)))).shape == (3,)
    assert nn.Reshape(1, 1)(place.array(np.ones(3))).shape == (3, 1, 1)
    place.check(nn.Reshape(4)(place.array(np.ones((3, 2, 2), "int64"))), (3, 4), "int64")
    place.check(nn.Reshape(6, -1)(place.array(np.zeros((0, 3, 4)))), (0, 6, 2))


@pytest.mark.parametrize("shape", [(4, 2), [4, 2], (-1, 2)])
def test_reshape_takes_a_tuple_too(shape: Any) -> None:
    given = nn.Reshape(shape)
    assert repr(given) == repr(nn.Reshape(*shape))
    assert given(np.ones((3, 8))).shape == (3, 4, 2)


def test_identity_gives_back_what_it_is_given() -> None:
    dy = 2.0 * X
    y, pullback = nn.Identity().vjp(X, Context())
    assert y is X
    assert pullback(dy)[0] is dy


def test_reshape_of_a_layers_output_is_a_view_with_the_batch_innermost() -> None:
    y = nn.Linear(5, 12)(np.ones((4, 5), "float32"))
    images = nn.Reshape(3, 2, 2)(y)
    assert np.shares_memory(images, y)
    assert images.strides[0] == images.itemsize


@pytest.mark.parametrize("dims", [(0, 2, 1), (0, 1, 2), (0,)])
def test_permute_is_undone_by_its_pullback(place: Any, dims: Any) -> None:
    x = X if len(dims) == 3 else X[:, 0, 0]
    for layer in (nn.Permute(*dims), nn.Permute(dims)):
        y, pullback = layer.vjp(place.array(x), Context())
        np.testing.assert_array_equal(place.host(y), x.transpose(dims))
        np.testing.assert_array_equal(place.host(pullback(y)[0]), x)


def test_three_axes_in_a_ring_come_back(place: Any) -> None:
    x = place.array(np.arange(120.0).reshape(2, 3, 4, 5))
    last, back = nn.Permute(0, 2, 3, 1), nn.Permute(0, 3, 1, 2)
    y, pullback = last.vjp(x, Context())
    assert y.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(place.host(back(y)), place.host(x))
    np.testing.assert_array_equal(place.host(pullback(y)[0]), place.host(x))


def test_permute_is_a_view() -> None:
    y, pullback = nn.Permute(0, 2, 1).vjp(X, Context())
    assert np.shares_memory(y, X)
    assert np.shares_memory(pullback(y)[0], X)
