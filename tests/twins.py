"""What the tests beside PyTorch share; PyTorch is imported when one of them needs it."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import numbers
from hypothesis import settings
from hypothesis import strategies as st

import portanet as pn
from portanet import nn

torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")

BOUNDS = {"float64": 1e-10, "float32": 1e-5}
both_dtypes = pytest.mark.parametrize("dtype", BOUNDS)
generated = settings(max_examples=20, derandomize=True, deadline=None, database=None)
Draw = Callable[[st.SearchStrategy[Any]], Any]


def host(tensor: Any) -> Any:
    return tensor.detach().numpy()


def tensor(values: Any, dtype: str, grad: bool = False) -> Any:
    return torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=grad)


def assert_near(got: Any, expected: Any, bound: float, what: str) -> None:
    """Bound ‖got − expected‖ / ‖expected‖."""
    assert tuple(got.shape) == tuple(expected.shape), what
    distance, norm = np.linalg.norm(got - expected), np.linalg.norm(expected)
    assert distance <= bound * (norm or 1.0), f"{what}: {distance:.1e} of {norm:.1e}"


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


def shapes(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, 5), min_size=low, max_size=high).map(tuple)


def networks() -> tuple[nn.Layer, Any]:
    """Return the same network of both libraries, in float64."""
    pn.set_backend("numpy", dtype="float64")

    def make(n: Any) -> Any:
        return n.Sequential(OrderedDict(fc1=n.Linear(6, 5), act=n.Sigmoid(), fc2=n.Linear(5, 3)))

    ours, theirs = make(nn), make(torch.nn)
    theirs.to(torch.float64)
    for name, array in theirs.named_parameters():
        array.data = tensor(numbers(name, tuple(array.shape)), "float64")
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def optimizers(make: Any, options: dict[str, Any], ours: nn.Layer, theirs: Any) -> Any:
    twin = getattr(torch.optim, make.__name__)
    return make(ours, **options), twin(theirs.parameters(), **options)


def assert_same_parameters(ours: nn.Layer, theirs: Any, step: int) -> None:
    for name, array in theirs.named_parameters():
        assert_near(ours.params[name], host(array), 1e-10, f"{name} after step {step + 1}")


def train_both(make: Any, options: dict[str, Any], schedule: Any = None, steps: int = 100) -> None:
    """Train the same network with both libraries; compare the parameters after every step."""
    ours, theirs = networks()
    optimizer, their_optimizer = optimizers(make, options, ours, theirs)
    x, target = numbers("x", (4, 6)), numbers("target", (4, 3))
    loss, their_loss = nn.MSELoss(), torch.nn.MSELoss()
    their_x, their_target = tensor(x, "float64"), tensor(target, "float64")
    if schedule:
        schedule, their_schedule = schedule(their_optimizer)
    for step in range(steps):
        if schedule:
            schedule.apply(optimizer, step)
        loss.forward(ours.forward(x, training=True), target)
        ours.zero_grads()
        ours.backward(loss.backward())
        optimizer.step(ours.grads)

        their_optimizer.zero_grad()
        their_loss(theirs(their_x), their_target).backward()
        their_optimizer.step()
        if schedule and step < steps - 1:
            their_schedule.step()
        assert_same_parameters(ours, theirs, step)


def step_both(make: Any, options: dict[str, Any], steps: int = 100) -> None:
    """Do steps with the same random gradients in both libraries: nothing amplifies rounding."""
    ours, theirs = networks()
    optimizer, their_optimizer = optimizers(make, options, ours, theirs)
    for step in range(steps):
        grads = {name: numbers(f"{step} {name}", p.shape) for name, p in ours.params.items()}
        optimizer.step(grads)
        for name, array in theirs.named_parameters():
            array.grad = tensor(grads[name], "float64")
        their_optimizer.step()
        assert_same_parameters(ours, theirs, step)
