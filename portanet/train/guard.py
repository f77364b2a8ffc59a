"""What becomes of steps whose numbers are not finite."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, get_args

from portanet.backend import Array
from portanet.nn.context import Gradients
from portanet.train.diagnosis import all_finite, is_spoiled

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer
    from portanet.train.unfinished import Unfinished

OnNan = Literal["raise", "skip", "rollback"]
MODES = get_args(OnNan)
WINDOWS = {"raise": 512, "skip": 512, "rollback": 32}
Copies = list[tuple[Array, Array]]
Hypers = dict[str, dict[str, Any]]  # by group


class Guard:
    """Watches the steps of a run, in one of three ways.

    ``"raise"``: the run goes back to the last good state and does the steps since again, one by
        one, to name the step and the layer where it began; see `Run`.
    ``"skip"``: the step leaves parameters, buffers and the optimizer's arrays as they were, but
        counts as one. Whether it does is decided on the device, so nothing waits; the price is a
        copy of them in each step.
    ``"rollback"``: all steps since the last good state are undone, and the run goes on with the
        next batch.

    The state at the beginning of an epoch is a good one. Losses and parameters are looked at every
    `WINDOWS` steps; then the state is kept as the last good one. Where reading a loss does not wait
    for a device, one that is not finite is seen at once. To roll back, they are also looked at
    after an epoch's first, second, fourth, … step: so that one bad step undoes no more than half of
    even a short epoch. The run ends where an epoch's steps are all undone.

    Before a checkpoint, and at the end of an epoch, they are looked at, too, so that nothing is
    saved or validated that is not finite. But nothing is kept then, and where steps were undone,
    those up to the next time will be: where a run is interrupted must not decide how it goes on.
    That is why a checkpoint holds the last good state.

    Hyperparameters are not part of a state that is gone back to: they are set from outside, by a
    schedule or a callback. Steps that are done again have those that they had.
    """

    def __init__(self, trainer: "Trainer") -> None:
        self._trainer, self._mode = trainer, trainer.on_nan
        self._at_once = not trainer.model.backend.asynchronous and self._mode != "skip"
        self._hypers: list[Hypers] = []  # of the steps since the last good state
        part = trainer._run.unfinished  # the epoch that the run goes on with
        self._good: dict[str, Any] = part.good if part is not None else {}
        if part is not None and not part.good:
            self.keep(part)

    def keep(self, part: "Unfinished") -> None:
        """Remember the present state, where it may be gone back to, as the last good one."""
        trainer, part.settled = self._trainer, part.steps
        self._hypers, self._good, part.good = [], {}, {}  # two copies at a time would be too many
        if self._mode != "skip":
            self._good["model"] = trainer.model.state_dict()
            self._good["optimizer"] = trainer.optimizer.state_dict()
        if self._mode == "rollback":  # how the run goes on depends on it
            part.good = self._good

    def before(self) -> Copies:
        """Return what a step may have to be undone for: arrays, each with a copy."""
        if self._mode != "skip":
            return []
        model, state = self._trainer.model, self._trainer.optimizer.arrays
        xp = model.backend.xp
        kept = [*model.params.values(), *model.buffers.values(), *state.values()]
        return [(array, xp.asarray(array, copy=True)) for array in kept]

    def update(self, before: Copies, grads: Gradients, numbers: dict[str, Any]) -> None:
        """Do the optimizer's step, and undo it where it is to be skipped."""
        trainer, loss = self._trainer, numbers["loss"]
        if self._mode == "raise":
            self._hypers.append(self.hyper)
        trainer.optimizer.step(grads)
        if self._mode != "raise":
            numbers["undone"] = 0.0
        if self._mode == "skip":
            xp = trainer.model.backend.xp
            old = {id(array) for array, _ in before}
            made = [a for a in trainer.optimizer.arrays.values() if id(a) not in old]
            changed = [*before, *((a, xp.zeros_like(a)) for a in made)]
            fine = all_finite([loss, *grads.values(), *(array for array, _ in changed)])
            for array, copy in changed:
                array[...] = xp.where(fine, array, copy)
            numbers["undone"] = 1.0 - xp.astype(fine, loss.dtype)

    def is_due(self, part: "Unfinished", loss: Any) -> bool:
        """Say whether to look at the numbers after a step."""
        steps, window = part.steps, WINDOWS[self._mode]
        doubled = self._mode == "rollback" and steps < window and steps & (steps - 1) == 0
        if doubled or steps % window == 0:
            return True
        return self._at_once and (not isfinite(loss) or self._was_undone(part))

    def _was_undone(self, part: "Unfinished") -> bool:
        """Say whether a checkpoint's look undid the steps before this one.

        Without the checkpoint its loss, by parameters that are not finite, would not be either.
        """
        fresh = part.sums.rows()[part.settled :] if self._mode == "rollback" else ()
        return any(row.get("undone") for row in fresh)

    def settle(self, part: "Unfinished") -> bool:
        """Look at what the steps since the last good state gave; this waits for the device.

        Returns False where it is not finite, and nothing has been undone.
        """
        fresh = part.sums.rows()[part.settled :]
        skips = self._mode == "skip"
        fine = all(skips if row.get("undone") else isfinite(row["loss"]) for row in fresh)
        fine = fine and not is_spoiled(self._trainer.model)
        if not fine and self._mode == "rollback":
            self._restore()
            for row in fresh:
                row["undone"] = 1.0
            return True
        return fine

    @contextmanager
    def gone_back(self, part: "Unfinished") -> Iterator[Iterable[Hypers]]:
        """Bring the run to the last good state; give the hyperparameters of the steps since.

        For the steps to be done again with them; those of now are put back at the end.
        """
        now = self.hyper
        if self._mode == "raise":
            self._restore()
            self._trainer.step -= part.steps - part.settled
            part.forget(part.settled, self._trainer.history)
        try:
            yield self._hypers
        finally:
            self.hyper = now

    def _restore(self) -> None:
        groups = self._trainer.optimizer.groups.values()
        present = [(group, group.initial, group.hyper) for group in groups]
        self._trainer.model.load_state_dict(self._good["model"])
        self._trainer.optimizer.load_state_dict(self._good["optimizer"])
        for group, initial, hyper in present:
            group.initial, group.hyper = initial, hyper

    @property
    def hyper(self) -> Hypers:
        """Copies of the optimizer's hyperparameters, which can be set."""
        groups = self._trainer.optimizer.groups.items()
        return {name: dict(group.hyper) for name, group in groups}

    @hyper.setter
    def hyper(self, hypers: Hypers) -> None:
        for name, hyper in hypers.items():
            self._trainer.optimizer.groups[name].hyper.update(hyper)
