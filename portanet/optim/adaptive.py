"""Optimizers that adapt the rate to each parameter's own gradients."""

from math import sqrt

from portanet.backend import Array, backend_of
from portanet.checks import number
from portanet.nn.tree import ParameterTree
from portanet.optim.optimizer import Hyper, Optimizer, checked_betas


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    g ← g + weight_decay · p
    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²
    p ← p − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps), t = 1, 2, …

    Definitions and defaults are PyTorch's. Source: Kingma and Ba, "Adam: a method for stochastic
    optimization", 2015.
    """

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        model: ParameterTree,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            betas=checked_betas(betas),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its two means in place."""
        beta1, beta2 = hyper["betas"]
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        m, v = state["exp_avg"], state["exp_avg_sq"]
        m *= beta1
        m += (1.0 - beta1) * g
        v *= beta2
        v += (1.0 - beta2) * g * g
        # Both sides of the fraction times √(1 − β₂ᵗ): one pass less over the arrays.
        correction = sqrt(1.0 - beta2**step)
        change = backend_of(v).xp.sqrt(v)
        change += hyper["eps"] * correction
        change = m / change
        change *= hyper["lr"] * correction / (1.0 - beta1**step)
        p -= change
