"""EarlyStopping: when it ends a run, what it calls the best, and what a checkpoint keeps of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim

X, Y = np.ones((4, 2), "f4"), np.zeros((4, 1), "f4")


class Told(pn.Callback):
    """Adds given values to the epochs, so that a test says what is watched."""

    adds = ("val_error", "val_acc", "val_f1")

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def on_epoch_end(self, trainer: pn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        logs |= dict.fromkeys(self.adds, self.values[epoch])


def run(stop: pn.EarlyStopping, values: Sequence[float], **options: Any) -> int:
    """Train on given values of what is watched; return after how many epochs the run ended."""
    model = nn.Linear(2, 1)
    callbacks = [Told(values), stop]
    trainer = pn.Trainer(model, nn.MSELoss(), optim.SGD(model), callbacks=callbacks)
    return len(trainer.fit((X, Y), epochs=len(values), progress=False, **options))


VALUES = [0.9, 0.765, 0.8, 0.85, 0.7]


def test_the_best_of_an_error_is_its_value() -> None:
    stop = pn.EarlyStopping("val_error", patience=2)
    assert stop.best is None
    assert run(stop, VALUES) == 4
    assert stop.best == 0.765


def test_the_best_of_an_accuracy_is_its_value() -> None:
    stop = pn.EarlyStopping("val_acc", patience=2)
    assert run(stop, [0.5, 0.75, 0.7, 0.6, 0.9]) == 4
    assert stop.best == 0.75


@pytest.mark.parametrize("monitor", ["val_error", "val_acc"])
def test_what_is_no_number_is_never_the_best(monitor: str) -> None:
    stop = pn.EarlyStopping(monitor, patience=2)
    assert run(stop, [float("nan")] * 3) == 2
    assert stop.best is None


def test_another_quantity_brings_its_own_direction() -> None:
    stop = pn.EarlyStopping("val_error", patience=2)
    assert run(stop, VALUES) == 4
    stop.monitor = "val_acc"
    assert run(stop, VALUES) == 3  # the first is the largest
    assert stop.best == 0.9
    stop.monitor = "val_f1"
    with pytest.raises(ValueError, match="say with mode='min' or 'max' which 'val_f1' is the bet"):
        run(stop, VALUES)
    stop.mode = "max"
    assert run(stop, VALUES) == 3


def test_min_delta_is_what_it_must_be_better_by() -> None:
    values = [1.0, 0.95, 0.9, 0.8]
    assert run(pn.EarlyStopping("val_error", patience=2, min_delta=0.2), values) == 3
    assert run(pn.EarlyStopping("val_error", patience=2, min_delta=0.04), values) == 4
    assert run(pn.EarlyStopping("val_acc", 2, min_delta=0.2), [-v for v in values]) == 3


@pytest.mark.parametrize(("monitor", "in_file"), [("val_error", -0.765), ("val_acc", 0.765)])
def test_what_a_file_holds(monitor: str, in_file: float) -> None:
    state = {"best": in_file, "waited": 3, "best_weights": None}
    stop = pn.EarlyStopping(monitor)
    stop.load_state_dict(state)
    assert stop.best == 0.765
    assert stop.state_dict() == state


def test_a_file_from_before_the_first_epoch() -> None:
    state = {"best": float("-inf"), "waited": 0, "best_weights": None}
    stop = pn.EarlyStopping()
    assert stop.state_dict() == state
    stop.best = 1.0
    stop.load_state_dict(state)
    assert stop.best is None


def test_it_shows_what_it_goes_by() -> None:
    assert repr(pn.EarlyStopping("f1", mode="max")) == "EarlyStopping(monitor='f1', mode='max')"
