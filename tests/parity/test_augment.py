"""Resampling gives PyTorch's numbers, for generated matrices and shapes."""

from typing import Any

import numpy as np
from cases import numbers
from hypothesis import given
from hypothesis import strategies as st
from twins import BOUNDS, assert_near, both_dtypes, generated, tensor, torch

import portanet as pn
from portanet.data.affine import resample


@both_dtypes
@generated
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (4, 3, 9, 9))),
    zoom=st.floats(0.1, 3.0),
    shift=st.floats(0.0, 6.0),
)
def test_resample(shape: Any, zoom: float, shift: float, dtype: str) -> None:
    pn.set_backend("numpy", dtype=dtype)
    n, _, h, w = shape
    matrices = zoom * numbers("matrices", (n, 2, 3))
    matrices[:, :, 2] *= shift
    x = pn.asarray(numbers("x", shape))
    # PyTorch measures both from −1 to 1 over the image's width and height.
    unit = np.array([w / 2, h / 2])
    theta = matrices * np.array([*unit, 1.0]) / unit[:, None]
    grid = torch.nn.functional.affine_grid(tensor(theta, dtype), shape, align_corners=False)
    options = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": False}
    expected = torch.nn.functional.grid_sample(tensor(x, dtype), grid, **options).numpy()
    scale = 1.0 if dtype == "float64" else 10.0  # of the rounding of coordinates
    assert_near(resample(x, matrices), expected, scale * BOUNDS[dtype], "y")
