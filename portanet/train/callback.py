"""Callbacks: what happens around the epochs of a run."""

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from portanet.backend import Array
from portanet.checks import CheckedOptions, flag, integer, listed, number, sign_of
from portanet.overriding import check_hooks

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


class Callback(metaclass=CheckedOptions):
    """Called by a Trainer; a subclass overrides what it needs.

    A callback ends the run after the current step by setting ``trainer.stop_training = True``. One
    that remembers something from epoch to epoch overrides `state_dict` and `load_state_dict`, too,
    so that a checkpoint holds it.

    What is no mean over samples, such as the F1 score of the whole validation data, a callback adds
    to the epoch's numbers; they are in the history then, and what is named in `adds` can be watched
    by `EarlyStopping` further down the list, by ``ReduceLROnPlateau`` and the Trainer's `monitor`::

        class F1(pn.Callback):
            adds = ("val_f1",)

            def on_epoch_end(self, trainer, epoch, logs):
                logs["val_f1"] = f1_score(y, trainer.predict(x).argmax(1))

        Trainer(…, callbacks=[F1(), EarlyStopping("val_f1", mode="max")])

    The numbers that the Trainer gives stay as they are: what the best epoch was chosen by is what
    the history has. `Trainer.best` is up to date in `on_epoch_end`, unless it is chosen by an added
    number; a schedule sees the epoch after all callbacks.

    Raises TypeError for a subclass with another ``on_…`` than these: nothing would call it.
    """

    adds: tuple[str, ...] = ()  # the numbers that `on_epoch_end` adds to each epoch's

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_hooks(cls, Callback, "on_")

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: "Trainer", epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_step_end(self, trainer: "Trainer", step: int) -> None:
        """After each update of the parameters, counted from 1."""

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        """After an epoch and its validation, with the numbers that the history records.

        What is added to them is recorded, too; to change one is an error.
        """

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also of an interrupted run."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered: numbers, strings, arrays, lists and dicts of these.

        NumPy's scalars come back as Python's numbers.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`; called after `on_fit_begin`."""


def added_by(callbacks: Iterable[Callback]) -> list[str]:
    """Return the names of the numbers that callbacks add to each epoch's."""
    return [name for callback in callbacks for name in listed("adds", callback.adds)]


class EarlyStopping(Callback):
    """Ends the run when a quantity has not improved for some epochs.

    Args:
        monitor: what is watched: ``"val_loss"``, ``"val_accuracy"``, …
        patience: after how many epochs without improvement the run ends (0 is as 1).
        min_delta: by how much a value must be better to count as an improvement.
        mode: ``"min"`` or ``"max"``: which value is the better; ``"auto"`` knows it of losses,
            errors and accuracies.
        restore_best_weights: whether the model is set back to the best epoch's parameters. Another
            call of `fit` goes on from these, but with the optimizer's state of the last epoch.

    `best` is the best value so far, None before there is one.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        self.monitor, self.mode = monitor, mode
        sign_of(monitor, mode)  # an error here, not at the end of an epoch
        self.patience = integer("patience", patience, least=0)
        self.min_delta = number("min_delta", min_delta)
        self.restore_best_weights = flag("restore_best_weights", restore_best_weights)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.waited = 0
        self.best_weights: dict[str, Array] | None = None

    @property
    def sign(self) -> float:
        """1 where the larger value is the better, else −1; `monitor` may have been set since."""
        return sign_of(self.monitor, self.mode)

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Forget earlier runs; raise ValueError where the quantity will not be there."""
        known = trainer._run.quantities
        if self.monitor not in known:
            raise ValueError(
                f"EarlyStopping watches {self.monitor!r}, but there are {', '.join(known)}; a "
                "val_… quantity needs validation_data, or a callback that names it in `adds`"
            )
        sign_of(self.monitor, self.mode)  # another one may have been set
        self._forget()

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        """Compare with the best epoch so far."""
        if self.monitor not in logs:
            raise ValueError(
                f"EarlyStopping watches {self.monitor!r}, which is not there yet: the callback "
                "that adds it comes first"
            )
        value = logs[self.monitor]
        if self.sign * value > self._signed + self.min_delta:
            self.best, self.waited = value, 0
            if self.restore_best_weights:
                self.best_weights = trainer.model.state_dict()
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop_training = True

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Set the model back, where that was asked for."""
        if self.best_weights is not None:
            trainer.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its weights, and for how many epochs there was none better.

        The value is negated where the smaller is the better, −∞ where there is none yet.
        """
        return {"best": self._signed, "waited": self.waited, "best_weights": self.best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        best, self.waited = float(state["best"]), int(state["waited"])
        self.best = None if best == -inf else self.sign * best
        self.best_weights = state["best_weights"]

    @property
    def _signed(self) -> float:
        """The best value with the sign that makes the larger the better, as files have it."""
        return -inf if self.best is None else self.sign * self.best
