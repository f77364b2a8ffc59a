"""Embedding: rows by index, their gradients, the padding, and indices that cannot be."""

from math import isclose
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.nn import Context


def table(layer: nn.Layer) -> Any:
    return pn.get_backend().to_numpy(layer.params["weight"])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_rows_are_looked_up_and_their_gradients_summed(place: Any, dtype: str) -> None:
    layer = nn.Embedding(200, 3)
    x = np.array([[199, 0, 7], [7, 7, 0]], dtype)
    y, pullback = layer.vjp(place.array(x), Context(True))
    place.check(y, (2, 3, 3))
    np.testing.assert_array_equal(place.host(y), table(layer)[x.astype("int64")])
    dx, grads = pullback(place.array(np.arange(18.0).reshape(2, 3, 3)))
    assert dx is None
    expected = np.zeros((200, 3))
    expected[199], expected[0], expected[7] = [0, 1, 2], [18, 20, 22], [27, 30, 33]
    np.testing.assert_array_equal(place.host(grads["weight"]), expected)


@pytest.mark.parametrize("padding", [2, -3])
def test_the_padding_starts_at_zero_and_is_not_trained(place: Any, padding: int) -> None:
    layer = nn.Embedding(5, 4, padding_idx=padding)
    assert layer.padding_idx == 2
    plain = table(nn.Embedding(5, 4))
    np.testing.assert_array_equal(table(layer)[2], 0.0)
    np.testing.assert_array_equal(np.delete(table(layer), 2, 0), np.delete(plain, 2, 0))
    _, pullback = layer.vjp(place.array([2, 1, 2]), Context(True))
    _, grads = pullback(place.array(np.ones((3, 4))))
    np.testing.assert_array_equal(place.host(grads["weight"]).sum(axis=1), [0, 4, 0, 0, 0])


def test_vectors_start_normal(library: Any) -> None:
    values = table(nn.Embedding(300, 40))
    assert isclose(values.std(), 1.0, rel_tol=0.02)
    assert abs(values.mean()) < 0.03


def test_no_indices_at_all(place: Any) -> None:
    layer = nn.Embedding(4, 3)
    x = place.array(np.zeros((0, 2), "int64"))
    place.check(layer(x), (0, 2, 3))
    y, pullback = layer.vjp(x, Context(True))
    _, grads = pullback(y)
    np.testing.assert_array_equal(place.host(grads["weight"]), np.zeros((4, 3)))


# --- what cannot be looked up --------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "named"), [([[0, 4]], 4), ([[-1, 3]], -1), ([[9, -2]], -2)])
def test_indices_out_of_range(place: Any, wrong: Any, named: int) -> None:
    model = nn.Sequential({"words": nn.Embedding(4, 3), "flat": nn.Flatten()})
    x = place.array(wrong)
    for run in (model, model.forward, model["words"]):
        with pytest.raises(ValueError, match=rf"'words': indices must be in 0 … 3, got {named}$"):
            run(x)


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_what_is_no_index(place: Any, dtype: str) -> None:
    x = place.array(np.ones((2, 2), dtype), dtype)
    for run in (nn.Embedding(4, 3), lambda x: nn.Embedding(4, 3).vjp(x, Context())):
        with pytest.raises(TypeError, match=f"Embedding: expected x of integers, got {dtype}"):
            run(x)


def classifier() -> pn.Trainer:
    model = nn.Sequential(nn.Embedding(6, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 2))
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.05))


def sentences() -> Any:
    x = pn.Key(0).integers(6, (80, 3))
    return x, (x == 3).any(axis=1).astype("int64")


def test_a_trainer_looks_at_all_indices_before_it_trains(library: Any) -> None:
    x, y = sentences()
    x[70, 1] = 6
    trainer = classifier()
    before = table(trainer.model[0]).copy()
    for data in ((x, y), [(library.array(x[:8]), y[:8]), (x[64:], y[64:])]):
        with pytest.raises(ValueError, match=r"indices must be in 0 … 5, got 6"):
            trainer.fit(data, progress=False)
        if isinstance(data, tuple):
            np.testing.assert_array_equal(table(trainer.model[0]), before)
    with pytest.raises(TypeError, match=r"Embedding '0': expected x of integers, got float"):
        trainer.fit((x.astype("float64"), y), progress=False)


def test_words_are_learned_and_the_padding_is_not(library: Any) -> None:
    trainer, (x, y) = classifier(), sentences()
    library.select("float32")
    trainer.fit((x, y), epochs=30, batch_size=16, progress=False)
    assert trainer.evaluate((x, y))["accuracy"] == 1.0
    np.testing.assert_array_equal(table(trainer.model[0])[0], 0.0)
    library.check(trainer.predict(library.array(x)), (80, 2), "float32")
