"""Groups of parameters with their own hyperparameters, and weight decay without biases."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, numbers

from portanet import nn, optim


def model() -> nn.Sequential:
    body = nn.Sequential({"fc1": nn.Linear(4, 3), "act": nn.Tanh(), "fc10": nn.Linear(3, 3)})
    return nn.Sequential({"body": body, "norm": nn.BatchNorm1d(3), "head": nn.Linear(3, 2)})


def step(optimizer: optim.Optimizer, network: nn.Layer, place: Any) -> dict[str, float]:
    """Step by gradients of ones from parameters of ones; return what each became."""
    for name, p in network.params.items():
        network.params[name] = np.ones(p.shape)
    optimizer.step({n: place.array(np.ones(p.shape)) for n, p in network.params.items()})
    return {n: round(float(place.host(p).ravel()[0]), 6) for n, p in network.params.items()}


def test_the_longest_name_counts(place: Any) -> None:
    network = model()
    groups = {
        "body": {"lr": 0.1},
        "body.fc1": {"lr": 0.2, "weight_decay": 1.0},
        "body.fc1.bias": {"lr": 0.3},
    }
    optimizer = optim.SGD(network, lr=0.5, groups=groups)
    assert step(optimizer, network, place) == {
        "body.fc1.weight": 0.6,  # 1 − 0.2 (1 + 1)
        "body.fc1.bias": 0.7,  # its group is made of the optimizer's own, without the decay
        "body.fc10.weight": 0.9,
        "body.fc10.bias": 0.9,
        "norm.weight": 0.5,
        "norm.bias": 0.5,
        "head.weight": 0.5,
        "head.bias": 0.5,
    }


def test_decay_of_weights_only(place: Any) -> None:
    network = model()
    groups = {"head": {"weight_decay": 2.0}}
    optimizer = optim.SGD(network, lr=0.1, weight_decay=1.0, decay_bias=False, groups=groups)
    assert step(optimizer, network, place) == {
        "body.fc1.weight": 0.8,
        "body.fc1.bias": 0.9,
        "body.fc10.weight": 0.8,
        "body.fc10.bias": 0.9,
        "norm.weight": 0.9,
        "norm.bias": 0.9,
        "head.weight": 0.7,
        "head.bias": 0.9,
    }


def test_a_schedule_starts_from_each_groups_rate(place: Any) -> None:
    network = model()
    optimizer = optim.SGD(network, lr=0.8, groups={"body": {"lr": 0.4}})
    optim.StepLR(1, 0.5).apply(optimizer, 2)
    assert optimizer.hyper["lr"] == 0.2
    assert optimizer.groups["body"].hyper["lr"] == 0.1
    assert optimizer.groups["body"].initial["lr"] == 0.4


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_a_loaded_state_has_the_groups_rates(place: Any, make: Any) -> None:
    network = model()
    options = {"lr": 0.8, "groups": {"body": {"lr": 0.4}}}
    optimizer = make(network, **options)
    step(optimizer, network, place)
    optimizer.groups["body"].hyper["lr"] = 0.01
    other = make(network, **options)
    other.load_state_dict(optimizer.state_dict())
    assert step(other, network, place) == step(optimizer, network, place)
    assert other.groups["body"].hyper["lr"] == 0.01
    with pytest.raises(ValueError, match="another optimizer's: \\['body'\\]"):
        make(network).load_state_dict(optimizer.state_dict())


MAKES = sorted({case.make for case in OPTIMIZERS}, key=lambda make: make.__name__)


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_a_frozen_while_takes_no_steps(place: Any, make: Any) -> None:
    """A parameter's steps are its own, as in PyTorch, before and after it was frozen."""
    rested, steady = model().initialize(1), model().initialize(1)
    optimizer, other = make(rested, lr=0.01), make(steady, lr=0.01)

    def train(optimizer: optim.Optimizer, network: nn.Layer, steps: Iterable[int]) -> None:
        for k in steps:
            g = {n: place.array(numbers(f"{n} {k}", p.shape)) for n, p in network.params.items()}
            optimizer.step(g)

    train(optimizer, rested, range(3))
    rested["head"].freeze()
    train(optimizer, rested, range(100, 120))
    rested["head"].unfreeze()
    state = optimizer.state_dict()
    assert state["taken"]["head.weight"] == 3
    assert state["taken"]["norm.weight"] == 23
    resumed = model()
    resumed.load_state_dict(rested.state_dict())
    twin = make(resumed, lr=0.01)
    twin.load_state_dict(state)
    train(optimizer, rested, range(3, 6))
    train(twin, resumed, range(3, 6))
    train(other, steady, range(6))
    for name in ("head.weight", "head.bias"):
        expected = place.host(steady.params[name])
        np.testing.assert_allclose(place.host(rested.params[name]), expected, rtol=place.rtol)
        np.testing.assert_allclose(place.host(resumed.params[name]), expected, rtol=place.rtol)


def test_a_cycle_keeps_the_ratio_of_the_groups_rates(place: Any) -> None:
    optimizer = optim.SGD(model(), lr=0.1, momentum=0.9, groups={"body": {"lr": 0.001}})
    cycle = optim.OneCycleLR(0.5, 20)
    for count in range(20):
        cycle.apply(optimizer, count)
        rate = cycle(count, optimizer.initial)["lr"]
        assert optimizer.hyper["lr"] == rate
        assert abs(optimizer.groups["body"].hyper["lr"] - rate / 100) < 1e-15


def test_a_loaded_state_has_the_rates_that_schedules_start_from(place: Any) -> None:
    network = model()
    optimizer = optim.SGD(network, lr=0.5)
    step(optimizer, network, place)
    other = optim.SGD(network)
    other.load_state_dict(optimizer.state_dict())
    optim.StepLR(1, 0.1).apply(other, 1)
    assert other.hyper["lr"] == 0.05


def test_a_schedule_that_sets_an_unknown_word() -> None:
    class Wrong(optim.Schedule):
        def __call__(self, count: int, initial: Any) -> dict[str, Any]:
            return {"learning_rate": 0.0}

    with pytest.raises(ValueError, match=r"Wrong sets \['learning_rate'\], but SGD has lr"):
        Wrong().apply(optim.SGD(model()), 0)


def test_a_transform_that_loses_a_gradient_changes_nothing(place: Any) -> None:
    class Loses(optim.Transform):
        def __call__(self, grads: Any, params: Any, step: int) -> Any:
            return {n: g for n, g in grads.items() if n != "head.bias"}

    network = model()
    optimizer = optim.SGD(network, lr=0.1, transforms=[Loses()])
    before = place.host(network.params["body.fc1.weight"])
    with pytest.raises(ValueError, match=r"missing \['head.bias'\]"):
        optimizer.step({n: place.array(np.ones(p.shape)) for n, p in network.params.items()})
    assert optimizer.steps == 0
    assert (place.host(network.params["body.fc1.weight"]) == before).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"groups": {"bod": {}}}, ValueError, "'bod' names no layer or parameter; there are body"),
        ({"groups": {"": {}}}, ValueError, "'' names no layer"),
        ({"groups": {"head": {"decay_bias": False}}}, ValueError, "'decay_bias'. go with the opt"),
        ({"groups": {"body": {"rate": 1}}}, TypeError, "SGD has no option 'rate'"),
        ({"groups": {"body": {"learning_rate": 1}}}, TypeError, "did you mean 'lr'"),
        ({"groups": {"body": {"lr": -1}}}, ValueError, "lr must be in"),
        ({"grups": {}}, TypeError, "did you mean 'groups'"),
        ({"decay_biases": False}, TypeError, "did you mean 'decay_bias'"),
    ],
)
def test_wrong_groups(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optim.SGD(model(), lr=0.1, **options)


def test_a_missing_state_is_refused(place: Any) -> None:
    network = model()
    optimizer = optim.Adam(network)
    step(optimizer, network, place)
    state = optimizer.state_dict()
    state["taken"]["body.fc9.weight"] = 0
    with pytest.raises(ValueError, match=r"another optimizer's: \['body\.fc9\.weight'\]"):
        optim.Adam(network).load_state_dict(state)
