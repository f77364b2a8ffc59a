# ruff: noqa: E501 (tables: a line for each case)
"""Optimizers: first steps by hand, state, checks, the same on every backend."""

import inspect
import json
from itertools import pairwise
from math import isclose
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, OptimizerCase, fill, ids, numbers, shared

import portanet as pn
from portanet import nn, optim

every_optimizer = pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))


def model() -> nn.Sequential:
    return fill(nn.Sequential({"a": nn.Linear(3, 4), "b": nn.Linear(4, 2, bias=False)}))


def gradients(network: nn.Layer, place: Any, step: int) -> dict[str, Any]:
    """Return gradients that change from step to step."""
    params = network.params.items()
    return {n: place.array(numbers(f"{step} {n}", p.shape)) for n, p in params}


def host(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return copies of named arrays on the host."""
    return {name: np.array(pn.backend_of(a).to_numpy(a)) for name, a in arrays.items()}


def assert_equal(got: dict[str, Any], expected: dict[str, Any], rtol: float = 0.0) -> None:
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol, rtol, err_msg=name)


# --- the formulas --------------------------------------------------------------------------------

# One parameter, 1 at first; its gradients; its values after each step.
DECAYED = (0.9 * 0.25 + 0.1 * 2.45) / 0.19 / ((0.999 * 6.25e-3 + 6.0025e-3) / 1.999e-3) ** 0.5
LENGTH = 19 - 12 * 0.9**6 / (1 - 0.9**6)  # RAdam's ρ in the first step in which it is above 5
RECTIFIED = ((LENGTH - 4) * (LENGTH - 2) * 19 / (15 * 17 * LENGTH)) ** 0.5
BY_HAND = [
    (optim.SGD, {"lr": 0.1}, (2, -4), (0.8, 1.2)),
    (optim.SGD, {"lr": 0.1, "weight_decay": 0.5}, (2, 2), (0.75, 0.5125)),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}, (2, 2), (0.8, 0.42)),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, (2, 2), (0.8, 0.52)),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, (2, 2), (0.62, 0.078)),
    (optim.Adagrad, {"lr": 0.1, "eps": 0.0}, (2, -4), (0.9, 0.9 + 0.4 / 20**0.5)),
    (optim.Adagrad, {"lr": 0.1, "eps": 1.0}, (2, 0), (1 - 0.2 / 3, 1 - 0.2 / 3)),
    (optim.Adagrad, {"lr": 0.1, "lr_decay": 1.0}, (2, 2, 2), (0.9, 0.9 - 0.1 / 8**0.5, 0.9 - 0.1 / 8**0.5 - 0.2 / 3 / 12**0.5)),
    (optim.Adagrad, {"lr": 0.1, "initial_accumulator_value": 5.0}, (2, 4), (1 - 0.2 / 3, 1 - 0.2 / 3 - 0.4 / 5)),
    (optim.Adagrad, {"lr": 0.1, "weight_decay": 0.5}, (2, 2), (0.9, 0.9 - 0.245 / (2.5**2 + 2.45**2) ** 0.5)),
    (optim.Adadelta, {"rho": 0.5, "eps": 1.0}, (2, 2), (1 - 2 / 3**0.5, 1 - 2 / 3**0.5 - (5 / 3) ** 0.5)),
    (optim.Adadelta, {"lr": 0.1, "rho": 0.0, "eps": 1.0, "weight_decay": 1.0}, (1,), (1 - 0.2 / 5**0.5,)),
    (optim.RMSprop, {"lr": 0.1, "alpha": 0.75, "eps": 0.0}, (2, 2), (0.8, 0.8 - 0.2 / 1.75**0.5)),
    (optim.RMSprop, {"lr": 0.1, "alpha": 0.75, "eps": 1.0}, (2,), (0.9,)),
    (optim.RMSprop, {"lr": 0.1, "alpha": 0.75, "eps": 0.0, "weight_decay": 1.0}, (1,), (0.8,)),
    (optim.RMSprop, {"lr": 0.1, "alpha": 0.75, "eps": 0.0, "momentum": 0.5}, (2, 2), (0.8, 0.7 - 0.2 / 1.75**0.5)),
    (optim.RMSprop, {"lr": 0.1, "alpha": 0.75, "eps": 0.0, "centered": True}, (2, 2), (1 - 0.2 / 0.75**0.5, 1 - 0.2 / 0.75**0.5 - 0.2 / 0.984375**0.5)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0}, (2, 2, 2), (0.9, 0.8, 0.7)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0}, (-1e-3, -1e-3), (1.1, 1.2)),
    (optim.Adam, {"lr": 0.1, "eps": 2.0}, (2, 2), (0.95, 0.9)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0, "betas": (0.5, 0.5)}, (2, -4), (0.9, 0.9 + 0.2 / 12**0.5)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0, "weight_decay": 0.5}, (2, 2), (0.9, 0.9 - 0.1 * DECAYED)),
    (optim.Adam, {"lr": 0.1, "betas": (0.0, 0.5), "amsgrad": True}, (4, 1), (0.9, 0.9 - 0.1 * (3 / 32) ** 0.5)),
    (optim.AdamW, {"lr": 0.1, "eps": 0.0, "weight_decay": 0.5}, (2, 2), (0.85, 0.7075)),
    (optim.AdamW, {"lr": 0.1, "eps": 0.0}, (2,), (0.899,)),
    (optim.AdamW, {"lr": 0.1, "betas": (0.0, 0.5), "weight_decay": 0.0, "amsgrad": True}, (4, 1), (0.9, 0.9 - 0.1 * (3 / 32) ** 0.5)),
    (optim.Adamax, {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0.0}, (2, 1), (0.9, 0.9 - 0.1 / 0.75)),
    (optim.Adamax, {"lr": 0.1, "betas": (0.5, 0.5), "eps": 2.0}, (-2,), (1.05,)),
    (optim.Adamax, {"lr": 0.1, "eps": 0.0, "weight_decay": 0.5}, (-1, 2), (1.1, 1.1 - 0.021 / 0.19 / 2.55)),
    (optim.NAdam, {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0.0, "momentum_decay": 0.0}, (2, 2), (1 - 0.1 * 17 / 15, 1 - 0.1 * 17 / 15 - 0.05 * (1.6 + 0.375 / 0.984375))),
    (optim.NAdam, {"lr": 0.1, "betas": (0.5, 0.5), "momentum_decay": 1e6, "eps": 2.0}, (2,), (1 - 0.1 / 4 * 8 / 3,)),
    (optim.NAdam, {"lr": 0.1, "betas": (0.5, 0.5), "momentum_decay": 0.0, "weight_decay": 1.0}, (1,), (1 - 0.1 * 17 / 15,)),
    (optim.NAdam, {"lr": 0.1, "betas": (0.5, 0.5), "momentum_decay": 0.0, "weight_decay": 0.5, "decoupled_weight_decay": True}, (2,), (0.95 - 0.1 * 17 / 15,)),
    (optim.RAdam, {"lr": 0.1, "betas": (0.0, 0.9), "eps": 0.0}, (2,) * 6, (0.8, 0.6, 0.4, 0.2, 0.0, -0.1 * RECTIFIED)),
    (optim.RAdam, {"lr": 0.1, "betas": (0.0, 0.9), "eps": 2 * (1 - 0.9**6) ** 0.5}, (2,) * 6, (0.8, 0.6, 0.4, 0.2, 0.0, -0.05 * RECTIFIED)),
    (optim.RAdam, {"lr": 0.1, "weight_decay": 0.5}, (2,), (0.75,)),
    (optim.RAdam, {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True}, (2,), (0.75,)),
    (optim.RAdam, {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True}, (2, 2), (0.75, 0.5125)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "grads", "expected"), BY_HAND)
def test_first_steps(make: Any, options: Any, grads: Any, expected: Any, place: Any) -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"] = [[1.0]]
    optimizer = make(layer, **options)
    for g, p in zip(grads, expected, strict=True):
        optimizer.step({"weight": place.array([[float(g)]])})
        tolerance = 1e-9 if place.dtype == "float64" else 1e-5
        assert isclose(float(layer.params["weight"][0, 0]), p, rel_tol=tolerance, abs_tol=tolerance)


def test_every_optimizer_has_first_steps() -> None:
    assert {case.make for case in OPTIMIZERS} == {make for make, *_ in BY_HAND}


def test_every_option_has_a_case() -> None:
    for make in {case.make for case in OPTIMIZERS}:
        known = set(inspect.signature(make).parameters) - {"model", "common"}
        tried = {option for case in OPTIMIZERS if case.make is make for option in case.options}
        assert tried == known, make.__name__


@every_optimizer
def test_steps_are_those_of_numpy(case: OptimizerCase, place: Any) -> None:
    def run() -> dict[str, Any]:
        network = model()
        optimizer = case.make(network, **case.options)
        for step in range(10):
            optimizer.step(gradients(network, place, step))
        return host(network.params) | host(optimizer.state_dict()["arrays"])

    got = run()
    for array in model().params.values():
        place.check(array, array.shape)
    pn.set_backend("numpy", dtype=place.dtype)
    assert_equal(got, run(), rtol=1e-12 if place.dtype == "float64" else 1e-5)


@every_optimizer
def test_a_step_goes_downhill(case: OptimizerCase) -> None:
    network, x = model(), pn.asarray(numbers("x", (8, 3)))
    target, loss = pn.asarray(numbers("y", (8, 2))), nn.MSELoss()
    optimizer = case.make(network, **case.options | {"lr": 0.01, "weight_decay": 0.0})
    values = []
    for _ in range(20):
        values.append(float(loss.forward(network.forward(x, training=True), target)))
        network.zero_grads()
        network.backward(loss.backward())
        optimizer.step(network.grads)
    assert all(later < earlier for earlier, later in pairwise(values))


@every_optimizer
def test_formulas_are_element_wise(case: OptimizerCase, place: Any) -> None:
    """Done on two parts of a vector, one after the other, they do what they do on the whole."""
    hyper = case.make(nn.Linear(1, 1), **case.options)._hyper_of("weight")
    before = dict(hyper)

    def start() -> tuple[Any, dict[str, Any]]:
        p = place.backend.asarray(numbers("p", (7,)))
        return p, {slot: place.backend.xp.zeros_like(p) for slot in case.make.slots}

    (whole, state), (parts, states) = start(), start()
    for step in range(1, 4):
        g = place.array(numbers(f"g{step}", (7,)))
        case.make.update(whole, g, state, step, hyper)
        for part in (slice(0, 3), slice(3, 7)):
            some = {slot: array[part] for slot, array in states.items()}
            case.make.update(parts[part], g[part], some, step, hyper)
        assert_equal(host({"p": parts} | states), host({"p": whole} | state))
    assert hyper == before


def test_rmsprop_bears_a_constant_gradient(library: Any) -> None:
    """The centered variance v − a² tends to zero; rounding must not lead it below."""
    library.select("float32")
    layer = nn.Linear(3, 5, bias=False)
    optimizer = optim.RMSprop(layer, lr=1e-6, alpha=0.5, centered=True)
    grads = {"weight": library.array(numbers("g", (5, 3)))}
    for _ in range(50):
        optimizer.step(grads)
    assert np.isfinite(library.host(layer.params["weight"])).all()


# --- in place ------------------------------------------------------------------------------------


@every_optimizer
def test_parameters_and_state_change_in_place(case: OptimizerCase, place: Any) -> None:
    network = model()
    before, params = host(network.params), dict(network.params)
    optimizer = case.make(network, **case.options)
    grads = gradients(network, place, 0)
    held = host(grads)
    optimizer.step(grads)
    state = {name: dict(arrays) for name, arrays in optimizer._state.items()}
    optimizer.step(grads)

    assert_equal(host(grads), held)
    for name, p in network.params.items():
        assert p is params[name]
        assert np.all(place.host(p) != before[name])
        place.check(p, before[name].shape)
        for slot, array in optimizer._state[name].items():
            assert array is state[name][slot]
            place.check(array, before[name].shape)


@every_optimizer
def test_float32_stays_float32(case: OptimizerCase, place: Any) -> None:
    place = place.select("float32")
    network = model()
    optimizer = case.make(network, **case.options)
    optimizer.step(gradients(network, place, 0))
    arrays = {**network.params, **optimizer.state_dict()["arrays"]}
    for array in arrays.values():
        place.check(array, array.shape)


SLOTS = {
    optim.SGD: [],
    optim.Adagrad: ["sum"],
    optim.Adadelta: ["square_avg", "acc_delta"],
    optim.RMSprop: ["square_avg"],
    optim.Adam: ["exp_avg", "exp_avg_sq"],
    optim.AdamW: ["exp_avg", "exp_avg_sq"],
    optim.Adamax: ["exp_avg", "exp_inf"],
    optim.NAdam: ["exp_avg", "exp_avg_sq"],
    optim.RAdam: ["exp_avg", "exp_avg_sq"],
}
OPTIONAL = {
    "amsgrad": ["max_exp_avg_sq"],
    "centered": ["grad_avg"],
    "momentum": ["momentum_buffer"],
}


@every_optimizer
def test_slots_have_pytorchs_names_and_only_needed_ones_are_kept(case: OptimizerCase) -> None:
    layer = nn.Linear(1, 1)
    optimizer = case.make(layer, **case.options)
    assert optimizer.state_dict()["arrays"] == {}
    optimizer.step({n: p * 0.0 for n, p in layer.params.items()})
    slots = SLOTS[case.make] + [s for option in case.options for s in OPTIONAL.get(option, [])]
    expected = {f"{slot}.{name}" for slot in slots for name in ("weight", "bias")}
    assert set(optimizer.state_dict()["arrays"]) == expected


def test_a_shared_layer_is_stepped_once(place: Any) -> None:
    network = fill(shared())
    before = host(network.params)
    optim.SGD(network, lr=1.0).step({n: p * 0.0 + 1.0 for n, p in network.params.items()})
    expected = {name: p - 1.0 for name, p in before.items()}
    assert_equal(host(network.params), expected, rtol=1e-6)


# --- state ---------------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("at", [0, 3])
def test_a_loaded_state_continues_identically(case: OptimizerCase, at: int, place: Any) -> None:
    whole = model()
    optimizer = case.make(whole, **case.options)
    for step in range(6):
        if step == at:
            weights, state = host(whole.state_dict()), optimizer.state_dict()
            state["arrays"] = host(state["arrays"])  # as from a file
            state["groups"] = json.loads(json.dumps(state["groups"]))
        optimizer.step(gradients(whole, place, step))

    resumed = nn.Sequential({"a": nn.Linear(3, 4), "b": nn.Linear(4, 2, bias=False)})
    resumed.load_state_dict(weights)
    other = case.make(resumed, lr=77.0)  # the state brings all hyperparameters
    other.load_state_dict(state)
    assert other.steps == at
    for step in range(at, 6):
        other.step(gradients(resumed, place, step))
    assert_equal(host(resumed.params), host(whole.params))


@pytest.mark.parametrize("at", range(6))
def test_nadams_product_of_momenta_is_kept_while_a_schedule_changes_them(
    at: int, library: Any
) -> None:
    schedule = optim.OneCycleLR(0.01, 6)
    whole = model()
    optimizer, product = optim.NAdam(whole), 1.0
    for step in range(6):
        if step == at:
            weights, state = host(whole.state_dict()), optimizer.state_dict()
        schedule.apply(optimizer, step)
        optimizer.step(gradients(whole, library, step))
        product *= optimizer.hyper["betas"][0] * (1 - 0.5 * 0.96 ** (4e-3 * (step + 1)))
    assert all(isclose(p, product) for p in optimizer.state_dict()["mu_product"].values())

    resumed = model()
    resumed.load_state_dict(weights)
    other = optim.NAdam(resumed)
    other.load_state_dict(state)
    for step in range(at, 6):
        schedule.apply(other, step)
        other.step(gradients(resumed, library, step))
    assert_equal(host(resumed.params), host(whole.params))


def test_a_state_that_nadam_cannot_take_changes_nothing() -> None:
    network = model()
    optimizer = optim.NAdam(network)
    optimizer.step({name: p * 0.1 for name, p in network.params.items()})
    before = optimizer.state_dict()
    product = before["mu_product"]
    other = optim.Adam(network).state_dict()
    for state, message in (
        ({}, "NAdam: the state lacks taken, mu_product"),
        (other, "NAdam: the state lacks mu_product"),
        (before | {"mu_product": {}}, r"mu_product does not go with .* taken: \['a\.bias', "),
        (before | {"mu_product": product | {"x": 1.0}}, r"the steps taken: \['x'\]"),
        (
            before | {"mu_product": product | {"a.bias": -1.0}},
            r"mu_product\['a\.bias'\] must be in",
        ),
        (before | {"steps": -1}, "steps must be at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(state)
        assert optimizer.state_dict()["mu_product"] == product
        assert optimizer.steps == 1


def test_a_step_that_fails_leaves_nadams_product_alone() -> None:
    network = model()
    optimizer = optim.NAdam(network)
    with pytest.raises(ValueError, match="do not fit the model"):
        optimizer.step({})
    assert optimizer.state_dict()["mu_product"] == {}


@pytest.mark.parametrize(
    ("make", "option", "on"), [(optim.RMSprop, "momentum", 0.9), (optim.Adam, "amsgrad", True)]
)
def test_an_option_may_be_turned_on_and_off_on_the_way(make: Any, option: str, on: Any) -> None:
    """As by a schedule that cycles the momentum; the arrays are there when they are needed."""
    whole, resumed = model(), model()
    optimizer, other = make(whole), make(resumed)
    for step, value in enumerate((0, on, 0, on)):
        optimizer.hyper[option] = value
        optimizer.step({name: p * 0.1 for name, p in whole.params.items()})
        if step == 2:  # while it is off
            resumed.load_state_dict(whole.state_dict())
            other.load_state_dict(optimizer.state_dict())
    other.hyper[option] = on
    other.step({name: p * 0.1 for name, p in resumed.params.items()})
    assert_equal(host(resumed.params), host(whole.params))


@every_optimizer
def test_a_state_is_a_copy(case: OptimizerCase, place: Any) -> None:
    network = model()
    optimizer = case.make(network, **case.options)
    optimizer.step(gradients(network, place, 0))
    state = optimizer.state_dict()
    before = host(state["arrays"])
    optimizer.load_state_dict(state)
    optimizer.step(gradients(network, place, 1))
    assert_equal(host(state["arrays"]), before)
    assert state["steps"] == 1
    optimizer.hyper["lr"] = 5.0
    assert state["groups"][""]["hyper"]["lr"] == case.options["lr"]


def test_a_state_that_does_not_fit_changes_nothing(place: Any) -> None:
    network = model()
    adam, sgd = optim.Adam(network), optim.SGD(network, momentum=0.9)
    for optimizer in (adam, sgd):
        optimizer.step(gradients(network, place, 0))
    before = adam.state_dict()

    def wrong(**changes: Any) -> dict[str, Any]:
        return {**adam.state_dict(), **changes}

    arrays = before["arrays"]
    missing = {n: a for n, a in arrays.items() if n != "exp_avg.a.bias"}
    misshapen = arrays | {"exp_avg_sq.b.weight": place.array(np.ones((4, 2)))}
    cases = [
        (wrong(arrays=missing), r"Adam: the state has no 'exp_avg\.a\.bias' of shape \(4,\)"),
        (wrong(arrays=misshapen), r"has no 'exp_avg_sq\.b\.weight' of shape \(2, 4\)"),
        (wrong(arrays=arrays | {"max.b": 1}), r"another optimizer's: \['max\.b'\]"),
        (
            wrong(groups={"": {"initial": adam.initial, "hyper": {"lr": 1.0}}}),
            r"another optimizer's: \['amsgrad', 'betas', 'eps', 'weight_decay'\]",
        ),
        (sgd.state_dict(), r"Adam: the state is another optimizer's: \['amsgrad', 'betas', 'damp"),
        (wrong(steps=-1), "steps must be at least 0, got -1"),
        (wrong(taken=before["taken"] | {"a.bias": -1}), r"taken\['a\.bias'\] must be at least 0"),
        (wrong(groups={"": {"hyper": adam.hyper}}), "Adam, group '': the state lacks initial"),
        (
            wrong(groups={"": {"initial": {"lr": 1.0}, "hyper": adam.hyper}}),
            r"another optimizer's: \['amsgrad', 'betas', 'eps', 'weight_decay'\]",
        ),
    ]
    for state, message in cases:
        with pytest.raises(ValueError, match=message):
            adam.load_state_dict(state)
        assert adam.steps == 1
        assert_equal(host(adam.state_dict()["arrays"]), host(arrays))
        assert adam.hyper == before["groups"][""]["hyper"]


# --- checks --------------------------------------------------------------------------------------


def bad(place: Any, kind: str) -> Any:
    """Return gradients of `model()` with one fault."""
    grads = {n: place.array(np.ones(p.shape)) for n, p in model().params.items()}
    if kind == "missing":
        del grads["a.bias"]
    elif kind == "unknown":
        grads["c.weight"] = grads["b.weight"]
    elif kind == "shape":
        grads["b.weight"] = place.array(np.ones((4, 2)))
    elif kind == "none":
        grads["b.weight"] = None
    elif kind == "backend":
        name = "strict" if place.name != "strict" else "numpy"
        with pn.use_backend(name, dtype=place.dtype):
            grads["b.weight"] = pn.asarray(np.ones((2, 4)))
    elif kind == "dtype":
        grads["b.weight"] = place.backend.xp.ones(
            (2, 4), dtype=place.backend.xp.int64, device=place.backend.device
        )
    return grads


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("missing", ValueError, r"do not fit the model: missing \['a\.bias'\], unknown \[\]"),
        ("unknown", ValueError, r"do not fit the model: missing \[\], unknown \['c\.weight'\]"),
        ("shape", ValueError, r"gradient of 'b\.weight': expected shape \(2, 4\), got \(4, 2\)"),
        ("none", TypeError, r"expected an array of one of .*, got NoneType"),
        ("backend", pn.BackendMismatchError, r"arrays of .* and of .* met in one call"),
        ("dtype", TypeError, r"gradient of 'b\.weight': expected float\d\d, .* got int64"),
    ],
)
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_gradients_that_do_not_fit_change_nothing(
    make: Any, kind: str, error: Any, message: str, place: Any
) -> None:
    network = model()
    optimizer = make(network)
    before = host(network.params)
    with pytest.raises(error, match=message):
        optimizer.step(bad(place, kind))
    assert optimizer.steps == 0
    assert_equal(host(network.params), before)


@every_optimizer
def test_what_is_no_model(case: OptimizerCase) -> None:
    name = case.make.__name__
    with pytest.raises(TypeError, match=f"{name} takes the model first, got dict"):
        case.make({"weight": np.ones(3)}, **case.options)
    with pytest.raises(ValueError, match=f"{name}: the model has no parameters to train"):
        case.make(nn.Sequential(nn.ReLU()), **case.options)


def test_repr_shows_the_next_steps_hyperparameters() -> None:
    optimizer = optim.Adam(nn.Linear(1, 1), lr=0.01)
    optimizer.hyper["lr"] = 0.5
    expected = "Adam(lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False)"
    assert repr(optimizer) == expected


def test_repr_shows_groups_and_what_else_is_not_usual() -> None:
    options = {"transforms": [optim.ClipGradValue(1.0)], "decay_bias": False}
    optimizer = optim.SGD(model(), lr=0.5, weight_decay=0.1, groups={"a": {"lr": 0.1}}, **options)
    shown = repr(optimizer)
    assert shown.startswith("SGD(lr=0.5, ")
    assert "groups={'a': {'lr': 0.1}}, decay_bias=False, transforms=[" in shown


@pytest.mark.parametrize(("key", "meant"), [("learning_rate", "lr"), ("momentun", "momentum")])
def test_an_unknown_hyperparameter_is_not_set(key: str, meant: str) -> None:
    optimizer = optim.SGD(model())
    for _ in range(2):
        with pytest.raises(KeyError, match=f"no hyperparameter {key!r}; did you mean {meant!r}"):
            optimizer.hyper[key] = 5.0
        with pytest.raises(KeyError, match=f"no hyperparameter {key!r}"):
            optimizer.hyper.update({"lr": 5.0, key: 5.0})
        with pytest.raises(KeyError, match=f"no hyperparameter {key!r}"):
            optimizer.groups[""].hyper |= {"lr": 5.0, key: 5.0}
        assert optimizer.hyper == optimizer.initial
        optimizer.load_state_dict(optimizer.state_dict())
    optimizer.hyper.update(lr=0.5)
    assert optimizer.hyper["lr"] == 0.5
    optimizer.groups[""].hyper |= {"lr": 0.25}
    assert optimizer.hyper["lr"] == 0.25


def test_a_layer_in_anothers_place_is_an_error_and_nothing_changes() -> None:
    class Network(nn.Layer):
        def __init__(self) -> None:
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)

    network = Network()
    optimizer = optim.SGD(network, momentum=0.9)
    grads = {name: p * 0 + 1 for name, p in network.params.items()}
    optimizer.step(grads)
    network.b = nn.Linear(4, 2, bias=False)
    before = network.state_dict()
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=r"SGD: b\.weight: other layers .* make a new optimizer"
        ):
            optimizer.step(grads)
    assert optimizer.steps == 1
    assert_equal(host(network.params), host(before))
    nn.Linear(1, 1)  # a change to another tree is none to this one
    optim.SGD(network).step(grads)


def test_a_model_that_moved_after_a_step_is_an_error_and_nothing_changes() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model)
    optimizer.step({name: p * 0 + 1 for name, p in model.params.items()})
    model.to(dtype="float64")
    before = model.state_dict()
    with pytest.raises(pn.BackendMismatchError, match="make a new optimizer after"):
        optimizer.step({name: p * 0 + 1 for name, p in model.params.items()})
    assert optimizer.steps == 1
    assert all((before[name] == p).all() for name, p in model.params.items())


def test_a_model_drawn_anew_needs_a_new_optimizer() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model)
    optimizer.step({name: p * 0 + 1 for name, p in model.params.items()})
    model.initialize(1)
    with pytest.raises(pn.BackendMismatchError, match="drawn anew"):
        optimizer.step({name: p * 0 + 1 for name, p in model.params.items()})
    model.load_state_dict(model.state_dict())  # in place: no reason to complain
    fresh = optim.SGD(model)
    for _ in range(2):
        fresh.step({name: p * 0 + 1 for name, p in model.params.items()})
        model.load_state_dict(model.state_dict())


def test_a_rate_set_where_it_would_be_ignored() -> None:
    optimizer = optim.SGD(nn.Linear(2, 1))
    with pytest.raises(AttributeError, match=r"set optimizer.hyper\['lr'\] instead"):
        optimizer.lr = 5.0
    optimizer.hyper["lr"] = 5.0


@every_optimizer
def test_no_parameter_joins_the_tape_of_a_gradient(case: OptimizerCase) -> None:
    """It would grow by each step's operations."""
    pytest.importorskip("torch")
    pn.set_backend("torch")
    network = model()
    optimizer = case.make(network, **case.options)
    for _ in range(2):
        optimizer.step({n: (p * 0 + 0.1).requires_grad_() for n, p in network.params.items()})
    arrays = [*network.params.values(), *optimizer.arrays.values()]
    assert not any(array.requires_grad for array in arrays)
