"""Weights on disk: ``.safetensors`` or compressed ``.npz``, by name, without pickle."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from portanet.backend import backend_of
from portanet.nn.layer import Layer


class CheckpointError(ValueError):
    """A file cannot be read as weights; the message names it and says why."""


def save_weights(model: Layer, path: str | Path) -> None:
    """Write all parameters and buffers under their dotted names, such as ``"c1.weight"``.

    The suffix says the format: ``.safetensors``, or ``.npz`` (compressed), which NumPy alone reads.
    The file is written beside its place and then moved there, so that a crash leaves either the
    old file or the new one.

    Raises ValueError for another suffix, OSError where the file cannot be written.
    """
    import numpy as np

    path = Path(path)
    _format(path)
    # Contiguous copies: safetensors would write the bytes of anything else in the wrong order.
    arrays: dict[str, Any] = {
        name: np.array(backend_of(array).to_numpy(array), order="C", copy=True)
        for name, array in model.state_dict().items()
    }
    if path.suffix == ".npz":
        _write(path, lambda file: np.savez_compressed(file, **arrays))
    else:
        from safetensors.numpy import save

        _write(path, lambda file: file.write(save(arrays)))


def load_weights(model: Layer, path: str | Path) -> None:
    """Read what `save_weights` wrote into the model; nothing is changed where it does not fit.

    Raises FileNotFoundError, CheckpointError where the file is damaged or of another format, and
    ValueError that lists missing, unexpected and misshapen names.
    """
    path = Path(path)
    read = _read_npz if _format(path) == ".npz" else _read_safetensors
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    try:
        arrays = read(path)
    except Exception as error:  # zip, zlib, header and safetensors errors of many classes
        raise CheckpointError(f"{path}: not a readable {path.suffix} file: {error}") from error
    model.load_state_dict(arrays)


def _format(path: Path) -> str:
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{path}: weights are written as .safetensors or .npz")
    return path.suffix


def _read_npz(path: Path) -> dict[str, Any]:
    import numpy as np

    # Opened here: of a damaged archive NumPy would leave the file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load

    return load(path.read_bytes())


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a whole file or nothing: to a temporary one in the same folder, then rename."""
    import tempfile

    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
