# ruff: noqa: E501 (tables: a line for each case)
"""Every loss of `cases.LOSSES`, on every backend, and what the contract promises."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from math import isclose
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from cases import LOSSES, LossCase, ids, numbers

import portanet as pn
from portanet import nn, optim
from portanet.gradcheck import check_gradients

every_case = pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))


def arrays(case: LossCase, place: Any) -> tuple[Any, Any, Any]:
    """Return the scores, the target and the samples' weights as a place's arrays."""
    weights = case.weights()
    weights = None if weights is None else place.array(weights)
    return place.array(numbers("scores", case.shape)), place.array(case.targets()), weights


def a_dvalue(case: LossCase, place: Any) -> Any:
    """Return a gradient of the loss's value: a number, or an array where the value is one."""
    return place.array(numbers("dvalue", case.value)) if case.value else 0.7


class Projected(nn.Loss):
    """Σ dvalue · value: one number from a loss that gives many, for one batch."""

    couples_samples = True

    def __init__(self, loss: nn.Loss, dvalue: Any) -> None:
        self.loss, self.dvalue = loss, dvalue

    def vjp(self, *args: Any) -> Any:
        value, pullback = self.loss.vjp(*args)
        product = value * self.dvalue
        total = pn.backend.backend_of(value).xp.sum(product)
        return total, lambda dvalue=1.0: pullback(self.dvalue * dvalue)


# --- every loss, on every backend ----------------------------------------------------------------


@every_case
def test_gradients(case: LossCase, place: Any) -> None:
    scores, target, weights = arrays(case, place)
    eps, bound = (1e-5, 1e-7) if place.dtype == "float64" else (3e-3, 1e-2)
    loss = Projected(case.make(), a_dvalue(case, place))
    report = check_gradients(loss, scores, target, sample_weight=weights, eps=eps)
    assert report.error <= bound, str(report)


@every_case
def test_gradients_element_by_element(case: LossCase) -> None:
    pn.set_backend("numpy", dtype="float64")
    scores, target, weights = pn.asarray(numbers("s", case.shape)), case.targets(), case.weights()
    loss = Projected(case.make(), numbers("dvalue", case.value) if case.value else 0.7)
    report = check_gradients(loss, scores, target, sample_weight=weights, elementwise=True)
    assert report.error <= 1e-6, str(report)


@every_case
def test_values_are_those_of_numpy(case: LossCase, place: Any) -> None:
    value, pullback = case.make().vjp(*arrays(case, place))
    value, d = place.host(value), place.host(pullback(a_dvalue(case, place)))
    weights = case.weights()
    weights = None if weights is None else weights.astype(place.dtype)
    scores = numbers("scores", case.shape).astype(place.dtype)
    expected, pullback = case.make().vjp(scores, case.targets(), weights)
    dvalue = numbers("dvalue", case.value).astype(place.dtype) if case.value else 0.7
    np.testing.assert_allclose(value, expected, place.rtol, place.rtol)
    np.testing.assert_allclose(d, pullback(dvalue), place.rtol, place.rtol)


@every_case
@pytest.mark.parametrize("dtype", ["float32", None])
def test_library_device_dtype_and_shape(case: LossCase, place: Any, dtype: str | None) -> None:
    place = place.select(dtype)
    value, pullback = case.make().vjp(*arrays(case, place))
    place.check(value, case.value)
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
def test_a_gradient_belongs_to_who_asked_for_it(case: LossCase, place: Any) -> None:
    _, pullback = case.make().vjp(*arrays(case, place))
    mine = pullback()
    before = place.host(mine)
    mine *= 0.0
    np.testing.assert_array_equal(place.host(pullback()), before)


@every_case
def test_a_number_of_another_width_does_not_promote(case: LossCase, place: Any) -> None:
    place = place.select("float32")
    _, pullback = case.make().vjp(*arrays(case, place))
    place.check(pullback(np.float64(2.0)), case.shape)
    place.check(pullback(np.float32(2.0)), case.shape)
    np.testing.assert_array_equal(place.host(pullback(np.float64(2.0))), place.host(pullback(2.0)))


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
    whole, pullback = loss.vjp(scores, target, weights)
    normalizer = None if case.value else loss.normalizer(target, weights)
    values, parts, normalizers = [], [], []
    for part in (slice(0, 1), slice(1, None)):
        if scores[part, ...].shape[0] == 0:
            continue
        w = None if weights is None else weights[part]
        value, part_pullback = loss.vjp(scores[part, ...], target[part, ...], w, normalizer)
        values.append(place.host(value))
        parts.append(place.host(part_pullback()))
        normalizers.append(case.value or float(loss.normalizer(target[part, ...], w)))
    np.testing.assert_allclose(np.concatenate(parts), place.host(pullback()), place.rtol, 1e-7)
    if case.value:
        np.testing.assert_allclose(np.concatenate(values), place.host(whole), place.rtol, 1e-7)
    else:
        assert isclose(sum(values), float(whole), rel_tol=place.rtol)
    if loss.reduction == "mean":
        assert isclose(sum(normalizers), float(normalizer), rel_tol=place.rtol)


@every_case
def test_forward_and_backward(case: LossCase, place: Any) -> None:
    loss, inputs = case.make(), arrays(case, place)
    value, pullback = loss.vjp(*inputs)
    np.testing.assert_array_equal(place.host(loss(*inputs)), place.host(value))
    np.testing.assert_array_equal(place.host(loss.forward(*inputs)), place.host(value))
    dvalue = a_dvalue(case, place)
    np.testing.assert_array_equal(place.host(loss.backward(dvalue)), place.host(pullback(dvalue)))
    with pytest.raises(RuntimeError, match=f"{type(loss).__name__}: backward needs a forward"):
        loss.backward()


def test_a_number_to_go_back_from_may_be_an_array_of_any_dtype(library: Any) -> None:
    loss, scores = nn.MSELoss(), library.array([[1.0], [2.0]], "float32")
    for dvalue in (2, 2.0, np.float64(2.0), library.array(2.0, "float64")):
        loss.forward(scores, scores * 0.5)
        gradient = loss.backward(dvalue)
        library.check(gradient, (2, 1), "float32")
        np.testing.assert_array_equal(library.host(gradient), [[1.0], [2.0]])


@every_case
def test_equal_weights_change_nothing(case: LossCase, place: Any) -> None:
    scores, target, _ = arrays(case, place)
    value, pullback = case.make().vjp(scores, target)
    weights = place.array(np.full(case.shape[0], 3.0))
    weighted, weighted_pullback = case.make().vjp(scores, target, weights)
    times = 1.0 if case.make().reduction == "mean" else 3.0
    np.testing.assert_allclose(place.host(weighted), times * place.host(value), place.rtol, 1e-7)
    np.testing.assert_allclose(
        place.host(weighted_pullback()), times * place.host(pullback()), place.rtol, 1e-7
    )


@every_case
def test_copies_and_pickles(case: LossCase, place: Any) -> None:
    loss, inputs = case.make(), arrays(case, place)
    value = place.host(loss.forward(*inputs))
    for copied in (deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        np.testing.assert_array_equal(place.host(copied(*inputs)), value)
        assert repr(copied) == repr(loss)


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64"])
@pytest.mark.parametrize("case", [c for c in LOSSES if c.weighted], ids=lambda case: case.id)
def test_float64_weights_do_not_promote_float32(case: LossCase, place: Any, dtype: str) -> None:
    target, weights = case.targets(), place.array(case.weights(), dtype)
    place = place.select("float32")
    scores, loss = place.array(numbers("scores", case.shape)), case.make()
    target = place.array(target)
    normalizer = None if case.value else loss.normalizer(target, weights)
    value, pullback = loss.vjp(scores, target, weights, normalizer)
    place.check(value, case.value)
    place.check(pullback(), case.shape)


def test_integer_weights(place: Any) -> None:
    scores, target = place.array(numbers("scores", (3, 4))), place.array([1, 2, 0])
    value = nn.CrossEntropyLoss()(scores, target, place.array([1, 0, 3]))
    expected = nn.CrossEntropyLoss()(scores, target, place.array([1.0, 0.0, 3.0]))
    assert isclose(float(value), float(expected), rel_tol=1e-6)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.MSELoss])
@pytest.mark.parametrize(
    ("weight", "dtype"), [(300.0, "float16"), (1e-50, "float64"), (1e50, "float64"), (200, "uint8")]
)
def test_weights_are_summed_and_divided_in_a_wide_dtype(
    library: Any, loss: Any, weight: float, dtype: str
) -> None:
    if not hasattr(library.backend.xp, dtype):
        pytest.skip(f"the library has no {dtype}")
    library = library.select("float32")
    loss, shape = loss(), (300, 3)
    target = (
        np.arange(300) % 3 if "accuracy" in loss.metrics else (numbers("target", shape) > 0.0) * 1.0
    )
    scores, target = library.array(numbers("scores", shape)), library.array(target)
    weights = library.backend.from_numpy(np.full(300, weight, dtype))
    value, pullback = loss.vjp(scores, target)
    same, same_pullback = loss.vjp(scores, target, weights)
    assert isclose(float(same), float(value), rel_tol=1e-5)
    library.check(same, ())
    np.testing.assert_allclose(library.host(same_pullback()), library.host(pullback()), 1e-5)
    parts = [
        loss.vjp(scores[p, :], target[p, ...], weights[p], loss.normalizer(target, weights))[0]
        for p in (slice(0, 100), slice(100, 300))
    ]
    assert isclose(sum(map(float, parts)), float(value), rel_tol=1e-5)


NUMBERS = [case for case in LOSSES if not case.value]


@pytest.mark.parametrize("case", NUMBERS, ids=ids(NUMBERS))
def test_where_all_samples_weigh_nothing_so_do_loss_and_gradient(
    case: LossCase, library: Any
) -> None:
    scores, target, _ = arrays(case, library)
    value, pullback = case.make().vjp(scores, target, library.array(np.zeros(case.shape[0])))
    assert float(value) == 0.0
    np.testing.assert_array_equal(library.host(pullback()), np.zeros(case.shape))


# --- reductions ----------------------------------------------------------------------------------

OPTIONS = {
    nn.BCEWithLogitsLoss: {"weight": 2.0, "pos_weight": 3.0},
    nn.CrossEntropyLoss: {"weight": [1.0, 2.0, 0.5], "ignore_index": 1, "label_smoothing": 0.1},
    nn.HuberLoss: {"delta": 0.5},
    nn.L1Loss: {},
    nn.MSELoss: {},
    nn.NLLLoss: {"weight": [1.0, 2.0, 0.5], "ignore_index": 1},
    nn.SmoothL1Loss: {"beta": 0.5},
}
every_loss = pytest.mark.parametrize("loss", OPTIONS, ids=lambda loss: loss.__name__)


def some(loss: Any, place: Any) -> tuple[Any, Any, Any]:
    """Return scores (5, 3), a target and weights for a loss."""
    target = [0, 2, 1, 0, 2] if "accuracy" in loss.metrics else abs(numbers("t", (5, 3))) / 9.0
    weights = [1.0, 0.5, 2.0, 0.0, 3.0]
    return tuple(map(place.array, (numbers("scores", (5, 3)), target, weights)))


def test_every_loss_has_its_options() -> None:
    assert OPTIONS.keys() == {type(case.make()) for case in LOSSES}


@every_loss
def test_the_sum_and_the_mean_are_those_of_the_single_losses(loss: Any, library: Any) -> None:
    inputs = some(loss, library)
    each, total, mean = (loss(**OPTIONS[loss], reduction=r) for r in ("none", "sum", "mean"))
    losses, of_each = each.vjp(*inputs)
    assert float(total.normalizer(*inputs[1:])) == 1.0
    for whole, divisor in ((total, 1.0), (mean, float(mean.normalizer(*inputs[1:])))):
        value, pullback = whole.vjp(*inputs)
        assert isclose(float(value) * divisor, library.host(losses).sum(), rel_tol=1e-10)
        np.testing.assert_allclose(
            library.host(pullback()) * divisor, library.host(of_each()), 1e-10, 1e-12
        )


@every_loss
def test_a_sum_is_never_divided(loss: Any, library: Any) -> None:
    """Not by what several batches to one update have as their normalizers' sum, either."""
    inputs, total = some(loss, library), loss(**OPTIONS[loss], reduction="sum")
    (value, pullback), (same, same_pullback) = total.vjp(*inputs), total.vjp(*inputs, 2.0)
    assert float(value) == float(same)
    np.testing.assert_array_equal(library.host(pullback()), library.host(same_pullback()))


@every_loss
def test_a_batch_in_parts_needs_one_value(loss: Any, library: Any) -> None:
    inputs, each = some(loss, library), loss(**OPTIONS[loss], reduction="none")
    message = f"^{loss.__name__}: reduction='none' gives many values; training"
    with pytest.raises(ValueError, match=message):
        each.normalizer(*inputs[1:])
    with pytest.raises(ValueError, match=message):
        each.vjp(*inputs, 5.0)


@every_loss
def test_training_needs_one_value(loss: Any) -> None:
    pn.set_backend("numpy")
    model = nn.Sequential(nn.Linear(3, 3))
    x, y = np.ones((5, 3)), [0, 2, 0, 0, 2] if "accuracy" in loss.metrics else np.zeros((5, 3))
    trainer = pn.Trainer(model, loss(reduction="none"), optim.SGD(model))
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(ValueError, match="need one: reduction='mean' or 'sum'"):
            run((x, y))


@every_loss
def test_a_gradient_for_each_value_is_checked(loss: Any, library: Any) -> None:
    each = loss(reduction="none")
    value = each.forward(*some(loss, library))
    shape = ", ".join(map(str, value.shape))
    with pytest.raises(ValueError, match=rf"as the value, float64 of shape \({shape},?\), got"):
        each.backward(library.array(np.ones((5, 3, 2))))
    with pytest.raises(ValueError, match="got float32"):
        each.backward(library.array(np.ones(tuple(value.shape)), "float32"))
    gradient = library.host(each.backward(2))
    np.testing.assert_array_equal(gradient, library.host(each.vjp(*some(loss, library))[1](2.0)))


@every_loss
def test_unknown_reductions(loss: Any) -> None:
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'avg'"):
        loss(reduction="avg")


@every_loss
def test_repr_tells_what_is_not_usual(loss: Any) -> None:
    assert repr(loss()) == f"{loss.__name__}()"
    told = ", ".join(f"{name}={value!r}" for name, value in OPTIONS[loss].items())
    assert repr(loss(**OPTIONS[loss])) == f"{loss.__name__}({told})"
    assert repr(loss(reduction="sum")) == f"{loss.__name__}(reduction='sum')"


def test_a_loss_of_ones_own(library: Any) -> None:
    class Mean(nn.Loss):
        def vjp(self, scores: Any, target: Any, w: Any = None, n: Any = None) -> Any:
            n = self.normalizer(target, w) if n is None else n
            return library.backend.xp.sum(scores) / n, lambda dvalue=1.0: scores * 0.0 + dvalue / n

    scores, loss = library.array(np.ones((4, 2))), Mean()
    assert float(loss.forward(scores, library.array(np.zeros(4)))) == 2.0
    np.testing.assert_array_equal(library.host(loss.backward()), np.full((4, 2), 0.25))
    assert repr(loss) == "Mean()"
    with pytest.raises(TypeError, match="it takes none"):
        Mean(reduction="sum")


# --- errors --------------------------------------------------------------------------------------

CE, MSE, BCE, NLL = nn.CrossEntropyLoss(), nn.MSELoss(), nn.BCEWithLogitsLoss(), nn.NLLLoss()
NAN, INF = float("nan"), float("inf")
WRONG = {
    "scores not 2-D": (CE, (3,), [0, 1, 2], "expected scores of shape (N, K, …), got (3,)"),
    "too few labels": (CE, (3, 4), [0, 1], "expected target of shape (3,) or (3, 4), got (2,)"),
    "labels in a column": (CE, (3, 4), [[0], [1], [2]], "got (3, 1)"),
    "one label": (CE, (3, 4), 1, "expected target of shape (3,) or (3, 4), got ()"),
    "labels of an image": (CE, (1, 4, 2, 2), [[0, 1], [1, 2]], "expected target of shape (1, 2, 2) or (1, 4, 2, 2), got (2, 2)"),
    "label too large": (CE, (3, 4), [0, 4, 1], "class indices must be in 0 … 3, as the scores have 4 columns; got 4 (ignore_index is -100)"),
    "label negative": (CE, (3, 4), [0, -1, 1], "class indices must be in 0 … 3, as the scores have 4 columns; got -1"),
    "label of an image": (NLL, (1, 2, 1, 2), [[[0, 2]]], "class indices must be in 0 … 1, as the scores have 2 columns; got 2"),
    "ignored label too large": (nn.CrossEntropyLoss(ignore_index=9), (3, 4), [9, 4, 1], "got 4 (ignore_index is 9)"),
    "weighted label too large": (nn.CrossEntropyLoss([1.0, 2.0]), (3, 2), [0, 1, 2], "must be in 0 … 1"),
    "too few class weights": (nn.CrossEntropyLoss([1.0, 2.0]), (3, 4), [0, 1, 1], "the scores have 4 columns, but there are 2 class weights"),
    "probabilities and an ignored class": (nn.CrossEntropyLoss(ignore_index=0), (1, 2), [[0.5, 0.5]], "ignore_index goes with class indices"),
    "NaN among probabilities": (CE, (3, 2), [[0.5, 0.5], [NAN, 0.5], [0.5, 0.5]], "target contains numbers that are not finite, first in sample 1"),
    "no sample": (CE, (0, 4), np.zeros(0, "int64"), "expected at least one sample, got scores of shape (0, 4)"),
    "probabilities for NLL": (NLL, (3, 4), np.zeros((3, 4)), "expected target of shape (3,), got (3, 4)"),
    "column for numbers": (MSE, (3, 1), [1.0, 2.0, 3.0], "expected target of the scores' shape (3, 1), got (3,)"),
    "numbers for a column": (MSE, (3,), [[1.0], [2.0], [3.0]], "expected target of the scores' shape (3,), got (3, 1)"),
    "no number": (MSE, (0, 2), np.zeros((0, 2)), "expected at least one sample, got scores of shape (0, 2)"),
    "no number in a sample": (MSE, (3, 0), np.zeros((3, 0)), "expected at least one number, got scores of shape (3, 0)"),
    "NaN": (MSE, (3,), [1.0, 2.0, NAN], "target contains numbers that are not finite, first in sample 2"),
    "infinity": (nn.L1Loss(), (2, 2), [[1.0, -INF], [NAN, 1.0]], "target contains numbers that are not finite, first in sample 0"),
    "classes for BCE": (BCE, (3, 4), [0, 1, 2], "expected target of the scores' shape (3, 4), got (3,)"),
    "class 2 for BCE": (BCE, (3, 2), [[0, 1], [1, 2], [0, 0]], "targets are probabilities, in [0, 1]; got others, first in sample 1"),
    "no probabilities": (BCE, (3,), [0.5, 0.5, -0.1], "targets are probabilities, in [0, 1]; got others, first in sample 2"),
    "NaN for BCE": (BCE, (3,), [0.5, NAN, -0.1], "not finite, first in sample 1"),
    "weights of samples": (nn.BCEWithLogitsLoss([1.0, 2.0, 3.0]), (3, 2), np.zeros((3, 2)), "weight of shape (3,) does not broadcast to one sample's shape (2,); sample_weight weighs the samples"),
    "weights of samples in a column": (nn.BCEWithLogitsLoss(pos_weight=[[1.0], [2.0], [3.0]]), (3, 2), np.zeros((3, 2)), "pos_weight of shape (3, 1) does not"),
    "weights of two samples": (nn.BCEWithLogitsLoss([[1.0], [2.0]]), (2, 2), np.zeros((2, 2)), "weight of shape (2, 1) does not"),
    "weights of too many axes": (nn.BCEWithLogitsLoss([[[1.0]]]), (3, 2), np.zeros((3, 2)), "weight of shape (1, 1, 1) does not"),
    "weights of a batch": (nn.BCEWithLogitsLoss([1.0, 2.0, 3.0]), (3,), np.zeros(3), "weight of shape (3,) does not broadcast to one sample's shape ()"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_shapes_and_values(place: Any, wrong: str) -> None:
    loss, shape, target, message = WRONG[wrong]
    for call in (loss, loss.forward):
        with pytest.raises(ValueError, match=f"^{type(loss).__name__}: ") as caught:
            call(place.array(np.zeros(shape)), place.array(target))
        assert message in str(caught.value)


CHECKED = [w for w in WRONG if w.startswith(("label", "NaN", "column", "class"))]


@pytest.mark.parametrize("wrong", CHECKED)
def test_check_needs_no_scores_and_not_their_number(library: Any, wrong: str) -> None:
    loss, shape, target, message = WRONG[wrong]
    target = library.array(target)
    if "expected target" in message:  # the number of samples is then the target's
        message = message.partition("(")[0]
    with pytest.raises(ValueError, match=f"^{type(loss).__name__}: ") as caught:
        loss.check((2, *shape[1:]), target)
    assert message in str(caught.value)


@every_case
def test_check_finds_nothing_wrong(case: LossCase, place: Any) -> None:
    case.make().check((2, *case.shape[1:]), place.array(case.targets()))


def test_wrong_dtypes_and_arguments(place: Any) -> None:
    scores, labels = place.array(np.zeros((3, 4))), place.array([0, 1, 2])
    loss = nn.CrossEntropyLoss()
    for kind in (nn.CrossEntropyLoss, nn.NLLLoss):
        with pytest.raises(TypeError, match=r"class indices must be integers, got float"):
            kind()(scores, place.array([0.0, 1.0, 2.0]))
        with pytest.raises(TypeError, match=r"class indices must be integers, got bool"):
            kind()(scores, place.array([False, True, True]))
    with pytest.raises(TypeError, match=r"holds probabilities, which must be floating-point, got"):
        loss(scores, place.array(np.eye(4, dtype="int64")[[0, 1, 2]]))
    with pytest.raises(TypeError, match=r"expected floating-point scores, got int64"):
        loss(place.array(np.zeros((3, 4), "int64")), labels)
    with pytest.raises(ValueError, match=r"expected sample_weight of shape \(3,\), got \(3, 1\)"):
        loss(scores, labels, place.array(np.ones((3, 1))))
    with pytest.raises(TypeError, match=r"expected an array of one of .*, got list"):
        loss(scores, [0, 1, 2])


def test_a_target_without_positions_has_no_impossible_index(library: Any) -> None:
    nn.CrossEntropyLoss().check((2, 3, 0), library.array(np.zeros((2, 0)), "int64"))


def test_mixed_backends_are_both_named() -> None:
    pn.set_backend("numpy")
    scores = pn.asarray(np.zeros((3, 4)))
    pn.set_backend("strict")
    with pytest.raises(pn.BackendMismatchError, match=r"numpy on cpu and of strict on"):
        nn.CrossEntropyLoss()(scores, pn.asarray([0, 1, 2]))
    with pytest.raises(pn.BackendMismatchError, match=r"numpy on cpu and of strict on"):
        nn.MSELoss()(scores, scores, pn.asarray(np.ones(3)))
