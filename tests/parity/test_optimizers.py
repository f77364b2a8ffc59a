"""Optimizers follow PyTorch's, step by step, with each of their options."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from cases import OPTIMIZERS, OptimizerCase, ids
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import generated, step_both, torch, train_both

from portanet import optim


@pytest.fixture(autouse=True)
def _double_scalars() -> Iterator[None]:
    """Let PyTorch keep its scalars, such as NAdam's product of momenta, in float64, too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
def test_optimizers(case: OptimizerCase) -> None:
    train_both(case.make, case.options)


DECAY = {"weight_decay": st.floats(0.0, 0.1)}
ADAM = DECAY | {
    "lr": st.floats(1e-4, 0.1),
    "betas": st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.9999)),
    "eps": st.floats(1e-8, 1e-2),
}
DECOUPLED = ADAM | {"decoupled_weight_decay": st.booleans()}
OPTIONS = {
    optim.SGD: DECAY
    | {
        "lr": st.floats(1e-4, 0.1),
        "momentum": st.floats(0.01, 0.95),
        "dampening": st.floats(-0.5, 0.5),
        "nesterov": st.booleans(),
    },
    optim.Adagrad: DECAY
    | {
        "lr": st.floats(1e-3, 0.5),
        "lr_decay": st.floats(0.0, 0.1),
        "initial_accumulator_value": st.floats(0.0, 1.0),
        "eps": st.floats(1e-10, 1e-2),
    },
    optim.Adadelta: DECAY
    | {"lr": st.floats(0.1, 2.0), "rho": st.floats(0.0, 1.0), "eps": st.floats(1e-6, 1e-2)},
    optim.RMSprop: DECAY
    | {
        "lr": st.floats(1e-4, 0.1),
        "alpha": st.floats(0.3, 0.999),
        "eps": st.floats(1e-8, 1e-2),
        "momentum": st.just(0.0) | st.floats(0.01, 0.95),
        "centered": st.booleans(),
    },
    optim.Adam: ADAM | {"amsgrad": st.booleans()},
    optim.AdamW: ADAM | {"amsgrad": st.booleans()},
    optim.Adamax: ADAM,
    optim.NAdam: DECOUPLED | {"momentum_decay": st.floats(0.0, 1.0)},
    optim.RAdam: DECOUPLED,
}
every_make = pytest.mark.parametrize("make", OPTIONS, ids=lambda make: make.__name__)


def test_every_optimizer_has_options_and_cases() -> None:
    assert OPTIONS.keys() == {case.make for case in OPTIMIZERS}
    for make, options in OPTIONS.items():
        assert options.keys() == inspect.signature(make).parameters.keys() - {"model", "common"}


@every_make
def test_default_options(make: Any) -> None:
    train_both(make, {})


@every_make
@settings(generated, max_examples=8)
@given(data=st.data())
def test_optimizers_with_any_options(make: Any, data: Any) -> None:
    options = data.draw(st.fixed_dictionaries(OPTIONS[make]))
    if options.get("nesterov"):
        options["dampening"] = 0.0
    step_both(make, options)


@every_make
def test_optimizers_while_a_schedule_changes_their_momentum(make: Any) -> None:
    parameters = inspect.signature(make).parameters
    cycles = not parameters.keys().isdisjoint(["momentum", "betas"])
    options = {"max_lr": 0.01, "total_steps": 60, "cycle_momentum": cycles}

    def both(optimizer: Any) -> Any:
        theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, **options)
        return optim.OneCycleLR(**options), theirs

    train_both(make, {"momentum": 0.5} if "momentum" in parameters else {}, both, steps=60)
