"""Learning-rate schedules: pure functions of the number of steps or epochs done."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from math import cos, pi
from typing import Any, Literal, Self

from portanet.checks import Named, integer, number
from portanet.optim.optimizer import Optimizer


class Schedule(metaclass=Named):
    """Says which hyperparameters an optimizer uses when `count` steps or epochs are done.

    A Trainer calls it before each step, with the count of the clock named in `by`. It is a pure
    function: the same count gives the same values, so a resumed run needs no state of it.
    """

    by: Literal["epoch", "step"] = "epoch"

    @abstractmethod
    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the hyperparameters that change, from those the optimizer began with."""

    def spanning(self, first: int, steps: int | None) -> Self:
        """Return the schedule for a run of `steps` steps (None: not known) after the step `first`.

        Only a schedule that must know its run's length differs.
        """
        return self

    def apply(self, optimizer: Optimizer, count: int) -> None:
        """Set the optimizer's hyperparameters for its next step."""
        optimizer.hyper.update(self(count, optimizer.initial))


@dataclass(frozen=True)
class StepLR(Schedule):
    """lr = lr₀ · gamma^⌊count / step_size⌋: a step down every `step_size` epochs (or steps).

    Args:
        step_size: how many epochs, or steps, a rate lasts.
        gamma: the factor from one to the next.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    step_size: int
    gamma: float = 0.1
    by: Literal["epoch", "step"] = "epoch"

    def __post_init__(self) -> None:
        integer("step_size", self.step_size)
        number("gamma", self.gamma)
        if self.by not in ("epoch", "step"):
            raise ValueError(f"by must be 'epoch' or 'step', got {self.by!r}")

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the rate after `count` epochs or steps."""
        return {"lr": initial["lr"] * self.gamma ** (count // self.step_size)}


@dataclass(frozen=True)
class OneCycleLR(Schedule):
    """One cycle of the rate: up to `max_lr`, then down to almost nothing; momentum the other way.

    lr goes from max_lr / div_factor to max_lr in the first `pct_start` of the steps, then to
    max_lr / (div_factor · final_div_factor) at the last; momentum (Adam's β₁) from `max_momentum`
    to `base_momentum` and back. Each leg is half a cosine or a straight line. Definitions and
    defaults are PyTorch's, whose two-leg form this is. It counts steps.

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
        first: the step at which the cycle begins; a Trainer sets it.

    Source: Smith and Topin, "Super-convergence", 2018.
    """

    max_lr: float
    total_steps: int | None = None
    pct_start: float = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = True
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    first: int = 0  # the step at which the cycle begins

    by = "step"

    def __post_init__(self) -> None:
        number("max_lr", self.max_lr)
        number("pct_start", self.pct_start, high=1.0)
        if self.total_steps is not None:
            integer("total_steps", self.total_steps)
        number("base_momentum", self.base_momentum, high=1.0)
        number("max_momentum", self.max_momentum, high=1.0)
        for word in ("div_factor", "final_div_factor"):
            if number(word, getattr(self, word)) == 0.0:
                raise ValueError(f"{word} must be positive, got {getattr(self, word)!r}")
        if self.anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be 'cos' or 'linear', got {self.anneal_strategy!r}"
            )

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
            return replace(self, total_steps=steps, first=first)
        if first + steps > self.first + self.total_steps:
            raise ValueError(
                f"OneCycleLR ends after {self.total_steps} steps, "
                f"but the run goes on to step {first + steps}"
            )
        return self

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
        peak = self.pct_start * self.total_steps - 1.0
        lowest, highest = self.max_lr / self.div_factor, self.max_lr
        last = lowest / self.final_div_factor
        slow, fast = self.max_momentum, self.base_momentum
        if step <= peak:
            share = step / peak if peak else 1.0  # the first step may be the highest
            rates, momenta = (lowest, highest), (slow, fast)
        else:
            share = (step - peak) / (self.total_steps - 1.0 - peak)
            rates, momenta = (highest, last), (fast, slow)
        new: dict[str, Any] = {"lr": self._between(*rates, share)}
        if self.cycle_momentum:
            momentum = self._between(*momenta, share)
            if "betas" in initial:
                new["betas"] = (momentum, initial["betas"][1])
            elif "momentum" in initial:
                new["momentum"] = momentum
            else:
                raise ValueError("cycle_momentum needs an optimizer with momentum or betas")
        return new

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2.0 * (1.0 + cos(pi * share))
