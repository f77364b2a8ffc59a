"""Stochastic gradient descent."""

from math import inf
from typing import ClassVar, Unpack

from portanet.backend import Array
from portanet.checks import flag, number
from portanet.nn.layer import Layer
from portanet.optim.group import Common, Hyper
from portanet.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's momentum and weight decay.

    g ← g + weight_decay · p
    m ← momentum · m + (1 − dampening) · g, in the first step m ← g
    g ← g + momentum · m (Nesterov) or m
    p ← p − lr · g

    Without momentum the second and third lines are left out.

    Args:
        model: what is trained.
        lr: the learning rate; usually 0.01 to 0.1 with momentum.
        momentum: the share of the last step that is done again; usually 0.9.
        dampening: the share of the gradient that momentum leaves out.
        weight_decay: that share of each parameter joins its gradient: an L2 penalty; usually 1e-4.
        nesterov: step from where the momentum leads; with momentum and without dampening.
        transforms, groups, decay_bias: see `Optimizer`.

    Definitions and defaults are PyTorch's. One step differs: where a schedule turns momentum on
    after the first step, m begins at 0, in PyTorch as if its first g were not dampened. Sources:
    Robbins and Monro, "A stochastic approximation method", 1951; Polyak, "Some methods of speeding
    up the convergence of iteration methods", 1964; Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.
    """

    slots = ("momentum_buffer",)
    needs: ClassVar = {"momentum_buffer": "momentum"}

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[Common],
    ) -> None:
        if flag("nesterov", nesterov) and (momentum == 0.0 or dampening != 0.0):
            raise ValueError("nesterov needs a momentum and zero dampening")
        super().__init__(
            model,
            lr=number("lr", lr),
            momentum=number("momentum", momentum),
            dampening=number("dampening", dampening, low=-inf),
            weight_decay=number("weight_decay", weight_decay),
            nesterov=nesterov,
            **common,
        )

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change `p` and its momentum in place."""
        if hyper["weight_decay"]:
            g = g + hyper["weight_decay"] * p
        momentum = hyper["momentum"]
        if momentum:
            m = state["momentum_buffer"]
            if step == 1:
                m[...] = g
            else:
                m *= momentum
                m += (1.0 - hyper["dampening"]) * g if hyper["dampening"] else g
            g = g + momentum * m if hyper["nesterov"] else m
        p -= hyper["lr"] * g
