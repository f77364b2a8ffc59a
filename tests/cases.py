# ruff: noqa: E501 (tables: a line for each case)
"""One line for each public layer, loss, optimizer and schedule: the tests are derived from them.

Whoever adds a layer adds a line here, and gets its gradients, dtypes, devices, memory, threads and
read-only inputs tested on every backend. `test_rules.py` fails where a public class has no line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

import portanet as pn
from portanet import nn, optim

Shape = tuple[int, ...]
CHANGES_WITH_MODE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout)


@dataclass(frozen=True)
class LayerCase:
    """A layer and the shape of an input for it."""

    id: str
    make: Callable[[], nn.Layer]
    shape: Shape

    @property
    def modes(self) -> tuple[bool, ...]:
        """The values of `training` to test: both where they differ."""
        layers = [layer for _, layer in self.make().named_layers()]
        differ = any(isinstance(layer, CHANGES_WITH_MODE) for layer in layers)
        return (True, False) if differ else (True,)

    @property
    def small(self) -> bool:
        """Whether it can be checked element by element."""
        model = self.make()
        return prod(self.shape) + sum(prod(p.shape) for p in model.params.values()) <= 150


@dataclass(frozen=True)
class LossCase:
    """A loss, its scores' shape, the kind of its target, and whether samples are weighted."""

    id: str
    make: Callable[[], nn.Loss]
    shape: Shape
    target: str  # "indices", "one-hot", "soft" or "numbers"
    weighted: bool = False

    def targets(self) -> Any:
        """Return a target on the host."""
        n, k = self.shape[0], self.shape[-1]
        indices = pn.Key(5).child("target").integers(k, (n,))
        if self.target == "indices":
            return indices
        if self.target == "one-hot":
            return np.eye(k, dtype="int64")[indices]
        values = numbers("target", self.shape)
        if self.target == "soft":
            return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
        return values

    def weights(self) -> Any:
        """Return the samples' weights on the host, or None."""
        return pn.Key(5).child("weight").uniform((self.shape[0],)) * 2.0 if self.weighted else None


@dataclass(frozen=True)
class OptimizerCase:
    """An optimizer and its options."""

    id: str
    make: type[optim.Optimizer]
    options: dict[str, Any]


@dataclass(frozen=True)
class ScheduleCase:
    """A schedule, its options, how many counts to try, and the optimizer that it drives."""

    id: str
    make: type[optim.Schedule]
    options: dict[str, Any]
    counts: int
    optimizer: OptimizerCase = field(
        default_factory=lambda: OptimizerCase("sgd", optim.SGD, {"lr": 0.3})
    )


def shared() -> nn.Sequential:
    """Return a network that uses one layer twice."""
    twice = nn.Linear(4, 4)
    return nn.Sequential(twice, nn.Tanh(), twice, nn.Linear(4, 2))


def nested() -> nn.Sequential:
    """Return a network within a network, with layers that change with the mode."""
    body = nn.Sequential({"c": nn.Conv2d(2, 3, 3, padding=1), "n": nn.BatchNorm2d(3)})
    head = nn.Sequential(nn.Dropout(0.3), nn.Linear(12, 5), nn.Dropout(0.3), nn.Linear(5, 3))
    pool = nn.AvgPool2d(2)
    return nn.Sequential(
        {"body": body, "act": nn.Tanh(), "pool": pool, "flat": nn.Flatten(), "head": head}
    )


def small_cnn() -> nn.Sequential:
    """Return the convolutional network of the published experiments, with fewer channels."""
    return nn.Sequential(
        {
            "c1": nn.Conv2d(1, 2, 3),
            "r1": nn.ReLU(),
            "p1": nn.MaxPool2d(2),
            "c2": nn.Conv2d(2, 2, 2),
            "r2": nn.ReLU(),
            "flat": nn.Flatten(),
            "f": nn.Linear(8, 3),
        }
    )


# fmt: off
LAYERS = [
    LayerCase("linear", lambda: nn.Linear(5, 3), (4, 5)),
    LayerCase("linear-no-bias", lambda: nn.Linear(5, 3, bias=False), (4, 5)),
    LayerCase("linear-3d", lambda: nn.Linear(5, 3), (2, 4, 5)),
    LayerCase("linear-1d", lambda: nn.Linear(5, 3), (5,)),
    LayerCase("conv", lambda: nn.Conv2d(2, 3, 3), (2, 2, 5, 6)),
    LayerCase("conv-no-bias", lambda: nn.Conv2d(2, 3, (2, 3), bias=False), (3, 2, 4, 4)),
    LayerCase("conv-1x1", lambda: nn.Conv2d(3, 2, 1), (2, 3, 4, 3)),
    LayerCase("conv-whole-image", lambda: nn.Conv2d(2, 3, (4, 3)), (3, 2, 4, 3)),
    LayerCase("conv-one-sample", lambda: nn.Conv2d(2, 3, 2), (1, 2, 4, 3)),
    LayerCase("conv-stride", lambda: nn.Conv2d(2, 3, 3, stride=2), (2, 2, 8, 7)),
    LayerCase("conv-stride-pair", lambda: nn.Conv2d(2, 2, 2, stride=(3, 1)), (2, 2, 6, 4)),
    LayerCase("conv-padding", lambda: nn.Conv2d(2, 3, 3, padding=1), (2, 2, 4, 4)),
    LayerCase("conv-padding-pair", lambda: nn.Conv2d(2, 2, (3, 2), padding=(2, 1)), (2, 2, 3, 4)),
    LayerCase("conv-same", lambda: nn.Conv2d(2, 2, 3, padding="same"), (2, 2, 4, 3)),
    LayerCase("conv-same-even", lambda: nn.Conv2d(2, 2, (2, 4), padding="same", dilation=(3, 1)), (2, 2, 5, 4)),
    LayerCase("conv-valid", lambda: nn.Conv2d(1, 2, 3, padding="valid"), (2, 1, 4, 5)),
    LayerCase("conv-dilation", lambda: nn.Conv2d(2, 2, 2, dilation=(2, 3)), (2, 2, 5, 6)),
    LayerCase("conv-groups", lambda: nn.Conv2d(4, 6, 2, groups=2), (2, 4, 3, 4)),
    LayerCase("conv-depthwise", lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3), (2, 3, 4, 3)),
    LayerCase("conv-everything", lambda: nn.Conv2d(4, 2, (3, 2), (2, 1), (1, 2), (1, 2), 2, False), (2, 4, 5, 4)),
    LayerCase("max-pool", lambda: nn.MaxPool2d(2), (2, 2, 4, 6)),
    LayerCase("max-pool-1x1", lambda: nn.MaxPool2d(1), (2, 2, 3, 3)),
    LayerCase("max-pool-overlap", lambda: nn.MaxPool2d(3, stride=1), (2, 2, 5, 4)),
    LayerCase("max-pool-gaps", lambda: nn.MaxPool2d(2, stride=3), (2, 2, 6, 7)),
    LayerCase("max-pool-padding", lambda: nn.MaxPool2d(3, 2, 1), (2, 2, 5, 6)),
    LayerCase("max-pool-pairs", lambda: nn.MaxPool2d((2, 3), (1, 2), (1, 0)), (2, 2, 4, 7)),
    LayerCase("avg-pool", lambda: nn.AvgPool2d(2), (2, 2, 4, 6)),
    LayerCase("avg-pool-1x1", lambda: nn.AvgPool2d(1), (2, 2, 3, 3)),
    LayerCase("avg-pool-overlap", lambda: nn.AvgPool2d(3, stride=1), (2, 2, 5, 4)),
    LayerCase("avg-pool-gaps", lambda: nn.AvgPool2d(2, stride=3), (2, 2, 6, 7)),
    LayerCase("avg-pool-padding", lambda: nn.AvgPool2d(3, 2, 1), (2, 2, 5, 6)),
    LayerCase("avg-pool-pairs", lambda: nn.AvgPool2d((2, 3), (1, 2), (1, 0)), (2, 2, 4, 7)),
    LayerCase("batch-norm-1d", lambda: nn.BatchNorm1d(3), (6, 3)),
    LayerCase("batch-norm-1d-length", lambda: nn.BatchNorm1d(2), (3, 2, 4)),
    LayerCase("batch-norm-1d-plain", lambda: nn.BatchNorm1d(3, affine=False), (6, 3)),
    LayerCase("batch-norm-1d-no-tracking", lambda: nn.BatchNorm1d(3, track_running_stats=False), (6, 3)),
    LayerCase("batch-norm-1d-mean", lambda: nn.BatchNorm1d(3, eps=1e-3, momentum=None), (6, 3)),
    LayerCase("batch-norm-2d", lambda: nn.BatchNorm2d(3), (2, 3, 2, 4)),
    LayerCase("batch-norm-2d-plain", lambda: nn.BatchNorm2d(2, affine=False), (3, 2, 3, 2)),
    LayerCase("batch-norm-2d-no-tracking", lambda: nn.BatchNorm2d(2, track_running_stats=False), (3, 2, 3, 2)),
    LayerCase("batch-norm-2d-nothing", lambda: nn.BatchNorm2d(2, affine=False, track_running_stats=False), (3, 2, 3, 2)),
    LayerCase("relu", lambda: nn.ReLU(), (2, 3, 2, 4)),
    LayerCase("leaky-relu", lambda: nn.LeakyReLU(), (2, 3, 2, 4)),
    LayerCase("leaky-relu-slope", lambda: nn.LeakyReLU(-0.5), (4, 5)),
    LayerCase("sigmoid", lambda: nn.Sigmoid(), (2, 3, 2, 4)),
    LayerCase("tanh", lambda: nn.Tanh(), (2, 3, 2, 4)),
    LayerCase("dropout", lambda: nn.Dropout(), (2, 3, 2, 4)),
    LayerCase("dropout-none", lambda: nn.Dropout(0.0), (4, 5)),
    LayerCase("dropout-all", lambda: nn.Dropout(1.0), (4, 5)),
    LayerCase("dropout-1d", lambda: nn.Dropout(0.25), (12,)),
    LayerCase("flatten", lambda: nn.Flatten(), (2, 3, 2, 4)),
    LayerCase("flatten-some", lambda: nn.Flatten(2, 3), (2, 3, 2, 4)),
    LayerCase("flatten-all", lambda: nn.Flatten(0), (2, 3, 4)),
    LayerCase("sequential", lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), (3, 4)),
    LayerCase("sequential-named", lambda: nn.Sequential({"a": nn.Linear(4, 3), "b": nn.Sigmoid()}), (3, 4)),
    LayerCase("sequential-empty", lambda: nn.Sequential(), (3, 4)),
    LayerCase("sequential-no-parameters", lambda: nn.Sequential(nn.Flatten(), nn.Tanh()), (3, 2, 2)),
    LayerCase("sequential-shared", shared, (3, 4)),
    LayerCase("sequential-nested", nested, (4, 2, 4, 5)),
    LayerCase("sequential-cnn", small_cnn, (3, 1, 8, 8)),
]

LOSSES = [
    LossCase("cross-entropy", lambda: nn.CrossEntropyLoss(), (5, 4), "indices"),
    LossCase("cross-entropy-weighted", lambda: nn.CrossEntropyLoss(), (5, 4), "indices", True),
    LossCase("cross-entropy-one-hot", lambda: nn.CrossEntropyLoss(), (5, 4), "one-hot"),
    LossCase("cross-entropy-soft", lambda: nn.CrossEntropyLoss(), (5, 4), "soft"),
    LossCase("cross-entropy-soft-weighted", lambda: nn.CrossEntropyLoss(), (5, 4), "soft", True),
    LossCase("cross-entropy-numbers", lambda: nn.CrossEntropyLoss(), (5, 4), "numbers"),
    LossCase("cross-entropy-one-sample", lambda: nn.CrossEntropyLoss(), (1, 3), "indices"),
    LossCase("mse", lambda: nn.MSELoss(), (5, 4), "numbers"),
    LossCase("mse-1d", lambda: nn.MSELoss(), (5,), "numbers"),
    LossCase("mse-images", lambda: nn.MSELoss(), (3, 2, 2, 3), "numbers"),
    LossCase("mse-weighted", lambda: nn.MSELoss(), (5, 4), "numbers", True),
    LossCase("mse-images-weighted", lambda: nn.MSELoss(), (3, 2, 2, 3), "numbers", True),
    LossCase("mse-integers", lambda: nn.MSELoss(), (5, 4), "one-hot"),
]

OPTIMIZERS = [
    OptimizerCase("sgd", optim.SGD, {"lr": 0.3}),
    OptimizerCase("sgd-decay", optim.SGD, {"lr": 0.3, "weight_decay": 0.01}),
    OptimizerCase("sgd-momentum", optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    OptimizerCase("sgd-dampening", optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    OptimizerCase("sgd-nesterov", optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    OptimizerCase("sgd-everything", optim.SGD, {"lr": 0.1, "momentum": 0.7, "nesterov": True, "weight_decay": 0.02}),
    OptimizerCase("adam", optim.Adam, {"lr": 0.01}),
    OptimizerCase("adam-betas", optim.Adam, {"lr": 0.01, "betas": (0.7, 0.95)}),
    OptimizerCase("adam-eps", optim.Adam, {"lr": 0.05, "eps": 1e-2}),
    OptimizerCase("adam-decay", optim.Adam, {"lr": 0.01, "weight_decay": 0.05}),
]

_MOMENTUM = OptimizerCase("sgd", optim.SGD, {"lr": 0.3, "momentum": 0.9})
_ADAM = OptimizerCase("adam", optim.Adam, {"lr": 0.3, "betas": (0.9, 0.99)})
SCHEDULES = [
    ScheduleCase("step", optim.StepLR, {"step_size": 3}, 10),
    ScheduleCase("step-gamma", optim.StepLR, {"step_size": 1, "gamma": 0.99}, 10),
    ScheduleCase("step-by-step", optim.StepLR, {"step_size": 4, "gamma": 0.5, "by": "step"}, 10),
    ScheduleCase("one-cycle", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20}, 20, _MOMENTUM),
    ScheduleCase("one-cycle-adam", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 17}, 17, _ADAM),
    ScheduleCase("one-cycle-plain", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "cycle_momentum": False}, 20),
    ScheduleCase("one-cycle-linear", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "anneal_strategy": "linear"}, 20, _MOMENTUM),
    ScheduleCase("one-cycle-late", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 11, "pct_start": 0.77}, 11, _ADAM),
    ScheduleCase("one-cycle-factors", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "div_factor": 10.0, "final_div_factor": 100.0}, 20, _ADAM),
    ScheduleCase("one-cycle-momenta", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "base_momentum": 0.5, "max_momentum": 0.8}, 20, _MOMENTUM),
]
# fmt: on


def ids(cases: list[Any]) -> list[str]:
    """Return the cases' names, as pytest shows them."""
    return [case.id for case in cases]


def numbers(name: str, shape: Shape) -> Any:
    """Return normal numbers, float64, on the host: always the same for a name and a shape.

    None is near 0, where activations have a kink that finite differences would step over.
    """
    values = pn.Key(11).child(name).normal(tuple(shape))
    return values + 0.05 * np.sign(values)


def fill(layer: nn.Layer) -> nn.Layer:
    """Draw a layer's arrays on the selected backend, so that no scale is 1 and no shift is 0."""
    layer.initialize(1)
    for name, p in layer.params.items():
        layer.params[name] = numbers(name, p.shape) * 0.5
    for name, b in layer.buffers.items():
        if "mean" in name:
            layer.buffers[name] = numbers(name, b.shape)
        elif "var" in name:
            layer.buffers[name] = 0.5 + abs(numbers(name, b.shape))
        else:
            layer.buffers[name] = 3
    return layer
