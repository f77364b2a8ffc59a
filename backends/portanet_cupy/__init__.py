"""CuPy on a CUDA GPU."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import wraps
from math import prod
from typing import Any, Self, TypeVar

from portanet.backend import Backend, Key, Memory, Shape
from portanet.im2col import Window
from portanet.kernels import Image, Normalized, Pooled
from portanet_cupy import (
    diagnosis,
    drawing,
    fusion,
    losses,
    normalization,
    precision,
    transfer,
    windows,
)

Method = TypeVar("Method", bound=Callable[..., Any])


def _on_device(method: Method) -> Method:
    @wraps(method)
    def run(self: "CupyBackend", *args: Any, **kwargs: Any) -> Any:
        with self.device:
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


class CupyBackend(Backend):
    """CuPy arrays on one CUDA device: a number, a ``cupy.cuda.Device``, or None for the current.

    ``set_backend("cupy", tf32=True)`` lets products of float32 matrices round their factors to
    TF32, which keeps 10 of 23 bits and runs on tensor cores. It holds for the process, from the
    first backend on; without it ``CUPY_TF32`` in the environment decides, else it is off.

    CuPy allocates and computes on the thread's *current* device and array-api-compat's creation
    functions pass over their `device`. So the methods here make their own device current while
    they run, and `make_current` does it for what layers compute in between.
    """

    name = "cupy"
    package = "cupy"
    install = diagnosis.INSTALL
    device_key = "device.id"  # a cupy.cuda.Device compares, but has no hash
    asynchronous = True
    _copies: Any = None  # the stream on which arrays are brought, where it is not the current one

    def __init__(
        self, device: Any = None, dtype: str = "float32", tf32: bool | None = None
    ) -> None:
        super().__init__(device, dtype)
        precision.choose(tf32)
        self._formulas = fusion.Formulas(self.xp)

    @classmethod
    def load(cls) -> Any:
        """Return array-api-compat's view of CuPy, which supplies what CuPy names otherwise."""
        from portanet_cupy import namespace

        return namespace

    @classmethod
    def unavailable(cls) -> str | None:
        """Return which of five causes keeps CuPy from computing here, and what to do."""
        return diagnosis.problem() or super().unavailable()

    @classmethod
    def info(cls) -> dict[str, str]:
        """Return CuPy's version, CUDA's versions, and each device with its memory."""
        return diagnosis.info()

    def probe(self, device: Any, dtype: str) -> Any:
        """Return a small new array on `device`; raises anything where that cannot be had."""
        import cupy

        with cupy.cuda.Device(device):
            return super().probe(None, dtype)

    @_on_device
    def from_numpy(self, host: Any) -> Any:
        """Return a NumPy array's values on this device; see `Backend.from_numpy`."""
        if self._copies is None:
            return super().from_numpy(host)
        return transfer.brought(super().from_numpy, host, self._copies)

    def overlapped(self) -> Self:
        """Return the same backend, whose copies from main memory have a stream of their own."""
        other = copy(self)
        other._copies = transfer.stream(self.device.id)
        return other

    def to_numpy(self, x: Any) -> Any:
        """Return a copy in main memory, when the device has done all that leads to `x`."""
        import cupy

        with self.device:
            return cupy.asnumpy(x)

    def make_current(self) -> None:
        """Make this device the one where the calling thread's arrays are made and computed."""
        self.device.use()

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""
        self.device.synchronize()

    def release_memory(self) -> None:
        """Give the free blocks of CuPy's memory pools back to the device and the system."""
        import cupy

        with self.device:
            cupy.get_default_memory_pool().free_all_blocks()
            cupy.get_default_pinned_memory_pool().free_all_blocks()

    def memory(self) -> Memory:
        """Return what arrays take of CuPy's memory pool, and the most that the pool took.

        The pool keeps what arrays gave back, so the peak is at least what they took at once since
        the last `release_memory`.
        """
        import cupy

        with self.device:
            pool = cupy.get_default_memory_pool()
            return Memory(pool.used_bytes(), pool.total_bytes())

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Say whether an array, or one of CUDA's libraries, found no room on the device."""
        return super().is_out_of_memory(error) or diagnosis.is_out_of_memory(error)

    @_on_device
    def index_add(self, x: Any, indices: Any, values: Any) -> Any:
        """Add rows in place, summing where an index repeats; see `Backend.index_add`.

        Atomic additions come in any order, so the last bits of a sum may differ between runs.
        """
        self.xp.add.at(x, indices, values)
        return x

    @_on_device
    def cross_entropy(self, scores: Any, t: Any, each: bool) -> tuple[Any, Callable[[], Any]]:
        """Return −Σ t log softmax(scores) and its gradient, both made by one kernel."""
        if losses.serves(scores, t):
            return losses.cross_entropy(self.xp, scores, t, each)
        value, gradient = super().cross_entropy(scores, t, each)
        return value, self._here(gradient)

    @_on_device
    def erf(self, x: Any) -> Any:
        """Return the error function of each element, as CUDA computes it."""
        from cupyx.scipy.special import erf

        return erf(x)

    @_on_device
    def im2col(self, x: Any, window: Window) -> Any:
        """Lay the pixels under each window position in a column, by one kernel."""
        if windows.serves(x.dtype, x.shape, window):
            return windows.im2col(self.xp, x, window)
        return super().im2col(x, window)

    @_on_device
    def col2im(self, columns: Any, shape: Image, window: Window) -> Any:
        """Add columns back to their pixels, by one kernel in which each pixel gathers its own."""
        if windows.serves(columns.dtype, shape, window):
            return windows.col2im(self.xp, columns, shape, window)
        return super().col2im(columns, shape, window)

    @_on_device
    def max_pool(self, x: Any, window: Window, needs_pullback: bool = True) -> Pooled:
        """Return each window's largest element, by one kernel, and its pullback, by another."""
        if not windows.serves(x.dtype, x.shape, window) or prod(window.kernel) > 256:
            return super().max_pool(x, window, needs_pullback)
        y, back = windows.max_pool(self.xp, x, window)
        return y, self._here(back)

    @_on_device
    def sum_pool(self, x: Any, window: Window) -> Pooled:
        """Return each window's sum, by one kernel, and its pullback, by another."""
        if not windows.serves(x.dtype, x.shape, window):
            return super().sum_pool(x, window)
        y, back = windows.sum_pool(self.xp, x, window)
        return y, self._here(back)

    @_on_device
    def moments(self, x: Any) -> tuple[Any, Any]:
        """Return each channel's mean and variance, by one kernel, or two where it is long."""
        return normalization.moments(self.xp, x)

    @_on_device
    def normalize(self, *arguments: Any) -> Normalized:
        """Return y, by one kernel, and its pullback, by two, or three; see `Kernels.normalize`."""
        y, back = normalization.normalize(self.xp, *arguments)
        return y, self._here(back)

    @_on_device
    def random(self, key: Key, shape: Shape, dtype: str, first: int = 0) -> Any:
        """Return numbers uniform in [0, 1), those of the host, drawn here; see `Backend.random`."""
        return drawing.uniform(self.xp, key, shape, dtype, first)

    def fused(self, formula: Callable[..., Any]) -> Callable[..., Any]:
        """Return an element-wise formula as one kernel, where it can be; see `Fusion.fused`."""
        return self._here(self._formulas.fused(formula))

    @_on_device
    def fused_each(self, formula: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
        """Run a formula with each of the arguments, in one launch where they are alike."""
        self._formulas.fused_each(formula, calls)

    @_on_device
    def elementwise(
        self, formula: Callable[..., Any], back: Callable[..., Any], *arguments: Any
    ) -> tuple[Any, Callable[[Any], Any]]:
        """Return a formula's value and its pullback, as a kernel each; see `Fusion.elementwise`."""
        y, pullback = self._formulas.elementwise(formula, back, *arguments)
        return y, self._here(pullback)

    def _here(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that runs with this device as the current one."""

        def run(*arguments: Any) -> Any:
            with self.device:
                return function(*arguments)

        return run

    asarray = _on_device(Backend.asarray)
