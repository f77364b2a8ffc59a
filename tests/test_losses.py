# ruff: noqa: E501 (tables: a line for each case)
"""Every loss of `cases.LOSSES`, on every backend, and what single losses promise."""

from concurrent.futures import ThreadPoolExecutor
from math import isclose, log
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from cases import LOSSES, LossCase, ids, numbers

import portanet as pn
from portanet import nn
from portanet.gradcheck import check_gradients

every_case = pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))


def arrays(case: LossCase, place: Any) -> tuple[Any, Any, Any]:
    """Return the scores, the target and the samples' weights as a place's arrays."""
    weights = case.weights()
    weights = None if weights is None else place.array(weights)
    return place.array(numbers("scores", case.shape)), place.array(case.targets()), weights


# --- every loss, on every backend ----------------------------------------------------------------


@every_case
def test_gradients(case: LossCase, place: Any) -> None:
    scores, target, weights = arrays(case, place)
    eps, bound = (1e-5, 1e-7) if place.dtype == "float64" else (3e-3, 1e-2)
    report = check_gradients(case.make(), scores, target, sample_weight=weights, eps=eps)
    assert report.error <= bound, str(report)


@every_case
def test_gradients_element_by_element(case: LossCase) -> None:
    pn.set_backend("numpy", dtype="float64")
    scores, target, weights = pn.asarray(numbers("s", case.shape)), case.targets(), case.weights()
    report = check_gradients(case.make(), scores, target, sample_weight=weights, elementwise=True)
    assert report.error <= 1e-6, str(report)


@every_case
def test_values_are_those_of_numpy(case: LossCase, place: Any) -> None:
    value, pullback = case.make().vjp(*arrays(case, place))
    d = place.host(pullback(0.7))
    weights = case.weights()
    weights = None if weights is None else weights.astype(place.dtype)
    scores = numbers("scores", case.shape).astype(place.dtype)
    expected, pullback = case.make().vjp(scores, case.targets(), weights)
    assert isclose(float(value), float(expected), rel_tol=place.rtol)
    np.testing.assert_allclose(d, pullback(0.7), place.rtol, place.rtol)


@every_case
@pytest.mark.parametrize("dtype", ["float32", None])
def test_library_device_dtype_and_shape(case: LossCase, place: Any, dtype: str | None) -> None:
    place = place.select(dtype)
    value, pullback = case.make().vjp(*arrays(case, place))
    place.check(value, ())
    place.check(pullback(), case.shape)
    place.check(pullback(value), case.shape)


@every_case
def test_inputs_stay_as_they_are(case: LossCase, place: Any) -> None:
    inputs = [array for array in arrays(case, place) if array is not None]
    before = [place.host(array) for array in inputs]
    _, pullback = case.make().vjp(*inputs)
    first, again = place.host(pullback(2.0)), place.host(pullback(2.0))
    np.testing.assert_array_equal(first, again)
    for array, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(place.host(array), old)


@every_case
def test_two_threads_at_once(case: LossCase, place: Any) -> None:
    loss, (scores, target, weights) = case.make(), arrays(case, place)
    barrier = Barrier(2, timeout=60)

    def step(factor: float) -> Any:
        _, pullback = loss.vjp(scores * factor, target, weights)
        barrier.wait()
        return place.host(pullback())

    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(step, (1.0, 2.0)))
    for factor, d in zip((1.0, 2.0), threaded, strict=True):
        np.testing.assert_array_equal(
            d, place.host(loss.vjp(scores * factor, target, weights)[1]())
        )


@every_case
def test_parts_with_the_wholes_normalizer_sum_to_the_whole(case: LossCase, place: Any) -> None:
    loss, (scores, target, weights) = case.make(), arrays(case, place)
    normalizer = loss.normalizer(target, weights)
    whole, pullback = loss.vjp(scores, target, weights)
    values, parts = [], []
    for part in (slice(0, 1), slice(1, None)):
        if scores[part, ...].shape[0] == 0:
            continue
        w = None if weights is None else weights[part]
        value, part_pullback = loss.vjp(scores[part, ...], target[part, ...], w, normalizer)
        values.append(float(value))
        parts.append(place.host(part_pullback()))
    assert isclose(sum(values), float(whole), rel_tol=place.rtol)
    np.testing.assert_allclose(np.concatenate(parts), place.host(pullback()), place.rtol, 1e-7)


@every_case
def test_forward_and_backward(case: LossCase, place: Any) -> None:
    loss, inputs = case.make(), arrays(case, place)
    value, pullback = loss.vjp(*inputs)
    assert float(loss(*inputs)) == float(value)
    assert float(loss.forward(*inputs)) == float(value)
    np.testing.assert_array_equal(place.host(loss.backward()), place.host(pullback()))
    with pytest.raises(RuntimeError, match=f"{type(loss).__name__}: backward needs a forward"):
        loss.backward()


@every_case
def test_equal_weights_change_nothing(case: LossCase, place: Any) -> None:
    scores, target, _ = arrays(case, place)
    value, pullback = case.make().vjp(scores, target)
    weights = place.array(np.full(case.shape[0], 3.0))
    weighted, weighted_pullback = case.make().vjp(scores, target, weights)
    assert isclose(float(value), float(weighted), rel_tol=place.rtol)
    np.testing.assert_allclose(
        place.host(pullback()), place.host(weighted_pullback()), place.rtol, 1e-7
    )


# --- cross-entropy -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_indices_of_any_integer_dtype(place: Any, dtype: str) -> None:
    scores = place.array(numbers("scores", (3, 4)))
    labels = [3, 0, 2]
    expected = nn.CrossEntropyLoss()(scores, place.array(np.eye(4)[labels]))
    got = nn.CrossEntropyLoss()(scores, place.array(labels, dtype))
    assert isclose(float(got), float(expected), rel_tol=place.rtol)


def test_uniform_scores_cost_the_logarithm_of_their_number(place: Any) -> None:
    scores = place.array(np.full((2, 7), 3.0))
    value = nn.CrossEntropyLoss()(scores, place.array([0, 6]))
    assert isclose(float(value), log(7), rel_tol=1e-6)


@pytest.mark.parametrize(
    ("scores", "label", "loss", "gradient"),
    [
        ([1e4, 0.0, -1e4], 0, 0.0, [0, 0, 0]),
        ([1e4, 0.0, -1e4], 2, 2e4, [1, 0, -1]),
        ([1e30, 1e30, -1e30], 0, log(2), [-0.5, 0.5, 0]),
        ([1e30, 0.0, -1e30], 0, 0.0, [0, 0, 0]),
        ([-1e30, 0.0, 1e30], 1, 1e30, [0, -1, 1]),
        ([-np.inf, 0.0, 0.0], 1, log(2), [0, -0.5, 0.5]),
        ([-np.inf, 0.0, -np.inf], 1, 0.0, [0, 0, 0]),
        ([-np.inf, 0.0, 0.0], 0, np.inf, [-1, 0.5, 0.5]),
    ],
)
@pytest.mark.parametrize("kind", ["indices", "one-hot"])
def test_extreme_scores(
    place: Any, scores: Any, label: int, loss: float, gradient: Any, kind: str
) -> None:
    target = [label] if kind == "indices" else np.eye(3)[[label]]
    value, pullback = nn.CrossEntropyLoss().vjp(place.array([scores]), place.array(target))
    assert isclose(float(value), loss, rel_tol=1e-6)
    np.testing.assert_allclose(place.host(pullback()), [gradient], atol=1e-12)


def test_soft_targets_cost_their_entropy_at_least(place: Any) -> None:
    p = np.array([[0.2, 0.3, 0.5]])
    value, pullback = nn.CrossEntropyLoss().vjp(place.array(np.log(p)), place.array(p))
    assert isclose(float(value), -float((p * np.log(p)).sum()), rel_tol=1e-6)
    np.testing.assert_allclose(place.host(pullback()), np.zeros((1, 3)), atol=1e-7)


def test_samples_of_weight_zero_do_not_count(place: Any) -> None:
    scores = place.array(numbers("scores", (3, 4)))
    target, weights = place.array([1, 2, 0]), place.array([1.0, 0.0, 1.0])
    value, pullback = nn.CrossEntropyLoss().vjp(scores, target, weights)
    two = place.array(numbers("scores", (3, 4))[[0, 2]])
    assert isclose(
        float(value), float(nn.CrossEntropyLoss()(two, place.array([1, 0]))), rel_tol=1e-6
    )
    np.testing.assert_array_equal(place.host(pullback())[1], np.zeros(4))


@pytest.mark.parametrize("case", [c for c in LOSSES if c.weighted], ids=lambda case: case.id)
def test_float64_weights_do_not_promote_float32(case: LossCase, place: Any) -> None:
    if place.dtype != "float64":
        pytest.skip(f"{place} has no float64")
    target, weights = case.targets(), place.array(case.weights())
    place = place.select("float32")
    scores, loss = place.array(numbers("scores", case.shape)), case.make()
    target = place.array(target)
    value, pullback = loss.vjp(scores, target, weights, loss.normalizer(target, weights))
    place.check(value, ())
    place.check(pullback(), case.shape)


def test_integer_weights(place: Any) -> None:
    scores, target = place.array(numbers("scores", (3, 4))), place.array([1, 2, 0])
    value = nn.CrossEntropyLoss()(scores, target, place.array([1, 0, 3]))
    expected = nn.CrossEntropyLoss()(scores, target, place.array([1.0, 0.0, 3.0]))
    assert isclose(float(value), float(expected), rel_tol=1e-6)


# --- errors --------------------------------------------------------------------------------------

WRONG = {
    "scores not 2-D": ("cross-entropy", (3,), [0, 1, 2], "expected scores of shape (N, K), got (3,)"),
    "too few labels": ("cross-entropy", (3, 4), [0, 1], "expected target of shape (3,) or (3, 4), got (2,)"),
    "labels in a column": ("cross-entropy", (3, 4), [[0], [1], [2]], "got (3, 1)"),
    "label too large": ("cross-entropy", (3, 4), [0, 4, 1], "class indices must be in 0 … 3, as the scores have 4 columns; got 4"),
    "label negative": ("cross-entropy", (3, 4), [0, -1, 1], "class indices must be in 0 … 3, as the scores have 4 columns; got -1"),
    "no sample": ("cross-entropy", (0, 4), np.zeros(0, "int64"), "expected at least one sample, got scores of shape (0, 4)"),
    "column for numbers": ("mse", (3, 1), [1.0, 2.0, 3.0], "expected target of the scores' shape (3, 1), got (3,)"),
    "numbers for a column": ("mse", (3,), [[1.0], [2.0], [3.0]], "expected target of the scores' shape (3,), got (3, 1)"),
    "no number": ("mse", (0, 2), np.zeros((0, 2)), "expected at least one sample, got scores of shape (0, 2)"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_shapes_and_values(place: Any, wrong: str) -> None:
    name, shape, target, message = WRONG[wrong]
    loss = nn.MSELoss() if name == "mse" else nn.CrossEntropyLoss()
    with pytest.raises(ValueError, match="Loss: ") as caught:
        loss(place.array(np.zeros(shape)), place.array(target))
    assert message in str(caught.value)


def test_wrong_dtypes_and_arguments(place: Any) -> None:
    scores, labels = place.array(np.zeros((3, 4))), place.array([0, 1, 2])
    loss = nn.CrossEntropyLoss()
    with pytest.raises(TypeError, match=r"class indices must be integers, got float"):
        loss(scores, place.array([0.0, 1.0, 2.0]))
    with pytest.raises(TypeError, match=r"expected floating-point scores, got int64"):
        loss(place.array(np.zeros((3, 4), "int64")), labels)
    with pytest.raises(ValueError, match=r"expected sample_weight of shape \(3,\), got \(3, 1\)"):
        loss(scores, labels, place.array(np.ones((3, 1))))
    with pytest.raises(TypeError, match=r"expected an array of one of .*, got list"):
        loss(scores, [0, 1, 2])
    with pytest.raises(TypeError, match=r"has no option 'from_logits'; it takes none"):
        nn.CrossEntropyLoss(from_logits=True)


def test_mixed_backends_are_both_named() -> None:
    pn.set_backend("numpy")
    scores = pn.asarray(np.zeros((3, 4)))
    pn.set_backend("strict")
    with pytest.raises(pn.BackendMismatchError, match=r"numpy on cpu and of strict on"):
        nn.CrossEntropyLoss()(scores, pn.asarray([0, 1, 2]))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss()], ids=repr)
def test_where_all_samples_weigh_nothing_so_do_loss_and_gradient(loss: nn.Loss) -> None:
    scores = np.random.default_rng(0).normal(size=(4, 3))
    target = np.abs(scores)[::-1].copy()
    value, pullback = loss.vjp(scores, target, np.zeros(4))
    assert float(value) == 0.0
    np.testing.assert_array_equal(pullback(), np.zeros((4, 3)))
