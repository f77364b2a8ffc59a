"""What a schedule is: it says which hyperparameters an optimizer's next step uses."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any, Literal, Self

from portanet.checks import instance, word
from portanet.optim.optimizer import Optimizer
from portanet.optim.stateful import Stateful

Clock = Literal["epoch", "step"]


class Schedule(Stateful):
    """Says which hyperparameters an optimizer uses when `count` steps or epochs are done.

    A Trainer calls it before each step, with the count of the clock named in `by`. It is a pure
    function: the same count gives the same values, so a resumed run needs no state of it. One that
    goes by what the epochs recorded keeps that as its state, and overrides `check`, `observe`,
    `state_dict` and `load_state_dict`, too.
    """

    by: Clock = "epoch"

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
    """A schedule of the learning rate alone: ``lr = rate(count, lr₀)``.

    A subclass is a frozen dataclass: its options, the last of them `by`, and the formula.
    """

    def __post_init__(self) -> None:
        word("by", self.by, "epoch", "step")

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the rate after `count` epochs or steps."""
        # A Python float, whatever the options are: a NumPy scalar would promote float32 arrays.
        return {"lr": float(self.rate(count, initial["lr"]))}

    @abstractmethod
    def rate(self, count: int, lr: float) -> float:
        """Return the rate after `count` epochs or steps, from the first one, `lr`."""
