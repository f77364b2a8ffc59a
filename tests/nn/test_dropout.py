"""Dropout of elements and of channels: what is drawn, for which sample, from which key."""

from math import isclose
from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn
from portanet.nn import Context

KEY = pn.Key(3)


@pytest.mark.parametrize("make", [nn.Dropout, nn.Dropout2d])
def test_a_part_of_a_batch_draws_what_the_whole_would(place: Any, make: Any) -> None:
    layer, x = make(0.4), numbers("x", (7, 5, 2, 3))
    whole = place.host(layer.vjp(place.array(x), Context(True, rng=KEY))[0])
    for first, last in ((0, 3), (3, 4), (4, 7)):
        ctx = Context(True, rng=KEY, first_sample=first)
        part = place.host(layer.vjp(place.array(x[first:last]), ctx)[0])
        np.testing.assert_array_equal(part, whole[first:last])
    assert np.any((whole[0] == 0) != (whole[1] == 0)), "samples drop the same"


def test_dropout_2d_drops_whole_channels(place: Any) -> None:
    x = place.array(np.ones((40, 25, 2, 3)))
    y, pullback = nn.Dropout2d(0.2).vjp(x, Context(True, rng=KEY))
    kept = place.host(y)
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :, :1, :1], kept.shape))
    np.testing.assert_allclose(np.unique(kept), [0.0, 1.25], rtol=1e-6)
    assert isclose((kept == 0).mean(), 0.2, abs_tol=0.05)
    dx, _ = pullback(place.array(np.full(x.shape, 2.0)))
    np.testing.assert_array_equal(place.host(dx), 2.0 * kept)
    np.testing.assert_array_equal(place.host(nn.Dropout2d(0.2)(x)), 1.0)
