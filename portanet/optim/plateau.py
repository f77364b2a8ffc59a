"""The schedule that goes by what the run's epochs recorded."""

from collections.abc import Collection, Mapping
from math import inf
from typing import Any, Literal

from portanet.checks import integer, number, sign_of, word
from portanet.optim.schedule import Schedule

COUNTS = ("num_bad_epochs", "cooldown_counter", "reductions")


class ReduceLROnPlateau(Schedule):
    """lr ← max(lr · factor, min_lr) when a quantity has not improved for over `patience` epochs.

    It improves where it is below best · (1 − threshold) or, in the threshold mode ``"abs"``, below
    best − threshold; with the mode ``"max"`` above best · (1 + threshold) or best + threshold.

    Args:
        mode: ``"min"`` or ``"max"``: which value is the better; ``"auto"`` knows it of losses,
            errors and accuracies.
        factor: by which the rate is reduced, below 1.
        patience: epochs without improvement to tolerate; the next one reduces the rate.
        threshold: how much better a value must be to count.
        threshold_mode: ``"rel"`` or ``"abs"``: whether that is a share of the best value.
        cooldown: so many epochs after a reduction do not count as epochs without improvement.
        min_lr: the lowest rate.
        eps: a reduction by no more than this is left out.
        monitor: what is watched: ``"val_loss"``, ``"loss"``, ``"val_accuracy"``, …

    Definitions and defaults are PyTorch's, but for `mode`, which is ``"min"`` there; `monitor` is
    Keras's. Unlike the other schedules it keeps state, so each Trainer has a copy of it,
    ``trainer.schedule``. It counts epochs; the Trainer shows it what each recorded.
    """

    def __init__(
        self,
        mode: Literal["auto", "min", "max"] = "auto",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
        monitor: str = "val_loss",
    ) -> None:
        self._sign = sign_of(monitor, mode)
        self.mode, self.monitor = mode, monitor
        self.factor = number("factor", factor)
        if self.factor >= 1.0:
            raise ValueError(f"factor must be in [0, 1), got {factor!r}")
        self.patience = integer("patience", patience, least=0)
        self.threshold = number("threshold", threshold)
        self.threshold_mode = word("threshold_mode", threshold_mode, "rel", "abs")
        self.cooldown = integer("cooldown", cooldown, least=0)
        self.min_lr, self.eps = number("min_lr", min_lr), number("eps", eps)
        self.best = -self._sign * inf
        self.num_bad_epochs = self.cooldown_counter = self.reductions = 0

    def __call__(self, count: int, initial: Any) -> dict[str, Any]:
        """Return the rate after the reductions so far, whatever the count."""
        lr = initial["lr"]
        for _ in range(self.reductions):
            lower = max(lr * self.factor, self.min_lr)
            if lr - lower <= self.eps:  # nor will any later one reduce it
                break
            lr = lower
        return {"lr": float(lr)}

    def check(self, quantities: Collection[str]) -> None:
        """Raise ValueError where the quantity will not be there."""
        if self.monitor not in quantities:
            raise ValueError(
                f"ReduceLROnPlateau watches {self.monitor!r}, but there are "
                f"{', '.join(quantities)}; a val_… quantity needs validation_data, or a callback "
                "that names it in `adds`"
            )

    def observe(self, logs: Mapping[str, float]) -> None:
        """Compare with the best epoch so far; reduce the rate when patience is at its end."""
        self.check(logs)
        value, sign, margin = logs[self.monitor], self._sign, self._sign * self.threshold
        bound = self.best * (1.0 + margin) if self.threshold_mode == "rel" else self.best + margin
        if sign * value > sign * bound:
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.reductions += 1
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def state_dict(self) -> dict[str, float]:
        """Return the best value, and how many epochs were bad, rest still, reduced the rate."""
        return {"best": self.best} | {name: getattr(self, name) for name in COUNTS}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from a `state_dict`; raise ValueError where it is another schedule's."""
        super().load_state_dict(state)
        counts = {name: integer(name, int(state[name]), least=0) for name in COUNTS}
        self.best = number("best", state["best"], low=-inf, infinite=True)
        for name, count in counts.items():
            setattr(self, name, count)
