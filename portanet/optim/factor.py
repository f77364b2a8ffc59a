"""Schedules that multiply the first rate by a factor: steps, lines, powers, any function.

All count epochs, or steps with ``by="step"``. Names, definitions and defaults are PyTorch's; each
is given in closed form, as a function of the count alone.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from portanet.checks import integer, listed, number
from portanet.optim.schedule import Clock, RateSchedule


class StepLR(RateSchedule):
    """lr = lr₀ · gamma^⌊count / step_size⌋: a step down every `step_size` epochs (or steps).

    ``StepLR(50, 0.99)`` multiplies the rate by 0.99 every 50 epochs.

    Args:
        step_size: how many epochs, or steps, a rate lasts.
        gamma: the factor from one to the next.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    def __init__(self, step_size: int, gamma: float = 0.1, by: Clock = "epoch") -> None:
        super().__init__(by)
        self.step_size, self.gamma = integer("step_size", step_size), number("gamma", gamma)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.gamma ** (count // self.step_size)


class MultiStepLR(RateSchedule):
    """lr = lr₀ · gamma^k, where k milestones are reached: a step down at each of them.

    Args:
        milestones: the counts at which the rate falls; one that stands there twice counts twice.
        gamma: the factor from one rate to the next.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    def __init__(self, milestones: Sequence[int], gamma: float = 0.1, by: Clock = "epoch") -> None:
        super().__init__(by)
        given = listed("milestones", milestones)
        self.milestones = sorted(integer("milestones", m, least=0) for m in given)
        self.gamma = number("gamma", gamma)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.gamma ** bisect_right(self.milestones, count)


class ExponentialLR(RateSchedule):
    """lr = lr₀ · gamma^count: the same factor after every epoch (or step).

    Args:
        gamma: the factor.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    def __init__(self, gamma: float, by: Clock = "epoch") -> None:
        super().__init__(by)
        self.gamma = number("gamma", gamma)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.gamma**count


class ConstantLR(RateSchedule):
    """lr = lr₀ · factor while count < total_iters, then lr₀.

    Args:
        factor: from 0 to 1.
        total_iters: for how many epochs, or steps, it holds.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    def __init__(
        self, factor: float = 1.0 / 3.0, total_iters: int = 5, by: Clock = "epoch"
    ) -> None:
        super().__init__(by)
        self.factor = number("factor", factor, high=1.0)
        self.total_iters = integer("total_iters", total_iters)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * self.factor if count < self.total_iters else lr


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

    def __init__(
        self,
        start_factor: float = 1.0 / 3.0,
        end_factor: float = 1.0,
        total_iters: int = 5,
        by: Clock = "epoch",
    ) -> None:
        super().__init__(by)
        self.start_factor = number("start_factor", start_factor, high=1.0)
        self.end_factor = number("end_factor", end_factor, high=1.0)
        self.total_iters = integer("total_iters", total_iters)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        share = min(count, self.total_iters) / self.total_iters
        return lr * (self.start_factor + (self.end_factor - self.start_factor) * share)


class PolynomialLR(RateSchedule):
    """lr = lr₀ · (1 − min(count / total_iters, 1))^power: down to zero.

    Args:
        total_iters: after how many epochs, or steps, the rate is zero.
        power: 1 goes down in a straight line; the larger, the faster at first.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    def __init__(self, total_iters: int = 5, power: float = 1.0, by: Clock = "epoch") -> None:
        super().__init__(by)
        self.total_iters = integer("total_iters", total_iters)
        self.power = number("power", power)

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        left = 1.0 - min(count, self.total_iters) / self.total_iters
        return lr * float(left**self.power)


class LambdaLR(RateSchedule):
    """lr = lr₀ · lr_lambda(count): any function of the count.

    ``LambdaLR(lambda epoch: 1 / (1 + 0.1 * epoch))`` decays with the inverse of the time.

    Args:
        lr_lambda: returns the factor.
        by: ``"epoch"`` or ``"step"``: what is counted.
    """

    def __init__(self, lr_lambda: Callable[[int], float], by: Clock = "epoch") -> None:
        super().__init__(by)
        if not callable(lr_lambda):
            raise TypeError(f"lr_lambda must be a function of the count, got {lr_lambda!r}")
        self.lr_lambda = lr_lambda

    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps."""
        return lr * number("LambdaLR: what lr_lambda returns", self.lr_lambda(count))
