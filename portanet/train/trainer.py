"""The training loop: fit, evaluate, predict."""

from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, Literal, Self

from portanet.backend import Array
from portanet.checks import CheckedOptions, checks_options, flag, instance, listed, sign_of, word
from portanet.checks import path as as_path
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.optim.optimizer import Optimizer
from portanet.optim.schedule import Schedule
from portanet.random import Key, fresh_seed
from portanet.train.callback import Callback, added_by
from portanet.train.checkpoints import Checkpoints, read_run, write_run
from portanet.train.class_weight import ClassWeight
from portanet.train.exclusive import one_at_a_time
from portanet.train.extent import Extent
from portanet.train.guard import MODES, OnNan
from portanet.train.history import Best, History
from portanet.train.inputs import inputs
from portanet.train.metric import Metric, by_name, recorded
from portanet.train.parallel import Team
from portanet.train.run import Run
from portanet.train.source import Source
from portanet.train.state import begin, go_on, restore, saved_state, state_of
from portanet.train.step import evaluation, joined, prediction
from portanet.train.unfinished import RunState


class Trainer(metaclass=CheckedOptions):
    """Trains a model: ``Trainer(model, loss, optimizer).fit((x, y), epochs=5, batch_size=128)``.

    Args:
        model: what is trained, on whatever backend its parameters live.
        loss: what is minimized.
        optimizer: changes the model's parameters; made for the same model.
        schedule: sets the optimizer's rate before each step.
        metrics: what is reported beside the loss: ``"accuracy"``, ``"mae"``, …, or functions
            ``metric(scores, target) -> (N,)`` or (N, d₁, …); by default what suits the loss.
        callbacks: called around epochs and steps, in this order.
        seed: of the order of samples and of dropout's masks; None takes fresh entropy.
        monitor: by which quantity of the validation, or of a callback, the best epoch is chosen.
        mode: ``"min"`` or ``"max"``: which of its values is the best; ``"auto"`` knows it of
            losses, errors and accuracies.
        on_nan: what becomes of a step whose loss or gradients are not finite: ``"raise"`` an error
            that names the layer where it began, ``"skip"`` the update, or ``"rollback"`` to the
            last state that was found good. The memory for one more copy of the parameters and the
            optimizer's arrays is the price of each; ``"skip"`` makes it in each step.

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
        on_nan: OnNan = "raise",
    ) -> None:
        self.model, self.loss = instance("model", model, Layer), instance("loss", loss, Loss)
        self.optimizer = instance("optimizer", optimizer, Optimizer)
        self.schedule = None if schedule is None else Schedule.of(schedule).own()
        if optimizer.owners != model.owners():
            raise ValueError("Trainer: the optimizer was made for another model")
        self.metrics = by_name(loss.metrics if metrics is None else metrics, loss)
        self.callbacks = [
            instance("callbacks", c, Callback) for c in listed("callbacks", callbacks)
        ]
        self.seed = fresh_seed() if seed is None else Key(seed).seed
        self._monitor, self._sign = monitor, sign_of(monitor, mode)
        self.history = History()
        self.best: Best | None = None
        self.on_nan = word("on_nan", on_nan, *MODES)
        self.epoch, self.step = 0, 0  # epochs and updates done
        self.stop_training = False
        self._run = RunState(any_seed=seed is None)

    @property
    def monitor(self) -> str:
        """What the best epoch is chosen by; another one needs another Trainer."""
        return self._monitor

    @checks_options
    @one_at_a_time
    def fit(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        validation_data: Any = None,
        class_weight: ClassWeight = None,
        sample_weight: Array | None = None,
        accumulate: int = 1,
        checkpoint: str | Path | Checkpoints | None = None,
        resume: str | Path | None = None,
        progress: bool = True,
    ) -> History:
        """Train and return the history of the whole run.

        Args:
            data: arrays (x, y), a DataLoader, or an iterable of batches (x, y) or (x, y, weight).
            epochs: how often to go through the data; 1 where `steps` is not given either.
            steps: instead, how many updates to do; arrays are then sampled with replacement, but
                for shuffle=False. A list or an iterable begins with its first batch in each call,
                and again when it is exhausted.
            batch_size: samples in a batch, where arrays are given; 32 by default.
            shuffle: whether each epoch takes the arrays' samples in a new order; True by default.
            validation_data: evaluated after each epoch, in the same forms as `data`.
            class_weight: weights by class index, a dict (others weigh 1) or an array (K,).
            sample_weight: weights (N,) by sample; the loss is the weighted mean.
            accumulate: batches to one update: their gradients are those of one large batch.
            checkpoint: a folder of this run alone, or `Checkpoints`, where it is saved each epoch.
            resume: ``"auto"`` goes on from the newest checkpoint there that can be read, if any,
                as if the run had never ended: a script started again finishes what was begun.
                Or the path of one file. Data and options must be as before; the saved rate counts,
                unless a callback's `on_fit_begin` sets ``trainer.optimizer.hyper["lr"]``.
            progress: print a line an epoch, and a bar where the output is a terminal.

        Ctrl-C ends the run after the current step (a second one at once), and with a `checkpoint`
        SIGTERM does, too; then it is written, and the history marked `interrupted`.

        Raises ValueError or TypeError for data that does not fit the model, the loss or a metric:
        for arrays before anything is trained, for memory maps and iterables when the batch comes;
        RuntimeError where the model's layers are others than the optimizer's, or a callback calls
        `fit`; FloatingPointError for numbers that are not finite, see `on_nan`; OSError where a
        checkpoint cannot be written or another run is in its folder: all is as after the last step.
        """
        extent = Extent.of(epochs, steps, joined(accumulate, self.loss))
        checkpoints, progress = Checkpoints.of(checkpoint), flag("progress", progress)
        self.optimizer.check_model(self.model)
        state, place = saved_state(self, checkpoints, resume), self._run
        if state is not None and not go_on(self, state, checkpoints, resume == "auto"):
            return self.history
        cut = {"batch_size": batch_size, "accumulate": accumulate, "shuffle": shuffle}
        drawn = {"replacement": steps is not None and shuffle in (None, True), "seed": self.seed}
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        source = self._source(data, **cut, **drawn, **weights)
        source.try_out(self.metrics, epochs or 1, to_the_end=extent.reaches_an_end(source))
        validation = None
        if validation_data is not None:
            validation = self._source(validation_data)
            validation.check_weight("validation_data")
            validation.try_out(self.metrics, extent.rounds(source), to_the_end=False)
        added = added_by(self.callbacks)
        place.quantities = recorded(self.metrics, added, self.monitor, validation is not None)
        layout = {"accumulate": accumulate, "metrics": list(self.metrics), "on_nan": self.on_nan}
        epoch, step = begin(self, source.layout() | layout, state is not None)
        if (schedule := self.schedule) is not None:
            schedule = schedule.spanning(step, extent.updates(source))
            schedule.check(place.quantities)
        end = extent.end(epoch, step)
        run = Run(self, source, validation, schedule, accumulate, *end, progress)
        return run.execute(checkpoints, state)

    @checks_options
    def evaluate(
        self, data: Any, *, batch_size: int | None = None, sample_weight: Array | None = None
    ) -> dict[str, float]:
        """Return the mean loss and metrics over data as `fit` takes it; arrays by 256 samples."""
        source = self._source(data, batch_size=batch_size, sample_weight=sample_weight)
        with Team(self.model.backend, self.model, self.loss) as team:
            return evaluation(self.model, self.loss, source.batches(0), self.metrics, team)

    @checks_options
    def predict(self, x: Any, *, batch_size: int | None = None) -> Array:
        """Return the model's scores for all samples, in inference mode, on its backend.

        `x` is an array, which is taken by 256 samples, a DataLoader in order, or an iterable of
        batches: x alone, or (x, …).
        """
        with Team(self.model.backend, self.model) as team:
            return prediction(self.model, inputs(x, team.backend, batch_size), team)

    def last_loss(self) -> float:
        """Return the last step's loss, such as in `Callback.on_step_end`; waits for the device.

        `history.steps` has it, too, when the epoch has ended. NaN before the first step.
        """
        if self._run.unfinished is not None:
            self._run.unfinished.record(self.history)
        return (self.history.steps["loss"] or [nan])[-1]

    def restore_best(self) -> Best:
        """Put the best epoch's parameters into the model and return what is known of it."""
        if self.best is None:
            raise RuntimeError(f"no best epoch: no validation_data, or no finite {self.monitor}")
        self.model.load_state_dict(self.best.weights)
        return self.best

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all that the run is made of.

        The model's arrays, the state of optimizer, schedule and callbacks, the history, the best
        epoch, the counters that key the random numbers, the place in the epoch. Not the data, the
        options of `fit`, nor which layers are frozen.
        """
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of a trainer that was made in the same way.

        Raises ValueError where something does not fit; then nothing has changed.
        """
        restore(self, state)

    def save(self, path: str | Path) -> None:
        """Write the run's state into one ``.safetensors`` file, whole or not at all.

        Within `on_epoch_end` callbacks further down have not seen the epoch yet: `fit` with
        `checkpoint`, or `Checkpoints`, saves a run so that it goes on as it would have.

        Raises ValueError for another suffix, OSError where the file cannot be written.
        """
        write_run(as_path("path", path), self)

    @classmethod
    def load(cls, path: str | Path, *args: Any, **options: Any) -> Self:
        """Return a trainer, made with the further arguments, that goes on from a saved run.

        ``Trainer.load("run/best.safetensors", model, loss, optimizer)``; the model's backend need
        not be the one that saved. `fit` then trains further epochs; to finish the call of `fit` in
        which the file was saved, give it ``resume=path``.

        Raises FileNotFoundError, CheckpointError where the file is damaged, and ValueError where it
        is of another model or optimizer.
        """
        trainer = cls(*args, **options)
        trainer.load_state_dict(read_run(as_path("path", path)))
        return trainer

    def _source(self, data: Any, **options: Any) -> Source:
        return Source(data, self.model, self.loss, self.model.backend, **options)

    def _call(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)
