"""The choice among backends: for the process, for a block, or by the environment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from portanet import registry
from portanet.backend import Array, Backend, BackendError
from portanet.checks import check_options, instance
from portanet.registry import known

# What to say to who names the hardware.
HARDWARE = "CUDA devices are those of cupy, and of torch with device='cuda'"

_process: Backend | None = None
_local: ContextVar[Backend | None] = ContextVar("portanet_backend", default=None)


def available_backends() -> dict[str, str | None]:
    """Map each known backend's name to None, or to the reason that it cannot be used here."""
    reasons = {name: cls.unavailable() for name, cls in list(known().items())}
    return dict(sorted((reasons | registry.broken).items()))


def make_backend(
    name: str, *, device: Any = None, dtype: str = "float32", **options: Any
) -> Backend:
    """Return a backend by name without selecting it; arguments and errors as `set_backend`."""
    classes, name = known(), instance("a backend's name", name, str)
    if name == "auto":
        name = "cupy" if "cupy" in classes and classes["cupy"].unavailable() is None else "numpy"
    if name in registry.broken:
        raise BackendError(f"backend '{name}' cannot be used: {registry.broken[name]}")
    if name not in classes:
        names = ", ".join(sorted(classes)) or "none: is portanet installed (pip install -e .)?"
        names += f"; {HARDWARE}" if name.partition(":")[0] in ("cuda", "gpu") else ""
        raise BackendError(f"unknown backend {name!r}; known are auto and: {names}")
    check_options(f"backend '{name}'", classes[name].__init__, options)
    return classes[name](device, dtype, **options)


def set_backend(
    name: str, *, device: Any = None, dtype: str = "float32", **options: Any
) -> Backend:
    """Select, for the whole process, where new parameters and data are made.

    `name` is a known backend's, or ``"auto"``: CuPy where a CUDA device answers, else NumPy.
    `device` is the library's own word for a device (``"cuda:1"`` for torch, 1 for CuPy), by default
    the library's default. `dtype` is ``"float32"`` or ``"float64"``. A backend may have options
    of its own, such as NumPy's `threads`. What exists stays where it is; ``model.to(name)`` moves a
    model.

    Raises BackendError for an unknown name, a missing library (with the command that installs it)
    or a device that does not answer.
    """
    global _process
    backend = make_backend(name, device=device, dtype=dtype, **options)
    backend.make_current()
    _process = backend
    return backend


@contextmanager
def use_backend(
    name: str, *, device: Any = None, dtype: str = "float32", **options: Any
) -> Iterator[Backend]:
    """Select a backend within a ``with`` block, in this thread or task only.

    Threads do not inherit it unless they run in a ``contextvars.copy_context()``. Arguments and
    errors as `set_backend`.
    """
    backend = make_backend(name, device=device, dtype=dtype, **options)
    backend.make_current()
    token = _local.set(backend)
    try:
        yield backend
    finally:
        _local.reset(token)
        outer = _local.get() or _process
        if outer is not None:
            outer.make_current()


def get_backend() -> Backend:
    """Return the selected backend: `use_backend`, else `set_backend`, else ``PORTANET_BACKEND``.

    Without any of these it is NumPy. Raises BackendError where ``PORTANET_BACKEND`` names one that
    is unknown or cannot be used.
    """
    return _local.get() or _process or _default_backend()


def _default_backend() -> Backend:
    name = os.environ.get("PORTANET_BACKEND")
    if not name:
        return set_backend("numpy")
    try:
        return set_backend(name)
    except BackendError as error:
        raise BackendError(f"PORTANET_BACKEND={name}: {error}") from error


def asarray(x: Any, dtype: str | None = None) -> Array:
    """Return `x` as an array of the selected backend; see `Backend.asarray`."""
    return get_backend().asarray(x, dtype)


def release_memory() -> None:
    """Give the selected backend's free memory back to the system, after training say.

    Arrays that are in use stay. On NumPy under Linux, training keeps freed memory with the process
    for speed; ``PORTANET_KEEP_MEMORY=0`` in the environment switches that off.
    """
    get_backend().release_memory()
