"""Weights on disk: ``.safetensors`` or compressed ``.npz``, by name, without pickle."""

from math import prod
from pathlib import Path
from typing import IO, Any

from portanet.backend import backend_of
from portanet.checks import instance
from portanet.checks import path as as_path
from portanet.data.files import DataError
from portanet.data.formats import read_npz
from portanet.nn.layer import Layer
from portanet.storage import CheckpointError, read_state, write_tensors, write_whole


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


def load_weights(model: Layer, path: str | Path) -> None:
    """Read what `save_weights` wrote into the model; nothing is changed where it does not fit.

    Of a checkpoint of a training run, the model's weights are read.

    Raises FileNotFoundError, CheckpointError where the file is damaged or of another format, and
    ValueError that lists missing, unexpected and misshapen names.
    """
    model, path = instance("model", model, Layer), as_path("path", path)
    read = _read_npz if _format(path) == ".npz" else _read_safetensors
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    model.load_state_dict(read(path, model))


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


def _read_npz(path: Path, model: Layer) -> dict[str, Any]:
    shapes = [array.shape for array in (*model.params.values(), *model.buffers.values())]
    most = 8 * max(map(prod, shapes), default=0)  # bytes: a header may claim any number
    try:
        return read_npz(path, most=most)
    except DataError as error:
        raise CheckpointError(str(error)) from error


def _read_safetensors(path: Path, model: Layer) -> dict[str, Any]:
    arrays, state = read_state(path)
    if state is None:
        return arrays
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model")
    return state["model"]  # type: ignore[no-any-return]
