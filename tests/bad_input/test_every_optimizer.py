"""Bad gradients, and gradients in odd memory, for every optimizer of `tests/cases.py`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.layouts import NAMES, laid_out
from cases import OPTIMIZERS, OptimizerCase, ids, numbers

import portanet as pn
from portanet import nn

every_case = pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
SHAPES = {"weight": (3, 4), "bias": (3,)}


def stepped(case: OptimizerCase, change: Any = lambda gradient: gradient, steps: int = 3) -> Any:
    """Return the parameters after some steps by changed gradients."""
    model = nn.Linear(4, 3).initialize()
    optimizer = case.make(model, **case.options)
    for step in range(steps):
        grads = {n: numbers(f"{n} {step}", shape) for n, shape in SHAPES.items()}
        optimizer.step({n: pn.asarray(change(g)) for n, g in grads.items()})
    backend = pn.get_backend()
    return {n: np.array(backend.to_numpy(p)) for n, p in model.params.items()}


@every_case
def test_gradients_of_any_layout_in_memory(case: OptimizerCase, tmp_path: Path) -> None:
    pn.set_backend("numpy", dtype="float64")
    expected = stepped(case)
    for layout in NAMES:
        found = stepped(case, lambda g, layout=layout: laid_out(g, layout, tmp_path))
        for name in SHAPES:
            np.testing.assert_array_equal(found[name], expected[name])


@every_case
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_a_bad_gradient_harms_its_own_element_alone(
    case: OptimizerCase, bad: float, library: Any
) -> None:
    def spoiled(gradient: Any) -> Any:
        return np.where(np.arange(gradient.size).reshape(gradient.shape) == 2, bad, gradient)

    expected = stepped(case)
    with np.errstate(all="ignore"):
        found = stepped(case, spoiled)
    for name in SHAPES:
        others = np.arange(expected[name].size) != 2
        np.testing.assert_array_equal(found[name].ravel()[others], expected[name].ravel()[others])
        if np.isnan(bad):  # it shows
            assert np.isnan(found[name].ravel()[2])


@every_case
def test_no_gradient_makes_nan(case: OptimizerCase, library: Any) -> None:
    for size in (0.0, 1e-38, 1e-20, 1e15):
        found = stepped(case, lambda gradient, size=size: size * gradient)
        assert all(np.isfinite(p).all() for p in found.values()), size
