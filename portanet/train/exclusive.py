"""That a trainer is in one call of `fit` at a time."""

from collections.abc import Callable
from functools import wraps
from typing import Any

_at_work: dict[int, object] = {}  # by the trainer's id; in the trainer, a copy of it would have it


def one_at_a_time(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Raise RuntimeError where a method is called while the object is in it, in any thread."""

    @wraps(fit)
    def alone(self: Any, *args: Any, **options: Any) -> Any:
        if _at_work.setdefault(id(self), mark := object()) is not mark:
            raise RuntimeError(
                "fit was called while this trainer is in it, by a callback or in another thread; "
                "a callback ends a run by trainer.stop_training = True"
            )
        try:
            return fit(self, *args, **options)
        finally:
            del _at_work[id(self)]

    return alone
