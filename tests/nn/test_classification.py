"""What losses of classes promise beside what every loss does."""

from concurrent.futures import ThreadPoolExecutor
from math import isclose, isfinite, log
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn, optim
from portanet.nn import Context

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


# --- ignored labels ------------------------------------------------------------------------------

both_class_losses = pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss])
LABELS = np.array([1, 0, 2, 1, 0])
KEPT = np.array([True, False, True, True, False])
CLASS_WEIGHTS = [0.5, 2.0, 0.25]


@both_class_losses
@pytest.mark.parametrize("ignored", [-100, -1, 0, 7])
@pytest.mark.parametrize("weight", [None, CLASS_WEIGHTS])
@pytest.mark.parametrize("images", [False, True])
def test_ignored_labels_might_as_well_not_be_there(
    place: Any, loss: Any, ignored: int, weight: Any, images: bool
) -> None:
    scores = numbers("scores", (5, 3))
    loss = loss(weight, ignored)
    labels = np.where(KEPT, LABELS, ignored)
    kept = place.array(scores[KEPT]), place.array(LABELS[KEPT])
    all_scores, all_labels = scores, labels
    if images:  # (1, 3, 5): the samples are its positions
        all_scores, all_labels = scores.T[None], labels[None]
    expected, expected_pullback = loss.vjp(*kept)
    value, pullback = loss.vjp(place.array(all_scores), place.array(all_labels))
    assert isclose(float(value), float(expected), rel_tol=place.rtol)
    d = place.host(pullback())
    d = d[0].T if images else d
    np.testing.assert_allclose(d[KEPT], place.host(expected_pullback()), place.rtol, 1e-7)
    np.testing.assert_array_equal(d[~KEPT], np.zeros((2, 3)))
    loss.check((2, *all_scores.shape[1:]), place.array(all_labels))


@both_class_losses
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, CLASS_WEIGHTS])
def test_where_all_are_ignored_so_are_loss_and_gradient(
    place: Any, loss: Any, reduction: str, weight: Any
) -> None:
    scores, labels = place.array(numbers("scores", (2, 3, 4))), np.full((2, 4), -100)
    loss = loss(weight, reduction=reduction)
    value = loss.forward(scores, place.array(labels))
    np.testing.assert_array_equal(place.host(value), np.zeros((2, 4) if value.ndim else ()))
    np.testing.assert_array_equal(place.host(loss.backward()), np.zeros((2, 3, 4)))
    if reduction == "mean":
        assert float(loss.normalizer(place.array(labels))) == 0.0


def test_where_the_classes_weigh_nothing_so_does_a_smooth_loss(place: Any) -> None:
    """The other classes, over which a label is smoothed, do weigh something."""
    loss = nn.CrossEntropyLoss([0.0, 1.0, 1.0], label_smoothing=0.3)
    value, pullback = loss.vjp(place.array(numbers("scores", (2, 3))), place.array([0, 0]))
    assert float(value) == 0.0
    np.testing.assert_array_equal(place.host(pullback()), np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_an_ignored_index_that_the_labels_dtype_lacks(place: Any, dtype: str) -> None:
    """156 is −100 modulo 256: it must not be taken for it."""
    scores = place.array(numbers("scores", (2, 200)))
    labels = place.array([100, 27] if dtype == "int8" else [156, 27], dtype)
    loss = nn.CrossEntropyLoss()
    assert float(loss.normalizer(labels)) == 2.0
    assert float(nn.CrossEntropyLoss([1.0] * 200).normalizer(labels)) == 2.0
    assert isclose(
        float(loss(scores, labels)), float(nn.CrossEntropyLoss([1.0] * 200)(scores, labels))
    )


def test_training_on_ignored_labels_is_training_without_them() -> None:
    """The mean is over what counts, in an epoch and in a batch whose labels are all ignored."""
    pn.set_backend("numpy", dtype="float64")
    x, y = numbers("x", (12, 4)), np.arange(12) % 3
    ignored = np.isin(np.arange(12), [1, 4, 5, 6, 7, 10])
    losses = []
    for inputs, labels, size in (
        (x, np.where(ignored, -100, y), 4),
        (x[~ignored], y[~ignored], 3),
    ):
        model = nn.Sequential(nn.Linear(4, 3))
        model.initialize(3)
        trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.3), metrics=())
        trainer.fit((inputs, labels), batch_size=size, shuffle=False, progress=False)
        losses.append([*trainer.history["loss"], trainer.evaluate((inputs, labels))["loss"]])
    assert trainer.step == 2
    np.testing.assert_allclose(losses[0], losses[1], 1e-12)


# --- weights of classes --------------------------------------------------------------------------


def test_weights_are_those_of_the_backend_and_dtype_where_they_are_needed() -> None:
    given = [0.1, 0.7, 1.3]
    losses = [nn.CrossEntropyLoss(given)]
    for name in ("numpy", "strict"):
        pn.set_backend(name)
        losses += [
            nn.CrossEntropyLoss(pn.asarray(given, dtype)) for dtype in ("float64", "float32")
        ]
    expected = float(losses[0](numbers("scores", (4, 3)), np.array([0, 1, 2, 1])))
    for name in ("numpy", "strict", "numpy"):
        for dtype in ("float64", "float32"):
            backend = pn.set_backend(name, dtype=dtype)
            scores, labels = pn.asarray(numbers("scores", (4, 3))), pn.asarray([0, 1, 2, 1])
            for loss in losses:
                value = loss(scores, labels)
                assert value.dtype == getattr(backend.xp, dtype)
                assert isclose(float(value), expected, rel_tol=1e-6)


def test_weights_are_converted_once(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    loss = nn.CrossEntropyLoss(np.array([0.5, 1.0, 2.0]))
    inputs = library.array(numbers("scores", (4, 3))), library.array([0, 1, 2, 1])
    expected = float(loss(*inputs))

    def refuse(*args: Any) -> Any:
        raise AssertionError("converted again")

    monkeypatch.setattr(type(library.backend), "asarray", refuse)
    assert float(loss(*inputs)) == expected


def test_weights_stay_as_they_were_given(library: Any) -> None:
    scores, labels = library.array(numbers("scores", (4, 3))), library.array([0, 1, 2, 1])
    for given in ([0.5, 1.0, 2.0], np.array([0.5, 1.0, 2.0])):
        loss = nn.CrossEntropyLoss(given)
        given[1] = 100.0
        assert float(loss(scores, labels)) == float(
            nn.CrossEntropyLoss([0.5, 1.0, 2.0])(scores, labels)
        )


def test_weights_are_not_rounded_by_the_selected_dtype() -> None:
    pn.set_backend("numpy", dtype="float32")
    loss = nn.NLLLoss([0.1, 1.0])
    value = loss(np.array([[-1.0, 0.0], [0.0, -1.0]]), np.array([0, 1]))
    assert isclose(float(value), 1.0, rel_tol=1e-15)
    assert float(loss.normalizer(np.array([0]))) == 0.1


def test_two_threads_need_the_weights_first_at_once(place: Any) -> None:
    loss, barrier = nn.CrossEntropyLoss([0.5, 1.0, 2.0]), Barrier(2, timeout=60)
    inputs = place.array(numbers("scores", (4, 3))), place.array([0, 1, 2, 1])

    def value(_: int) -> float:
        barrier.wait()
        return float(loss(*inputs))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(value, range(2))
    assert first == second == float(loss(*inputs))


def test_a_class_that_weighs_nothing_may_be_impossible(place: Any) -> None:
    """Its score of −∞ must not make 0 · ∞."""
    scores = place.array([[0.0, -np.inf, 1.0]])
    value, pullback = nn.CrossEntropyLoss([1.0, 0.0, 1.0], label_smoothing=0.5).vjp(
        scores, place.array([0])
    )
    assert isfinite(float(value))
    assert np.isfinite(place.host(pullback())).all()


# --- images --------------------------------------------------------------------------------------


@both_class_losses
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 2, 2), (2, 3, 1, 2, 2)])
def test_each_position_of_an_image_is_a_sample(place: Any, loss: Any, shape: Any) -> None:
    loss, scores = loss(CLASS_WEIGHTS, 2), numbers("scores", shape)
    labels = pn.Key(3).integers(3, (2, *shape[2:]))
    value, pullback = loss.vjp(place.array(scores), place.array(labels))
    rows = np.moveaxis(scores, 1, -1).reshape(-1, 3)
    expected, rows_pullback = loss.vjp(place.array(rows), place.array(labels.reshape(-1)))
    assert isclose(float(value), float(expected), rel_tol=place.rtol)
    d = np.moveaxis(place.host(pullback()), 1, -1).reshape(-1, 3)
    np.testing.assert_allclose(d, place.host(rows_pullback()), place.rtol, 1e-8)


def test_a_network_of_images_trains_on_its_pixels() -> None:
    pn.set_backend("numpy")
    x = numbers("x", (20, 1, 6, 6))
    y = (x[:, 0] > 0).astype("int64")
    y[:, 0, :] = -100
    model = nn.Sequential(nn.Conv2d(1, 2, 1))
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.1), metrics=())
    losses = trainer.fit((x, y), epochs=20, batch_size=7, progress=False)["loss"]
    assert losses[-1] < 0.3 * losses[0]


# --- NLL -----------------------------------------------------------------------------------------


def test_nll_of_log_softmax_is_cross_entropy(place: Any) -> None:
    x, labels = place.array(numbers("scores", (5, 3))), place.array(LABELS)
    options = {"weight": CLASS_WEIGHTS, "ignore_index": 1}
    value, pullback = nn.CrossEntropyLoss(**options).vjp(x, labels)
    y, layer_pullback = nn.LogSoftmax().vjp(x, Context())
    nll, nll_pullback = nn.NLLLoss(**options).vjp(y, labels)
    assert isclose(float(value), float(nll), rel_tol=1e-5)
    d, _ = layer_pullback(nll_pullback())
    np.testing.assert_allclose(place.host(pullback()), place.host(d), 1e-4, 1e-7)


def test_an_impossible_class_costs_nothing_where_it_is_not_the_target(place: Any) -> None:
    scores = place.array([[-np.inf, 0.0], [-1.0, -np.inf]])
    value, pullback = nn.NLLLoss(reduction="none").vjp(scores, place.array([1, 1]))
    np.testing.assert_array_equal(place.host(value), [0.0, np.inf])
    np.testing.assert_array_equal(place.host(pullback()), [[0, -1], [0, -1]])


# --- binary cross-entropy ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "target", "loss", "slope"),
    [
        (0.0, 1.0, log(2), -0.5),
        (0.0, 0.0, log(2), 0.5),
        (1e4, 1.0, 0.0, 0.0),
        (1e4, 0.0, 1e4, 1.0),
        (-1e4, 1.0, 1e4, -1.0),
        (-1e4, 0.0, 0.0, 0.0),
        (1e30, 0.25, 0.75e30, 0.75),
        (-90.0, 0.0, 8.194e-40, 8.194e-40),
    ],
)
def test_extreme_scores_of_two_classes(
    place: Any, score: float, target: float, loss: float, slope: float
) -> None:
    value, pullback = nn.BCEWithLogitsLoss().vjp(place.array([score]), place.array([target]))
    atol = 0.0 if place.dtype == "float64" else 1e-37  # a device may lack subnormal numbers
    assert isclose(float(value), loss, rel_tol=1e-4, abs_tol=atol)
    assert isclose(float(place.host(pullback())[0]), slope, rel_tol=1e-4, abs_tol=atol)


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_two_classes_are_a_softmax_of_two(place: Any, target: float) -> None:
    s = numbers("scores", (6,))
    value = nn.BCEWithLogitsLoss()(place.array(s), place.array(np.full(6, target)))
    two = np.stack([np.zeros(6), s], axis=1)
    p = np.tile([1.0 - target, target], (6, 1))
    expected = nn.CrossEntropyLoss()(place.array(two), place.array(p))
    assert isclose(float(value), float(expected), rel_tol=place.rtol)


def test_weights_of_the_positive_class_count_it_several_times(place: Any) -> None:
    s, t = numbers("scores", (4, 3)), np.eye(3)[[0, 2, 1, 1]]
    loss = nn.BCEWithLogitsLoss(reduction="none", pos_weight=[1.0, 3.0, 0.5])
    plain = place.host(nn.BCEWithLogitsLoss(reduction="none")(place.array(s), place.array(t)))
    weighted = place.host(loss(place.array(s), place.array(t)))
    factors = np.where(t == 1.0, [1.0, 3.0, 0.5], 1.0)
    np.testing.assert_allclose(weighted, plain * factors, 1e-5)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_targets_of_any_kind_for_two_classes(place: Any, dtype: str) -> None:
    scores, target = place.array(numbers("scores", (4,))), np.array([0, 1, 1, 0])
    expected = nn.BCEWithLogitsLoss()(scores, place.array(target.astype("float64")))
    got = nn.BCEWithLogitsLoss()(scores, place.array(target.astype(dtype)))
    assert float(got) == float(expected)
