"""Reading arrays from IDX and ``.npz`` files without trusting what their headers claim."""

import io
import os
import struct
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from portanet.data.files import AnyPath, DataError, DataNotFoundError

CHUNK = 1 << 20  # bytes
HEADER = 1 << 16  # bytes, of which NumPy takes 10 000
# Any file may expand to ROOM bytes, a large one to FOLD times its own. Images of few colors reach
# 100 times; zeros, of which bombs are made, 1000 times.
ROOM = 1 << 27
FOLD = 256

Read = Callable[[int], bytes]


def read_idx(path: AnyPath, item: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the items of an IDX file of bytes, plain or gzipped: uint8 of shape ``(N, *item)``.

    The file: 0, 0, 8 for unsigned bytes, the number of axes; the length of each axis, big-endian
    uint32; the values in C order. Raises DataError for anything else, and where N is 0.
    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    import gzip
    import zlib

    zipped = False
    try:
        with open(path, "rb") as raw:
            # By content: browsers unpack files and keep the name, or the other way round.
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            with gzip.GzipFile(fileobj=raw) if zipped else nullcontext(raw) as file:
                return _idx_items(path, file.read, item)
    except (OSError, EOFError, zlib.error) as error:
        what = "truncated or corrupt gzip file" if zipped else "cannot be read"
        raise DataError(f"{path}: {what}: {error}") from error


def _idx_items(path: AnyPath, read: Read, item: tuple[int, ...]) -> NDArray[np.uint8]:
    axes = 1 + len(item)
    length = 4 + 4 * axes
    magic = bytes((0, 0, 8, axes))
    header = up_to(length, read)
    if header[:4] != magic:
        raise DataError(
            f"{path}: not an IDX file of bytes with {axes} axes, plain or gzipped: it must start "
            f"with {magic.hex(' ')}, got {header[:4].hex(' ') or 'nothing'}"
        )
    if len(header) < length:
        raise DataError(f"{path}: truncated header: expected {length} bytes, got {len(header)}")
    shape = struct.unpack(f">{axes}I", header[4:])
    if shape[1:] != item:
        raise DataError(f"{path}: expected items of shape {item}, got {shape[1:]}")
    if shape[0] == 0:
        raise DataError(f"{path}: holds no items")
    data = exactly(prod(shape), read, path, room(path))
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_npz(
    path: AnyPath, names: Sequence[str] | None = None, most: int | None = None
) -> dict[str, NDArray[Any]]:
    """Return named arrays of real numbers from an ``.npz`` file; pickles are never loaded.

    Args:
        path: of the file.
        names: of the arrays, in the order of the result; by default all.
        most: bytes that an array may have; by default what `room` says.

    Raises DataNotFoundError for a missing file, and DataError for one that is not a zip file, is
    damaged, lacks a name, has it twice, or holds anything but numbers under it, or too many.
    """
    import zipfile

    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members: dict[str, zipfile.ZipInfo] = {}
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name in members:
                    raise DataError(f"{path}: holds {name!r} twice")
                members[name] = info
            most = room(path) if most is None else most
            arrays = {}
            for name in members if names is None else names:
                if name not in members:
                    keys = ", ".join(sorted(members)) or "nothing"
                    raise DataError(f"{path}: has no {name!r}; it holds {keys}")
                # The other methods can expand without bounds; NumPy writes these two.
                if members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise DataError(f"{path}: {name}: neither stored nor deflated")
                with archive.open(members[name]) as file:
                    arrays[name] = _npy_array(f"{path}: {name}", file, most)
            return arrays
    except FileNotFoundError:
        raise DataNotFoundError(f"{path}: no such file") from None
    except (DataError, MemoryError):
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen kinds for damaged bytes
        raise DataError(f"{path}: not a zip file of arrays, or damaged: {error!r}") from error


def _npy_array(where: str, file: IO[bytes], most: int) -> NDArray[Any]:
    start = io.BytesIO(up_to(HEADER, file.read))  # NumPy would read whatever length is claimed
    shape, fortran_order, dtype = _npy_header(where, start)
    if dtype.kind not in "biuf":
        raise DataError(f"{where}: expected an array of real numbers, got dtype {dtype}")
    if min(shape, default=1) < 1:
        raise DataError(f"{where}: is empty, of shape {shape}")
    data = exactly(
        prod(shape) * dtype.itemsize, lambda n: start.read(n) or file.read(n), where, most
    )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def _npy_header(where: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise DataError(f"{where}: has version {version} of NumPy's format, which is unknown")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        try:
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(file)
            # 3.0 differs in the names of fields, which are refused.
            return np.lib.format.read_array_header_2_0(file)
        except (ValueError, MemoryError) as error:  # the latter of Python's parser, for deep nests
            raise DataError(f"{where}: has a header that is not NumPy's") from error


def room(path: AnyPath) -> int:
    """Return how many bytes a file may expand to."""
    return max(ROOM, FOLD * os.path.getsize(path))


def exactly(size: int, read: Read, where: AnyPath, most: int) -> bytearray:
    """Return the rest of a file, which must be of that size, and must not be more than `most`."""
    # Asking for one byte more makes gzip and zip reach the end, where they compare checksums.
    data = up_to(min(size, most) + 1, read)
    if len(data) > most:
        raise DataError(f"{where}: expands to more than {most} bytes, too many for so small a file")
    if len(data) < size:
        raise DataError(f"{where}: truncated: expected {size} bytes of values, got {len(data)}")
    if len(data) > size:
        raise DataError(f"{where}: holds more than the {size} bytes of values that it claims")
    return data


def up_to(limit: int, read: Read) -> bytearray:
    """Return at most `limit` bytes. Memory grows with what is there: the limit may be a lie."""
    data = bytearray()
    while len(data) < limit and (chunk := read(min(CHUNK, limit - len(data)))):
        data += chunk
    return data
