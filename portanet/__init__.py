"""Neural networks written once against the Python array API standard."""

from portanet import nn, optim
from portanet.backend import (
    Backend,
    BackendError,
    BackendMismatchError,
    asarray,
    available_backends,
    backend_of,
    get_backend,
    register_backend,
    set_backend,
    use_backend,
)
from portanet.random import Key

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "BackendError",
    "BackendMismatchError",
    "Key",
    "asarray",
    "available_backends",
    "backend_of",
    "get_backend",
    "nn",
    "optim",
    "register_backend",
    "set_backend",
    "use_backend",
]
