"""One call of `Trainer.fit`: epochs, steps, and what is kept so that the run can go on."""

from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import ceil, inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

from portanet.optim.schedule import Schedule
from portanet.random import Key
from portanet.train.checkpoints import Checkpoints
from portanet.train.guard import Guard
from portanet.train.history import Best
from portanet.train.interrupt import Interrupt
from portanet.train.memory import no_room
from portanet.train.parallel import Team
from portanet.train.progress import Progress
from portanet.train.source import Source
from portanet.train.step import (
    NO_BATCH,
    Sums,
    evaluation,
    gradients,
    gradients_alone,
    grouped,
)

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


@dataclass
class Unfinished:
    """An epoch in the middle: the numbers of its steps so far."""

    sums: Sums
    rates: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """The number of steps done in this epoch."""
        return len(self.rates)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        rows = self.sums.rows()
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
        return {"rows": columns, "rates": list(self.rates), "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        names, columns = state["rows"].keys(), state["rows"].values()
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        self.sums.rows()[:] = rows
        self.rates, self.seconds = list(state["rates"]), float(state["seconds"])


@dataclass
class Run:
    """What one call of `fit` does, on the trainer's model and into its history."""

    trainer: "Trainer"
    source: Source
    validation: Source | None
    schedule: Schedule | None
    accumulate: int
    last_epoch: float
    last_step: float
    shown: Progress

    def execute(self, checkpoints: Checkpoints | None) -> None:
        """Train until the last epoch or step, or until somebody ends it."""
        trainer = self.trainer
        self.checkpoints, self.guard = checkpoints, Guard(trainer)
        self.interrupt = Interrupt(terminate=checkpoints is not None)
        with self.shown, Team(trainer.model.backend, trainer.model) as self.team, self.interrupt:
            self._save()  # what cannot be written is told before anything is trained
            while self.goes_on and not self.interrupt.requested:
                if self._train_epoch():
                    self._end_epoch()
                if self.goes_on:
                    self._save()
        trainer.history.interrupted = self.interrupt.requested
        trainer.call("on_fit_end")
        if not self.goes_on:
            trainer.calls, trainer.running = trainer.calls + 1, False
            self._save()

    @property
    def goes_on(self) -> bool:
        """Whether there is still something to train."""
        trainer = self.trainer
        within = trainer.epoch < self.last_epoch and trainer.step < self.last_step
        return trainer.unfinished is not None or (within and not trainer.stop_training)

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch and return True, or False where it was interrupted."""
        trainer, accumulate = self.trainer, self.accumulate
        part = trainer.unfinished
        if part is None:
            part = trainer.unfinished = Unfinished(
                Sums(trainer.model.backend, trainer.loss.reduction)
            )
            trainer.call("on_epoch_begin", trainer.epoch)
        left = None if self.last_step == inf else int(self.last_step - trainer.step)
        whole = self.source.steps and ceil(self.source.steps / accumulate) - part.steps
        self.shown.begin(trainer.epoch, min((n for n in (whole, left) if n), default=None))
        started = perf_counter() - part.seconds
        batches = self.source.batches(trainer.epoch, first=part.steps * accumulate)
        for group in islice(grouped(batches, accumulate), left):
            self._train_step(group, part)
            part.seconds = perf_counter() - started
            self.shown.step()
            trainer.call("on_step_end", trainer.step)
            if part.steps % self.guard.WINDOW == 0:
                self.guard.settle(part)
            if trainer.stop_training:
                break
            if self.interrupt.requested:
                self._record(part)
                return False
            if self.checkpoints is not None and self.checkpoints.is_due(trainer.step):
                self._save()
        if not part.steps:
            raise ValueError(f"epoch {trainer.epoch + 1}: {NO_BATCH}")
        self.guard.settle(part)
        part.seconds = perf_counter() - started
        return True

    def _train_step(self, batches: list[Any], part: Unfinished) -> None:
        trainer, schedule = self.trainer, self.schedule
        if schedule is not None:
            count = trainer.step if schedule.by == "step" else trainer.epoch
            schedule.apply(trainer.optimizer, count)
        key = Key(trainer.seed).child("step", trainer.step)
        before = self.guard.before()
        model, loss, metrics = trainer.model, trainer.loss, trainer.metrics
        try:
            grads, numbers = gradients(model, loss, batches, key, metrics, self.team)
        except Exception as error:
            if not self.team.backend.is_out_of_memory(error):
                raise
            batch, size = batches[0], batches[0].x.shape[0]
            some = partial(gradients_alone, model, loss, batch, key)
            raise no_room(self.team.backend, error, size, some) from error
        self.guard.update(before, grads, numbers, batches, key)
        trainer.step += 1
        part.sums.add(**numbers)
        part.rates.append(trainer.optimizer.hyper["lr"])

    def _record(self, part: Unfinished) -> None:
        """Bring the history of steps up to date; this waits for the device."""
        steps, done = self.trainer.history.steps, part.steps
        recorded = done - (self.trainer.step - len(steps["loss"]))
        steps["loss"] += [row["loss"] for row in part.sums.rows()[recorded:]]
        steps["lr"] += part.rates[recorded:]

    def _end_epoch(self) -> None:
        """Validate, record, and tell the schedule and the callbacks."""
        trainer, part = self.trainer, self.trainer.unfinished
        assert part is not None
        self._record(part)
        samples = sum(row["samples"] for row in part.sums.rows())
        speed = samples / max(part.seconds, 1e-9)
        logs = part.sums.means() | {
            "lr": part.rates[-1],
            "seconds": part.seconds,
            "samples_per_second": speed,
        }
        if self.validation is not None:
            model, batches = trainer.model, self.validation.batches(0)
            found = evaluation(model, trainer.loss, batches, trainer.metrics, self.team)
            logs |= {f"val_{name}": value for name, value in found.items()}
            self._keep_best(logs[trainer.monitor])
        if trainer.schedule is not None:
            trainer.schedule.observe(logs)
        trainer.history.append(logs)
        trainer.epoch += 1
        trainer.unfinished = None
        self.shown.end(trainer.epoch - 1, logs)
        trainer.call("on_epoch_end", trainer.epoch - 1, logs)

    def _keep_best(self, value: float) -> None:
        """Keep the parameters, where the epoch that has just been validated is the best."""
        trainer = self.trainer  # a NaN is never the best: it is above nothing
        if trainer.sign * value > (
            -inf if trainer.best is None else trainer.sign * trainer.best.value
        ):
            trainer.best = Best(trainer.epoch, value, trainer.model.state_dict())

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        trainer = self.trainer
        if trainer.unfinished is not None:
            self.guard.settle(trainer.unfinished)
            self._record(trainer.unfinished)
        best = trainer.best
        is_best = best is not None and not trainer.unfinished and best.epoch == trainer.epoch - 1
        self.checkpoints.write(trainer, is_best)
