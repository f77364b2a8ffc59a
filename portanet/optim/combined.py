"""Schedules made of schedules: one after another, or all at once.

Names and definitions are PyTorch's.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

from portanet.checks import instance, integer, listed
from portanet.optim.schedule import Schedule


class _Combined(Schedule):
    """Schedules that count the same: epochs or steps."""

    def __init__(self, schedulers: Sequence[Schedule]) -> None:
        who = type(self).__name__
        parts: list[Schedule] = listed("schedulers", schedulers)
        if not parts:
            raise ValueError(f"{who}: expected at least one schedule, got none")
        for part in parts:
            if instance("schedulers", part, Schedule).state_dict():
                raise ValueError(f"{who}: {type(part).__name__} keeps state and stands alone")
        clocks = [part.by for part in parts]
        if len(set(clocks)) > 1:
            raise ValueError(f"{who}: expected schedules by one clock, got {', '.join(clocks)}")
        self.schedulers, self.by = parts, clocks[0]


class SequentialLR(_Combined):
    """One schedule after another; each begins at its milestone, and counts from there.

    A warm-up of 500 steps, then a cosine over the other 4500::

        warm_up = LinearLR(0.01, total_iters=500, by="step")
        cosine = CosineAnnealingLR(4500, by="step")
        SequentialLR([warm_up, cosine], milestones=[500])

    Args:
        schedulers: the schedules, all by the same clock, which becomes this one's.
        milestones: the counts, in rising order, at which the second and the following begin.

    A `OneCycleLR` without `total_steps` lasts to the next milestone, as the last one to the run's
    end.
    """

    def __init__(self, schedulers: Sequence[Schedule], milestones: Sequence[int]) -> None:
        super().__init__(schedulers)
        self.milestones = [integer("milestones", m) for m in listed("milestones", milestones)]
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected a milestone between each two of {len(self.schedulers)} "
                f"schedules, got {self.milestones}"
            )
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ValueError(
                f"SequentialLR: milestones must be in rising order, got {self.milestones}"
            )

    def spanning(self, first: int, steps: int | None) -> Self:
        """Return the schedules for their parts of the run; lengths in epochs say nothing of it."""
        if self.by == "epoch":
            return self
        starts, (*others, last) = (0, *self.milestones), self.schedulers
        spans = pairwise(starts)
        parts = [s.spanning(0, end - start) for s, (start, end) in zip(others, spans, strict=True)]
        began = max(first - starts[-1], 0)
        if steps is None:
            last = last.spanning(began, None)
        elif first + steps > starts[-1]:  # the run gets there
            last = last.spanning(began, first + steps - starts[-1] - began)
        return type(self)([*parts, last], self.milestones)

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return what the schedule of this count gives."""
        k = bisect_right(self.milestones, count)
        return self.schedulers[k](count - (0, *self.milestones)[k], initial)


class ChainedScheduler(_Combined):
    """All schedules at once: each begins from the rate that the one before gives.

    So their factors multiply: ``ChainedScheduler([ConstantLR(0.1, 20), ExponentialLR(0.9)])``
    decays at every epoch, from a tenth of the rate in the first twenty.

    PyTorch's gives the same with schedules that multiply by a factor. There, `LambdaLR`,
    `OneCycleLR` and `CosineAnnealingWarmRestarts` take each count from the first rate, whatever the
    others made of it; `CosineAnnealingLR` goes on from the rate before, which differs where
    `eta_min` is not 0, and after `T_max`; and a chain within a `SequentialLR` is one count ahead.

    Args:
        schedulers: the schedules, all by the same clock, which becomes this one's.
    """

    def spanning(self, first: int, steps: int | None) -> Self:
        """Return the schedules for the run."""
        return type(self)([s.spanning(first, steps) for s in self.schedulers])

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return what the schedules give one upon the other."""
        new: dict[str, Any] = {}
        for schedule in self.schedulers:
            new |= schedule(count, dict(initial) | new)
        return new
