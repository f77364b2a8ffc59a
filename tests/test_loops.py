"""Element-wise formulas as loops: the same bits as NumPy gives, compiled by Numba or not."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, OptimizerCase, ids
from portanet_numpy import fusion

import portanet as pn
from portanet import nn

SHAPE = (3, 4)


class Compiler:
    """Stands for Numba: runs a loop as Python does, and notes it."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def njit(self, loop: Any, **options: Any) -> Any:
        assert options == {"nogil": True, "error_model": "numpy"}
        self.made.append(loop)
        return loop


@pytest.fixture(params=["numba", "python"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Compile loops for arrays of any size, and give those that were made."""
    compiler = Compiler()
    if request.param == "numba":
        numba = pytest.importorskip("numba")

        def njit(loop: Any, **options: Any) -> Any:
            return numba.njit(compiler.njit(loop, **options), **options)

        monkeypatch.setattr(fusion, "numba", lambda: SimpleNamespace(njit=njit))
    else:
        monkeypatch.setattr(fusion, "numba", lambda: compiler)
    monkeypatch.setattr(fusion, "LEAST", 1)
    fusion.compiled.cache_clear()
    yield compiler.made
    fusion.compiled.cache_clear()


def trained(case: OptimizerCase, dtype: str, turned: bool) -> dict[str, Any]:
    """Return parameters and state after some steps; gradients lie in another order if `turned`."""
    pn.set_backend("numpy", dtype=dtype)
    model = nn.Linear(SHAPE[1], SHAPE[0], bias=False)
    optimizer = case.make(model, **case.options)
    rng = np.random.default_rng(0)
    for _ in range(4):
        g = rng.standard_normal(SHAPE).astype(dtype)
        optimizer.step({"weight": np.asfortranarray(g) if turned else g})
    return {"weight": model.params["weight"]} | optimizer.arrays


@pytest.mark.parametrize(
    ("made", "dtype", "turned"),
    [("python", "float32", False), ("python", "float64", True), ("numba", "float32", True)],
    indirect=["made"],
)
@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
def test_an_optimizers_formula_is_one_loop_and_changes_no_bit(
    case: OptimizerCase, dtype: str, turned: bool, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looped = trained(case, dtype, turned)
    assert made
    monkeypatch.setattr(fusion, "numba", lambda: None)
    plain = trained(case, dtype, turned)
    assert looped.keys() == plain.keys()
    for name, array in plain.items():
        np.testing.assert_array_equal(looped[name], array, err_msg=name)
        assert looped[name].dtype == dtype


def everything(xp: Any, x: Any, y: Any) -> Any:
    """Use every operation that loops have."""
    low, high = xp.minimum(x, y), xp.maximum(x, xp.full_like(x, 0.25))
    z = xp.where(x > y, -low, xp.abs(y)) + xp.astype(y <= 0.5, y.dtype)
    z -= xp.sqrt(high) * 3.0 / (1.0 + xp.zeros_like(x))
    z[...] = 2.0 - z
    return z


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation(dtype: str, made: list[Any]) -> None:
    values = np.array([-np.inf, -1.5, -0.0, 0.0, 0.3, 2.0, np.inf, np.nan], dtype)
    x, y = (np.asfortranarray(a) for a in np.meshgrid(values, values))
    with np.errstate(invalid="ignore"):
        result, expected = fusion.Loops(np).fused(everything)(np, x, y), everything(np, x, y)
    assert len(made) == 1
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "formula",
    [
        lambda xp, x: xp.exp(x),  # which processors round in their own ways
        lambda xp, x: xp.sum(x),
        lambda xp, x: x if x[0, 0] > 0 else -x,
    ],
    ids=["exp", "sum", "values"],
)
def test_what_is_no_loop_runs_as_it_is(formula: Any, made: list[Any]) -> None:
    x = np.full(SHAPE, 0.5)
    np.testing.assert_array_equal(fusion.Loops(np).fused(formula)(np, x), formula(np, x))
    assert not made


def test_an_error_of_the_formula_is_its_own(made: list[Any]) -> None:
    def wrong(xp: Any, x: Any) -> Any:
        raise ZeroDivisionError("in the formula")

    with pytest.raises(ZeroDivisionError, match="in the formula"):
        fusion.Loops(np).fused(wrong)(np, np.ones(SHAPE))


def test_small_arrays_and_no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    loops = fusion.Loops(np)
    monkeypatch.setattr(fusion, "numba", Compiler)
    assert loops.serves(np.empty(fusion.LEAST))
    assert not loops.serves(np.empty(fusion.LEAST - 1))
    monkeypatch.setattr(fusion, "numba", lambda: None)
    assert not loops.serves(np.empty(fusion.LEAST))
