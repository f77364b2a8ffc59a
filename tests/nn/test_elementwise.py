"""Activations and losses of one formula each: the examples of the documentation, as users' own."""

import inspect
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn
from portanet.fusion import pullback_of, value_of, written
from portanet.tracing import Functions, Traced

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(2, 5, 3))


def example(base: type) -> Any:
    """Return the class that a docstring shows."""
    _, shown = inspect.cleandoc(base.__doc__ or "").split("::\n", 1)
    lines = shown.strip("\n").splitlines()
    end = next(k for k, line in enumerate(lines) if line and not line.startswith(" "))
    names: dict[str, Any] = {"nn": nn}
    exec(dedent("\n".join(lines[:end])), names)
    (cls,) = (c for c in names.values() if isinstance(c, type) and issubclass(c, base))
    return cls


def test_a_layer() -> None:
    softsign = example(nn.Elementwise)()
    np.testing.assert_allclose(softsign(X), X / (1 + np.abs(X)), 1e-15)
    report = pn.check_layer(softsign, X)
    assert report.ok, report


def test_a_loss() -> None:
    loss = example(nn.ElementwiseLoss)()
    assert float(loss(X, T)) == pytest.approx(np.log(np.cosh(X - T)).mean(), rel=1e-12)
    for weight in (None, np.linspace(0.1, 2.0, 5)):
        assert pn.check_gradients(loss, X, T, sample_weight=weight).error < 1e-7
    assert loss(1e4 * X, T) < np.inf


@pytest.mark.parametrize(("base", "arrays"), [(nn.Elementwise, 1), (nn.ElementwiseLoss, 2)])
def test_each_formula_can_be_one_kernel(base: type, arrays: int) -> None:
    cls = example(base)
    given = (Functions, *[Traced] * arrays)
    assert written(value_of(cls.formula), given).kernel.arrays == arrays
    assert written(pullback_of(cls.formula, cls.gradient), (*given, Traced)).kernel.result


def test_constants_are_given_to_the_formula() -> None:
    class Threshold(nn.Elementwise):
        def __init__(self, threshold: float) -> None:
            self.threshold = threshold

        def constants(self) -> tuple[float]:
            return (self.threshold,)

        @staticmethod
        def formula(xp: Any, x: Any, threshold: float) -> tuple[Any, ...]:
            above = xp.astype(x > threshold, x.dtype)
            return x * above, above

        @staticmethod
        def gradient(xp: Any, above: Any, dy: Any) -> Any:
            return dy * above

    y, pullback = Threshold(0.5).vjp(X, nn.Context())
    np.testing.assert_array_equal(y, np.where(X > 0.5, X, 0))
    np.testing.assert_array_equal(pullback(T)[0], np.where(X > 0.5, T, 0))
