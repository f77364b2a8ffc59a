"""The training loop: fit, evaluate, predict."""

from collections.abc import Iterable, Sequence
from itertools import islice
from math import ceil, inf
from time import perf_counter
from typing import Any, Literal

from portanet.backend import Array
from portanet.checks import Named, instance, integer, one_of_them, sign_of
from portanet.data.loader import DataLoader
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.optim.optimizer import Optimizer
from portanet.optim.schedule import Schedule
from portanet.random import Key, fresh_seed
from portanet.train.callback import Callback
from portanet.train.history import Best, History
from portanet.train.interrupt import Interrupt
from portanet.train.metric import Metric, by_name, recorded
from portanet.train.parallel import Team
from portanet.train.progress import Progress
from portanet.train.source import ClassWeight, Source
from portanet.train.step import NO_BATCH, Sums, evaluation, gradients, grouped

EVALUATION = 256  # samples in a batch where nothing is kept for a backward pass


class Trainer(metaclass=Named):
    """Trains a model: ``Trainer(model, loss, optimizer).fit((x, y), epochs=5, batch_size=128)``.

    Args:
        model: what is trained, on whatever backend its parameters live.
        loss: what is minimised.
        optimizer: changes the model's parameters; made for the same model.
        schedule: sets the optimizer's rate before each step.
        metrics: what is reported beside the loss: ``"accuracy"``, or functions
            ``metric(scores, target) -> (N,)`` or (N, d₁, …); by default what suits the loss.
        callbacks: called around epochs and steps, in this order.
        seed: of the order of samples and of dropout's masks; None takes fresh entropy.
        monitor: by which quantity of the validation the best epoch is chosen.
        mode: ``"min"`` or ``"max"``: which of its values is the best; ``"auto"`` knows it of
            losses, errors and accuracies.

    Calling `fit` again continues the run. `history` holds all its numbers, `best` the best epoch's
    parameters where there was validation data; `restore_best` puts them into the model.
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        schedule: Schedule | None = None,
        metrics: str | Sequence[str | Metric] | None = None,
        callbacks: Iterable[Callback] = (),
        seed: int | None = 0,
        monitor: str = "val_loss",
        mode: Literal["auto", "min", "max"] = "auto",
    ) -> None:
        self.model, self.loss = instance("model", model, Layer), instance("loss", loss, Loss)
        self.optimizer = instance("optimizer", optimizer, Optimizer)
        self.schedule = None if schedule is None else instance("schedule", schedule, Schedule)
        if optimizer.owners != model.owners():
            raise ValueError("Trainer: the optimizer was made for another model")
        self.metrics = by_name(loss.metrics if metrics is None else metrics, loss)
        self.callbacks = [instance("callbacks", callback, Callback) for callback in callbacks]
        self.seed = fresh_seed() if seed is None else seed
        self.monitor, self._sign = monitor, sign_of(monitor, mode)
        self.history = History()
        self.best: Best | None = None
        self.epoch = 0  # epochs begun
        self.step = 0  # updates done
        self.stop_training = False
        self.quantities: tuple[str, ...] = ()  # what the run's epochs record

    @one_of_them
    def fit(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        shuffle: bool = True,
        validation_data: Any = None,
        class_weight: ClassWeight = None,
        sample_weight: Array | None = None,
        accumulate: int = 1,
        progress: bool = True,
    ) -> History:
        """Train and return the history of the whole run.

        Args:
            data: arrays (x, y), a DataLoader, or an iterable of batches (x, y) or (x, y, weight).
            epochs: how often to go through the data; 1 where `steps` is not given either.
            steps: instead, how many updates to do; arrays are then sampled with replacement, and
                an iterable begins again when it is exhausted.
            batch_size: samples in a batch, where arrays are given; 32 by default.
            shuffle: whether each epoch takes the arrays' samples in a new order.
            validation_data: evaluated after each epoch, in the same forms as `data`.
            class_weight: weights by class index, a dict (others weigh 1) or an array (K,).
            sample_weight: weights (N,) by sample; the loss is the weighted mean.
            accumulate: batches to one update: their gradients are those of one large batch.
            progress: print a line an epoch, and a bar where the output is a terminal.

        Ctrl-C ends the run after the current step; the history is then marked `interrupted`.

        Raises ValueError or TypeError for data that does not fit the model or the loss: for arrays
        before anything is trained, for memory maps and iterables when the batch comes.
        """
        if epochs is not None and steps is not None:
            raise ValueError("fit takes epochs or steps, not both")
        accumulate = integer("accumulate", accumulate)
        source = self._source(
            data,
            batch_size=batch_size,
            shuffle=shuffle,
            replacement=steps is not None,
            seed=self.seed,
            sample_weight=sample_weight,
            class_weight=class_weight,
        )
        validation = None
        if validation_data is not None:
            validation = self._source(validation_data, default_size=EVALUATION)
        self.quantities = recorded(self.metrics, validation is not None, self.monitor)
        last_epoch, last_step = inf, inf
        planned: int | None = None  # updates, where their number is known beforehand
        if steps is None:
            epochs = integer("epochs", 1 if epochs is None else epochs)
            last_epoch = self.epoch + epochs
            planned = source.steps and epochs * ceil(source.steps / accumulate)
        else:
            planned = integer("steps", steps)
            last_step = self.step + planned
        schedule = self.schedule
        if schedule is not None:
            schedule = schedule.spanning(self.step, planned)
            schedule.check(self.quantities)

        self.stop_training = self.history.interrupted = False
        self.model.backend.prepare_training()
        shown = Progress(epochs and self.epoch + epochs, progress)
        self._call("on_fit_begin")
        with shown, Team(self.model.backend, self.model) as team, Interrupt() as interrupt:
            while not self.stop_training and self.epoch < last_epoch and self.step < last_step:
                left = None if last_step == inf else int(last_step - self.step)
                logs = self._run_epoch(source, accumulate, schedule, left, team, interrupt, shown)
                if not interrupt.requested:
                    self._end_epoch(logs, validation, team, shown)
                self.history.interrupted = interrupt.requested
                self.stop_training = self.stop_training or interrupt.requested
        self._call("on_fit_end")
        return self.history

    def evaluate(
        self, data: Any, *, batch_size: int | None = None, sample_weight: Array | None = None
    ) -> dict[str, float]:
        """Return the mean loss and metrics over the data, in the forms that `fit` takes."""
        options = {"batch_size": batch_size, "default_size": EVALUATION}
        source = self._source(data, sample_weight=sample_weight, **options)
        with Team(self.model.backend, self.model) as team:
            return evaluation(self.model, self.loss, source.batches(0), self.metrics, team)

    def predict(self, x: Any, *, batch_size: int = EVALUATION) -> Array:
        """Return the model's scores for all samples of an array, in inference mode.

        The result is on the model's backend.
        """
        backend = self.model.backend
        loader = DataLoader(x if hasattr(x, "device") else backend.asarray(x), batch_size)
        scores = [self.model(backend.asarray(part)) for (part,) in loader]
        return backend.xp.concat(scores, axis=0)

    def restore_best(self) -> Best:
        """Put the best epoch's parameters into the model and return what is known of it."""
        if self.best is None:
            raise RuntimeError("there is no best epoch: fit was not given validation_data")
        self.model.load_state_dict(self.best.weights)
        return self.best

    def _source(self, data: Any, **options: Any) -> Source:
        return Source(data, self.model, self.loss, self.model.backend, **options)

    def _run_epoch(
        self,
        source: Source,
        accumulate: int,
        schedule: Schedule | None,
        steps: int | None,
        team: Team,
        interrupt: Interrupt,
        shown: Progress,
    ) -> dict[str, float]:
        """Train for an epoch, or `steps` steps of it, and return its numbers."""
        self._call("on_epoch_begin", self.epoch)
        lengths = [n for n in (source.steps and ceil(source.steps / accumulate), steps) if n]
        shown.begin(self.epoch, min(lengths, default=None))
        started = perf_counter()
        sums, rates = Sums(self.model.backend, self.loss.reduction), []
        for batches in islice(grouped(source.batches(self.epoch), accumulate), steps):
            if schedule is not None:
                schedule.apply(self.optimizer, self.step if schedule.by == "step" else self.epoch)
            key = Key(self.seed).child("step", self.step)
            grads, numbers = gradients(self.model, self.loss, batches, key, self.metrics, team)
            self.optimizer.step(grads)
            self.step += 1
            sums.add(**numbers)
            rates.append(self.optimizer.hyper["lr"])
            shown.step()
            self._call("on_step_end", self.step)
            if interrupt.requested or self.stop_training:
                break
        rows = sums.rows()
        if not rows:
            raise ValueError(f"epoch {self.epoch + 1}: {NO_BATCH}")
        seconds = perf_counter() - started
        self.epoch += 1
        self.history.steps["loss"] += [row["loss"] for row in rows]
        self.history.steps["lr"] += rates
        speed = sum(row["samples"] for row in rows) / max(seconds, 1e-9)
        return sums.means() | {"lr": rates[-1], "seconds": seconds, "samples_per_second": speed}

    def _end_epoch(
        self, logs: dict[str, float], validation: Source | None, team: Team, shown: Progress
    ) -> None:
        """Validate, record, and tell the schedule and the callbacks."""
        if validation is not None:
            found = evaluation(self.model, self.loss, validation.batches(0), self.metrics, team)
            logs |= {f"val_{name}": value for name, value in found.items()}
            self._keep_best(logs)
        if self.schedule is not None:
            self.schedule.observe(logs)
        self.history.append(logs)
        shown.end(self.epoch - 1, logs)
        self._call("on_epoch_end", self.epoch - 1, logs)

    def _keep_best(self, logs: dict[str, float]) -> None:
        value = logs[self.monitor]  # a NaN is never the best: it is above nothing
        if self._sign * value > (-inf if self.best is None else self._sign * self.best.value):
            self.best = Best(self.epoch - 1, value, self.model.state_dict())

    def _call(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)
