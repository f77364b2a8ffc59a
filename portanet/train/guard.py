"""What becomes of a step whose loss or gradients are not finite."""

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from portanet.backend import Array
from portanet.nn.context import Gradients
from portanet.random import Key
from portanet.train.diagnosis import all_finite, diagnosis, spoilt
from portanet.train.source import Batch

if TYPE_CHECKING:
    from portanet.train.run import Unfinished
    from portanet.train.trainer import Trainer

OnNan = Literal["raise", "skip", "rollback"]
MODES = get_args(OnNan)
Copies = list[tuple[Array, Array]]


class Guard:
    """Watches the steps of a run, in one of three ways.

    ``"raise"``: FloatingPointError that names the step and the layer where it began.
    ``"skip"``: the step leaves parameters, buffers and optimizer state as they were. Whether it
        does is decided on the device, so nothing waits; the price is a copy of them in each step.
    ``"rollback"``: all steps since the last time that everything was found finite are undone, and
        the run goes on with the next batch.

    Where the device computes at its own pace, the losses are looked at when they are read, every
    `WINDOW` steps and at the end of an epoch; on a CPU in each step, which costs nothing there.
    """

    WINDOW = 512

    def __init__(self, trainer: "Trainer") -> None:
        self._trainer, self._mode = trainer, trainer.on_nan
        self._backend = trainer.model.backend
        self._part: Unfinished | None = None  # the epoch in hand
        self._settled = 0  # its steps that are known to be good, or undone
        self._keep()

    def before(self) -> Copies:
        """Return what a step may have to be undone for: arrays, each with a copy."""
        model, state = self._trainer.model, self._trainer.optimizer.arrays
        kept: list[Array] = []
        if self._mode == "skip":
            kept = [*model.params.values(), *model.buffers.values(), *state.values()]
        elif self._mode == "raise" and not self._backend.asynchronous:
            kept = list(model.buffers.values())  # the forward pass has changed them already
        xp = self._backend.xp
        return [(array, xp.asarray(array, copy=True)) for array in kept]

    def update(
        self,
        before: Copies,
        grads: Gradients,
        numbers: dict[str, Any],
        batches: list[Batch],
        key: Key,
    ) -> None:
        """Do the optimizer's step, unless the loss forbids it."""
        trainer, loss = self._trainer, numbers["loss"]
        if self._mode == "raise" and not self._backend.asynchronous and not isfinite(loss):
            for array, copy in before:
                array[...] = copy
            if ruined := spoilt(trainer.model):
                self._fail(trainer.step, f"the gradient of {ruined} was not finite")
            self._fail(trainer.step + 1, diagnosis(trainer.model, trainer.loss, batches, key))
        trainer.optimizer.step(grads)
        if self._mode != "raise":
            numbers["undone"] = 0.0
        if self._mode == "skip":
            xp = self._backend.xp
            fine = all_finite([loss, *grads.values()])
            old = {id(array): copy for array, copy in before}
            made = [a for a in trainer.optimizer.arrays.values() if id(a) not in old]
            for array, copy in [*before, *((a, xp.zeros_like(a)) for a in made)]:
                array[...] = xp.where(fine, array, copy)
            numbers["undone"] = 1.0 - xp.astype(fine, loss.dtype)

    def settle(self, part: "Unfinished") -> None:
        """Look at what the steps since the last time gave; this waits for the device."""
        if part is not self._part:
            self._part, self._settled = part, 0
        rows = part.sums.rows()
        fresh, self._settled = rows[self._settled :], len(rows)
        bad = [k for k, row in enumerate(fresh) if not _is_fine(row)]
        ruined = spoilt(self._trainer.model)
        if not bad and ruined is None:
            self._keep()
        elif self._mode == "rollback":
            self._trainer.model.load_state_dict(self._weights)
            self._trainer.optimizer.load_state_dict(self._state)
            for row in fresh:
                row["undone"] = 1.0
        else:  # with losses that are finite, it was the last step's gradient
            step = self._trainer.step - (len(fresh) - bad[0] - 1 if bad else 0)
            found = f"the parameters of {ruined} are not finite after it" if ruined else "its loss"
            self._fail(step, found)

    def _keep(self) -> None:
        """Remember the present state, where it may be gone back to."""
        if self._mode == "rollback":
            self._weights = self._trainer.model.state_dict()
            self._state = self._trainer.optimizer.state_dict()

    def _fail(self, step: int, found: str) -> NoReturn:
        raise FloatingPointError(
            f"step {step} (epoch {self._trainer.epoch + 1}): {found}; a lower rate, ClipGradNorm "
            "or on_nan='skip' may help"
        )


def _is_fine(row: Mapping[str, float]) -> bool:
    return bool(row.get("undone")) or isfinite(row["loss"])
