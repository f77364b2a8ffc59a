"""What a schedule is: it says which hyperparameters an optimizer's next step uses."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from copy import deepcopy
from inspect import isfunction
from reprlib import repr as shortened
from typing import Any, Literal, Self

from portanet.checks import instance, word
from portanet.optim.optimizer import Optimizer
from portanet.optim.stateful import Stateful
from portanet.overriding import check_override

Clock = Literal["epoch", "step"]


class Schedule(Stateful):
    """Says which hyperparameters an optimizer uses when `count` steps or epochs are done.

    A Trainer calls it before each step, with the count of the clock named in `by`. It is a pure
    function: the same count gives the same values, so a resumed run needs no state of it. One that
    goes by what the epochs recorded keeps that as its state, and overrides `check`, `observe`,
    `state_dict` and `load_state_dict`, too.
    """

    by: Clock = "epoch"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for hook in ("__call__", "spanning", "apply", "check", "observe"):
            check_override(cls, hook, Schedule)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse an optimizer among the options: PyTorch's schedules take it first."""
        if any(isinstance(option, Optimizer) for option in (*args, *options.values())):
            raise TypeError(
                f"{cls.__name__}: schedules take no optimizer; a Trainer brings both together: "
                f"Trainer(model, loss, optimizer, schedule={cls.__name__}(…))"
            )
        return super().__new__(cls)

    @staticmethod
    def of(given: Any) -> "Schedule":
        """Return `given`, or raise TypeError where it is no schedule."""
        if isinstance(given, Schedule):
            return given
        hint = "; LambdaLR makes one of a function" if isfunction(given) else ""
        raise TypeError(f"schedule must be a Schedule, got {shortened(given)}{hint}")

    @abstractmethod
    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the hyperparameters that change, from those the optimizer began with."""

    def spanning(self, first: int, steps: int | None) -> Self:
        """Return the schedule for a run of `steps` steps (None: not known) after the step `first`.

        Only a schedule that must know its run's length differs; one with state returns itself.
        """
        return self

    def apply(self, optimizer: Optimizer, count: int) -> None:
        """Set the optimizer's hyperparameters for its next step."""
        for group in instance("optimizer", optimizer, Optimizer).groups.values():
            new = self(count, group.initial)
            if not isinstance(new, Mapping):
                raise TypeError(
                    f'{type(self).__name__} must return a dict, {{"lr": …}}, got {shortened(new)}'
                )
            if not new.keys() <= group.hyper.keys():
                raise ValueError(
                    f"{type(self).__name__} sets {sorted(new.keys() - group.hyper.keys())}, but "
                    f"{type(optimizer).__name__} has {', '.join(group.hyper)}"
                )
            group.hyper.update(new)

    def check(self, quantities: Collection[str]) -> None:
        """Raise ValueError where a run that records these quantities lacks one that it needs."""

    def observe(self, logs: Mapping[str, float]) -> None:
        """Learn what an epoch, or the part of it that a run ended with, recorded."""

    def own(self) -> Self:
        """Return the schedule for one Trainer: a copy, where it keeps state, which is the run's."""
        return deepcopy(self) if self.state_dict() else self


class RateSchedule(Schedule):
    """A schedule of the learning rate alone: ``lr = rate(count, lr₀)``."""

    def __init__(self, by: Clock) -> None:
        word("by", by, "epoch", "step")
        self.by = by

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the rate after `count` epochs or steps."""
        # A Python float, whatever the options are: a NumPy scalar would promote float32 arrays.
        try:
            return {"lr": float(self.rate(count, initial["lr"]))}
        except OverflowError:
            raise OverflowError(
                f"{self}: the rate after {count} {self.by}s is beyond the largest number"
            ) from None

    @abstractmethod
    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps, from the first one, `lr`."""
