"""Networks with shortcuts and branches follow PyTorch's losses, step by step."""

from typing import Any

import numpy as np
import pytest
from cases import numbers
from twins import tensor, torch

import portanet as pn
from portanet import nn, optim


def residual(n: Any) -> Any:
    """A residual network: two blocks, one with a projection for its shortcut."""

    def block(i: int, o: int, stride: int) -> Any:
        body = n.Sequential(
            n.Conv2d(i, o, 3, stride=stride, padding=1, bias=False),
            n.BatchNorm2d(o),
            n.ReLU(),
            n.Conv2d(o, o, 3, padding=1, bias=False),
            n.BatchNorm2d(o),
        )
        if stride == 1:
            return make(body)
        return make(body, n.Sequential(n.Conv2d(i, o, 1, stride=stride), n.BatchNorm2d(o)))

    make = nn.Residual if n is nn else TheirResidual
    return n.Sequential(
        n.Conv2d(1, 4, 3, padding=1),
        block(4, 4, 1),
        n.ReLU(),
        block(4, 6, 2),
        n.ReLU(),
        n.AvgPool2d(4),
        n.Flatten(),
        n.Linear(6, 3),
    )


def branched(n: Any) -> Any:
    """A network with two branches whose channels are concatenated, and two that are added."""
    make = nn.Parallel if n is nn else TheirParallel
    inception = make(
        n.Conv2d(1, 3, 1),
        n.Sequential(n.Conv2d(1, 2, 1), n.Tanh(), n.Conv2d(2, 4, 3, padding=1)),
        n.MaxPool2d(3, 1, 1),
        merge="concat",
    )
    both = make(n.Linear(128, 5), n.Sequential(n.Linear(128, 5), n.Sigmoid()), merge="add")
    return n.Sequential(inception, n.MaxPool2d(2), n.Flatten(), both, n.Tanh(), n.Linear(5, 3))


class TheirResidual(torch.nn.Module):
    def __init__(self, body: Any, shortcut: Any = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Any) -> Any:
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))


class TheirParallel(torch.nn.Sequential):
    def __init__(self, *branches: Any, merge: str) -> None:
        super().__init__(*branches)
        self.merge = merge

    def forward(self, x: Any) -> Any:
        outputs = [branch(x) for branch in self]
        return torch.cat(outputs, 1) if self.merge == "concat" else sum(outputs)


@pytest.mark.parametrize("network", [residual, branched])
def test_losses_over_twenty_steps(network: Any) -> None:
    pn.set_backend("numpy", dtype="float64")
    ours, theirs = network(nn), network(torch.nn).to(torch.float64)
    theirs.load_state_dict({n: torch.tensor(a) for n, a in ours.state_dict().items()})
    optimizer = optim.SGD(ours, lr=0.05, momentum=0.9)
    their_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    x, y = numbers("x", (6, 1, 8, 8)), np.arange(6) % 3
    loss, losses, expected = nn.CrossEntropyLoss(), [], []
    for _ in range(20):
        losses.append(float(loss.forward(ours.forward(x, training=True), pn.asarray(y))))
        ours.zero_grads()
        ours.backward(loss.backward())
        optimizer.step(ours.grads)

        their_optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(theirs(tensor(x, "float64")), torch.tensor(y))
        value.backward()
        their_optimizer.step()
        expected.append(value.item())
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
