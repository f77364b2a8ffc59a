"""Schedules that multiply the first rate by a factor: steps, lines, powers, any function.

All count epochs, or steps with ``by="step"``. Names, definitions and defaults are PyTorch's; each
is given in closed form, as a function of the count alone.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portanet.checks import integer, listed, number
from portanet.optim.schedule import Clock, RateSchedule


@dataclass(frozen=True)
class StepLR(RateSchedule):
    """lr = lr₀ · gamma^⌊count / step_size⌋: a step down every `step_size` epochs (or steps).

    ``StepLR(50, 0.99)`` multiplies the rate by 0.99 every 50 epochs.

    Args:
        step_size: how many epochs, or steps, a rate lasts.
        gamma: the factor from one to the next.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    step_size: int
    gamma: float = 0.1
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("step_size", self.step_size)
        number("gamma", self.gamma)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.gamma ** (count // self.step_size)


@dataclass(frozen=True)
class MultiStepLR(RateSchedule):
    """lr = lr₀ · gamma^k, where k milestones are reached: a step down at each of them.

    Args:
        milestones: the counts at which the rate falls; one that stands there twice counts twice.
        gamma: the factor from one rate to the next.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    milestones: Sequence[int]
    gamma: float = 0.1
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = listed("milestones", self.milestones)
        milestones = tuple(sorted(integer("milestones", m, least=0) for m in given))
        object.__setattr__(self, "milestones", milestones)  # the way into a frozen dataclass
        number("gamma", self.gamma)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.gamma ** bisect_right(self.milestones, count)


@dataclass(frozen=True)
class ExponentialLR(RateSchedule):
    """lr = lr₀ · gamma^count: the same factor after every epoch (or step).

    Args:
        gamma: the factor.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    gamma: float
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        number("gamma", self.gamma)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.gamma**count


@dataclass(frozen=True)
class ConstantLR(RateSchedule):
    """lr = lr₀ · factor while count < total_iters, then lr₀.

    Args:
        factor: from 0 to 1.
        total_iters: for how many epochs, or steps, it holds.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    factor: float = 1.0 / 3.0
    total_iters: int = 5
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, high=1.0)
        integer("total_iters", self.total_iters)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.factor if count < self.total_iters else lr


@dataclass(frozen=True)
class LinearLR(RateSchedule):
    """lr = lr₀ · f, f on a straight line from `start_factor` to `end_factor`, then constant.

    f = start_factor + (end_factor − start_factor) · min(count / total_iters, 1). With its defaults
    it is the linear warm-up; `SequentialLR` lets another schedule follow.

    Args:
        start_factor: the first factor, from 0 to 1.
        end_factor: the last factor, from 0 to 1.
        total_iters: after how many epochs, or steps, the last factor is reached.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    start_factor: float = 1.0 / 3.0
    end_factor: float = 1.0
    total_iters: int = 5
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        number("start_factor", self.start_factor, high=1.0)
        number("end_factor", self.end_factor, high=1.0)
        integer("total_iters", self.total_iters)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        share = min(count, self.total_iters) / self.total_iters
        return lr * (self.start_factor + (self.end_factor - self.start_factor) * share)


@dataclass(frozen=True)
class PolynomialLR(RateSchedule):
    """lr = lr₀ · (1 − min(count / total_iters, 1))^power: down to zero.

    Args:
        total_iters: after how many epochs, or steps, the rate is zero.
        power: 1 goes down in a straight line; the larger, the faster at first.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    total_iters: int = 5
    power: float = 1.0
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("total_iters", self.total_iters)
        number("power", self.power)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        left = 1.0 - min(count, self.total_iters) / self.total_iters
        return lr * float(left**self.power)


@dataclass(frozen=True)
class LambdaLR(RateSchedule):
    """lr = lr₀ · lr_lambda(count): any function of the count.

    ``LambdaLR(lambda epoch: 1 / (1 + 0.1 * epoch))`` decays with the inverse of the time.

    Args:
        lr_lambda: returns the factor.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    lr_lambda: Callable[[int], float]
    by: Clock = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.lr_lambda):
            raise TypeError(f"lr_lambda must be a function of the count, got {self.lr_lambda!r}")

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * number("LambdaLR: what lr_lambda returns", self.lr_lambda(count))
