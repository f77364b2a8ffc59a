"""Groups of parameters with their own hyperparameters, and weight decay without biases."""

from typing import Any

import numpy as np
import pytest

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


def test_a_parameter_unfrozen_late_begins_at_its_first_step(place: Any) -> None:
    """As in PyTorch, whose Adam counts steps by parameter."""
    late, fresh = model(), model()
    late["head"].freeze()
    optimizer = optim.Adam(late, lr=0.1)
    for _ in range(5):
        step(optimizer, late, place)
    late["head"].unfreeze()
    expected = step(optim.Adam(fresh, lr=0.1), fresh, place)
    assert step(optimizer, late, place)["head.weight"] == expected["head.weight"]
    state = optimizer.state_dict()
    assert state["before"]["head.weight"] == 5
    twin = optim.Adam(late, lr=0.1)
    twin.load_state_dict(state)
    assert step(twin, late, place) == step(optimizer, late, place)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"groups": {"bod": {}}}, ValueError, "'bod' names no layer or parameter; there are body"),
        ({"groups": {"": {}}}, ValueError, "'' names no layer"),
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
    state["before"]["body.fc9.weight"] = 0
    with pytest.raises(ValueError, match=r"another optimizer's: \['body\.fc9\.weight'\]"):
        optim.Adam(network).load_state_dict(state)
