"""Metrics and epoch losses where labels are ignored, samples are images, or losses are sums."""

import math
from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn, optim


def trainer(model: nn.Layer, loss: nn.Loss) -> pn.Trainer:
    """Return a trainer that changes nothing, so that all epochs see the same model."""
    return pn.Trainer(model, loss, optim.SGD(model, lr=0.0))


@pytest.mark.parametrize("ignored", [-100, 0])
def test_ignored_labels_do_not_count(library: Any, ignored: int) -> None:
    x, labels = numbers("x", (12, 4)), np.arange(12) % 3
    kept = ~np.isin(np.arange(12), [1, 4, 5, 6, 7, 10]) & (labels != ignored)
    target = np.where(kept, labels, ignored)
    run = trainer(nn.Sequential(nn.Linear(4, 3)), nn.CrossEntropyLoss(ignore_index=ignored))
    history = run.fit((x, target), batch_size=5, progress=False)
    predicted = np.argmax(library.host(run.predict(x)), axis=1)
    expected = np.mean(predicted[kept] == labels[kept])
    assert 0 < expected < 1
    assert history["accuracy"][0] == pytest.approx(expected)
    assert run.evaluate((x, target), batch_size=5)["accuracy"] == pytest.approx(expected)


def test_accuracy_of_images_is_by_pixel(library: Any) -> None:
    x = numbers("x", (10, 1, 4, 4))
    target = (x[:, 0] > 0).astype("int64")
    target[:, 0] = -100
    run = trainer(nn.Sequential(nn.Conv2d(1, 2, 1)), nn.CrossEntropyLoss())
    predicted = np.argmax(library.host(run.predict(x)), axis=1)
    accuracy = run.evaluate((x, target), batch_size=3)["accuracy"]
    assert accuracy == pytest.approx(np.mean((predicted == target)[:, 1:]))


@pytest.mark.parametrize("batch_size", [3, 5, 12])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_sum_is_that_of_all_samples(library: Any, batch_size: int, accumulate: int) -> None:
    x, target, loss = numbers("x", (12, 4)), numbers("y", (12, 3)), nn.MSELoss("sum")
    run = trainer(nn.Sequential(nn.Linear(4, 3)), loss)
    whole = float(loss(run.predict(x), library.array(target)))
    assert run.evaluate((x, target), batch_size=batch_size)["loss"] == pytest.approx(whole)
    options = {"batch_size": batch_size, "accumulate": accumulate, "progress": False}
    assert run.fit((x, target), **options)["loss"][-1] == pytest.approx(whole)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_only_some_batches_have_weights(library: Any, first: int, accumulate: int) -> None:
    x, target = numbers("x", (12, 4)), numbers("y", (12, 3))
    weight = np.arange(1.0, 7.0)
    batches = [(x[:6], target[:6], weight), (x[6:], target[6:])]
    batches = batches[first:] + batches[:first]
    run = trainer(nn.Sequential(nn.Linear(4, 3)), nn.MSELoss())
    whole = run.evaluate((x, target, np.append(weight, np.ones(6))))["loss"]
    assert run.evaluate(batches)["loss"] == pytest.approx(whole)
    history = run.fit(batches, accumulate=accumulate, progress=False)
    assert history["loss"][0] == pytest.approx(whole)


def test_nothing_that_counts() -> None:
    run = trainer(nn.Sequential(nn.Linear(4, 3)), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="all samples weigh 0, or are ignored"):
        run.evaluate((numbers("x", (4, 4)), np.full(4, -100)))


def test_class_weights_with_ignored_labels(library: Any) -> None:
    x, labels = numbers("x", (6, 4)), np.array([0, 1, 2, 0, 1, 2])
    target = np.where(np.arange(6) == 3, -100, labels)
    kept = np.arange(6) != 3
    losses = []
    for data in ((x, target), (x[kept], labels[kept])):
        model = nn.Sequential(nn.Linear(4, 3))
        run = trainer(model, nn.CrossEntropyLoss())
        history = run.fit(data, class_weight={0: 2.0, 2: 0.5}, batch_size=6, progress=False)
        losses.append(history["loss"][0])
    assert losses[0] == pytest.approx(losses[1])


def test_accuracy_of_nothing_is_no_number() -> None:
    run = trainer(nn.Sequential(nn.Linear(4, 3)), nn.CrossEntropyLoss(reduction="sum"))
    found = run.evaluate((numbers("x", (4, 4)), np.full(4, -100)))
    assert found["loss"] == 0.0
    assert np.isnan(found["accuracy"])


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32", "float64"])
@pytest.mark.parametrize("inner", [(), (2, 5)])
def test_a_target_of_the_scores_shape_is_one_hot_whatever_its_dtype(
    library: Any, dtype: str, inner: tuple[int, ...]
) -> None:
    labels = np.arange(12 * math.prod(inner)).reshape(12, *inner) % 3
    one_hot = np.moveaxis(np.eye(3, dtype=dtype)[labels], -1, 1)
    scores = library.array(numbers("scores", one_hot.shape))
    expected = library.host(pn.train.accuracy(scores, library.array(labels)))
    assert 0 < expected.mean() < 1
    found = pn.train.accuracy(scores, pn.get_backend().from_numpy(one_hot), ignore_index=0)
    np.testing.assert_array_equal(library.host(found), expected)


@pytest.mark.parametrize("dtype", ["bool", "float64"])
def test_labels_that_are_no_integers_are_refused_by_their_dtype(library: Any, dtype: str) -> None:
    scores, labels = numbers("scores", (4, 3)), np.asarray([0, 1, 1, 0], dtype)
    with pytest.raises(TypeError, match=f"accuracy: class indices must be integers, got {dtype}"):
        pn.train.accuracy(library.array(scores), library.array(labels))


def test_a_metric_may_say_yes_or_no(library: Any) -> None:
    def near(scores: Any, target: Any) -> Any:
        xp = pn.backend_of(scores).xp
        return xp.all(xp.abs(scores - target) < 1.0, axis=1)

    x, target = numbers("x", (12, 4)), numbers("y", (12, 2))
    model = nn.Sequential(nn.Linear(4, 2))
    run = pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.0), metrics=[near])
    expected = np.mean(np.all(np.abs(library.host(run.predict(x)) - target) < 1.0, axis=1))
    assert 0 < expected < 1
    history = run.fit((x, target), batch_size=5, progress=False)
    assert history["near"][0] == pytest.approx(expected)
    assert run.evaluate((x, target), batch_size=5)["near"] == pytest.approx(expected)
