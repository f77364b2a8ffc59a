"""Where a run is: its calls of `fit`, and what one that ends within an epoch must know to go on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portanet.train.history import History
from portanet.train.step import Sums


@dataclass
class Unfinished:
    """An epoch in the middle: the numbers of its steps so far, and what it may be set back to."""

    sums: Sums
    rates: list[float] = field(default_factory=list)
    seconds: float = 0.0
    recorded: int = 0  # steps that the history has
    settled: int = 0  # steps up to the last good state
    good: dict[str, Any] = field(default_factory=dict)  # the state after these, to roll back to

    @property
    def steps(self) -> int:
        """The number of steps done in this epoch."""
        return len(self.rates)

    def record(self, history: History) -> None:
        """Bring the history of steps up to date; this waits for the device."""
        rows = self.sums.rows()
        history.steps["loss"] += [row["loss"] for row in rows[self.recorded :]]
        history.steps["lr"] += self.rates[self.recorded :]
        self.recorded = len(rows)

    def logs(self) -> dict[str, float]:
        """Return the numbers of an epoch whose steps are done."""
        samples = sum(row["samples"] for row in self.sums.rows())
        return self.sums.means() | {
            "lr": self.rates[-1],
            "seconds": self.seconds,
            "samples_per_second": samples / max(self.seconds, 1e-9),
        }

    def forget(self, first: int, history: History) -> None:
        """Drop the steps from the `first` on, counted from 0: they are to be done again."""
        del self.sums.rows()[first:], self.rates[first:]
        if (extra := self.recorded - first) > 0:
            for column in history.steps.values():
                del column[-extra:]
            self.recorded = first

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes; the history must have its steps."""
        rows = self.sums.rows()
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
        words = {"rates": list(self.rates), "seconds": self.seconds}
        return {"rows": columns, "settled": self.settled, "good": self.good} | words

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        names, columns = state["rows"].keys(), state["rows"].values()
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        self.sums.rows()[:] = rows
        self.rates, self.seconds = list(state["rates"]), float(state["seconds"])
        self.recorded = len(rows)
        # Not in checkpoints of before there were these; the guard then begins with this state.
        self.settled, self.good = int(state.get("settled", 0)), state.get("good", {})


@dataclass
class RunState:
    """Where a trainer is in its run, from one call of `fit` to the next."""

    unfinished: Unfinished | None = None  # the epoch in hand
    began: tuple[int, int] = (0, 0)  # epoch and step at which the last call of fit began
    calls: int = 0  # calls of fit that were done
    running: bool = False  # whether one is in hand
    layout: dict[str, Any] = field(default_factory=dict)  # how the data are cut into batches
    folder: Path | None = None  # where this trainer has saved
    any_seed: bool = False  # whether the trainer was given none
    given: dict[str, Any] = field(default_factory=dict)  # options where a saved run goes by its own
    quantities: tuple[str, ...] = ()  # what the run's epochs record
