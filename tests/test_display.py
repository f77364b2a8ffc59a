"""How things show themselves: their options that are not usual, in a line, never an address."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.test_bad_input import public_names

import portanet as pn
from portanet import data, nn, optim, train

X, Y = np.ones((6, 4), "float32"), np.arange(6) % 3


def made(**options: Any) -> pn.Trainer:
    model = nn.Sequential(nn.Linear(4, 3))
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model), metrics=(), **options)


class Mine(pn.Callback):
    """A callback with an option, and something that is none."""

    def __init__(self, factor: float, every: int = 1) -> None:
        self.factor, self.every, self.seen = factor, every, []


class Weighing(pn.Callback):
    """A callback that makes an array of its option."""

    def __init__(self, weights: Any = 1.0) -> None:
        self.weights = np.asarray(weights)


class Constant(optim.Schedule):
    """A schedule that is no dataclass."""

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        return {}


def function(x: Any, key: Any, first: int) -> Any:
    return x


watched = optim.ReduceLROnPlateau(patience=0, monitor="loss")
watched.observe({"loss": 1.0})

SHOWN = {
    "EarlyStopping()": pn.EarlyStopping(),
    "EarlyStopping(monitor='val_accuracy', patience=3)": pn.EarlyStopping("val_accuracy", 3),
    "Mine(factor=0.5)": Mine(0.5),
    "Mine(factor=0.5, every=2)": Mine(0.5, 2),
    "Weighing(weights=array([1., 2.]))": Weighing([1.0, 2.0]),
    "Constant()": Constant(),
    "ClipGradNorm(max_norm=1.0)": optim.ClipGradNorm(1.0),
    "ClipGradValue(clip_value=0.5)": optim.ClipGradValue(0.5),
    "L1(alpha=0.1, bias=True)": optim.L1(0.1, bias=True),
    "GradientNoise(eta=0.1)": optim.GradientNoise(0.1),
    "DataLoader(batch_size=3, shuffle=True)": data.DataLoader((X, Y), 3, shuffle=True),
    "DataLoader(transform=function)": data.DataLoader(X, transform=function),
    "DataLoader(transform=partial(…))": data.DataLoader(X, transform=partial(function)),
    "Context(training=True, needs_input_grad=False)": nn.Context(True, needs_input_grad=False),
    "<History of 0 epochs: nothing yet>": pn.History(),
    "Best(epoch=3, value=0.5)": train.history.Best(3, 0.5, {"0.weight": X}),
    "HuberLoss(delta=2.0)": nn.HuberLoss(delta=2.0),
    "StepLR(step_size=3, by='step')": optim.StepLR(3, by="step"),
    "MultiStepLR(milestones=[2, 5])": optim.MultiStepLR([5, 2]),
    "LambdaLR(lr_lambda=<lambda>)": optim.LambdaLR(lambda epoch: 0.5),
    "ChainedScheduler(schedulers=[ExponentialLR(gamma=0.9)])": optim.ChainedScheduler(
        [optim.ExponentialLR(0.9)]
    ),
    "ReduceLROnPlateau(patience=0, monitor='loss')": watched,
    "HeNormal(gain=1.0)": nn.HeNormal(1.0),
    "Constant(value=2.0)": nn.Constant(2),
    "Zeros()": nn.Zeros(),
}


@pytest.mark.parametrize("words", SHOWN)
def test_options_are_shown(words: str) -> None:
    assert repr(SHOWN[words]) == words


def test_paths_are_shown(tmp_path: Path) -> None:
    checkpoints = pn.Checkpoints(tmp_path, steps=10)
    assert repr(checkpoints).endswith(", steps=10)")


def test_a_trainer_is_shown_in_a_line() -> None:
    assert "callbacks" not in repr(made())
    trainer = made(callbacks=[Mine(1.0)], schedule=optim.StepLR(3), seed=2)
    words = repr(trainer)
    assert words.startswith("Trainer(model=Sequential(…), loss=CrossEntropyLoss(), optimizer=SGD(")
    assert words.endswith(", callbacks=[Mine(factor=1.0)], seed=2)")
    history = trainer.fit((X, Y), progress=False)
    assert repr(history) == "<History of 1 epochs: loss, lr, seconds, samples_per_second>"


def test_nothing_public_shows_its_address() -> None:
    without = {
        name
        for name, value in public_names().items()
        if inspect.isclass(value) and value.__repr__ is object.__repr__
    }
    assert without <= {"nn.Initialization", "nn.LossPullback", "nn.Node", "nn.Pullback"}
