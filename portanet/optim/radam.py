"""Adam that does without its adaptive rate until that can be trusted."""

from math import sqrt
from typing import Unpack

from portanet.backend import Array, backend_of
from portanet.checks import checked_betas, flag, number
from portanet.nn.layer import Layer
from portanet.optim.adam import update_means
from portanet.optim.group import Common, Hyper
from portanet.optim.optimizer import Optimizer


class RAdam(Optimizer):
    """Rectified Adam: scaled down in the first steps, when v is a mean of few squares.

    g ← g + weight_decay · p, or p ← p − lr · weight_decay · p (decoupled_weight_decay)
    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²
    ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ), where ρ∞ = 2 / (1 − β₂) − 1, t = 1, 2, …
    r = √((ρ − 4) (ρ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρ))
    p ← p − lr · m / (1 − β₁ᵗ) · r √(1 − β₂ᵗ) / (√v + eps), where ρ > 5, else
    p ← p − lr · m / (1 − β₁ᵗ)

    Args:
        model: what is trained.
        lr: the learning rate; usually 1e-3.
        betas: (β₁, β₂), the shares of the old means that stay; β₂ is the slower.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        weight_decay: that share of each parameter joins its gradient.
        decoupled_weight_decay: take lr · weight_decay of each parameter off it instead, as `AdamW`.
        transforms, groups, decay_bias: see `Optimizer`.

    Definitions and defaults are PyTorch's. Source: Liu et al., "On the variance of the adaptive
    learning rate and beyond", 2020.
    """

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            betas=checked_betas(betas),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
            decoupled_weight_decay=flag("decoupled_weight_decay", decoupled_weight_decay),
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its running means in place."""
        beta1, beta2 = hyper["betas"]
        lr, decay = hyper["lr"], hyper["weight_decay"]
        if decay and hyper["decoupled_weight_decay"]:
            p *= 1.0 - lr * decay
        elif decay:
            g = g + decay * p
        m, v = update_means(g, state, beta1, beta2)
        rate, left = lr / (1.0 - beta1**step), 1.0 - beta2**step
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * step * beta2**step / left  # of the mean, in steps
        if length > 5.0:
            rate *= sqrt((length - 4.0) * (length - 2.0) * longest * left)
            rate /= sqrt((longest - 4.0) * (longest - 2.0) * length)
            change = backend_of(v).xp.sqrt(v)
            change += hyper["eps"]
            change = m / change
            change *= rate
        else:
            change = rate * m
        p -= change
