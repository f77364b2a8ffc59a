"""Callbacks: what happens around the epochs of a run."""

from typing import TYPE_CHECKING, Any, Literal

from portanet.backend import Array
from portanet.checks import Named, flag, integer, number, sign_of

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


class Callback(metaclass=Named):
    """Called by a Trainer; a subclass overrides what it needs.

    A callback ends the run after the current step by setting ``trainer.stop_training = True``. One
    that remembers something from epoch to epoch overrides `state_dict` and `load_state_dict`, too,
    so that a checkpoint holds it.
    """

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: "Trainer", epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_step_end(self, trainer: "Trainer", step: int) -> None:
        """After each update of the parameters, counted from 1."""

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        """After an epoch and its validation, with the numbers that the history records."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also of an interrupted run."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered: numbers, strings, arrays, lists and dicts of these."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`; called after `on_fit_begin`."""


class EarlyStopping(Callback):
    """Ends the run when a quantity has not improved for some epochs.

    Args:
        monitor: what is watched: ``"val_loss"``, ``"val_accuracy"``, …
        patience: after how many epochs without improvement the run ends (0 is as 1).
        min_delta: by how much a value must be better to count as an improvement.
        mode: ``"min"`` or ``"max"``: which value is the better; ``"auto"`` knows it of losses,
            errors and accuracies.
        restore_best_weights: whether the model is set back to the best epoch's parameters.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        self.monitor = monitor
        self.patience = integer("patience", patience, least=0)
        self.min_delta = number("min_delta", min_delta)
        self.sign = sign_of(monitor, mode)
        self.restore_best_weights = flag("restore_best_weights", restore_best_weights)
        self._forget()

    def _forget(self) -> None:
        self.best, self.waited = float("-inf"), 0
        self.best_weights: dict[str, Array] | None = None

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Forget earlier runs; raise ValueError where the quantity will not be there."""
        if self.monitor not in trainer.quantities:
            raise ValueError(
                f"EarlyStopping watches {self.monitor!r}, but there are "
                f"{', '.join(trainer.quantities)}; a val_… quantity needs validation_data"
            )
        self._forget()

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        """Compare with the best epoch so far."""
        value = self.sign * logs[self.monitor]
        if value > self.best + self.min_delta:
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
        """Return the best value, its weights, and for how many epochs there was none better."""
        return {"best": self.best, "waited": self.waited, "best_weights": self.best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.best, self.waited = float(state["best"]), int(state["waited"])
        self.best_weights = state["best_weights"]
