"""The numbers that the published experiments print, and their bounds on gradients."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import fill, numbers, small_cnn

import portanet as pn
from portanet import nn, optim
from portanet.gradcheck import check_gradients

VALUES = json.loads((Path(__file__).parent / "data" / "published_values.json").read_text())
SINGLE = 1e-5  # what float32 is allowed beside the published tolerances


def linspace(first: float, last: float, *shape: int) -> Any:
    return np.linspace(first, last, int(np.prod(shape))).reshape(shape)


def tolerance(place: Any, published: float, summed: int = 1) -> float:
    return published if place.dtype == "float64" else SINGLE * summed


def test_fc_forward(place: Any) -> None:
    published = VALUES["fc_forward"]
    layer = nn.Linear(168, 4)
    layer.params["weight"] = linspace(-0.2, 0.2, 168, 4).T
    layer.params["bias"] = linspace(-0.3, 0.3, 4)
    model = nn.Sequential(nn.Flatten(), layer)
    y = model(place.array(linspace(-0.1, 0.4, 3, 7, 6, 4)))
    atol = tolerance(place, published["atol"])
    np.testing.assert_allclose(place.host(y), published["expected"], rtol=0.0, atol=atol)


def test_leaky_relu_forward(place: Any) -> None:
    published = VALUES["leaky_relu_forward"]
    y = nn.LeakyReLU(published["negative_slope"])(place.array(linspace(-1.5, 1.5, 3, 4)))
    atol = tolerance(place, published["atol"])
    np.testing.assert_allclose(place.host(y), published["expected"], rtol=0.0, atol=atol)


def test_two_layer_scores(place: Any) -> None:
    published = VALUES["two_layer_scores"]
    model = nn.Sequential(nn.Linear(4, 30), nn.LeakyReLU(), nn.Linear(30, 7))
    model.params["0.weight"] = linspace(-0.7, 0.3, 4, 30).T
    model.params["0.bias"] = linspace(-0.6, 0.2, 30)
    model.params["2.weight"] = linspace(-0.2, 0.2, 30, 7).T
    model.params["2.bias"] = linspace(-0.9, 0.1, 7)
    scores = model(place.array(linspace(-5.5, 4.5, 4, 4).T))
    total = np.abs(place.host(scores) - published["expected_scores"]).sum()
    assert total <= tolerance(place, published["scores_total_atol"], summed=scores.shape[0] * 7)
    loss = float(nn.CrossEntropyLoss()(scores, place.array(published["labels"])))
    assert abs(loss - published["expected_loss"]) <= tolerance(place, published["loss_atol"])


def test_sgd_momentum_step(place: Any) -> None:
    published = VALUES["sgd_momentum_step"]
    lr, w, g = 1e-3, linspace(-0.4, 0.6, 4, 5), linspace(-0.6, 0.4, 4, 5)
    v = linspace(0.6, 0.9, 4, 5)
    layer = nn.Linear(5, 4, bias=False)
    layer.params["weight"] = w
    optimizer = optim.SGD(layer, lr=lr, momentum=0.9)
    buffer = {"momentum_buffer.weight": place.array(-v / lr)}
    state = {"steps": 1, "taken": {"weight": 1}, "arrays": buffer}
    optimizer.load_state_dict(optimizer.state_dict() | state)
    optimizer.step({"weight": place.array(g)})
    new = optimizer.state_dict()["arrays"]["momentum_buffer.weight"]
    atol = tolerance(place, published["atol"])
    got_w, got_v = place.host(layer.params["weight"]), -lr * place.host(new)
    np.testing.assert_allclose(got_w, published["expected_w"], rtol=0.0, atol=atol)
    np.testing.assert_allclose(got_v, published["expected_v"], rtol=0.0, atol=atol)


def test_cross_entropy_of_small_scores(place: Any) -> None:
    published = VALUES["cross_entropy_of_small_scores"]
    scores = place.array(0.001 * pn.Key(0).normal((100, 6)))
    loss = nn.CrossEntropyLoss()(scores, place.array(pn.Key(1).integers(6, (100,))))
    assert abs(float(loss) - published["expected"]) <= published["atol"]


def test_every_published_value_has_a_test() -> None:
    assert {f"test_{name}" for name in VALUES} <= globals().keys()


# --- the published bounds on relative errors of gradients, in float64 ----------------------------


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.LeakyReLU(), nn.Linear(6, 5))


BOUNDS = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6), 1e-9),
    "leaky ReLU": (nn.LeakyReLU, (4, 6), 1e-10),
    "dropout": (lambda: nn.Dropout(0.5), (4, 6), 1e-10),
    "two-layer network": (two_layers, (4, 2, 3, 4), 1e-6),
    "convolutional network": (small_cnn, (3, 1, 8, 8), 1e-6),
}


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("name", BOUNDS)
def test_gradients_are_within_the_published_bounds(name: str, elementwise: bool) -> None:
    make, shape, bound = BOUNDS[name]
    pn.set_backend("numpy", dtype="float64")
    # Rounding errors are the smaller the larger the step; of linear functions it may be large.
    eps = 1e-5 if "network" in name else 1e-3
    report = check_gradients(fill(make()), numbers("x", shape), elementwise=elementwise, eps=eps)
    assert report.error <= bound, str(report)


@pytest.mark.parametrize("elementwise", [False, True])
def test_cross_entropy_is_within_its_bound(elementwise: bool) -> None:
    pn.set_backend("numpy", dtype="float64")
    labels = pn.Key(1).integers(6, (10,))
    loss, scores = nn.CrossEntropyLoss(), 0.001 * pn.Key(0).normal((10, 6))
    report = check_gradients(loss, scores, labels, elementwise=elementwise)
    assert report.error <= 1e-8, str(report)
