"""CUDA's streams and CuPy's pool of memory, played on the CPU.

The device that is played keeps to what CUDA and CuPy promise, and to no more: a stream does things
in order, streams go on in any order among each other, an event of one holds up another, and freed
memory is at once the next array's of its stream. So an order that is wrong shows as numbers of
another array, for some way that things may go.
"""

import random
from collections.abc import Callable
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

Event = list[bool]  # it holds something once it has come


class Stream:
    """Things that are asked for now and done later, in order. Within ``with`` it is the current."""

    def __init__(self, device: "Device", non_blocking: bool = False) -> None:
        self.device, self.non_blocking = device, non_blocking
        self.queue = list[tuple[Event | None, Callable[[], Any]]]()  # what to wait for, what to do
        self.free = list[Any]()
        device.streams.append(self)

    def ask(self, do: Callable[[], Any]) -> None:
        self.queue.append((None, do))

    def record(self) -> Event:
        event = Event()
        self.ask(partial(event.append, True))
        return event

    def wait_event(self, event: Event) -> None:
        self.queue.append((event, lambda: None))

    @property
    def ready(self) -> bool:
        """Whether the next thing can be done."""
        return bool(self.queue) and self.queue[0][0] != []

    def __enter__(self) -> Self:
        self.device.current.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self.device.current.pop()


class Array:
    """An array on the device, whose memory goes back to its stream when nobody holds it."""

    def __init__(self, device: "Device", like: Any) -> None:
        self.device, self.stream = device, device.current[-1]
        free = self.stream.free
        self.memory = free.pop() if free else np.zeros_like(like)
        assert (self.memory.shape, self.memory.dtype) == (like.shape, like.dtype)

    def __del__(self) -> None:
        self.stream.free.append(self.memory)

    def copy(self, order: str) -> "Array":
        new = Array(self.device, self.memory)
        self.device.current[-1].ask(partial(np.copyto, new.memory, self.memory))
        return new


class Device:
    """A device with one stream for work; it also stands for the module ``cupy``."""

    id = 0
    float32 = np.dtype("float32")

    def __init__(self) -> None:
        self.streams = list[Stream]()
        self.work = Stream(self)
        self.current = [self.work]
        self.arrived = 0  # copies from main memory that are done
        self.cuda = SimpleNamespace(
            Device=lambda number: self,
            Stream=partial(Stream, self),
            get_current_stream=lambda: self.current[-1],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def asarray(self, host: Any, **where: Any) -> Array:
        """Copy from main memory on the current stream, out of pinned memory of its own."""
        array = Array(self, host)
        self.current[-1].ask(partial(self._arrive, array.memory, host.copy()))
        return array

    def _arrive(self, memory: Any, values: Any) -> None:
        memory[...] = values
        self.arrived += 1

    def advance(self, choose: random.Random, most: float = inf, held: Stream | None = None) -> None:
        """Do at most so many things, in an order drawn at random; `held` does not go on."""
        while most > 0 and (ready := [s for s in self.streams if s.ready and s is not held]):
            _, do = choose.choice(ready).queue.pop(0)
            do()
            most -= 1
