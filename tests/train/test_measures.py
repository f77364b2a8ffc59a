"""What scores are judged by: values, shapes, labels that do not count, means over batches."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn, optim, train
from portanet.train.metric import by_name

INNER = [(), (2, 3)]  # of one sample's positions, as of an image's pixels


def trainer(model: nn.Layer, loss: nn.Loss, metrics: Any = None) -> pn.Trainer:
    """Return a trainer that changes nothing, so that all epochs see the same model."""
    return pn.Trainer(model, loss, optim.SGD(model, lr=0.0), metrics=metrics)


# --- their values --------------------------------------------------------------------------------

FORMULAS: dict[Callable[..., Any], Callable[[Any, Any], Any]] = {
    train.binary_accuracy: lambda s, t: (s > 0) == (t > 0.5),
    train.mae: lambda s, t: abs(s - t),
    train.mse: lambda s, t: (s - t) ** 2,
}


@pytest.mark.parametrize("measure", FORMULAS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 4), (6, 2, 3, 2)])
@pytest.mark.parametrize("dtype", [None, "bool", "int64"])
def test_a_number_for_each_sample(place: Any, measure: Any, shape: Any, dtype: Any) -> None:
    scores, target = numbers("scores", shape), (numbers("target", shape) > 0) * 1.0
    if dtype is None:
        target = abs(target - 0.1)  # smoothed
        given = place.array(target)
    else:
        given = place.backend.from_numpy(target.astype(dtype))
    found = measure(place.array(scores), given)
    expected = FORMULAS[measure](scores, target).astype("float64")
    expected = expected if len(shape) == 1 else expected.mean(axis=1)
    place.check(found, expected.shape)
    assert 0 < expected.mean() != 1
    np.testing.assert_allclose(place.host(found), expected, rtol=place.rtol, atol=1e-6)


def ranks(scores: Any, labels: Any) -> Any:
    """Return how many scores come before the label's; of equal ones the first does."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.argmax(order == np.expand_dims(labels, 1), axis=1)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("equal", [False, True])
def test_among_the_first_k(place: Any, k: int, inner: Any, equal: bool) -> None:
    scores = numbers("scores", (40, 7, *inner))
    scores = np.round(scores) if equal else scores
    labels = np.arange(scores[:, 0].size).reshape(40, *inner) * 3 % 7
    expected = ranks(scores, labels) < k
    given, target = place.array(scores), place.backend.from_numpy(labels)
    found = train.TopKAccuracy(k)(given, target)
    place.check(found, (40, *inner))
    np.testing.assert_array_equal(place.host(found), expected)
    assert 0 < expected.mean() < 1
    if k == 1:
        np.testing.assert_array_equal(place.host(train.accuracy(given, target)), expected)
    one_hot = place.array(np.moveaxis(np.eye(7)[labels], -1, 1) * 0.7 + 0.1)
    np.testing.assert_array_equal(place.host(train.TopKAccuracy(k)(given, one_hot)), expected)


def test_the_label_among_scores_that_are_all_equal_is_not_first(library: Any) -> None:
    scores, labels = library.array(np.zeros((7, 7))), library.backend.from_numpy(np.arange(7))
    found = library.host(train.TopKAccuracy(3)(scores, labels))
    np.testing.assert_array_equal(found, [1, 1, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("ignored", [-100, 3, 99])
def test_ignored_labels_do_not_count_among_the_first_k(library: Any, ignored: int) -> None:
    scores, labels = numbers("scores", (30, 6)), np.arange(30) % 6
    labels[::4] = ignored
    given, target = library.array(scores), library.backend.from_numpy(labels)
    right, counted = train.TopKAccuracy(2)(given, target, ignore_index=ignored)
    kept = labels != ignored
    np.testing.assert_array_equal(library.host(counted), kept)
    expected = (ranks(scores, np.where(kept, labels, 0)) < 2) & kept
    np.testing.assert_array_equal(library.host(right), expected)


# --- their means ---------------------------------------------------------------------------------


def linear(outputs: int) -> nn.Layer:
    return nn.Sequential(nn.Linear(4, outputs)).initialize(0)


MEANS: dict[str, tuple[nn.Loss, int, Any, Callable[[Any, Any], Any]]] = {
    "accuracy": (nn.CrossEntropyLoss(), 3, "accuracy", lambda s, t: s.argmax(1) == t),
    "top_2_accuracy": (
        nn.CrossEntropyLoss(),
        5,
        train.TopKAccuracy(2),
        lambda s, t: ranks(s, t) < 2,
    ),
    "binary_accuracy": (nn.BCEWithLogitsLoss(), 3, None, lambda s, t: (s > 0) == (t > 0.5)),
    "mae": (nn.MSELoss(), 3, "mae", lambda s, t: abs(s - t)),
    "mse": (nn.L1Loss(), 3, "mse", lambda s, t: (s - t) ** 2),
}


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}])
@pytest.mark.parametrize("part", [None, 2])
def test_a_mean_is_over_all_samples_however_they_are_cut(
    library: Any, name: str, options: Any, part: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, outputs, metric, formula = MEANS[name]
    x, target = numbers("x", (13, 4)), np.arange(13) % 3
    if not isinstance(loss, nn.CrossEntropyLoss):
        target = (numbers("target", (13, outputs)) > 0) * 1.0
    monkeypatch.setattr(type(library.backend), "part_size", lambda *_: part)
    run = trainer(linear(outputs), loss, metric if metric is None else [metric])
    expected = formula(library.host(run.predict(x)), target).mean()
    history = run.fit((x, target), batch_size=5, progress=False, **options)
    assert list(run.metrics) == [name]
    assert history[name] == [pytest.approx(expected, rel=1e-5)]
    assert run.evaluate((x, target), batch_size=4)[name] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", ["accuracy", train.TopKAccuracy(2)])
def test_what_the_loss_ignores_does_not_count(library: Any, metric: Any) -> None:
    x, target = numbers("x", (13, 4)), np.arange(13) % 5
    target[::3] = 4
    run = trainer(linear(5), nn.CrossEntropyLoss(ignore_index=4), [metric])
    kept, scores = target != 4, library.host(run.predict(x))
    right = ranks(scores, target) < (1 if metric == "accuracy" else 2)
    (found,) = (v for n, v in run.evaluate((x, target), batch_size=5).items() if n != "loss")
    assert found == pytest.approx(right[kept].mean())
    assert right[kept].mean() != right.mean()


def test_a_metric_of_ones_own_is_told_what_is_ignored_where_it_asks() -> None:
    def asks(scores: Any, target: Any, ignore_index: int | None = None) -> Any:
        return scores[:, 0] * 0 + ignore_index

    def knows(scores: Any, target: Any, ignore_index: int = 7) -> Any:
        return scores[:, 0] * 0 + ignore_index

    def plain(scores: Any, target: Any) -> Any:
        return scores[:, 0] * 0 + 1

    run = trainer(linear(3), nn.CrossEntropyLoss(), [asks, knows, plain])
    found = run.evaluate((np.ones((2, 4)), np.zeros(2, "int64")))
    assert (found["asks"], found["knows"], found["plain"]) == (-100, 7, 1)
    of_mse = trainer(linear(3), nn.MSELoss(), [asks]).metrics["asks"]
    assert of_mse is asks


# --- by what name --------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 3])
def test_accuracy_is_that_of_decisions_where_the_loss_is(library: Any, outputs: int) -> None:
    x, target = numbers("x", (12, 4)), (numbers("target", (12, outputs)) > 0) * 1.0
    run = trainer(linear(outputs), nn.BCEWithLogitsLoss(), ["accuracy", "binary_accuracy"])
    found = run.evaluate((x, target))
    expected = ((library.host(run.predict(x)) > 0) == (target > 0.5)).mean()
    assert 0 < expected < 1
    assert found["accuracy"] == found["binary_accuracy"] == pytest.approx(expected)


def test_what_a_loss_is_reported_with() -> None:
    def reported(loss: nn.Loss) -> list[str]:
        return list(trainer(linear(3), loss).metrics)

    assert reported(nn.CrossEntropyLoss()) == reported(nn.NLLLoss()) == ["accuracy"]
    assert reported(nn.BCEWithLogitsLoss()) == ["binary_accuracy"]
    assert reported(nn.MSELoss()) == reported(nn.HuberLoss()) == []


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("acc", "did you mean 'accuracy'?"),
        ("categorical_accuracy", "did you mean 'accuracy'?"),
        ("sparse_categorical_accuracy", "did you mean 'accuracy'?"),
        ("mean_absolute_error", "did you mean 'mae'?"),
        ("mean_squared_error", "did you mean 'mse'?"),
        ("top_5_accuracy", "give the object: metrics=[train.TopKAccuracy(5)]"),
        ("top_k_categorical_accuracy", "give the object: metrics=[train.TopKAccuracy(5)]"),
        ("f1", "it takes accuracy, binary_accuracy, mae, mse"),
    ],
)
def test_other_libraries_words_are_answered(word: str, instead: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"unknown metric {word!r}; {instead}") + "$"):
        by_name(word)


@pytest.mark.parametrize("metric", ["accuracy", "binary_accuracy", train.TopKAccuracy(2)])
def test_of_accuracies_the_larger_is_the_better(metric: Any) -> None:
    (name,) = by_name([metric])
    assert pn.EarlyStopping(f"val_{name}").sign == 1.0


@pytest.mark.parametrize("metric", ["mae", "mse"])
def test_of_errors_the_smaller_is_the_better(metric: str) -> None:
    assert pn.EarlyStopping(f"val_{metric}").sign == -1.0


def test_top_k_shows_its_k() -> None:
    assert repr(train.TopKAccuracy(3)) == "TopKAccuracy(k=3)"
    assert list(by_name([train.TopKAccuracy(3), train.TopKAccuracy()])) == [
        "top_3_accuracy",
        "top_5_accuracy",
    ]
