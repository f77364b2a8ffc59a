"""Micro-batches on threads: a batch in parts, their results in a fixed order.

How a batch is cut depends on its shape and the model alone, never on the number of threads, and
the parts' gradients are summed in the parts' order: so the result is the same to the last bit
however many threads there are. Where a layer or the loss couples the samples of a batch, or a layer
keeps running statistics, batches are not cut. Nor are they where that does not pay: where no layer
slides a window over images, or the other layers' weights are many.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from math import prod
from typing import Any, NamedTuple, Self, TypeVar

from portanet.backend import Array, Backend
from portanet.nn.context import Context
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.nn.parts import check_parts
from portanet.nn.window import WindowLayer
from portanet.train.batch import Batch

# Each part makes the gradients of all parameters. A window's are few for the work that they take
# part in; of the others, beyond so many for each number in a part, parts cost more than they save.
MOST_WEIGHTS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


class Part(NamedTuple):
    """Some samples of a batch, and the index of the first of them in it."""

    batch: Batch
    first: int


class Team:
    """The threads of a run; the caller's own is one of them. Use it in a ``with`` block.

    A loss that is given is looked at once, before a batch is cut: its parts must sum to the whole.

    Threads are started when there is first something to share. The BLAS is held to one thread from
    the first batch that is cut into parts, a single one included.
    """

    def __init__(self, backend: Backend, model: Layer, loss: Loss | None = None) -> None:
        self.backend, self._model, self._unchecked = backend, model, loss
        # Running statistics follow one batch after the other, so such a network has one thread.
        self._whole = any(
            layer.couples_samples or layer.own_buffers for _, layer in model.named_layers()
        ) or (loss is not None and loss.couples_samples)
        layers = [layer for _, layer in model.named_layers()]
        self._windows = any(isinstance(layer, WindowLayer) for layer in layers)
        self._weights = sum(
            prod(parameter.shape)
            for layer in layers
            if not isinstance(layer, WindowLayer)
            for parameter in layer._parameters.values()
        )
        self._stack = ExitStack()
        self._threads: ThreadPoolExecutor | None = None
        self._held = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        self._threads, self._held = None, False

    def parts(self, batch: Batch) -> Iterator[Part]:
        """Yield the batch in parts of the size that the backend works best with.

        Of the first batch a few samples show whether the loss can be taken in parts at all.
        """
        if self._unchecked is not None:
            x, y, weight = (_cut(array, 0, 8) for array in batch)
            scores, _ = self._model.vjp(x, Context(needs_input_grad=False, needs_pullback=False))
            check_parts(self._unchecked, scores, y, weight)
            self._unchecked = None
        size = None if self._whole else self._part_size(tuple(batch.x.shape))
        if size is not None and not self._held:  # a single part, too: it is small
            self._stack.enter_context(self.backend.one_thread_each())
            self._held = True
        if size is None or size >= batch.x.shape[0]:
            yield Part(batch, 0)
            return
        for start in range(0, batch.x.shape[0], size):
            x, y, weight = (_cut(array, start, start + size) for array in batch)
            yield Part(Batch(x, y, weight), start)

    def _part_size(self, shape: tuple[int, ...]) -> int | None:
        """Return how many samples of a batch of this shape to take at once; None: all."""
        size = self.backend.part_size(shape) if self._windows else None
        if size is None or self._weights > MOST_WEIGHTS * size * prod(shape[1:]):
            return None
        return size

    def map(self, function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
        """Return the function's results for all items, in their order; items are shared out."""
        count = min(self.backend.threads, len(items))
        if self._whole or len(items) == 1:
            return [function(item) for item in items]
        threads = self._start()

        def share(k: int) -> list[Result]:
            return [function(item) for item in items[k::count]]

        others = [threads.submit(copy_context().run, share, k) for k in range(1, count)]
        results: list[Any] = [None] * len(items)
        try:
            results[0::count] = share(0)
        finally:  # nobody computes on when an error has ended the step
            shares = [(k, other.exception() or other.result()) for k, other in enumerate(others, 1)]
        for k, found in shares:
            if isinstance(found, BaseException):
                raise found
            results[k::count] = found
        return results

    def _start(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = self._stack.enter_context(
                ThreadPoolExecutor(max(1, self.backend.threads - 1), "portanet")
            )
        return self._threads


def _cut(array: Array | None, start: int, stop: int) -> Array | None:
    return None if array is None else array[start : min(stop, array.shape[0]), ...]
