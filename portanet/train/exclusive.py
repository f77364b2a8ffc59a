"""That a trainer, and a folder of checkpoints, are in one call of `fit` at a time."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from portanet.train.checkpoints import Checkpoints
from portanet.train.lock import alone_in

Given = ParamSpec("Given")
Result = TypeVar("Result")

_at_work: dict[int, object] = {}  # by the trainer's id; in the trainer, a copy of it would have it


def one_at_a_time(fit: Callable[Given, Result]) -> Callable[Given, Result]:
    """Raise RuntimeError where a method is called while the object is in it, in any thread.

    Raise BlockingIOError where another object, or process, is in it with the same `checkpoint`:
    before it is read, as the other one goes on from there.
    """

    @wraps(fit)
    def alone(*args: Given.args, **options: Given.kwargs) -> Result:
        who = id(args[0])
        if _at_work.setdefault(who, mark := object()) is not mark:
            raise RuntimeError(
                "fit was called while this trainer is in it, by a callback or in another thread; "
                "a callback ends a run by trainer.stop_training = True"
            )
        try:
            given: Any = options.get("checkpoint")
            options["checkpoint"] = checkpoints = Checkpoints.of(given)
            with nullcontext() if checkpoints is None else alone_in(checkpoints.folder):
                return fit(*args, **options)
        finally:
            del _at_work[who]

    return alone
