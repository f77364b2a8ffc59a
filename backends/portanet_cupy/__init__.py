"""CuPy on a CUDA GPU."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from portanet.backend import Backend
from portanet_cupy import diagnosis

Method = TypeVar("Method", bound=Callable[..., Any])


def _on_device(method: Method) -> Method:
    @wraps(method)
    def run(self: "CupyBackend", *args: Any, **kwargs: Any) -> Any:
        with self.device:
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


class CupyBackend(Backend):
    """CuPy arrays on one CUDA device: a number, a ``cupy.cuda.Device``, or None for the current.

    CuPy allocates and computes on the thread's *current* device and array-api-compat's creation
    functions pass over their `device`. So the methods here make their own device current while
    they run, and `make_current` does it for what layers compute in between.
    """

    name = "cupy"
    package = "cupy"
    install = diagnosis.INSTALL
    device_key = "device.id"  # a cupy.cuda.Device compares, but has no hash

    @classmethod
    def load(cls) -> Any:
        """Return array-api-compat's view of CuPy, which supplies what CuPy names otherwise."""
        import array_api_compat.cupy as xp

        return xp

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

    @_on_device
    def index_add(self, x: Any, indices: Any, values: Any) -> Any:
        """Add rows in place, summing where an index repeats; see `Backend.index_add`.

        Atomic additions come in any order, so the last bits of a sum may differ between runs.
        """
        self.xp.add.at(x, indices, values)
        return x

    @_on_device
    def erf(self, x: Any) -> Any:
        """Return the error function of each element, as CUDA computes it."""
        from cupyx.scipy.special import erf

        return erf(x)

    asarray = _on_device(Backend.asarray)
    from_numpy = _on_device(Backend.from_numpy)
    im2col = _on_device(Backend.im2col)
    col2im = _on_device(Backend.col2im)
