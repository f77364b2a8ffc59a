"""Small files in the formats of data sets, made by what the formats say, not by their readers."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import numpy as np

from portanet.data.cifar10 import FILES
from portanet.data.dataset import MNIST_SHA256

COUNTS = {"train": 5, "t10k": 3}
CIFAR10_RECORDS = 3


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def assert_split(split, n, shape):
    """Assert the shapes and dtypes of a loaded split, and that the arrays are like any others."""
    images, labels = split
    assert (images.shape, images.dtype) == ((n, *shape), np.float32)
    assert (labels.shape, labels.dtype) == ((n,), np.int64)
    for array in split:
        assert type(array) is np.ndarray
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.dtype.isnative


def packed(data):
    return gzip.compress(data, mtime=0)


# Archives


def member(name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, data


def archive(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


# IDX


def idx(array):
    """Return an array of bytes as an IDX file."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def tiny_mnist():
    """Return the four files of a small MNIST: image i holds i, 0 … 255 by pixel; label i is i."""
    contents = {}
    for name in MNIST_SHA256:
        n = COUNTS[name.partition("-")[0]]
        pixels = (np.arange(n)[:, None, None] + np.arange(784).reshape(28, 28)) % 256
        contents[name] = idx(pixels if "images" in name else np.arange(n))
    return contents


# CIFAR-10


def cifar10_arrays(number):
    """Return the pixels and labels of one file."""
    pixels = np.random.default_rng(number).integers(0, 256, (CIFAR10_RECORDS, 3, 32, 32), np.uint8)
    return pixels, (np.arange(CIFAR10_RECORDS) * 4 + number) % 10


def tiny_cifar10():
    """Return the six files: records of a label and the rows of the red, green and blue plane."""
    contents = {}
    for number, name in enumerate(FILES):
        pixels, labels = cifar10_arrays(number)
        contents[name] = b"".join(
            bytes([label]) + image[0].tobytes() + image[1].tobytes() + image[2].tobytes()
            for label, image in zip(labels, pixels, strict=True)
        )
    return contents


# NumPy


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(method=zipfile.ZIP_DEFLATED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


# MATLAB: "MAT-File Format", version 5, The MathWorks

INT8, UINT8, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED = 1, 2, 5, 6, 9, 14, 15
CLASSES = {"uint8": (9, UINT8), "int32": (12, INT32), "float64": (6, DOUBLE)}


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(name, array, flags=0, mat_class=None):
    """Return a variable of a MATLAB file; `flags` 8 means that an imaginary part follows."""
    its_class, kind = CLASSES[array.dtype.name]
    return element(
        MATRIX,
        element(UINT32, struct.pack("<II", (mat_class or its_class) | flags << 8, 0))
        + element(INT32, struct.pack(f"<{array.ndim}i", *array.shape))
        + element(INT8, name.encode())
        + element(kind, array.tobytes("F")) * (2 if flags & 8 else 1),
    )


def mat(*variables, compressed=True):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    if compressed:
        squeezed = [zlib.compress(variable) for variable in variables]
        variables = [struct.pack("<II", COMPRESSED, len(data)) + data for data in squeezed]
    return header + b"".join(variables)


def svhn(n=4):
    """Return X and y as SVHN has them: pixels of all values; labels 10, 1, 2, …."""
    pixels = np.arange(32 * 32 * 3 * n) * 7 % 251
    labels = np.arange(n)[:, None] % 10
    images = pixels.reshape(32, 32, 3, n).astype(np.uint8)
    return images, np.where(labels == 0, 10, labels).astype(np.uint8)


# Pictures that can be told apart: a bright bar, at a height of its own for each class


def bars(n):
    """Return n dark images (n, 3, 32, 32), bytes, with a bar at the height of their label's."""
    labels = np.arange(n) % 10
    images = np.random.default_rng(n).integers(0, 60, (n, 3, 32, 32), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label + 1 : 3 * label + 3, 4:28] = 255
    return images, labels


def cifar10_of_bars(n):
    """Return the six files of a CIFAR-10 with n images in each."""
    images, labels = bars(6 * n)
    records = [bytes([k]) + image.tobytes() for image, k in zip(images, labels, strict=True)]
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return {name: b"".join(records[i * n : (i + 1) * n]) for i, name in enumerate(names)}


def svhn_of_bars(n):
    """Return a file of SVHN with n images."""
    images, labels = bars(n)
    labels = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    return mat(matrix("X", images.transpose(2, 3, 1, 0)), matrix("y", labels, mat_class=6))
