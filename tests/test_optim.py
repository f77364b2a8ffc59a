# ruff: noqa: E501 (tables: a line for each case)
"""Optimizers and schedules: first steps by hand, state, checks, the same on every backend."""

import inspect
import json
from itertools import pairwise
from math import cos, isclose, pi
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, SCHEDULES, OptimizerCase, ScheduleCase, fill, ids, numbers, shared

import portanet as pn
from portanet import nn, optim

every_optimizer = pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
every_schedule = pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))


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
BY_HAND = [
    (optim.SGD, {"lr": 0.1}, (2, -4), (0.8, 1.2)),
    (optim.SGD, {"lr": 0.1, "weight_decay": 0.5}, (2, 2), (0.75, 0.5125)),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}, (2, 2), (0.8, 0.42)),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, (2, 2), (0.8, 0.52)),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, (2, 2), (0.62, 0.078)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0}, (2, 2, 2), (0.9, 0.8, 0.7)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0}, (-1e-3, -1e-3), (1.1, 1.2)),
    (optim.Adam, {"lr": 0.1, "eps": 2.0}, (2, 2), (0.95, 0.9)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0, "betas": (0.5, 0.5)}, (2, -4), (0.9, 0.9 + 0.2 / 12**0.5)),
    (optim.Adam, {"lr": 0.1, "eps": 0.0, "weight_decay": 0.5}, (2, 2), (0.9, 0.9 - 0.1 * DECAYED)),
]


@pytest.mark.parametrize(("make", "options", "grads", "expected"), BY_HAND)
def test_first_steps(make: Any, options: Any, grads: Any, expected: Any, place: Any) -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"] = [[1.0]]
    optimizer = make(layer, **options)
    for g, p in zip(grads, expected, strict=True):
        optimizer.step({"weight": place.array([[float(g)]])})
        tolerance = 1e-9 if place.dtype == "float64" else 1e-5
        assert isclose(float(layer.params["weight"][0, 0]), p, rel_tol=tolerance)


def test_every_optimizer_has_first_steps() -> None:
    assert {case.make for case in OPTIMIZERS} == {make for make, *_ in BY_HAND}


def test_every_option_has_a_case() -> None:
    for make in {case.make for case in OPTIMIZERS}:
        known = set(inspect.signature(make).parameters) - {"model"}
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


def test_slots_have_pytorchs_names() -> None:
    layer = nn.Linear(1, 1)
    for make, slots in ((optim.SGD, ["momentum_buffer"]), (optim.Adam, ["exp_avg", "exp_avg_sq"])):
        optimizer = make(layer)
        assert optimizer.state_dict()["arrays"] == {}
        optimizer.step({n: p * 0.0 for n, p in layer.params.items()})
        arrays = optimizer.state_dict()["arrays"]
        assert set(arrays) == {f"{slot}.{name}" for slot in slots for name in ("weight", "bias")}


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
            state["hyper"] = json.loads(json.dumps(state["hyper"]))
        optimizer.step(gradients(whole, place, step))

    resumed = nn.Sequential({"a": nn.Linear(3, 4), "b": nn.Linear(4, 2, bias=False)})
    resumed.load_state_dict(weights)
    other = case.make(resumed, lr=77.0)  # the state brings all hyperparameters
    other.load_state_dict(state)
    assert other.steps == at
    for step in range(at, 6):
        other.step(gradients(resumed, place, step))
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
    assert state["hyper"]["lr"] == case.options["lr"]


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
        (wrong(hyper={"lr": 1.0}), r"another optimizer's: \['betas', 'eps', 'weight_decay'\]"),
        (sgd.state_dict(), r"Adam: the state has no 'exp_avg"),
        (wrong(steps=-1), "steps must be at least 0, got -1"),
    ]
    for state, message in cases:
        with pytest.raises(ValueError, match=message):
            adam.load_state_dict(state)
        assert adam.steps == 1
        assert_equal(host(adam.state_dict()["arrays"]), host(arrays))
        assert adam.hyper == before["hyper"]


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


WRONG_OPTIONS = [
    ({"learning_rate": 0.1}, TypeError, "has no option 'learning_rate'; did you mean 'lr'"),
    ({"lr": -0.1}, ValueError, r"lr must be in \[0, inf\], got -0\.1"),
    ({"lr": float("nan")}, ValueError, r"lr must be in \[0, inf\], got nan"),
    ({"lr": "fast"}, TypeError, "lr must be a number, got 'fast'"),
    ({"weight_decay": -1}, ValueError, r"weight_decay must be in \[0, inf\], got -1"),
]
WRONG_SGD = [
    ({"momentum": -0.9}, ValueError, r"momentum must be in \[0, inf\], got -0\.9"),
    ({"nesterov": True}, ValueError, "nesterov needs a momentum and zero dampening"),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "nesterov needs"),
]
WRONG_ADAM = [
    ({"beta_1": 0.9}, TypeError, "has no option 'beta_1'; did you mean 'betas'"),
    ({"epsilon": 1e-7}, TypeError, "has no option 'epsilon'; did you mean 'eps'"),
    ({"momentum": 0.9}, TypeError, "has no option 'momentum'"),
    ({"betas": (1.0, 0.9)}, ValueError, r"betas must be in \[0, 1\), got 1\.0"),
    ({"betas": (0.9, -0.1)}, ValueError, r"betas must be in \[0, inf\], got -0\.1"),
    ({"betas": 0.9}, TypeError, r"betas must be a pair of numbers, got 0\.9"),
    ({"betas": (0.9,)}, TypeError, r"betas must be a pair of numbers, got \(0\.9,\)"),
    ({"eps": -1e-8}, ValueError, r"eps must be in \[0, inf\], got -1e-08"),
]


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [(make, *wrong) for make in (optim.SGD, optim.Adam) for wrong in WRONG_OPTIONS]
    + [(optim.SGD, *wrong) for wrong in WRONG_SGD]
    + [(optim.Adam, *wrong) for wrong in WRONG_ADAM],
)
def test_wrong_options(make: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(nn.Linear(1, 1), **options)


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
    expected = "Adam(lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"
    assert repr(optimizer) == expected


# --- schedules -----------------------------------------------------------------------------------


def initial(case: ScheduleCase) -> Any:
    return case.optimizer.make(nn.Linear(1, 1), **case.optimizer.options).initial


@every_schedule
def test_schedules_are_pure_functions(case: ScheduleCase) -> None:
    schedule, start = case.make(**case.options), initial(case)
    given = dict(start)
    forwards = [schedule(count, start) for count in range(case.counts)]
    backwards = [schedule(count, start) for count in reversed(range(case.counts))]
    assert forwards == backwards[::-1]
    assert forwards == [case.make(**case.options)(count, start) for count in range(case.counts)]
    assert dict(start) == given
    assert all(values["lr"] > 0 for values in forwards)
    assert schedule == case.make(**case.options)


@every_schedule
def test_applying_sets_the_next_steps_hyperparameters(case: ScheduleCase) -> None:
    optimizer = case.optimizer.make(nn.Linear(1, 1), **case.optimizer.options)
    schedule = case.make(**case.options)
    for count in range(case.counts):
        schedule.apply(optimizer, count)
        assert optimizer.hyper == dict(optimizer.initial) | schedule(count, optimizer.initial)
    assert optimizer.initial["lr"] == case.optimizer.options["lr"]


def test_step_lr() -> None:
    schedule = optim.StepLR(3, gamma=0.5)
    rates = [schedule(count, {"lr": 8.0})["lr"] for count in range(8)]
    assert rates == [8, 8, 8, 4, 4, 4, 2, 2]
    assert schedule.by == "epoch"
    assert optim.StepLR(3, by="step").by == "step"
    assert optim.StepLR(1)(2, {"lr": 1.0})["lr"] == pytest.approx(0.01)


def test_one_cycle_lr_in_straight_lines() -> None:
    schedule = optim.OneCycleLR(
        1.0, 5, 0.4, "linear", div_factor=10.0, final_div_factor=10.0
    )  # the peak is at step 1
    values = [schedule(count, {"lr": 9.0, "momentum": 0.9}) for count in range(5)]
    assert [v["lr"] for v in values] == pytest.approx([0.1, 1.0, 0.67, 0.34, 0.01])
    assert [v["momentum"] for v in values] == pytest.approx([0.95, 0.85, 0.85 + 0.1 / 3, 0.95 - 0.1 / 3, 0.95])  # fmt: skip
    assert schedule.by == "step"


def test_one_cycle_lr_in_half_cosines() -> None:
    schedule = optim.OneCycleLR(0.5, total_steps=10)  # up in 2 steps, down in 7
    start = {"lr": 1.0, "betas": (0.9, 0.999)}
    assert schedule(0, start)["lr"] == pytest.approx(0.5 / 25)
    assert schedule(1, start)["lr"] == pytest.approx((0.5 / 25 + 0.5) / 2)
    assert schedule(2, start) == {"lr": pytest.approx(0.5), "betas": (pytest.approx(0.85), 0.999)}
    lowest = 0.5 / 25 / 1e4
    fall = lowest + (0.5 - lowest) / 2 * (1 + cos(pi * 3 / 7))
    assert schedule(5, start)["lr"] == pytest.approx(fall)
    assert schedule(9, start) == {
        "lr": pytest.approx(lowest),
        "betas": (pytest.approx(0.95), 0.999),
    }


@pytest.mark.parametrize(("steps", "share"), [(10, 0.1), (1, 1.0), (4, 0.25), (1, 0.3), (5, 0.0)])
def test_one_cycle_lr_without_a_rise(steps: int, share: float) -> None:
    schedule = optim.OneCycleLR(0.5, steps, share, cycle_momentum=False)
    rates = [schedule(count, {"lr": 1.0})["lr"] for count in range(steps)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.5 or share * steps < 1


def test_one_cycle_lr_spans_a_run() -> None:
    schedule = optim.OneCycleLR(0.5)
    with pytest.raises(ValueError, match="needs total_steps outside a Trainer"):
        schedule(0, {"lr": 1.0, "momentum": 0.0})
    spanning = schedule.spanning(100, 20)
    fixed = optim.OneCycleLR(0.5, total_steps=20)
    start = {"lr": 1.0, "momentum": 0.0}
    assert [spanning(100 + k, start) for k in range(20)] == [fixed(k, start) for k in range(20)]
    assert fixed.spanning(5, 15) is fixed
    with pytest.raises(ValueError, match="ends after 20 steps, but the run goes on to step 21"):
        fixed.spanning(5, 16)
    for count in (99, 120):
        with pytest.raises(ValueError, match=f"covers the steps 100 to 119, got {count}"):
            spanning(count, start)


def test_one_cycle_lr_needs_a_momentum_to_cycle() -> None:
    with pytest.raises(
        ValueError, match="cycle_momentum needs an optimizer with momentum or betas"
    ):
        optim.OneCycleLR(0.5, 10)(0, {"lr": 1.0})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.StepLR(0), ValueError, "step_size must be at least 1, got 0"),
        (lambda: optim.StepLR(1.5), TypeError, r"step_size must be an int, got 1\.5"),
        (lambda: optim.StepLR(1, -0.1), ValueError, r"gamma must be in \[0, inf\], got -0\.1"),
        (lambda: optim.StepLR(1, by="hour"), ValueError, "by must be 'epoch' or 'step', got 'hour'"),
        (lambda: optim.StepLR(1, factor=0.1), TypeError, "StepLR has no option 'factor'"),
        (lambda: optim.OneCycleLR(-1), ValueError, r"max_lr must be in \[0, inf\], got -1"),
        (lambda: optim.OneCycleLR(1, 0), ValueError, "total_steps must be at least 1, got 0"),
        (lambda: optim.OneCycleLR(1, 9, 1.1), ValueError, r"pct_start must be in \[0, 1\], got 1\.1"),
        (lambda: optim.OneCycleLR(1, 9, 0.3, "log"), ValueError, "anneal_strategy must be 'cos'"),
        (lambda: optim.OneCycleLR(1, div_factor=0), ValueError, "div_factor must be positive, got 0"),
        (lambda: optim.OneCycleLR(1, final_div_factor=0.0), ValueError, "final_div_factor must be pos"),
        (lambda: optim.OneCycleLR(1, max_momentum=-1), ValueError, r"max_momentum must be in \[0, 1\]"),
        (lambda: optim.OneCycleLR(1, base_momentum=2), ValueError, r"base_momentum must be in \[0, 1\]"),
    ],
)  # fmt: skip
def test_wrong_schedules(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


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


def test_a_schedule_without_a_formula_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        optim.Schedule()
