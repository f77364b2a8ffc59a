"""One call of `Trainer.fit`: epochs, steps, and what is kept so that the run can go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from math import ceil, inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

from portanet.nn.context import Gradients
from portanet.optim.schedule import Schedule
from portanet.random import Key
from portanet.train.batch import NO_BATCH
from portanet.train.checkpoints import Checkpoints
from portanet.train.diagnosis import all_finite, diagnosis, is_spoiled
from portanet.train.guard import Guard, Hypers
from portanet.train.history import History
from portanet.train.interrupt import Interrupt
from portanet.train.memory import no_room_for
from portanet.train.parallel import Team
from portanet.train.progress import Progress
from portanet.train.record import record
from portanet.train.source import Source
from portanet.train.state import restore_callbacks
from portanet.train.step import Sums, evaluation, gradients, grouped
from portanet.train.unfinished import Unfinished

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


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
    progress: bool

    def execute(
        self, checkpoints: Checkpoints | None, resumed: Mapping[str, Any] | None
    ) -> History:
        """Train until the last epoch or step, or until somebody ends it.

        `resumed` is the state that the run goes on from, where it does.
        """
        trainer = self.trainer
        trainer._run.folder = None if checkpoints is None else checkpoints.folder.resolve()
        trainer.model.backend.prepare_training()
        trainer._call("on_fit_begin")
        if resumed is not None:
            restore_callbacks(trainer, resumed)
        self.checkpoints, self.guard = checkpoints, Guard(trainer)
        self.shown = Progress(self.last_epoch, self.progress)
        self.interrupt = Interrupt(terminate=checkpoints is not None)
        team = Team(trainer.model.backend, trainer.model, trainer.loss)
        with self.shown, team as self.team, self.interrupt:
            if checkpoints is not None:
                checkpoints.clear()
                if resumed is None:
                    checkpoints.keep_end()
            # What cannot be written is told before anything is trained. A run that was killed may
            # have saved its best epoch, but not yet under that name.
            self._save(best=resumed is not None and resumed["running"])
            if resumed is not None and not self.goes_on:
                self.shown.say("this run is finished: nothing is left to train")
            try:
                while self.goes_on and not self.interrupt.requested:
                    ended = self._train_epoch() and self._end_epoch()
                    self._save(best=ended)
            finally:  # whoever looks for an error wants the losses that led to it
                if trainer._run.unfinished is not None:
                    trainer._run.unfinished.record(trainer.history)
            if self.interrupt.requested:
                self.shown.interrupted(self.interrupt.requested, trainer.step)
            trainer.history.interrupted = self.interrupt.requested
            trainer._call("on_fit_end")
            if not self.goes_on:
                self._finish()
            trainer.history.interrupted = self.interrupt.requested  # or has been since
        return trainer.history

    @property
    def goes_on(self) -> bool:
        """Whether there is still something to train."""
        trainer = self.trainer
        within = trainer.epoch < self.last_epoch and trainer.step < self.last_step
        return trainer._run.unfinished is not None or (within and not trainer.stop_training)

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch and return True, or False where it was interrupted."""
        trainer, accumulate = self.trainer, self.accumulate
        part = trainer._run.unfinished
        if part is None:
            sums = Sums(trainer.model.backend, trainer.loss.reduction)
            part = trainer._run.unfinished = Unfinished(sums)
            trainer._call("on_epoch_begin", trainer.epoch)
            self.guard.keep(part)
        left = None if self.last_step == inf else int(self.last_step - trainer.step)
        if part.steps and trainer.stop_training:  # only the validation was not done
            left = 0
        whole = self.source.steps and ceil(self.source.steps / accumulate) - part.steps
        self.shown.begin(trainer.epoch, min((n for n in (whole, left) if n), default=None))
        started = perf_counter() - part.seconds
        batches = self.source.batches(trainer.epoch, first=part.steps * accumulate)
        for group in islice(grouped(batches, accumulate), left):
            self._train_step(group, part)
            part.seconds = perf_counter() - started
            self.shown.step()
            trainer._call("on_step_end", trainer.step)
            if trainer.stop_training:
                break
            if self.interrupt.requested:
                return False
            if self.checkpoints is not None and self.checkpoints.is_due(trainer.step):
                self._save()
        if not part.steps:
            raise ValueError(f"epoch {trainer.epoch + 1}: {NO_BATCH}")
        self._settle(part)
        part.seconds = perf_counter() - started
        return True

    def _train_step(self, batches: list[Any], part: Unfinished) -> None:
        before = self.guard.before()
        _, grads, numbers = self._gradients(batches)
        self.guard.update(before, grads, numbers)
        self._count(part, numbers)
        if self.guard.is_due(part, numbers["loss"]):
            self._settle(part)
            self.guard.keep(part)

    def _gradients(self, batches: list[Any]) -> tuple[Key, Gradients, dict[str, Any]]:
        """Return the key of the step's random numbers, its gradients, and its numbers."""
        trainer, schedule = self.trainer, self.schedule
        if schedule is not None:
            count = trainer.step if schedule.by == "step" else trainer.epoch
            schedule.apply(trainer.optimizer, count)
        key = Key(trainer.seed).child("step", trainer.step)
        model, loss, metrics = trainer.model, trainer.loss, trainer.metrics
        try:
            return key, *gradients(model, loss, batches, key, metrics, self.team)
        except Exception as error:
            if not self.team.backend.is_out_of_memory(error):
                raise
            raise no_room_for(model, loss, batches[0], key, self.accumulate, error) from error

    def _count(self, part: Unfinished, numbers: dict[str, Any]) -> None:
        self.trainer.step += 1
        part.sums.add(**numbers)
        part.rates.append(self.trainer.optimizer.hyper["lr"])

    def _settle(self, part: Unfinished) -> None:
        """Look at the numbers so far; raise FloatingPointError where they are not finite."""
        if self.guard.settle(part):
            return
        trainer = self.trainer
        with self.guard.gone_back(part) as hypers:
            found = self._trace(part, hypers)
        raise FloatingPointError(
            f"step {trainer.step + 1} (epoch {trainer.epoch + 1}): {found}; a lower rate, "
            "ClipGradNorm or on_nan='skip' may help; under `resume`, help(Trainer.fit) says how to "
            "change the rate of a run that goes on"
        )

    def _trace(self, part: Unfinished, hypers: Iterable[Hypers]) -> str:
        """Do an epoch's steps again up to the first that is not finite; say what is not."""
        trainer, model = self.trainer, self.trainer.model
        if not self.source.repeatable:
            return "from here on something is not finite, and the data cannot be gone back to"
        first = part.steps * self.accumulate
        batches = grouped(self.source.batches(trainer.epoch, first), self.accumulate)
        for hyper, group in zip(hypers, batches, strict=False):
            buffers = [(b, b + 0) for b in model.buffers.values()]
            key, grads, numbers = self._gradients(group)
            if not all_finite([numbers["loss"], *grads.values()]):
                for buffer, copy in buffers:
                    buffer[...] = copy
                return diagnosis(model, trainer.loss, group, key)
            self.guard.hyper = hyper
            trainer.optimizer.step(grads)
            self._count(part, numbers)
        if is_spoiled(model):
            return "by then a parameter or a buffer is not finite"
        return "by then something was not finite which is, done again; does a callback change it?"

    def _end_epoch(self) -> bool:
        """Validate, record, tell the schedule and the callbacks; False where interrupted before."""
        trainer, part = self.trainer, self.trainer._run.unfinished
        assert part is not None
        part.record(trainer.history)
        logs = part.logs()
        if self.validation is not None:
            found = self._validate(self.validation)
            if found is None:
                return False
            logs |= {f"val_{name}": value for name, value in found.items()}
        epoch = trainer.epoch  # a callback may go back to an earlier state
        self.shown.end(epoch, record(trainer, logs, self.validation is not None))
        return True

    def _validate(self, validation: Source) -> dict[str, float] | None:
        """Return the numbers of the validation data, or None where it was interrupted."""
        trainer = self.trainer
        batches = takewhile(lambda _: not self.interrupt.requested, validation.batches(0))
        try:
            found = evaluation(trainer.model, trainer.loss, batches, trainer.metrics, self.team)
        except ValueError:
            if not self.interrupt.requested:
                raise
            return None
        return None if self.interrupt.requested else found

    def _finish(self) -> None:
        """Note that this call of `fit` is done; where that cannot be saved, it is not."""
        place = self.trainer._run
        place.calls, place.running = place.calls + 1, False
        try:
            self._save()
        except BaseException:
            place.calls, place.running = place.calls - 1, True
            raise

    def _save(self, best: bool = False) -> None:
        """Write a checkpoint; `best` gives it that name, too, where the last epoch is the best."""
        trainer, part = self.trainer, self.trainer._run.unfinished
        if self.checkpoints is None:
            return
        if part is not None:
            self._settle(part)
        last = len(trainer.history) - 1
        is_best = trainer.best is not None and trainer.best.epoch == last
        self.checkpoints.write(trainer, best and is_best and part is None)
