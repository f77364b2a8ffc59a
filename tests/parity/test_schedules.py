"""Schedules give the hyperparameters of PyTorch's at every count."""

from typing import Any

import numpy as np
import pytest
from cases import SCHEDULES, OptimizerCase, ScheduleCase, ids
from hypothesis import given
from hypothesis import strategies as st
from twins import generated, torch, train_both

from portanet import nn, optim


def twins(make: Any, options: dict[str, Any]) -> Any:
    """Return a function that makes our schedule and, from an optimizer of theirs, its twin."""
    theirs = {key: value for key, value in options.items() if key != "by"}
    twin = getattr(torch.optim.lr_scheduler, make.__name__)
    return lambda optimizer: (make(**options), twin(optimizer, **theirs))


def assert_same_schedule(case: ScheduleCase) -> None:
    options = case.optimizer.options
    initial = case.optimizer.make(nn.Linear(1, 1), **options).initial
    parameters = [torch.nn.Parameter(torch.ones(1))]
    optimizer = getattr(torch.optim, case.optimizer.make.__name__)(parameters, **options)
    ours, theirs = twins(case.make, case.options)(optimizer)
    for count in range(case.counts):
        group = optimizer.param_groups[0]
        for name, value in (dict(initial) | ours(count, initial)).items():
            np.testing.assert_allclose(value, group[name], rtol=1e-12, err_msg=f"{name} at {count}")
        optimizer.step()
        if count < case.counts - 1:
            theirs.step()


@pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))
def test_schedules(case: ScheduleCase) -> None:
    assert_same_schedule(case)


@pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))
def test_training_by_a_schedule(case: ScheduleCase) -> None:
    schedule = twins(case.make, case.options)
    train_both(case.optimizer.make, case.optimizer.options, schedule, steps=case.counts)


@generated
@given(
    options=st.fixed_dictionaries(
        {
            "max_lr": st.floats(1e-3, 10.0),
            "total_steps": st.integers(3, 40),
            "pct_start": st.floats(0.0, 1.0),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "cycle_momentum": st.booleans(),
            "base_momentum": st.floats(0.1, 0.9),
            "max_momentum": st.floats(0.1, 0.9),
            "div_factor": st.floats(1.0, 100.0),
            "final_div_factor": st.floats(1.0, 1e4),
        }
    ),
    optimizer=st.sampled_from([case.optimizer for case in SCHEDULES]),
)
def test_one_cycle_lr_with_any_options(options: Any, optimizer: OptimizerCase) -> None:
    if options["pct_start"] * options["total_steps"] == 1.0:
        options["pct_start"] = 0.0  # there PyTorch divides by zero
    assert_same_schedule(
        ScheduleCase("any", optim.OneCycleLR, options, options["total_steps"], optimizer)
    )


@generated
@given(step_size=st.integers(1, 9), gamma=st.floats(0.01, 1.5))
def test_step_lr_with_any_options(step_size: int, gamma: float) -> None:
    options = {"step_size": step_size, "gamma": gamma}
    assert_same_schedule(ScheduleCase("any", optim.StepLR, options, 30))
