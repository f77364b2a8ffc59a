"""Optimizers that divide the gradient by a root of its own squares, summed or averaged.

Names, definitions and defaults are PyTorch's.
"""

from typing import ClassVar, Unpack

from portanet.backend import Array, backend_of
from portanet.checks import flag, number
from portanet.nn.layer import Layer
from portanet.optim.group import Common, Hyper
from portanet.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: the more a parameter's gradients have been, the smaller its steps.

    g ← g + weight_decay · p
    s ← s + g², from s = initial_accumulator_value
    p ← p − lr / (1 + (t − 1) lr_decay) · g / (√s + eps), t = 1, 2, …

    Args:
        model: what is trained.
        lr: the learning rate, and the length of the first step; usually 0.01.
        lr_decay: how fast the rate falls besides; usually 0.
        weight_decay: that share of each parameter joins its gradient: an L2 penalty.
        initial_accumulator_value: s before the first step; above 0 it shortens the first steps.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        transforms, groups, decay_bias: see `Optimizer`.

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", 2011.
    """

    slots = ("sum",)

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            lr_decay=number("lr_decay", lr_decay),
            weight_decay=number("weight_decay", weight_decay),
            initial_accumulator_value=number(
                "initial_accumulator_value", initial_accumulator_value
            ),
            eps=number("eps", eps),
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its sum of squares in place."""
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        s = state["sum"]
        if step == 1:
            s += hyper["initial_accumulator_value"]
        s += g * g
        change = backend_of(s).xp.sqrt(s)
        change += hyper["eps"]
        change = g / change
        change *= hyper["lr"] / (1.0 + (step - 1) * hyper["lr_decay"])
        p -= change


class Adadelta(Optimizer):
    """Adadelta: steps of the size of the past ones, so that no rate need be found.

    g ← g + weight_decay · p
    v ← rho v + (1 − rho) g²
    d = √((u + eps) / (v + eps)) · g
    u ← rho u + (1 − rho) d²
    p ← p − lr · d

    Args:
        model: what is trained.
        lr: a factor of the steps; usually 1.
        rho: the share of the old means that stays; usually 0.9 to 0.95.
        eps: sets the length of the first steps, about its root.
        weight_decay: that share of each parameter joins its gradient: an L2 penalty.
        transforms, groups, decay_bias: see `Optimizer`.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    slots = ("square_avg", "acc_delta")

    def __init__(
        self,
        model: Layer,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            rho=number("rho", rho, high=1.0),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and the means of its squared gradients and changes in place."""
        rho, eps = hyper["rho"], hyper["eps"]
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        v, u = state["square_avg"], state["acc_delta"]
        v *= rho
        v += (1.0 - rho) * g * g
        change = u + eps
        change /= v + eps
        change = backend_of(change).xp.sqrt(change)
        change *= g
        u *= rho
        u += (1.0 - rho) * change * change
        change *= hyper["lr"]
        p -= change


class RMSprop(Optimizer):
    """RMSprop: gradients over the root of a running mean of their squares.

    g ← g + weight_decay · p
    v ← alpha v + (1 − alpha) g²
    a ← alpha a + (1 − alpha) g (centered)
    b ← momentum · b + g / (√(v − a²) + eps) (centered) or g / (√v + eps)
    p ← p − lr · b

    Args:
        model: what is trained.
        lr: the learning rate; usually 1e-3 to 1e-2.
        alpha: the share of the old mean that stays; usually 0.9 to 0.99.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        weight_decay: that share of each parameter joins its gradient: an L2 penalty.
        momentum: the share of the last step that is done again.
        centered: divide by the deviation from the mean gradient, not by the root mean square.
        transforms, groups, decay_bias: see `Optimizer`.

    Sources: Tieleman and Hinton, "Lecture 6.5: RMSprop", 2012; centered: Graves, "Generating
    sequences with recurrent neural networks", 2013.
    """

    slots = ("square_avg", "grad_avg", "momentum_buffer")
    needs: ClassVar = {"grad_avg": "centered", "momentum_buffer": "momentum"}

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            alpha=number("alpha", alpha, high=1.0),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
            momentum=number("momentum", momentum),
            centered=flag("centered", centered),
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its running means in place."""
        alpha, momentum = hyper["alpha"], hyper["momentum"]
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        v = state["square_avg"]
        xp = backend_of(v).xp
        v *= alpha
        v += (1.0 - alpha) * g * g
        if hyper["centered"]:
            a = state["grad_avg"]
            a *= alpha
            a += (1.0 - alpha) * g
            # Rounding may leave less than 0 where the gradient is constant: a root of it is NaN.
            change = xp.sqrt(xp.abs(v - a * a))
        else:
            change = xp.sqrt(v)
        change += hyper["eps"]
        change = g / change
        if momentum:
            b = state["momentum_buffer"]
            b *= momentum
            b += change
            change = hyper["lr"] * b
        else:
            change *= hyper["lr"]
        p -= change
