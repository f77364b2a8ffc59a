"""What to say where a training step finds no room in memory."""

from collections.abc import Callable, Collection
from functools import partial
from traceback import clear_frames
from typing import Any

from portanet.backend import Backend
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.random import Key
from portanet.train.batch import Batch
from portanet.train.step import gradients_alone


def no_room(
    backend: Backend,
    error: BaseException,
    batch_size: int,
    attempt: Callable[[int], Any],
    accumulate: int | None = 1,
    coupling: Collection[str] = (),
) -> MemoryError:
    """Return an error with the batch size at which `error` came, and the one that fits.

    ``attempt(n)`` does of a step with n samples what takes memory; halves of the batch are tried
    until one works. Frees what the failed step's frames hold first: call it only after that step
    has raised.

    `accumulate` such batches made an update; None where batches cannot be joined. `coupling` names
    the layers to which it matters which samples are in a batch.
    """
    clear_frames(error.__traceback__)
    fitting = batch_size // 2
    while fitting and not _works(backend, attempt, fitting):
        fitting //= 2
    told = f"batch_size={batch_size} needs more memory than there is on {backend}; "
    if not fitting:
        return MemoryError(told + "no smaller batch fits")
    parts = -(-batch_size // fitting)
    size = -(-batch_size // parts)  # equal parts, where there are such
    told += f"batch_size={size} fits"
    if accumulate is not None:
        same = "the same" if size * parts == batch_size and not coupling else "nearly the same"
        told += f", and with accumulate={accumulate * parts} it is {same} update"
        told += f" ({', '.join(coupling)}: of smaller batches)" if coupling else ""
    return MemoryError(told)


def no_room_for(
    model: Layer, loss: Loss, batch: Batch, key: Key, accumulate: int, error: BaseException
) -> MemoryError:
    """Return `no_room` of a training step whose first batch this was."""
    attempt = partial(gradients_alone, model, loss, batch, key)
    joined = None if loss.couples_samples else accumulate
    size = batch.x.shape[0]
    return no_room(model.backend, error, size, attempt, joined, coupling_layers(model))


def coupling_layers(model: Layer) -> list[str]:
    """Return the names of the classes of a model's layers that couple the samples of a batch."""
    layers = (layer for _, layer in model.named_layers() if layer.couples_samples)
    return sorted({type(layer).__name__ for layer in layers})


def _works(backend: Backend, attempt: Callable[[int], Any], size: int) -> bool:
    backend.release_memory()
    try:
        attempt(size)
        backend.synchronize()
    except Exception as error:  # of a batch too small for its layers, too
        clear_frames(error.__traceback__)
        return False
    return True
