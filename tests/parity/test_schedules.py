"""Schedules give the hyperparameters of PyTorch's at every count."""

import inspect
from typing import Any

import numpy as np
import pytest
from cases import SCHEDULES, ScheduleCase, ids
from hypothesis import given
from hypothesis import strategies as st
from twins import generated, torch, train_both

from portanet import nn, optim

# These go by the count alone; ReduceLROnPlateau has a test of its own.
PURE = [case for case in SCHEDULES if case.make is not optim.ReduceLROnPlateau]
every_pure = pytest.mark.parametrize("case", PURE, ids=ids(PURE))


def twin(schedule: Any, optimizer: Any) -> Any:
    """Return PyTorch's schedule of the same class and options."""
    ours_alone = {"by", "first", "monitor"}
    names = inspect.signature(type(schedule)).parameters.keys() - ours_alone
    options = {name: getattr(schedule, name) for name in names}
    if "schedulers" in options:
        options["schedulers"] = [twin(part, optimizer) for part in schedule.schedulers]
    return getattr(torch.optim.lr_scheduler, type(schedule).__name__)(
        optimizer=optimizer, **options
    )


def assert_same_schedule(case: ScheduleCase) -> None:
    options = case.optimizer.options
    initial = case.optimizer.make(nn.Linear(1, 1), **options).initial
    parameters = [torch.nn.Parameter(torch.ones(1))]
    optimizer = getattr(torch.optim, case.optimizer.make.__name__)(parameters, **options)
    ours = case.make(**case.options)
    theirs = twin(ours, optimizer)
    for count in range(case.counts):
        group = optimizer.param_groups[0]
        for name, value in (dict(initial) | ours(count, initial)).items():
            np.testing.assert_allclose(value, group[name], rtol=1e-12, err_msg=f"{name} at {count}")
        optimizer.step()
        if count < case.counts - 1:
            theirs.step()


@every_pure
def test_schedules(case: ScheduleCase) -> None:
    assert_same_schedule(case)


@every_pure
def test_training_by_a_schedule(case: ScheduleCase) -> None:
    def both(optimizer: Any) -> Any:
        schedule = case.make(**case.options)
        return schedule, twin(schedule, optimizer)

    train_both(case.optimizer.make, case.optimizer.options, both, steps=case.counts)


counts, factors = st.integers(1, 9), st.floats(0.01, 1.0)
OPTIONS: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
    optim.StepLR: {"step_size": counts, "gamma": st.floats(0.01, 1.5)},
    optim.MultiStepLR: {"milestones": st.lists(st.integers(0, 30)), "gamma": st.floats(0.5, 1.5)},
    optim.ExponentialLR: {"gamma": st.floats(0.5, 1.5)},
    optim.ConstantLR: {"factor": factors, "total_iters": counts},
    optim.LinearLR: {"start_factor": factors, "end_factor": factors, "total_iters": counts},
    optim.PolynomialLR: {"total_iters": counts, "power": st.floats(0.0, 3.0)},
    optim.LambdaLR: {"lr_lambda": st.sampled_from([lambda n: 1 / (n + 1), lambda n: 0.9**n])},
    optim.CosineAnnealingLR: {"T_max": counts, "eta_min": st.floats(0.0, 0.4)},
    optim.CosineAnnealingWarmRestarts: {
        "T_0": counts,
        "T_mult": st.integers(1, 3),
        "eta_min": st.floats(0.0, 0.4),
    },
    optim.OneCycleLR: {
        "max_lr": st.floats(1e-3, 10.0),
        "total_steps": st.integers(3, 40),
        "pct_start": st.floats(0.0, 1.0),
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "cycle_momentum": st.booleans(),
        "base_momentum": st.floats(0.1, 0.9),
        "max_momentum": st.floats(0.1, 0.9),
        "div_factor": st.floats(1.0, 100.0),
        "final_div_factor": st.floats(1.0, 1e4),
        "three_phase": st.booleans(),
    },
}
AT_LEAST_ONE = {optim.SequentialLR, optim.ChainedScheduler}  # of the others
FACTORS = (
    *(optim.StepLR, optim.MultiStepLR, optim.ExponentialLR, optim.ConstantLR),
    *(optim.LinearLR, optim.PolynomialLR),
)


def schedules(makes: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(makes).flatmap(lambda make: st.builds(make, **OPTIONS[make]))


# A cosine that PyTorch's chains take for a factor, too.
down_to_zero = st.builds(optim.CosineAnnealingLR, T_max=st.integers(30, 60))


def test_every_schedule_has_options() -> None:
    assert OPTIONS.keys() | AT_LEAST_ONE == {case.make for case in PURE}


@pytest.mark.parametrize("make", OPTIONS, ids=lambda make: make.__name__)
@generated
@given(data=st.data())
def test_schedules_with_any_options(make: Any, data: Any) -> None:
    options = data.draw(st.fixed_dictionaries(OPTIONS[make]))
    optimizer = data.draw(st.sampled_from([case.optimizer for case in SCHEDULES]))
    if options.get("pct_start", 0.0) * options.get("total_steps", 0) == 1.0:
        options["pct_start"] = 0.0  # there PyTorch divides by zero
    assert_same_schedule(
        ScheduleCase("any", make, options, options.get("total_steps", 30), optimizer)
    )


@generated
@given(data=st.data())
def test_any_schedules_in_sequence(data: Any) -> None:
    milestones = sorted(data.draw(st.sets(st.integers(1, 25), max_size=3)))
    parts = st.lists(
        schedules([make for make in OPTIONS if make is not optim.OneCycleLR]),
        min_size=len(milestones) + 1,
        max_size=len(milestones) + 1,
    )
    options = {"schedulers": data.draw(parts), "milestones": milestones}
    assert_same_schedule(ScheduleCase("any", optim.SequentialLR, options, 30))


@generated
@given(parts=st.lists(schedules(FACTORS) | down_to_zero, min_size=1, max_size=4))
def test_any_schedules_chained(parts: Any) -> None:
    assert_same_schedule(ScheduleCase("any", optim.ChainedScheduler, {"schedulers": parts}, 30))


@generated
@given(
    options=st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.floats(0.0, 0.99),
            "patience": st.integers(0, 3),
            "threshold": st.floats(0.0, 0.5),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.floats(0.0, 0.1),
            "eps": st.floats(0.0, 0.01),
        }
    ),
    values=st.lists(st.floats(-3.0, 3.0), min_size=30, max_size=30),
)
def test_plateaus_with_any_options(options: Any, values: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    ours = optim.ReduceLROnPlateau(**options)
    theirs = twin(ours, optimizer)
    for epoch, value in enumerate(values):
        ours.observe({"val_loss": value})
        theirs.step(value)
        assert ours(epoch, {"lr": 0.3})["lr"] == optimizer.param_groups[0]["lr"]


def test_default_options_are_pytorchs() -> None:
    for make in {case.make for case in SCHEDULES}:
        theirs = inspect.signature(getattr(torch.optim.lr_scheduler, make.__name__)).parameters
        for name, parameter in inspect.signature(make).parameters.items():
            if name not in ("by", "first", "monitor", "mode"):  # "auto" is "min" of a loss
                assert parameter.default == theirs[name].default, f"{make.__name__}: {name}"
