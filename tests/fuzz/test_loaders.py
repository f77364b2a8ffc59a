"""Damaged files of every kind that portanet reads: an error that says so, or arrays that are right.

Nothing else comes of them, in little time and memory. A kind of file is a line of KINDS.
``PORTANET_FUZZ=10000 python -m pytest tests/fuzz`` reads so many of each; of MATLAB's, a tenth.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from damage import DAMAGES, Contents, Damage
from hypothesis import given, settings
from small_data import (
    CIFAR10_RECORDS,
    assert_split,
    mat,
    matrix,
    npy,
    packed,
    svhn,
    tiny_cifar10,
    tiny_mnist,
    zipped,
)

import portanet as pn
from portanet import nn, optim
from portanet.data import DataError, cifar10, formats, load_cifar10, load_mnist, load_npz
from portanet.storage import pack
from portanet.train.checkpoints import read_run

RUNS = int(os.environ.get("PORTANET_FUZZ", "0"))  # for each kind
ROOM = 1 << 18  # bytes, instead of the readers' own that is too much for a quick test
MEMORY = 32 * ROOM  # bytes, besides some copies of the file
SECONDS = 20  # of the processor, for one file


@dataclass(frozen=True)
class Kind:
    """A kind of data: files in a folder, packed of parts, and how they are read.

    `read` takes the folder, and asserts that what it got is right, or raises an error of exactly
    these classes that names the file.
    """

    make: Callable[[], Contents]
    pack: Callable[[Contents], Contents]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (DataError,)

    @cached_property
    def parts(self) -> Contents:
        return self.make()

    def write(self, folder: Path, damage: Damage) -> int:
        """Write files, and return how many bytes."""
        files = damage.files(self.pack(damage.parts(self.parts)))
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != data:  # to write takes longer than to look
                path.write_bytes(data)
        return sum(map(len, files.values()))

    def check(self, folder: Path, damage: Damage) -> None:
        """Read damaged files."""
        size = self.write(folder, damage)
        with watched(MEMORY + 4 * size):
            error = self.error(folder)
        if error is not None:
            assert type(error) in self.errors
            assert str(folder) in str(error) or "the state does not fit" in str(error)

    def error(self, folder: Path) -> Exception | None:
        try:
            self.read(folder)
        except self.errors as error:
            return error
        return None


class Endless(BaseException):
    """Reading a file takes too long; no reader must catch it."""


@contextmanager
def watched(memory: int) -> Iterator[None]:
    """Fail where more bytes are taken, or time without end."""

    def stop(*_):
        raise Endless

    # Time of the processor, for the machine may be busy. Windows cannot tell.
    timed = hasattr(signal, "setitimer")
    before = timed and signal.signal(signal.SIGPROF, stop)
    tracemalloc.start()
    try:
        if timed:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
        if timed:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


# Parts and how they are packed


def mnist_files(parts: Contents) -> Contents:
    return {f"mnist/{name}": data for name, data in parts.items()}


def gzipped(parts: Contents) -> Contents:
    return {f"mnist/{name}.gz": packed(data) for name, data in parts.items()}


def cifar10_files(parts: Contents) -> Contents:
    return {f"cifar-10-batches-bin/{name}": data for name, data in parts.items()}


def deflated(parts: Contents) -> Contents:
    return {"own.npz": zipped(**parts)}


def stored(parts: Contents) -> Contents:
    return {"own.npz": zipped(zipfile.ZIP_STORED, **parts)}


def own_arrays() -> Contents:
    images = np.arange(75, dtype=np.uint8).reshape(3, 5, 5)
    return {"images": npy(images), "labels": npy(np.array([3, 1, 2]))}


def model() -> nn.Layer:
    layers = {"f": nn.Linear(3, 2), "norm": nn.BatchNorm1d(2)}
    return nn.Sequential(layers).initialize(0)


def npy_state() -> Contents:
    return {name: npy(array) for name, array in model().state_dict().items()}


def tensors() -> Contents:
    """Return the two parts of a safetensors file as another program writes it, with no checksum."""
    header, values = {}, b""
    for name, array in model().state_dict().items():
        start, values = len(values), values + array.tobytes()
        dtype = {"float32": "F32", "int64": "I64"}[array.dtype.name]
        offsets = [start, len(values)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
    return {"header": json.dumps(header).encode(), "values": values}


def trainer() -> pn.Trainer:
    layers = model()
    return pn.Trainer(layers, nn.CrossEntropyLoss(), optim.Adam(layers))


def run() -> Contents:
    """Return the two parts of a saved training run, which has a checksum."""
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    with TemporaryDirectory() as folder:
        path, saved = Path(folder) / "run.safetensors", trainer()
        saved.fit((x, np.arange(4) % 2), validation_data=(x, np.arange(4) % 2), progress=False)
        saved.save(path)
        data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return {"header": data[8:end], "values": data[end:]}


def with_length(parts: Contents) -> Contents:
    header, values = parts.values()
    return {"own.safetensors": struct.pack("<Q", len(header)) + header + values}


def variables() -> Contents:
    images, labels = svhn(8)
    return {"X": matrix("X", images), "y": matrix("y", labels, mat_class=6)}


def plain_mat(parts: Contents) -> Contents:
    return {"own.mat": mat(*parts.values(), compressed=False)}


def compressed_mat(parts: Contents) -> Contents:
    return {"own.mat": mat(*parts.values())}


# What is read


def check_split(split, shape, count=None):
    assert_split(split, len(split[1]) if count is None else count, shape)
    assert np.isfinite(split[0]).all()


def check_classes(split, shape, count=None):
    check_split(split, shape, count)
    assert 0 <= split[0].min() <= split[0].max() <= 1
    assert 0 <= split[1].min() <= split[1].max() <= 9


def mnist(folder):
    for split in load_mnist(folder, download=False):
        check_classes(split, (1, 28, 28))


def npz(folder):
    split = load_npz(folder / "own.npz")
    check_split(split, split[0].shape[1:])
    assert min(split[0].shape) > 0
    assert split[0].ndim == 4


def photographs(folder):
    train, test = load_cifar10(folder, download=False)
    check_classes(train, (3, 32, 32), 5 * CIFAR10_RECORDS)
    check_classes(test, (3, 32, 32), CIFAR10_RECORDS)


def weights(folder):
    [path] = folder.iterdir()
    layer = model()
    before = layer.state_dict()
    try:
        pn.load_weights(layer, path)
    except Exception:
        for name, array in layer.state_dict().items():
            np.testing.assert_array_equal(array, before[name])
        raise
    for name, array in layer.state_dict().items():
        assert (array.shape, array.dtype) == (before[name].shape, before[name].dtype)


def runs(folder):
    [path] = folder.iterdir()
    loaded = trainer()
    before = pack(loaded.state_dict())[0]
    try:
        loaded.load_state_dict(read_run(path))
    except Exception:
        assert pack(loaded.state_dict())[0] == before
        raise
    assert loaded.step == 1


WEIGHTS = (pn.CheckpointError, ValueError)  # the latter for a sound file of another model
KINDS = {
    "mnist": Kind(tiny_mnist, mnist_files, mnist),
    "mnist gz": Kind(tiny_mnist, gzipped, mnist),
    "npz": Kind(own_arrays, deflated, npz),
    "stored npz": Kind(own_arrays, stored, npz),
    "cifar10": Kind(tiny_cifar10, cifar10_files, photographs),
    "weights npz": Kind(npy_state, deflated, weights, WEIGHTS),
    "safetensors": Kind(tensors, with_length, weights, WEIGHTS),
    "run": Kind(run, with_length, runs, (pn.CheckpointError,)),
}
MATLAB = {"mat": plain_mat, "compressed mat": compressed_mat}


def often(runs: int) -> settings:
    """Return settings for so many files: always the same; in a long run others, by the seed."""
    return settings(max_examples=runs, deadline=None, derandomize=not RUNS, database=None)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "RECORDS", CIFAR10_RECORDS)
        patch.setattr(formats, "ROOM", ROOM)
        yield tmp_path_factory.mktemp("damaged")


def whole(kind: Kind, folder: Path) -> None:
    kind.write(folder, Damage())
    kind.read(folder)


@pytest.mark.parametrize("name", KINDS)
def test_whole_files(name, scratch):
    whole(KINDS[name], scratch / name)


@pytest.mark.parametrize("name", KINDS)
@often(RUNS or 100)
@given(damage=DAMAGES)
def test_damaged_files(name, scratch, damage):
    KINDS[name].check(scratch / name, damage)


# MATLAB files: a process that has imported SciPy reads each in a child of its own


@pytest.fixture(scope="module")
def read_mat_file():
    pytest.importorskip("scipy.io")
    if not hasattr(os, "fork"):
        pytest.skip("the reader forks")
    reader = Path(__file__).parent.parent / "read_mat_files.py"
    with subprocess.Popen(
        [sys.executable, reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def read(folder: Path) -> None:
            print(folder / "own.mat", file=process.stdin, flush=True)
            answer = process.stdout.readline().strip()
            if answer != "read":
                assert answer.startswith("DataError: "), "the reader failed: see standard error"
                raise DataError(answer)

        yield read
        process.stdin.close()


@pytest.mark.parametrize("name", MATLAB)
def test_whole_matlab_files(name, scratch, read_mat_file):
    whole(Kind(variables, MATLAB[name], read_mat_file), scratch / name)


@pytest.mark.parametrize("name", MATLAB)
@often(RUNS // 10 or 50)
@given(damage=DAMAGES)
def test_damaged_matlab_files(name, scratch, read_mat_file, damage):
    Kind(variables, MATLAB[name], read_mat_file).check(scratch / name, damage)
