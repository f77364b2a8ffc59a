"""Optimizers, transforms and schedules as users write them."""

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim


class Lion(optim.Optimizer):
    """Steps by the sign of a running mean. Chen et al., "Symbolic discovery …", 2023."""

    slots = ("exp_avg",)

    def __init__(
        self,
        model: nn.Layer,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        **common: Unpack[optim.Common],
    ) -> None:
        super().__init__(model, lr=lr, betas=betas, weight_decay=weight_decay, **common)

    @staticmethod
    def update(p: Any, g: Any, state: dict[str, Any], step: int, hyper: dict[str, Any]) -> None:
        """Change `p` and its running mean in place."""
        beta1, beta2 = hyper["betas"]
        m = state["exp_avg"]
        p *= 1.0 - hyper["lr"] * hyper["weight_decay"]
        p -= hyper["lr"] * pn.backend_of(m).xp.sign(beta1 * m + (1.0 - beta1) * g)
        m *= beta2
        m += (1.0 - beta2) * g


class Plain(Lion):
    """Takes whatever its base takes."""

    def __init__(self, model: nn.Layer, **options: Any) -> None:
        super().__init__(model, **options)


class Cautious(Lion):
    """Fixes one of its base's options, and makes another of the rate."""

    def __init__(self, model: nn.Layer, lr: float = 0.1, **options: Any) -> None:
        super().__init__(model, lr, betas=(0.5, 0.5), weight_decay=5 * lr, **options)


class Signs(optim.Optimizer):
    """Has one option of its own, and takes any other."""

    def __init__(self, model: nn.Layer, lr: float = 0.1, **options: Any) -> None:
        super().__init__(model, lr=lr, **options)

    def update(self, p: Any, g: Any, state: Any, step: int, hyper: Any) -> None:
        """Change `p` in place; no static method, which will do, too."""
        p -= hyper["lr"] * pn.backend_of(g).xp.sign(g)


def model() -> nn.Sequential:
    network = nn.Sequential({"body": nn.Linear(3, 2), "head": nn.Linear(2, 1)})
    for name, p in network.params.items():
        network.params[name] = np.ones(p.shape)
    return network


def stepped(optimizer: optim.Optimizer, network: nn.Layer, g: float = 1.0) -> dict[str, float]:
    """Step by equal gradients; return what each parameter became."""
    optimizer.step({name: p * 0 + g for name, p in network.params.items()})
    return {name: round(float(p.ravel()[0]), 6) for name, p in network.params.items()}


@pytest.mark.parametrize("make", [Lion, Plain])
def test_the_options_that_every_optimizer_takes_reach_the_base_class(make: Any) -> None:
    network, flipped = model(), []

    class Flip(optim.Transform):
        def __call__(self, grads: Any, params: Mapping[str, Any], step: int) -> Any:
            flipped.append(step)
            return {name: -g for name, g in grads.items()}

    options = {"groups": {"head": {"lr": 0.2}}, "transforms": [Flip()], "decay_bias": False}
    optimizer = make(network, lr=0.1, weight_decay=0.5, **options)
    assert stepped(optimizer, network) == {
        "body.weight": 1.05,  # 1 − 0.1 · 0.5 + 0.1
        "body.bias": 1.1,
        "head.weight": 1.1,
        "head.bias": 1.2,
    }
    assert flipped == [0]
    assert optimizer.hyper == {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.5}


GROUPS = [
    (Lion, {"lr": 0.2}, {"lr": 0.2, "betas": (0.9, 0.8), "weight_decay": 0.5}),
    (Plain, {"lr": 0.2}, {"lr": 0.2, "betas": (0.9, 0.8), "weight_decay": 0.5}),
    (Plain, {"weight_decay": 0.0}, {"lr": 0.1, "betas": (0.9, 0.8), "weight_decay": 0.0}),
    (Cautious, {"lr": 0.2}, {"lr": 0.2, "betas": (0.5, 0.5), "weight_decay": 1.0}),
    (Cautious, {}, {"lr": 0.1, "betas": (0.5, 0.5), "weight_decay": 0.5}),
]


@pytest.mark.parametrize(("make", "own", "expected"), GROUPS)
def test_a_group_has_the_optimizers_hyperparameters_but_for_its_own(
    make: Any, own: Any, expected: Any
) -> None:
    options = {} if make is Cautious else {"betas": (0.9, 0.8), "weight_decay": 0.5}
    optimizer = make(model(), lr=0.1, groups={"head": own}, **options)
    assert optimizer.groups["head"].initial == expected


def test_an_own_optimizer_goes_on_from_a_state() -> None:
    network, other = model(), model()
    optimizer, resumed = (Lion(n, lr=0.1, groups={"head": {"lr": 0.2}}) for n in (network, other))
    stepped(optimizer, network)
    other.load_state_dict(network.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    assert stepped(resumed, other, -0.05) == stepped(optimizer, network, -0.05)
    assert set(resumed.arrays) == {f"exp_avg.{name}" for name in network.params}


def test_options_that_an_own_optimizer_has_not() -> None:
    with pytest.raises(TypeError, match="Lion has no option 'group'; did you mean 'groups'"):
        Lion(model(), group={})
    with pytest.raises(KeyError, match="no hyperparameter 'learning_rate'; did you mean 'lr'"):
        Signs(model(), groups={"head": {"learning_rate": 0.2}})
    with pytest.raises(ValueError, match="Signs has no weight_decay: decay_bias=False is idle"):
        Signs(model(), decay_bias=False)
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        optim.Optimizer.__init__(Signs(model()), model(), {})


def test_a_schedule_may_set_all_that_there_is() -> None:
    optimizer = Signs(model(), lr=0.4)
    optim.StepLR(step_size=1, gamma=0.5).apply(optimizer, 1)
    assert optimizer.hyper == {"lr": 0.2}


def test_an_update_may_be_any_method() -> None:
    network = model()
    assert set(stepped(Signs(network), network).values()) == {0.9}
    bound = Signs(network).update

    class Borrowed(optim.Optimizer):
        update = bound

    assert Borrowed(network).update is bound


def test_hooks_that_cannot_be_called_as_they_will_be() -> None:
    message = r"takes \(p, g, state, hyper\), but is called with \(p, g, state, step, hyper\)"
    with pytest.raises(TypeError, match=rf"Static\.update {message}"):

        class Static(optim.Optimizer):
            @staticmethod
            def update(p, g, state, hyper): ...

    with pytest.raises(TypeError, match=r"Method\.update takes \(p, g, state, step, hyper\), but"):

        class Method(optim.Optimizer):
            def update(p, g, state, step, hyper): ...  # noqa: N805

    with pytest.raises(TypeError, match=r"Twice\.__call__ takes \(self, grads\), but is called w"):

        class Twice(optim.Transform):
            def __call__(self, grads): ...

    with pytest.raises(TypeError, match=r"Epochs\.__call__ takes \(self, epoch\), but is called w"):

        class Epochs(optim.Schedule):
            def __call__(self, epoch): ...

    with pytest.raises(TypeError, match=r"Watch\.observe takes \(self\), but is called with \(sel"):

        class Watch(optim.StepLR):
            def observe(self): ...
