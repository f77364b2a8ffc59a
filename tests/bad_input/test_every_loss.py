"""Bad scores, targets and weights for every loss of `tests/cases.py`."""

import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.layouts import NAMES, laid_out
from cases import LOSSES, LossCase, ids, numbers

import portanet as pn

every_case = pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
NAN, INF = float("nan"), float("inf")


def parts(case: LossCase) -> tuple[Any, Any, Any]:
    return numbers("scores", case.shape), case.targets(), case.weights()


def of_classes(case: LossCase) -> bool:
    return case.target in ("indices", "ignored")


def misfits(case: LossCase) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield what is wrong with scores, target and weights."""
    scores, target, weight = parts(case)
    n = len(scores)
    yield "scores: a number", scores.flat[0].reshape(()), target, None
    yield "scores: no sample", scores[:0], target[:0], None
    yield "scores: integers", scores.astype("int64"), target, None
    yield "scores: bool", scores > 0, target, None
    for axis in range(target.ndim):
        yield f"target: axis {axis} longer", scores, target.repeat(2, axis), weight
        yield f"target: axis {axis} empty", scores, target.take([], axis), weight
    yield "target: an axis less", scores, target[0], weight
    yield "target: an axis more", scores, target[None], weight
    yield "target: complex", scores, target.astype("complex128"), weight
    if of_classes(case):
        yield "target: numbers", scores, target.astype("float64"), weight
        yield "target: bool", scores, target > 0, weight
        for wrong in (scores.shape[1], -3, 2**40, -(2**63)):
            bad = target.copy()
            bad.flat[-1] = wrong
            yield f"target: {wrong}", scores, bad, weight
    elif target.dtype.kind == "f":
        for wrong in (NAN, INF, -INF):
            bad = target.copy()
            bad.flat[-1] = wrong
            yield f"target: {wrong}", scores, bad, weight
    for wrong in (np.ones(n + 1), np.ones((n, 2)), np.ones(()), -np.ones(n), np.full(n, NAN)):
        yield f"weight: {wrong}", scores, target, wrong
    yield "weight: infinite", scores, target, np.full(n, INF)


@every_case
def test_what_does_not_fit_is_refused_by_name(case: LossCase, library: Any) -> None:
    loss, name = case.make(), type(case.make()).__name__
    for what, *given in misfits(case):
        # from_numpy, for asarray itself refuses complex numbers
        arrays = [None if a is None else library.backend.from_numpy(a) for a in given]
        for call in (loss, loss.forward):
            # Values are looked at when all is computed; NumPy may have warned by then.
            with (
                np.errstate(all="ignore"),
                pytest.raises((TypeError, ValueError), match=re.escape(f"{name}: ")) as caught,
            ):
                call(*arrays)
            assert "\n" not in str(caught.value), what
    assert loss._last_call is None


@every_case
def test_any_layout_in_memory(case: LossCase, tmp_path: Path) -> None:
    pn.set_backend("numpy", dtype="float64")
    value, pullback = case.make().vjp(*parts(case))
    for layout in NAMES:
        given = [laid_out(part, layout, tmp_path) for part in parts(case)]
        found, found_pullback = case.make().vjp(*given)
        np.testing.assert_allclose(found, value, 1e-14)
        np.testing.assert_allclose(found_pullback(), pullback(), 1e-14)


OF_INTEGERS = [c for c in LOSSES if c.targets().dtype.kind == "i"]


@pytest.mark.parametrize("case", OF_INTEGERS, ids=ids(OF_INTEGERS))
def test_targets_of_any_integer_dtype(case: LossCase) -> None:
    scores, target, weight = parts(case)
    value = case.make()(scores, target, weight)
    for dtype in ("int8", "int32", "uint8", "uint64", ">i4"):
        if dtype.startswith("u") and (target < 0).any():
            continue
        np.testing.assert_array_equal(case.make()(scores, target.astype(dtype), weight), value)


@every_case
def test_a_bad_score_is_not_hidden_and_stays_in_its_sample(case: LossCase, library: Any) -> None:
    scores, target, weight = (None if a is None else library.array(a) for a in parts(case))
    kind, given = type(case.make()), case.make()
    options = {name: getattr(given, name) for name in signature(kind).parameters}
    each = kind(**options | {"reduction": "none"})
    expected = library.host(each.vjp(scores, target, weight)[0])
    bad = numbers("scores", case.shape)
    bad[-1] = NAN
    value, pullback = each.vjp(library.array(bad), target, weight)
    found, slopes = library.host(value), library.host(pullback(library.array(np.ones(value.shape))))
    np.testing.assert_array_equal(found[:-1], expected[:-1])
    assert np.isfinite(slopes[:-1]).all()
    counts = expected[-1] != 0.0
    assert np.isnan(found[-1])[counts].all()


@every_case
def test_huge_scores_in_float32(case: LossCase, library: Any) -> None:
    def computed(dtype: str, size: float) -> tuple[Any, Any]:
        library.select(dtype)
        scores, target, weight = parts(case)
        given = (size * np.sign(scores) if size > 1e35 else size * scores, target, weight)
        value, pullback = case.make().vjp(*(None if a is None else library.array(a) for a in given))
        return library.host(value), library.host(pullback())

    for size in (1e4, 1e15, 1e35, 1e38):
        expected, slopes = computed("float64", size)
        with np.errstate(over="ignore"):  # a square may be beyond float32, and a sum
            found, found_slopes = computed("float32", size)
            expected, slopes = expected.astype("float32"), slopes.astype("float32")
        if size == 1e38:
            assert np.all((found == np.inf) | np.isclose(found, expected, 1e-4))
        else:
            np.testing.assert_allclose(found, expected, 1e-4, 1e-6)
        atol = 1e-6 * min(np.abs(slopes).max(), 1e38)
        np.testing.assert_allclose(found_slopes, slopes, 1e-4, atol)
