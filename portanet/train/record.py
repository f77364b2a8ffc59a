"""What becomes of an epoch's numbers: the history, the best epoch, the callbacks, the schedule."""

from math import inf
from typing import TYPE_CHECKING

from portanet.train.callback import added_by
from portanet.train.history import Best

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


def record(trainer: "Trainer", logs: dict[str, float], validated: bool) -> dict[str, float]:
    """Record the epoch in hand, which has ended, and return its numbers with those of callbacks.

    The best epoch is chosen as soon as its number is there, so before the callbacks where it is not
    one of theirs: they may change the parameters that were validated. The schedule observes before
    them, too, as they may save its state, unless they add a number, which it may go by.
    """
    logs, added, schedule = dict(logs), added_by(trainer.callbacks), trainer.schedule
    late = trainer.monitor in added
    trainer.history.append(logs)
    trainer.epoch += 1
    trainer._run.unfinished = None
    if validated and not late:
        _judge(trainer, logs)
    if schedule is not None and not added:
        schedule.observe(logs)
    shown = logs.copy()
    trainer._call("on_epoch_end", trainer.epoch - 1, shown)
    if changed := [name for name in logs if shown.get(name) is not logs[name]]:
        raise ValueError(
            f"a callback changed {changed} in the logs of on_epoch_end, which the trainer gives; "
            "add a number under another name"
        )
    if lacking := [name for name in added if name not in shown]:
        raise ValueError(f"a callback was to add {lacking} to the logs of on_epoch_end")
    theirs = {name: value for name, value in shown.items() if name not in logs}
    logs |= trainer.history.complete(theirs)
    if late:
        _judge(trainer, logs)
    if schedule is not None and added:
        schedule.observe(logs)
    return logs


def _judge(trainer: "Trainer", logs: dict[str, float]) -> None:
    """Keep the parameters of the last epoch where it is the best so far."""
    value, best, sign = logs[trainer.monitor], trainer.best, trainer._sign
    # A NaN is never the best: it is above nothing.
    if sign * value > (-inf if best is None else sign * best.value):
        trainer.best = Best(len(trainer.history) - 1, value, trainer.model.state_dict())
