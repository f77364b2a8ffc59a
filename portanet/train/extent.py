"""How far one call of `fit` goes."""

from dataclasses import dataclass
from math import ceil, inf
from typing import Self

from portanet.checks import integer
from portanet.train.source import Source


@dataclass(frozen=True)
class Extent:
    """So many epochs, or so many updates, each of `accumulate` batches."""

    epochs: int | None
    steps: int | None
    accumulate: int

    @classmethod
    def of(cls, epochs: int | None, steps: int | None, accumulate: int) -> Self:
        """Return what `fit` was given, checked; by default one epoch."""
        if steps is None:
            return cls(integer("epochs", 1 if epochs is None else epochs), None, accumulate)
        if epochs is not None:
            raise ValueError("fit takes epochs or steps, not both")
        return cls(None, integer("steps", steps), accumulate)

    def whole(self, source: Source) -> int | None:
        """Return the updates of an epoch, where they are known."""
        return source.steps and ceil(source.steps / self.accumulate)

    def rounds(self, source: Source) -> int:
        """Return how many epochs are begun, as far as is known."""
        return self.epochs or ceil((self.steps or 1) / (self.whole(source) or inf))

    def reaches_an_end(self, source: Source) -> bool:
        """Say whether an epoch is gone through to its last batch, as far as is known."""
        return not self.steps or self.steps >= (self.whole(source) or inf)

    def updates(self, source: Source) -> int | None:
        """Return the updates of all epochs, where they are known."""
        whole = self.whole(source)
        return self.steps or (whole and self.epochs and self.epochs * whole)

    def end(self, epoch: int, step: int) -> tuple[float, float]:
        """Return the epoch and the step at which a run ends that began with these."""
        return epoch + (self.epochs or inf), step + (self.steps or inf)
