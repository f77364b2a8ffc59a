"""Files that can be trusted: safetensors with a checksum.

A safetensors file is a JSON header, with a place for words of one's own, and the arrays' bytes. The
words here are the schema's number, who wrote the file, a checksum of the whole file, and, of a
training run, everything that is no array, as JSON. Other programs read the arrays as ever.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from portanet.backend import backend_of
from portanet.durable import write_whole
from portanet.registry import find_backend

SCHEMA = 1  # goes up when older versions of portanet could not read, or would misread, the file
NEEDS = "0.1.0"  # the first version of portanet that reads this schema
CHECKSUM = "checksum"
BLANK = "0" * 64  # stands for the checksum while it is computed
DTYPES = {"bool": "BOOL", "complex64": "C64"} | {  # NumPy's names and safetensors's
    f"{kind}{bits}": f"{kind[0].upper()}{bits}"
    for kind in ("float", "int", "uint")
    for bits in (8, 16, 32, 64)
}


class CheckpointError(ValueError):
    """A file cannot be read as weights or as a training run, or is of another run.

    The message says why.
    """


def write_tensors(path: Path, arrays: Mapping[str, Any], words: Mapping[str, str]) -> None:
    """Write arrays of any backend, and words, as a safetensors file with a checksum.

    The library's own writer would hold all of it in memory twice more. Raises TypeError for an
    array whose dtype the format has not.
    """
    about = {"schema": str(SCHEMA), "needs": NEEDS, CHECKSUM: BLANK}
    header: dict[str, Any] = {"__metadata__": {**words, **about}}
    host = {name: _little_endian(name, array) for name, array in arrays.items()}
    parts, end = [], 0
    # Those of large numbers first: readers that map the file find each in its place.
    for name, array in sorted(host.items(), key=lambda item: -item[1].itemsize):
        start, end = end, end + array.nbytes
        of = {"dtype": DTYPES[array.dtype.name], "shape": array.shape}
        header[name] = of | {"data_offsets": (start, end)}
        parts.append(array.reshape(-1).view("u1"))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    length = len(text).to_bytes(8, "little")
    digest = blake2b(length + text, digest_size=32)
    for part in parts:
        digest.update(part)
    start = text.index(f'"{CHECKSUM}":"{BLANK}"'.encode()) + len(CHECKSUM) + 4
    text = text[:start] + digest.hexdigest().encode() + text[start + len(BLANK) :]
    write_whole(path, lambda file: file.writelines((length, text, *parts)))


def _little_endian(name: str, array: Any) -> Any:
    """Return an array as NumPy's, its bytes in the format's order, without a gap."""
    import numpy as np

    host = backend_of(array).to_numpy(array)
    if host.dtype.name not in DTYPES:
        raise TypeError(f"{name}: no safetensors file holds {host.dtype.name}")
    host = host.astype(host.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(host).reshape(tuple(array.shape))


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a safetensors file's arrays, NumPy's, and its words; the checksum is compared.

    A file of another program has no checksum. Raises CheckpointError where the file is damaged or
    was written by a newer portanet, OSError where it cannot be read at all.
    """
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = data[8 : 8 + length]
        words = dict(json.loads(header).get("__metadata__", {}))
        checksum = words.pop(CHECKSUM, None)
        if checksum is not None or {"schema", "needs", "state"} & words.keys():
            schema, needs = int(words.pop("schema")), words.pop("needs")
            if schema > SCHEMA:
                raise ValueError(f"it was written by a newer portanet: it needs {needs} or later")
            digest = blake2b(data[:8], digest_size=32)
            digest.update(header.replace(str(checksum).encode(), BLANK.encode(), 1))
            digest.update(memoryview(data)[8 + length :])
            if digest.hexdigest() != checksum:
                raise ValueError("its checksum is not that of its contents: it was damaged")
        try:
            return load(data), words
        except KeyError as error:
            raise ValueError(
                f"it holds {error.args[0]}, which NumPy has not; write it as float32"
            ) from error
    except OSError:
        raise
    except Exception as error:  # of json, of safetensors, of missing and misplaced parts
        raise CheckpointError(f"{path}: not a readable .safetensors file: {error}") from error


def read_state(path: Path) -> tuple[dict[str, Any], Any]:
    """Return a safetensors file's arrays and the state that it holds, None where it holds none.

    Raises what `read_tensors` raises.
    """
    arrays, words = read_tensors(path)
    try:
        return arrays, unpack(words["state"], arrays) if "state" in words else None
    except Exception as error:  # JSON that is none, too deep, or names arrays that are not there
        raise CheckpointError(f"{path}: holds no readable state: {error!r}") from error


# --- states: nested dicts and lists with arrays in them -------------------------------------------

ARRAY, TUPLE, FLOATS = "__array__", "__tuple__", "__floats__"


def pack(tree: Any) -> tuple[str, dict[str, Any]]:
    """Return a state as JSON and the arrays that it refers to by name.

    A state is made of dicts with names for keys, lists, tuples, arrays of any backend, numbers,
    strings, None. NumPy's scalars become numbers, lists of floats arrays. Raises TypeError for
    anything else, saying where.
    """
    arrays: dict[str, Any] = {}
    return json.dumps(_packed(tree, "", arrays)), arrays


def unpack(text: str, arrays: Mapping[str, Any]) -> Any:
    """Return the state that `pack` was given, with arrays as they are in `arrays`."""
    return _unpacked(json.loads(text), arrays)


def _packed(part: Any, where: str, arrays: dict[str, Any]) -> Any:
    import numpy as np

    if isinstance(part, np.generic):
        part = part.item()
    if part is None or type(part) in (bool, int, float, str):
        return part
    if isinstance(part, dict):
        if wrong := [k for k in part if not isinstance(k, str) or k.startswith("__")]:
            raise TypeError(f"state {where!r}: the keys must be names, got {wrong}")
        return {k: _packed(v, f"{where}.{k}" if where else k, arrays) for k, v in part.items()}
    floats = isinstance(part, list) and part and all(type(value) is float for value in part)
    if isinstance(part, (list, tuple)) and not floats:
        values = [_packed(value, f"{where}.{k}", arrays) for k, value in enumerate(part)]
        return {TUPLE: values} if isinstance(part, tuple) else values
    if not floats and find_backend(part) is None:
        raise TypeError(f"state {where!r}: cannot be saved: {type(part).__name__}")
    if where in arrays:
        raise TypeError(f"state {where!r}: two arrays have this name")
    if floats:
        arrays[where] = np.asarray(part)
        return {FLOATS: where}
    arrays[where] = part
    return {ARRAY: where}


def _unpacked(part: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_unpacked(value, arrays) for value in part]
    if not isinstance(part, dict):
        return part
    if ARRAY in part:
        return arrays[part[ARRAY]]
    if FLOATS in part:
        return arrays[part[FLOATS]].tolist()
    if TUPLE in part:
        return tuple(_unpacked(part[TUPLE], arrays))
    return {name: _unpacked(value, arrays) for name, value in part.items()}
