"""Schedules of half cosines: annealing, annealing with restarts, one cycle.

Names, definitions and defaults are PyTorch's; each is given in closed form, as a function of the
count alone.
"""

from copy import copy
from math import cos, pi
from typing import Any, Literal, Self

from portanet.checks import flag, integer, number, word
from portanet.optim.optimizer import Optimizer
from portanet.optim.schedule import Clock, RateSchedule, Schedule


class CosineAnnealingLR(RateSchedule):
    """lr = eta_min + (lr₀ − eta_min) · (1 + cos(π · count / T_max)) / 2: down half a cosine.

    After `T_max` it rises again, in as many epochs or steps.

    Args:
        T_max: at which count the rate is lowest.
        eta_min: the lowest rate.
        by: ``"epoch"`` or ``"step"``: what is counted.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017,
    without its restarts.
    """

    def __init__(self, T_max: int, eta_min: float = 0.0, by: Clock = "epoch") -> None:
        super().__init__(by)
        self.T_max, self.eta_min = integer("T_max", T_max), number("eta_min", eta_min)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return half_cosine(lr, self.eta_min, count / self.T_max)


class CosineAnnealingWarmRestarts(RateSchedule):
    """lr = eta_min + (lr₀ − eta_min) · (1 + cos(π · c / T)) / 2: down half a cosine, and again.

    c counts from the last restart. The first cycle lasts T = T_0 epochs or steps, each other one
    `T_mult` times as long as the one before.

    Args:
        T_0: how long the first cycle lasts.
        T_mult: the factor from one cycle's length to the next's.
        eta_min: the lowest rate.
        by: ``"epoch"`` or ``"step"``: what is counted.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self, T_0: int, T_mult: int = 1, eta_min: float = 0.0, by: Clock = "epoch"
    ) -> None:
        super().__init__(by)
        self.T_0, self.T_mult = integer("T_0", T_0), integer("T_mult", T_mult)
        self.eta_min = number("eta_min", eta_min)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        length = self.T_0
        if self.T_mult == 1:
            count %= length
        while count >= length:
            count, length = count - length, length * self.T_mult
        return half_cosine(lr, self.eta_min, count / length)


class OneCycleLR(Schedule):
    """One cycle of the rate: up to `max_lr`, then down to almost nothing; momentum the other way.

    lr goes from max_lr / div_factor to max_lr in the first `pct_start` of the steps, then to
    max_lr / (div_factor · final_div_factor) at the last; momentum (Adam's β₁) from `max_momentum`
    to `base_momentum` and back. With `three_phase` the way down is as long as the way up and ends
    at the first rate; a third leg leads to the last one. Each leg is half a cosine or a straight
    line. Definitions and defaults are PyTorch's. It counts steps.

    Args:
        max_lr: the highest rate.
        total_steps: the cycle's length; by default that of the Trainer's run.
        pct_start: the share of the steps in which the rate grows.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: whether momentum changes, too.
        base_momentum: the lowest momentum, at the highest rate.
        max_momentum: the highest momentum, at both ends.
        div_factor: max_lr over the first rate.
        final_div_factor: the first rate over the last.
        three_phase: whether a leg of its own leads from the first rate to the last.
        first: the step at which the cycle begins; a Trainer sets it.

    Source: Smith and Topin, "Super-convergence", 2018, whose own cycle is the one of three legs.
    """

    by = "step"

    def __init__(
        self,
        max_lr: float,
        total_steps: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        first: int = 0,
    ) -> None:
        self.max_lr = number("max_lr", max_lr)
        self.total_steps = None if total_steps is None else integer("total_steps", total_steps)
        self.pct_start = number("pct_start", pct_start, high=1.0)
        self.anneal_strategy = word("anneal_strategy", anneal_strategy, "cos", "linear")
        self.cycle_momentum = flag("cycle_momentum", cycle_momentum)
        self.base_momentum = number("base_momentum", base_momentum, high=1.0)
        self.max_momentum = number("max_momentum", max_momentum, high=1.0)
        self.div_factor = number("div_factor", div_factor)
        self.final_div_factor = number("final_div_factor", final_div_factor)
        for name in ("div_factor", "final_div_factor"):
            if getattr(self, name) == 0.0:
                raise ValueError(f"{name} must be positive, got 0")
        self.three_phase = flag("three_phase", three_phase)
        self.first = integer("first", first, least=0)

    def spanning(self, first: int, steps: int | None) -> Self:
        """Return the cycle over the run where no `total_steps` was given.

        Raises ValueError where the run goes on after the cycle's end.
        """
        if steps is None:
            if self.total_steps is None:
                raise ValueError(
                    "OneCycleLR: the data does not say its length, so give total_steps"
                )
            return self
        if self.total_steps is None:
            whole = copy(self)
            whole.total_steps, whole.first = steps, first
            return whole
        if first + steps > self.first + self.total_steps:
            raise ValueError(
                f"OneCycleLR ends after {self.total_steps} steps, "
                f"but the run goes on to step {first + steps}"
            )
        return self

    def apply(self, optimizer: Optimizer, count: int) -> None:
        """Set the hyperparameters; a group's rate is to the others as its own `lr` to theirs."""
        super().apply(optimizer, count)
        base = optimizer.initial["lr"]
        for group in optimizer.groups.values():
            if group.initial["lr"] != base:
                group.hyper["lr"] *= group.initial["lr"] / base if base else 0.0

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the rate, and the momentum where the optimizer has one, after `count` steps."""
        if self.total_steps is None:
            raise ValueError("OneCycleLR needs total_steps outside a Trainer")
        step = count - self.first
        if not 0 <= step < self.total_steps:
            raise ValueError(
                f"OneCycleLR covers the steps {self.first} to {self.first + self.total_steps - 1}, "
                f"got {count}"
            )
        low, high = self.max_lr / self.div_factor, self.max_lr
        last, slow, fast = low / self.final_div_factor, self.max_momentum, self.base_momentum
        # Each leg: its last step, the rates and the momenta at its ends.
        peak, end = self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        legs = [(peak, (low, high), (slow, fast)), (end, (high, last), (fast, slow))]
        if self.three_phase:
            back = (2.0 * peak, (high, low), (fast, slow))
            legs[1:] = [back, (end, (low, last), (slow, slow))]
        k = next(k for k, (stop, *_) in enumerate(legs) if step <= stop)
        start, (stop, rates, momenta) = legs[k - 1][0] if k else 0.0, legs[k]
        share = (step - start) / (stop - start) if stop > start else 1.0  # a leg of one step
        between = half_cosine if self.anneal_strategy == "cos" else straight_line
        new: dict[str, Any] = {"lr": between(*rates, share)}
        if self.cycle_momentum:
            momentum = between(*momenta, share)
            if "betas" in initial:
                new["betas"] = (momentum, initial["betas"][1])
            elif "momentum" in initial:
                new["momentum"] = momentum
            else:
                raise ValueError("cycle_momentum needs an optimizer with momentum or betas")
        return new


def half_cosine(start: float, end: float, share: float) -> float:
    """Return the value after a share of the way from `start` to `end` down half a cosine."""
    return float(end + (start - end) * ((1.0 + cos(pi * share)) / 2.0))


def straight_line(start: float, end: float, share: float) -> float:
    """Return the value after a share of the way from `start` to `end` on a straight line."""
    return float(start + (end - start) * share)
