"""Data in odd memory and of odd dtypes trains a model as plain arrays do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.layouts import NAMES, laid_out
from cases import numbers

import portanet as pn
from portanet import nn, optim
from portanet.data import DataLoader

X = numbers("x", (10, 4)).astype("float32")
Y = np.arange(10) % 3
WEIGHT = np.linspace(0.5, 1.5, 10).astype("float32")


def run(data: Any, new: Any, **options: Any) -> list[Any]:
    """Return all that a run computes: the history, the weights, an evaluation, predictions."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).initialize()
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.5))
    options = {"epochs": 2, "validation_data": data, "progress": False} | options
    history = trainer.fit(data, **options)
    found = [history[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")]
    found += [*model.params.values(), list(trainer.evaluate(data).values()), trainer.predict(new)]
    return [np.array(array, "float64") for array in found]


def assert_equal_runs(found: list[Any], expected: list[Any]) -> None:
    for array, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, plain, 1e-5, 1e-6)


@pytest.mark.parametrize("layout", NAMES)
def test_any_layout_in_memory(layout: str, tmp_path: Path) -> None:
    x, y, weight = (laid_out(array, layout, tmp_path) for array in (X, Y, WEIGHT))
    assert_equal_runs(run((x, y, weight), x, batch_size=4), run((X, Y, WEIGHT), X, batch_size=4))


@pytest.mark.parametrize("layout", NAMES)
def test_any_layout_in_a_loader(layout: str, tmp_path: Path) -> None:
    x, y, weight = (laid_out(array, layout, tmp_path) for array in (X, Y, WEIGHT))
    plain = DataLoader((X, Y, WEIGHT), 4, shuffle=True)
    loader = DataLoader((x, y, weight), 4, shuffle=True)
    assert_equal_runs(run(loader, x), run(plain, X))


class Sub(np.ndarray):
    """A subclass, as other libraries make them."""


AS: dict[str, Callable[[], Any]] = {
    "lists": lambda: (X.tolist(), Y.tolist(), WEIGHT.tolist()),
    "float64": lambda: (X.astype("float64"), Y, WEIGHT.astype("float64")),
    "longdouble": lambda: (X.astype("longdouble"), Y, WEIGHT),
    "big endian": lambda: (X.astype(">f4"), Y.astype(">i4"), WEIGHT.astype(">f8")),
    "uint8 labels": lambda: (X, Y.astype("uint8"), WEIGHT),
    "uint64 labels": lambda: (X, Y.astype("uint64"), WEIGHT),
    "int16 labels": lambda: (X, Y.astype("int16"), WEIGHT),
    "masked, but nothing is": lambda: (np.ma.array(X), np.ma.array(Y), WEIGHT),
    "a subclass": lambda: (X.view(Sub), Y.view(Sub), WEIGHT.view(Sub)),
}


@pytest.mark.parametrize("kind", AS)
def test_any_kind_of_numbers(kind: str) -> None:
    data = AS[kind]()
    assert_equal_runs(run(data, data[0], batch_size=4), run((X, Y, WEIGHT), X, batch_size=4))
