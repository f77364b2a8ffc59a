"""The training loop: fit, evaluate, predict."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, inf
from pathlib import Path
from typing import Any, Literal, Self

from portanet.backend import Array
from portanet.checks import Named, flag, instance, integer, listed, one_of_them, sign_of, word
from portanet.checks import path as as_path
from portanet.data.loader import DataLoader
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.optim.optimizer import Optimizer
from portanet.optim.schedule import Schedule
from portanet.random import Key, fresh_seed
from portanet.train.callback import Callback
from portanet.train.checkpoints import Checkpoints, read_run, write_run
from portanet.train.guard import MODES, OnNan
from portanet.train.history import Best, History
from portanet.train.metric import Metric, by_name, recorded
from portanet.train.parallel import Team
from portanet.train.progress import Progress
from portanet.train.run import Run
from portanet.train.source import ClassWeight, Source
from portanet.train.state import begin, call_of, restore, restore_callbacks, saved_state, state_of
from portanet.train.step import evaluation
from portanet.train.unfinished import Unfinished

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
        on_nan: what becomes of a step whose loss or gradients are not finite: ``"raise"`` an error
            that names the layer where it began, ``"skip"`` the update, or ``"rollback"`` to the
            last state that was found good.

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
        self.schedule = None if schedule is None else instance("schedule", schedule, Schedule)
        if optimizer.owners != model.owners():
            raise ValueError("Trainer: the optimizer was made for another model")
        self.metrics = by_name(loss.metrics if metrics is None else metrics, loss)
        self.callbacks = [
            instance("callbacks", c, Callback) for c in listed("callbacks", callbacks)
        ]
        self.seed = fresh_seed() if seed is None else Key(seed).seed
        self.monitor, self.sign = monitor, sign_of(monitor, mode)
        self.history = History()
        self.best: Best | None = None
        self.on_nan = word("on_nan", on_nan, *MODES)
        self.epoch, self.step = 0, 0  # epochs and updates done
        self.stop_training = False
        self.unfinished: Unfinished | None = None  # the epoch in hand
        self.began = (0, 0)  # epoch and step at which the last call of fit began
        self.calls, self.running = 0, False  # calls of fit that were done, whether one is in hand
        self.layout: dict[str, Any] = {}  # how the data are cut into batches
        self.folder: Path | None = None  # where this trainer has saved
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
        checkpoint: str | Path | Checkpoints | None = None,
        resume: str | Path | None = None,
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
            checkpoint: a folder of this run alone, or `Checkpoints`, where it is saved each epoch.
            resume: ``"auto"`` goes on from the newest checkpoint there that can be read, if any,
                as if the run had never ended: a script started again finishes what was begun.
                Or the path of one file. Data and options must be as before; the saved rate counts.
            progress: print a line an epoch, and a bar where the output is a terminal.

        Ctrl-C ends the run after the current step, and with a `checkpoint` SIGTERM does, too; then
        it is written, and the history marked `interrupted`.

        Raises ValueError or TypeError for data that does not fit the model or the loss: for arrays
        before anything is trained, for memory maps and iterables when the batch comes. Raises
        FloatingPointError for numbers that are not finite, see `on_nan`, and OSError where a
        checkpoint cannot be written; the trainer is then as after the last step.
        """
        if epochs is not None and steps is not None:
            raise ValueError("fit takes epochs or steps, not both")
        epochs = 1 if epochs is None and steps is None else epochs
        epochs = None if epochs is None else integer("epochs", epochs)
        steps = None if steps is None else integer("steps", steps)
        accumulate = integer("accumulate", accumulate)
        checkpoints, progress = Checkpoints.of(checkpoint), flag("progress", progress)
        state = saved_state(self, checkpoints, resume)
        if state is not None and resume == "auto" and call_of(state) > self.calls:
            # A later call of `fit` has saved it, and will go on from it; this one was done.
            self.model.load_state_dict(state["model"])
            self.history.load_state_dict(state["history"])
            self.calls += 1
            return self.history
        if state is not None:
            restore(self, state, callbacks=False)
            self.calls = call_of(state)
        order = {"shuffle": shuffle, "replacement": steps is not None, "seed": self.seed}
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        source = self._source(data, batch_size=batch_size, **order, **weights)
        validation = None
        if validation_data is not None:
            validation = self._source(validation_data, default_size=EVALUATION)
            validation.check_weight("validation_data")
        self.quantities = recorded(self.metrics, validation is not None, self.monitor)
        layout = {"accumulate": accumulate, "metrics": list(self.metrics), "on_nan": self.on_nan}
        epoch, step = begin(self, source.layout() | layout, state is not None)
        self.folder = None if checkpoints is None else checkpoints.folder.resolve()
        planned = steps  # updates, where their number is known beforehand
        if epochs is not None:
            planned = source.steps and epochs * ceil(source.steps / accumulate)
        schedule = self.schedule
        if schedule is not None:
            schedule = schedule.spanning(step, planned)
            schedule.check(self.quantities)
        self.model.backend.prepare_training()
        self.call("on_fit_begin")
        if state is not None:
            restore_callbacks(self, state)
        last_epoch = inf if epochs is None else epoch + epochs
        last_step = inf if steps is None else step + steps
        shown = Progress(epochs and epoch + epochs, progress)
        run = Run(self, source, validation, schedule, accumulate, last_epoch, last_step, shown)
        return run.execute(checkpoints, state)

    def evaluate(
        self, data: Any, *, batch_size: int | None = None, sample_weight: Array | None = None
    ) -> dict[str, float]:
        """Return the mean loss and metrics over the data, in the forms that `fit` takes."""
        options = {"batch_size": batch_size, "default_size": EVALUATION}
        source = self._source(data, sample_weight=sample_weight, **options)
        with Team(self.model.backend, self.model) as team:
            return evaluation(self.model, self.loss, source.batches(0), self.metrics, team)

    def predict(self, x: Any, *, batch_size: int = EVALUATION) -> Array:
        """Return the model's scores for all samples of an array, in inference mode, where it is."""
        if isinstance(x, tuple):
            raise TypeError("predict takes x alone, got a tuple")
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

    def call(self, event: str, *args: Any) -> None:
        """Call a method of every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)
