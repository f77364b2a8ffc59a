"""CIFAR-10 from the files of its binary version."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from portanet.data.download import fetch_archive
from portanet.data.files import AnyPath, DataError, data_root, locate
from portanet.data.split import Split, scaled

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
RECORDS = 10_000  # in each file
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, the green and the blue plane


def load_cifar10(root: AnyPath | None = None, *, download: bool = True) -> tuple[Split, Split]:
    """Return CIFAR-10's 50 000 color photographs to train on and its 10 000 to test.

    The labels: 0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship,
    9 truck.

    Args:
        root: the folder that holds ``cifar-10-batches-bin/`` with the six files of the binary
            version: ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``. By
            default as in `load_mnist`.
        download: whether to download missing files there (an archive of 170 MB), which takes
            pooch: ``pip install pooch``.

    The archive must be the published one, by its checksum; files that lie there already are
    checked for their length and labels, as in `load_mnist`.

    Shapes: images (N, 3, 32, 32), float32 in [0, 1], the channels red, green, blue; labels (N,),
    int64, 0 to 9. Raises DataNotFoundError as `load_mnist` does, and DataError for a file that is
    damaged or is there twice.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    from hashlib import sha256

    folder = data_root(root) / "cifar-10-batches-bin"

    def fetch(names: list[str]) -> None:
        fetch_archive(folder, names, URL, SHA256)

    files = locate(folder, FILES, fetch if download else None, f"from the archive {URL}")
    records: dict[str, NDArray[np.uint8]] = {}
    digests: dict[bytes, Path] = {}
    for name, path in files.items():
        records[name] = read_records(path)
        digest = sha256(records[name].data).digest()
        if digest in digests:
            raise DataError(f"{path}: is the same file as {digests[digest].name}")
        digests[digest] = path
    test = records.pop("test_batch.bin")
    return _split(np.concatenate(list(records.values()))), _split(test)


def read_records(path: AnyPath) -> NDArray[np.uint8]:
    """Return the records of a file, (RECORDS, RECORD), after checking their number and labels."""
    size = RECORDS * RECORD
    try:
        with open(path, "rb") as file:
            data = file.read(size + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(data) != size:
        got = len(data) if len(data) < size else "more"
        raise DataError(
            f"{path}: expected {size} bytes, which are {RECORDS} records of {RECORD}, got {got}"
        )
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, RECORD)
    labels = records[:, 0]
    if labels.max() > 9:
        raise DataError(
            f"{path}: labels must be 0 to 9, found {labels.max()} in record {labels.argmax()}"
        )
    return records


def _split(records: NDArray[np.uint8]) -> Split:
    return scaled(records[:, 1:].reshape(-1, *SHAPE), 255), records[:, 0].astype(np.int64)
