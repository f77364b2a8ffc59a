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
        _write(path, lambda file: _write_npz(file, arrays))
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


def _write_npz(file: IO[bytes], arrays: dict[str, Any]) -> None:
    """Write what `numpy.load` reads; ``numpy.savez`` takes no array of the name ``file``."""
    import zipfile

    from numpy.lib.format import write_array

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, array, allow_pickle=False)


def _read_npz(path: Path) -> dict[str, Any]:
    import zipfile

    from numpy.lib.format import read_array

    arrays = {}
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no zip archive, or only a part of one")
        with zipfile.ZipFile(file) as archive:
            for entry in archive.namelist():
                name = entry.removesuffix(".npy")
                with archive.open(entry) as member:
                    try:
                        arrays[name] = read_array(member, allow_pickle=False)
                    except ValueError as error:  # NumPy's own words advise allow_pickle=True
                        raise ValueError(f"{name!r} is not a whole array of numbers") from error
                    if member.read(1):  # at the end, where zipfile compares checksums
                        raise ValueError(f"{name!r} holds more than its array")
    return arrays


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load

    return load(path.read_bytes())


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a whole file or nothing: to a temporary one in the same folder, then rename.

    The file has the permissions of the one it replaces, else those that `open` gives a new one.
    """
    import secrets

    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        file = temporary.open("xb")
    except OSError as error:  # of a folder that is missing or read-only: name the caller's path
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with file:
            if path.is_file():
                temporary.chmod(path.stat().st_mode & 0o777)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
