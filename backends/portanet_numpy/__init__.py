"""NumPy on a CPU: the backend of portanet's base install."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import prod
from typing import Any

from portanet.backend import Backend
from portanet.cpus import usable_cpus
from portanet.im2col import Window
from portanet.kernels import Image
from portanet_numpy import blas, convolution, fusion, memory


class NumpyBackend(Backend):
    """NumPy arrays in main memory.

    ``set_backend("numpy", threads=4)`` says how many of portanet's threads may compute at once in
    training; by default ``PORTANET_THREADS``, else the CPUs that this process may use.
    """

    name = "numpy"
    package = "numpy"
    install = "pip install numpy"

    def __init__(
        self, device: Any = None, dtype: str = "float32", threads: int | None = None
    ) -> None:
        super().__init__(device, dtype)
        self.threads = _threads(threads)
        self._loops = fusion.Loops(self.xp)

    @classmethod
    def load(cls) -> Any:
        """Return NumPy itself: it conforms to the standard from 2.1 on."""
        import numpy as np

        return np

    @classmethod
    def owns(cls, array: Any) -> bool:
        """Say whether `array` is NumPy's, and computes as its plain ones do.

        A matrix does not, whose ``*`` is the matrix product, nor what has masks or units.
        """
        import numpy as np

        kind, plain = type(array), np.ndarray
        return super().owns(array) and not (
            isinstance(array, plain)
            and (kind.__mul__, kind.__array_ufunc__) != (plain.__mul__, plain.__array_ufunc__)
        )

    @classmethod
    def info(cls) -> dict[str, str]:
        """Return NumPy's version, and each BLAS in this process with its number of threads."""
        import numpy as np
        import threadpoolctl

        pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
        found = ", ".join(
            f"{p['internal_api']} {p['version'] or ''} ({p['num_threads']} threads)" for p in pools
        )
        if not found:  # Accelerate, for one, does not tell its threads
            built: Any = np.show_config(mode="dicts")
            name = built.get("Build Dependencies", {}).get("blas", {}).get("name", "unknown")
            found = f"{name} (threads unknown)"
        numba = getattr(fusion.numba(), "__version__", "not installed: pip install numba")
        return {"version": np.__version__, "devices": "cpu", "BLAS": found, "Numba": numba}

    def to_numpy(self, x: Any) -> Any:
        """Return the array itself."""
        import numpy as np

        return np.asarray(x)

    def im2col(self, x: Any, window: Window) -> Any:
        """Lay the pixels under each window position in a column, by one strided copy."""
        view = convolution.windows(x, window)
        c, kh, kw, *positions = view.shape
        return self.xp.array(view, order="C").reshape(c * kh * kw, prod(positions))

    def convolve(self, matrix: Any, x: Any, window: Window) -> Any:
        """Return ``matrix @ columns``, in blocks that fit the cache; see `Kernels.convolve`."""
        return convolution.convolve(matrix, x, window)

    def convolve_weight_grad(self, dy: Any, x: Any, window: Window) -> Any:
        """Return ``dy @ columnsᵀ``, in such blocks; see `Kernels.convolve_weight_grad`."""
        return convolution.convolve_weight_grad(dy, x, window)

    def convolve_input_grad(self, matrix: Any, dy: Any, shape: Image, window: Window) -> Any:
        """Return ``matrixᵀ @ dy`` added back to the pixels; see `Kernels.convolve_input_grad`."""
        if (mirrored := window.mirrored()) is None:
            return super().convolve_input_grad(matrix, dy, shape, window)
        return convolution.convolve_input_grad(matrix, dy, shape, window, mirrored)

    def part_size(self, shape: tuple[int, ...]) -> int | None:
        """Cut batches of images into parts whose arrays fit the cache: 16 to 64 samples.

        Batches of vectors stay whole: their matrix products run on the BLAS's own threads.
        """
        if len(shape) != 4:
            return None
        fitting = 65536 // max(1, prod(shape[1:]))
        return max(16, min(64, 1 << max(0, fitting.bit_length() - 1)))

    def one_thread_each(self) -> AbstractContextManager[Any]:
        """Hold the BLAS to one thread: its own would fight with portanet's."""
        return blas.one_thread()

    def prepare_training(self) -> None:
        """Keep freed memory with the process: mapping it anew costs more than the arithmetic."""
        memory.keep()

    def release_memory(self) -> None:
        """Give free memory back to the system."""
        memory.release()

    def fused_each(self, formula: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
        """Run a formula with each of the arguments; as a loop on large arrays, with Numba."""
        if fusion.numba() is None:
            super().fused_each(formula, calls)
        else:
            self._loops.fused_each(formula, calls)

    def index_add(self, x: Any, indices: Any, values: Any) -> Any:
        """Add rows in place, summing where an index repeats; see `Backend.index_add`."""
        self.xp.add.at(x, indices, values)
        return x


def _threads(given: int | None) -> int:
    value = os.environ.get("PORTANET_THREADS") or None if given is None else given
    if value is not None:
        if not str(value).isdigit() or int(value) == 0:
            raise ValueError(f"threads, or PORTANET_THREADS, must be 1 or more, got {value!r}")
        return int(value)
    return usable_cpus()
