"""The BLAS's own threads, held back while portanet has several."""

from collections.abc import Iterator
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
            _limits = threadpool_limits(1, user_api="blas")
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _limits.restore_original_limits()
