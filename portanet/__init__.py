"""Neural networks written once against the Python array API standard."""

from portanet import data, nn, optim, train
from portanet.backend import Backend, BackendError, BackendMismatchError, backend_of
from portanet.checkpoint import load_weights, read_weights, save_weights
from portanet.gradcheck import check_gradients
from portanet.layercheck import check_layer
from portanet.random import Key
from portanet.registry import register_backend
from portanet.selection import (
    asarray,
    available_backends,
    get_backend,
    release_memory,
    set_backend,
    use_backend,
)
from portanet.storage import CheckpointError
from portanet.train import (
    AveragedWeights,
    Callback,
    Checkpoints,
    CSVLogger,
    EarlyStopping,
    History,
    Trainer,
)
from portanet.version import __version__ as __version__

__all__ = [
    "AveragedWeights",
    "Backend",
    "BackendError",
    "BackendMismatchError",
    "CSVLogger",
    "Callback",
    "CheckpointError",
    "Checkpoints",
    "EarlyStopping",
    "History",
    "Key",
    "Trainer",
    "asarray",
    "available_backends",
    "backend_of",
    "check_gradients",
    "check_layer",
    "data",
    "get_backend",
    "load_weights",
    "nn",
    "optim",
    "read_weights",
    "register_backend",
    "release_memory",
    "save_weights",
    "set_backend",
    "train",
    "use_backend",
]
