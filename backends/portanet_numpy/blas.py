"""The BLAS's own threads, held back while portanet has several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

# The limit is the process's: the first that asks for it sets it, the last that ends takes it back.
_lock = Lock()
_holders = 0
_limits: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the BLAS to one thread a call, within one block or several that overlap."""
    global _holders, _limits
    from threadpoolctl import threadpool_limits

    with _lock:
        if _holders == 0:
            _limits = _in_control(lambda: threadpool_limits(1, user_api="blas"))
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _in_control(_limits.restore_original_limits)


def _in_control(change: Callable[[], Any]) -> Any:
    """Change limits in whichever thread this is, and return what the change returns.

    From 3.8 on threadpoolctl lets OpenBLAS's limit be changed by one thread alone, the first that
    does, while it lives. Here another may begin, and yet another end.
    """
    from threadpoolctl import OpenBLASController

    forget = getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)
    forget(force=True)
    try:
        return change()
    finally:
        forget(force=True)
