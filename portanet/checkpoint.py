"""Weights on disk: ``.safetensors`` or compressed ``.npz``, by name, without pickle."""

from math import prod
from pathlib import Path
from typing import IO, Any

from portanet.backend import backend_of
from portanet.checks import instance
from portanet.checks import path as as_path
from portanet.data.files import DataError
from portanet.data.formats import read_npz, room
from portanet.durable import write_whole
from portanet.nn.layer import Layer
from portanet.nn.weights import Unmatched
from portanet.storage import CheckpointError, read_state, write_tensors


def save_weights(model: Layer, path: str | Path) -> None:
    """Write all parameters and buffers under their dotted names, such as ``"c1.weight"``.

    The suffix says the format: ``.safetensors``, or ``.npz`` (compressed), which NumPy alone reads.
    The file is written beside its place and then moved there, so that a crash leaves either the
    old file or the new one.

    Raises ValueError for another suffix, OSError where the file cannot be written.
    """
    arrays, path = instance("model", model, Layer).state_dict(), as_path("path", path)
    if _format(path) == ".npz":
        write_whole(path, lambda file: _write_npz(file, arrays))
    else:
        write_tensors(path, arrays, {})


def load_weights(model: Layer, path: str | Path, strict: bool = True) -> Unmatched:
    """Read what `save_weights` wrote into the model; nothing is changed where it does not fit.

    Of a checkpoint of a training run, the model's weights are read. With ``strict=False`` what the
    file lacks stays as it is, and what the model has not is passed over; the names of both are
    returned, see `nn.Layer.load_state_dict`.

    Raises FileNotFoundError, CheckpointError where the file is damaged or of another format, and
    ValueError that lists missing, unexpected and misshapen names.
    """
    model, path = instance("model", model, Layer), as_path("path", path)
    shapes = [array.shape for array in (*model.params.values(), *model.buffers.values())]
    arrays = _read(path, 8 * max(map(prod, shapes), default=0))
    return model.load_state_dict(arrays, strict)


def read_weights(path: str | Path) -> dict[str, Any]:
    """Return the arrays that `save_weights` wrote by their dotted names, as NumPy's.

    For whoever wants other names, or some of them, before `nn.Layer.load_state_dict`. Of a
    checkpoint of a training run, the model's weights are read.

    Raises FileNotFoundError, and CheckpointError where the file is damaged or of another format.
    """
    return _read(as_path("path", path))


def _read(path: Path, expected: int = 0) -> dict[str, Any]:
    """Return a file's arrays; one of that many `expected` bytes may be so large, however packed."""
    suffix = _format(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    return _read_npz(path, expected) if suffix == ".npz" else _read_safetensors(path)


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
                host = backend_of(array).to_numpy(array)
                write_array(member, host.copy(order="C"), allow_pickle=False)


def _read_npz(path: Path, expected: int) -> dict[str, Any]:
    try:
        return read_npz(path, most=max(expected, room(path)))  # a header may claim any number
    except DataError as error:
        raise CheckpointError(str(error)) from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    arrays, state = read_state(path)
    if state is None:
        return arrays
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model")
    return state["model"]  # type: ignore[no-any-return]
