"""Where arrays live: what portanet asks of an array library.

A `Backend` is an array library on one device: how it is imported, where its arrays come from and go
to, and, in `Kernels`, what it computes beyond the standard.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from copy import copy
from importlib import import_module
from typing import Any, ClassVar, Self

from portanet.conversion import REAL, cast, float_dtype, real_dtype, remedy, require_fit
from portanet.kernels import Array as Array
from portanet.kernels import Kernels
from portanet.memory import Memory as Memory
from portanet.memory import of_process
from portanet.pickling import Remade
from portanet.random import Key as Key
from portanet.random import Shape as Shape
from portanet.registry import find_backend, known


class BackendError(RuntimeError):
    """A backend cannot be used; the message says why and what to do."""


class BackendMismatchError(BackendError, TypeError):
    """Arrays of different backends, or devices, met in one call."""


class Backend(Remade, Kernels):
    """An array library on a device, with the default dtype of new parameters and data.

    Subclass it to add a library: set `name` and `package`, say in `load` how its array API
    namespace is imported, and publish the class under the entry-point group ``portanet.backends``.
    """

    name: ClassVar[str]
    package: ClassVar[str]  # the package that defines the array type
    install: ClassVar[str]  # the command that installs it
    # Where an array says its device with something hashable: a library's devices may not be.
    device_key: ClassVar[str] = "device"
    threads = 1  # how many of portanet's own threads may compute at once
    asynchronous = False  # whether reading a number waits for work that was only asked for

    def __init__(self, device: Any = None, dtype: str = "float32") -> None:
        if not hasattr(self, "name"):
            raise TypeError(f"{type(self).__name__} is no library: a subclass names one")
        reason = self.unavailable()
        if reason is not None:
            raise BackendError(f"backend '{self.name}' cannot be used: {reason}")
        self.dtype = dtype = float_dtype(dtype)
        self.xp = self.load()
        try:
            self.device = self.probe(device, dtype).device
        except Exception as error:
            raise BackendError(
                f"backend '{self.name}' has no device {device!r} for {dtype}: {error}"
            ) from error
        self.floats = tuple(self._float_dtypes())  # the dtypes that layers compute in

    def probe(self, device: Any, dtype: str) -> Array:
        """Return a small new array on `device`; raises anything where that cannot be had."""
        return self.xp.empty((1,), dtype=getattr(self.xp, dtype), device=device)

    def _float_dtypes(self) -> Iterator[Any]:
        for name in ("float32", "float64"):
            # A device may lack float64.
            with suppress(Exception):
                yield self.probe(self.device, name).dtype

    def retyped(self, dtype: str) -> Self:
        """Return the same backend with another default dtype."""
        other = copy(self)
        other.dtype = float_dtype(dtype)
        return other

    def __repr__(self) -> str:
        return f"<backend {self.name} on {self.device}, {self.dtype}>"

    def __str__(self) -> str:
        return f"{self.name} on {self.device}"

    @classmethod
    def load(cls) -> Any:
        """Import the library and return its array API namespace."""
        raise NotImplementedError

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why the backend cannot be used here and what to do, or None where it can."""
        try:
            cls.load()
        except ImportError as error:
            return f"{error}; install it with: {cls.install}"
        except Exception as error:  # a library that is there but broken
            return f"importing {cls.package} failed: {error!r}"
        return None

    @classmethod
    def owns(cls, array: Any) -> bool:
        """Say whether `array` is one of this library's."""
        return hasattr(array, "dtype") and any(
            base.__module__.partition(".")[0] == cls.package for base in type(array).__mro__
        )

    @classmethod
    def info(cls) -> dict[str, str]:
        """Return what ``python -m portanet info`` prints of the library: versions, devices."""
        version = getattr(import_module(cls.package), "__version__", "unknown")
        return {"version": str(version), "devices": str(cls().device)}

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        """Return `x` as an array of this library on this device, sharing memory where it can.

        `x` is an array of any backend, or anything that ``numpy.asarray`` takes. Without `dtype`,
        floating-point numbers take the backend's `dtype`; integers and booleans keep theirs.
        Raises TypeError for complex numbers, strings and objects, ValueError for ragged lists and
        for numbers that the dtype cannot hold.
        """
        import numpy as np

        if dtype is not None:
            dtype = real_dtype(self.xp, dtype)
        source = find_backend(x)
        here = source is not None and (source.name, source.device) == (self.name, self.device)
        # NumPy's own arrays take the longer way, which makes plain ones of scalars, subclasses and
        # foreign byte orders; it copies no more than this one.
        if here and not isinstance(x, (np.ndarray, np.generic)):
            if not self.xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
                kind = type(x).__name__
                raise TypeError(f"expected real numbers, got {kind} of dtype {dtype_name(x)}")
            if dtype is None and self.xp.isdtype(x.dtype, "real floating"):
                dtype = self.dtype
            if dtype is None:
                return x
            require_fit(self.xp, x, getattr(self.xp, dtype))
            return self.xp.astype(x, getattr(self.xp, dtype), copy=False)
        if hasattr(x, "filled") and np.ma.is_masked(x):
            raise ValueError("expected numbers, got masked ones; x.filled(…) gives them a value")
        try:
            host = np.asarray(x) if source is None else source.to_numpy(x)
        except ValueError as error:
            raise ValueError(f"expected numbers in rows of equal length: {error}") from error
        if host.dtype.kind not in REAL:
            what = f"{type(x).__name__} of dtype {host.dtype}{remedy(x, host)}"
            raise TypeError(f"expected real numbers, got {what}")
        if dtype is None and host.dtype.kind == "f":
            dtype = self.dtype
        # Converting before the transfer moves fewer bytes; files may hold the other byte order.
        native = host.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        # A column of a structured array may have strides that no other library knows.
        odd = any(step % host.itemsize for step in host.strides)
        return self.from_numpy(cast(host, native, copy=odd))

    def from_numpy(self, host: Any) -> Array:
        """Return a NumPy array's values on this device, with its (native) dtype."""
        # Said, not left to the library: array-api-strict 2.6 takes the device's default instead.
        dtype = getattr(self.xp, host.dtype.name)
        return self.xp.asarray(host, dtype=dtype, device=self.device)

    def overlapped(self) -> Self:
        """Return a backend for bringing batches while the device trains; by default, this one.

        Its copies from main memory need not wait for earlier work.
        """
        return self

    def to_numpy(self, x: Array) -> Any:
        """Return `x` as a NumPy array, to be read only: it may share `x`'s memory."""
        import numpy as np

        return np.from_dlpack(x, device="cpu")

    def random(self, key: Key, shape: Shape, dtype: str, first: int = 0) -> Array:
        """Return numbers uniform in [0, 1) for samples (N, F), the first of which is `first`.

        A sample's depend on the key and its index alone, so a part of a batch draws what the whole
        would. The generic version draws on the host; a backend's own draws the same numbers, so
        masks agree between backends.
        """
        return self.from_numpy(key.samples(shape, dtype, first))

    def make_current(self) -> None:
        """Make this device the calling thread's own, for a library that has such a notion.

        `set_backend` and `use_backend` call it; another thread does so for itself.
        """

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""

    def part_size(self, shape: Shape) -> int | None:
        """Return how many samples of a batch of this shape to work on at once; None: all.

        It must not depend on the number of threads: the rounding of sums depends on it.
        """
        return None

    def one_thread_each(self) -> AbstractContextManager[Any]:
        """Hold the library to one thread a call, within a block in which portanet has several."""
        return nullcontext()

    def prepare_training(self) -> None:
        """Change process-wide settings that speed up training.

        A Trainer calls it; importing portanet never does.
        """

    def release_memory(self) -> None:
        """Give memory that is free, but kept for later arrays, back to the system."""

    def memory(self) -> Memory:
        """Return the bytes in use, and the most so far; the generic version, the process's own."""
        return of_process()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Say whether an error means that an array found no room."""
        return isinstance(error, MemoryError)


def backend_of(array: Array, *others: Array) -> Backend:
    """Return the backend where the arrays live; its dtype is float32, whatever theirs is.

    Raises TypeError for what is not an array of a known library, and BackendMismatchError where
    two arrays live apart.
    """
    here = find_backend(array)
    for other in others:
        if find_backend(other) is not here:
            raise BackendMismatchError(
                f"arrays of {backend_of(array)} and of {backend_of(other)} met in one call; move "
                "one: portanet.asarray(…) moves data, model.to(…) a model"
            )
    if here is None:
        raise TypeError(
            f"expected an array of one of {', '.join(sorted(known()))}, "
            f"got {type(array).__name__}; portanet.asarray(…) makes one"
        )
    return here


def dtype_name(array: Array) -> str:
    """Return an array's dtype as a word that every backend knows, such as ``"float32"``."""
    return str(array.dtype).rpartition(".")[2]
