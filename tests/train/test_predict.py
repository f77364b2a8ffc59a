"""predict: an array, a loader or batches give the same scores, in the samples' order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.data import DataLoader

X = np.random.default_rng(0).standard_normal((20, 4)).astype("float32")
Y = np.arange(20) % 3


def trainer() -> pn.Trainer:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).initialize(0)
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))


def mapped(folder: Path) -> Any:
    np.save(folder / "x.npy", X)
    return np.load(folder / "x.npy", mmap_mode="r")


FORMS: dict[str, Callable[[Path], Any]] = {
    "a memory map": mapped,
    "a list of numbers": lambda folder: X.tolist(),
    "a list of rows": lambda folder: list(X),
    "a list of tuples of numbers": lambda folder: [tuple(row) for row in X],
    "a loader": lambda folder: DataLoader(X, 6),
    "a loader of pairs": lambda folder: DataLoader((X, Y), 6),
    "a loader of weighted pairs": lambda folder: DataLoader((X, Y, X[:, 0]), 6),
    "a loader of a memory map": lambda folder: DataLoader(mapped(folder), 6),
    "a list of batches": lambda folder: list(DataLoader((X, Y), 6)),
    "batches of float64": lambda folder: list(DataLoader((X.astype("float64"), Y), 6)),
    "pairs in lists": lambda folder: (list(batch) for batch in DataLoader((X, Y), 6)),
    "an iterator over x alone": lambda folder: iter([X[:15], X[15:]]),
    "a list of x alone": lambda folder: [X[:15], X[15:]],
    "a list of equal parts": lambda folder: [X[:10], X[10:]],
    "a loader that drops nothing": lambda folder: DataLoader((X, Y), 5, drop_last=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_scores(form: str, library: Any, tmp_path: Path) -> None:
    library.select("float32")
    one = trainer()
    scores = one.predict(FORMS[form](tmp_path))
    library.check(scores, (20, 3), "float32")
    expected = library.host(one.model(library.array(X, "float32")))
    np.testing.assert_allclose(library.host(scores), expected, 1e-6, 1e-6)


def test_rows_of_two_numbers_are_no_batches() -> None:
    model = nn.Linear(2, 1).initialize(0)
    one = pn.Trainer(model, nn.MSELoss(), optim.SGD(model))
    rows = list(zip(X[:, 0], X[:, 1], strict=True))
    np.testing.assert_array_equal(one.predict(rows), one.predict(X[:, :2]))


def test_a_loader_gives_what_it_makes_of_the_samples() -> None:
    one, loader = trainer(), DataLoader((X, Y), 6, transform=lambda x, key, first: 2.0 * x)
    np.testing.assert_allclose(one.predict(loader), one.predict(2.0 * X), 1e-6)
    next(iter(loader))  # whatever was taken of it before
    np.testing.assert_allclose(one.predict(loader), one.predict(2.0 * X), 1e-6)


def test_a_loader_that_leaves_samples_out_is_refused() -> None:
    with pytest.raises(ValueError, match="drop_last leaves out the last 2 of 20"):
        trainer().predict(DataLoader(X, 6, drop_last=True))
