"""What to say where a training step finds no room in memory."""

from collections.abc import Callable
from traceback import clear_frames
from typing import Any

from portanet.backend import Backend


def no_room(
    backend: Backend, error: BaseException, batch_size: int, attempt: Callable[[int], Any]
) -> MemoryError:
    """Return an error with the batch size at which `error` came, and the one that fits.

    ``attempt(n)`` does of a step with n samples what takes memory; halves of the batch are tried
    until one works. What the failed step held is given up first: it must have been left.
    """
    clear_frames(error.__traceback__)
    fitting = batch_size // 2
    while fitting and not _works(backend, attempt, fitting):
        fitting //= 2
    parts = -(-batch_size // fitting) if fitting else 0
    return MemoryError(
        f"batch_size={batch_size} needs more memory than there is on {backend}; "
        + (
            f"batch_size={fitting} fits, and with accumulate={parts} it is the same update"
            if fitting
            else "no smaller batch fits"
        )
    )


def _works(backend: Backend, attempt: Callable[[int], Any], size: int) -> bool:
    backend.release_memory()
    try:
        attempt(size)
        backend.synchronize()
    except Exception as error:  # of a batch too small for its layers, too
        clear_frames(error.__traceback__)
        return False
    return True
