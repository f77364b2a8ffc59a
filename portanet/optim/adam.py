"""Optimizers by running means of the gradient and of its size: Adam and its nearest kin.

Names, definitions and defaults are PyTorch's.
"""

from math import sqrt
from typing import ClassVar, Unpack

from portanet.backend import Array, backend_of
from portanet.checks import checked_betas, flag, number
from portanet.nn.layer import Layer
from portanet.optim.group import Common, Hyper
from portanet.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    g ← g + weight_decay · p
    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²
    p ← p − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps), t = 1, 2, …

    Args:
        model: what is trained.
        lr: the learning rate; usually 1e-3, for large networks 1e-4.
        betas: (β₁, β₂), the shares of the old means that stay; β₂ is the slower.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        weight_decay: that share of each parameter joins its gradient: an L2 penalty.
        amsgrad: take the largest v so far in the last line.
        transforms, groups, decay_bias: see `Optimizer`.

    Sources: Kingma and Ba, "Adam: a method for stochastic optimization", 2015; AMSGrad: Reddi, Kale
    and Kumar, "On the convergence of Adam and beyond", 2018.
    """

    slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    needs: ClassVar = {"max_exp_avg_sq": "amsgrad"}

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            betas=checked_betas(betas),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
            amsgrad=flag("amsgrad", amsgrad),
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its running means in place."""
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        descend(p, g, state, step, hyper)


class AdamW(Adam):
    """Adam with decoupled weight decay: p ← p − lr · weight_decay · p, then Adam's step without it.

    So the decay does not pass through the running means, where parameters with large gradients
    would decay less.

    Args:
        model: what is trained.
        lr: the learning rate; usually 1e-3, for large networks 1e-4.
        betas: (β₁, β₂), the shares of the old means that stay; β₂ is the slower.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        weight_decay: lr times this share of each parameter is taken off it; usually 0.01 to 0.1.
        amsgrad: take the largest v so far.
        transforms, groups, decay_bias: see `Optimizer`.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(model, lr, betas, eps, weight_decay, amsgrad, **common)

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its running means in place."""
        if hyper["weight_decay"]:
            p *= 1.0 - hyper["lr"] * hyper["weight_decay"]
        descend(p, g, state, step, hyper)


class Adamax(Optimizer):
    """Adam by the largest gradient: v is a decaying maximum instead of a mean of squares.

    g ← g + weight_decay · p
    m ← β₁ m + (1 − β₁) g
    u ← max(β₂ u, |g| + eps)
    p ← p − lr / (1 − β₁ᵗ) · m / u, t = 1, 2, …

    Args:
        model: what is trained.
        lr: the learning rate: no step is much longer; usually 2e-3.
        betas: (β₁, β₂), the shares of the old mean and the old maximum that stay.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        weight_decay: that share of each parameter joins its gradient: an L2 penalty.
        transforms, groups, decay_bias: see `Optimizer`.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.1.
    """

    slots = ("exp_avg", "exp_inf")

    def __init__(
        self,
        model: Layer,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            betas=checked_betas(betas),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p`, its running mean and its decaying maximum in place."""
        beta1, beta2 = hyper["betas"]
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        m, u = state["exp_avg"], state["exp_inf"]
        xp = backend_of(m).xp
        m *= beta1
        m += (1.0 - beta1) * g
        size = xp.abs(g)
        size += hyper["eps"]
        u *= beta2
        u[...] = xp.maximum(u, size)
        change = m / u
        change *= hyper["lr"] / (1.0 - beta1**step)
        p -= change


def descend(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
    """Do Adam's step without weight decay."""
    beta1, beta2 = hyper["betas"]
    m, v = update_means(g, state, beta1, beta2)
    xp = backend_of(v).xp
    if hyper["amsgrad"]:
        largest = state["max_exp_avg_sq"]
        largest[...] = xp.maximum(largest, v)
        v = largest
    # Both sides of the fraction times √(1 − β₂ᵗ): one pass less over the arrays.
    correction = sqrt(1.0 - beta2**step)
    change = xp.sqrt(v)
    change += hyper["eps"] * correction
    change = m / change
    change *= hyper["lr"] * correction / (1.0 - beta1**step)
    p -= change


def update_means(
    g: Array, state: dict[str, Array], beta1: float, beta2: float
) -> tuple[Array, Array]:
    """Return the running means of the gradient and of its square, after this one."""
    m, v = state["exp_avg"], state["exp_avg_sq"]
    m *= beta1
    m += (1.0 - beta1) * g
    v *= beta2
    v += (1.0 - beta2) * g * g
    return m, v
