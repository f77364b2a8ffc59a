"""Optimizers follow PyTorch's, step by step, with each of their options."""

from typing import Any

import pytest
from cases import OPTIMIZERS, OptimizerCase, ids
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import generated, step_both, train_both

from portanet import optim


@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
def test_optimizers(case: OptimizerCase) -> None:
    train_both(case.make, case.options)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_default_options(make: Any) -> None:
    train_both(make, {})


OPTIONS = {
    optim.SGD: {
        "lr": st.floats(1e-4, 0.1),
        "momentum": st.floats(0.01, 0.95),
        "dampening": st.floats(0.0, 0.5),
        "weight_decay": st.floats(0.0, 0.1),
        "nesterov": st.booleans(),
    },
    optim.Adam: {
        "lr": st.floats(1e-4, 0.1),
        "betas": st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.9999)),
        "eps": st.floats(1e-8, 1e-2),
        "weight_decay": st.floats(0.0, 0.1),
    },
}


def test_every_optimizer_has_options_and_cases() -> None:
    assert OPTIONS.keys() == {case.make for case in OPTIMIZERS}


@pytest.mark.parametrize("make", OPTIONS, ids=lambda make: make.__name__)
@settings(generated, max_examples=8)
@given(data=st.data())
def test_optimizers_with_any_options(make: Any, data: Any) -> None:
    options = data.draw(st.fixed_dictionaries(OPTIONS[make]))
    if options.get("nesterov"):
        options["dampening"] = 0.0
    step_both(make, options)
