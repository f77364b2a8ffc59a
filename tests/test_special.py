"""Special functions: the generic ones and the libraries' own give Python's numbers."""

import math
from typing import Any

import numpy as np
import pytest

import portanet as pn

POINTS = np.concatenate(
    [
        np.linspace(-7.0, 7.0, 2001),
        np.nextafter(0.46875, [0.0, 1.0]),  # where one approximation takes over from the other
        np.nextafter(-6.0, [-7.0, 0.0]),
        10.0 ** np.arange(-30.0, 30.0),
        [0.0, math.inf, -math.inf],
    ]
)


@pytest.mark.parametrize("generic", [False, True], ids=["own", "generic"])
def test_erf(place: Any, generic: bool) -> None:
    backend = place.backend
    erf = pn.Backend.erf if generic else type(backend).erf
    x = place.array(POINTS)
    y = erf(backend, x)
    place.check(y, x.shape)
    rtol = 1e-15 if place.dtype == "float64" else 5e-7
    expected = [math.erf(value) for value in place.host(x)]
    np.testing.assert_allclose(place.host(y), expected, rtol, atol=0.0)
    assert np.isnan(place.host(erf(backend, place.array([math.nan]))))
