"""Adam with Nesterov's momentum."""

from collections.abc import Mapping
from math import sqrt
from typing import Any, Unpack

from portanet.backend import Array, backend_of
from portanet.checks import checked_betas, complete, flag, number
from portanet.nn.layer import Layer
from portanet.optim.adam import update_means
from portanet.optim.group import Common, Hyper
from portanet.optim.optimizer import Optimizer


class NAdam(Optimizer):
    """Adam that steps from where its momentum is about to lead.

    g ← g + weight_decay · p, or p ← p − lr · weight_decay · p (decoupled_weight_decay)
    μₜ = β₁ (1 − 0.96^(t · momentum_decay) / 2), t = 1, 2, …
    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²
    n = (1 − μₜ) / (1 − μ₁⋯μₜ) · g + μₜ₊₁ / (1 − μ₁⋯μₜ₊₁) · m
    p ← p − lr · n / (√(v / (1 − β₂ᵗ)) + eps)

    Args:
        model: what is trained.
        lr: the learning rate; usually 1e-3 to 2e-3.
        betas: (β₁, β₂), the shares of the old means that stay; β₂ is the slower.
        eps: keeps the divisor from 0; the larger, the smaller the steps of small gradients.
        weight_decay: that share of each parameter joins its gradient.
        momentum_decay: how fast μ grows from about β₁ / 2 to β₁.
        decoupled_weight_decay: take lr · weight_decay of each parameter off it instead, as `AdamW`.
        transforms, groups, decay_bias: see `Optimizer`.

    Definitions and defaults are PyTorch's. Each parameter's μ₁⋯μₜ is carried from step to step,
    for a schedule may change β₁ on the way. Source: Dozat, "Incorporating Nesterov momentum into
    Adam", 2016.
    """

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        model: Layer,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            model,
            lr=number("lr", lr),
            betas=checked_betas(betas),
            eps=number("eps", eps),
            weight_decay=number("weight_decay", weight_decay),
            momentum_decay=number("momentum_decay", momentum_decay),
            decoupled_weight_decay=flag("decoupled_weight_decay", decoupled_weight_decay),
            **common,
        )
        self._products: dict[str, float] = {}

    def step(self, grads: Mapping[str, Array]) -> None:
        """Do one step, as other optimizers do, and multiply each parameter's μ to those before."""
        before = dict(self._taken)
        super().step(grads)
        for name, step in self._taken.items():
            if step > before.get(name, 0):
                self._products[name] = self._product(name) * mu(step, self._group_of[name].hyper)

    def _product(self, name: str) -> float:
        return self._products.get(name, 1.0)

    def _hyper_of(self, name: str) -> Hyper:
        return super()._hyper_of(name) | {"mu_product": self._product(name)}

    def state_dict(self) -> dict[str, Any]:
        """Return what other optimizers do, and each parameter's product of momenta."""
        return super().state_dict() | {"mu_product": dict(self._products)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, as other optimizers do."""
        products = complete("NAdam", state, ("taken", "mu_product"))["mu_product"]
        products = {n: number(f"mu_product[{n!r}]", value) for n, value in products.items()}
        if wrong := products.keys() ^ state["taken"].keys():
            raise ValueError(f"NAdam: mu_product does not go with the steps taken: {sorted(wrong)}")
        super().load_state_dict(state)
        self._products = products

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
        now, later = mu(step, hyper), mu(step + 1, hyper)
        product = hyper["mu_product"] * now
        # Both sides of the fraction times √(1 − β₂ᵗ): one pass less over the arrays.
        correction = sqrt(1.0 - beta2**step)
        change = (lr * correction * (1.0 - now) / (1.0 - product)) * g
        change += (lr * correction * later / (1.0 - product * later)) * m
        size = backend_of(v).xp.sqrt(v)
        size += hyper["eps"] * correction
        change /= size
        p -= change


def mu(step: int, hyper: Hyper) -> float:
    """Return the momentum of a step, which grows from about β₁ / 2 to β₁."""
    return float(hyper["betas"][0] * (1.0 - 0.5 * 0.96 ** (step * hyper["momentum_decay"])))
