"""Data sets as host arrays: images of shape (N, C, H, W), float32, and labels (N,), int64.

All arrays are NumPy's, contiguous and writeable; whoever trains on them moves them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from portanet.checks import path as as_path
from portanet.data.download import fetch_files
from portanet.data.files import AnyPath, DataError, data_root, locate
from portanet.data.formats import read_idx, read_npz
from portanet.data.split import Split, scaled
from portanet.random import Key

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_SHA256 = {  # of the gzipped files
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FASHION_MNIST_MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_digits(*, size: int = 8) -> tuple[Split, Split]:
    """Return 1437 handwritten digits to train on and 360 to test, which come with portanet.

    Args:
        size: 8, or 28 to enlarge the images to MNIST's size: each pixel becomes 3×3, within a
            margin of 2. (Interpolated ones trained a convolutional network no better.)

    Shapes: images (N, 1, size, size), float32 in [0, 1] with 1 for ink; labels (N,), int64, 0 to 9.
    The split is always the same, drawn with seed 0. Raises ValueError for any other size.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49 (CC BY 4.0).
    """
    if size not in (8, 28):
        raise ValueError(f"load_digits: size must be 8 or 28, got {size!r}")
    path = Path(__file__).with_name("digits.npz")
    path = as_path("path", path)
    images, labels = read_npz(path, ("images", "labels")).values()
    if size == 28:
        enlarged = images.repeat(3, axis=1).repeat(3, axis=2)
        images = np.pad(enlarged, ((0, 0), (2, 2), (2, 2)))
    order = Key(0).child("digits").permutation(len(labels))
    pixels = scaled(images[order, None], 16)
    classes = labels[order].astype(np.int64)
    return (pixels[:1437], classes[:1437]), (pixels[1437:], classes[1437:])


def load_mnist(root: AnyPath | None = None, *, download: bool = True) -> tuple[Split, Split]:
    """Return MNIST's 60 000 handwritten digits to train on and its 10 000 to test.

    Args:
        root: the folder that holds ``mnist/`` with the four files, plain or gzipped:
            ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``,
            ``t10k-labels-idx1-ubyte``. By default that of the environment variable
            ``PORTANET_DATA``, else the user's cache folder for portanet, which alone is created
            where it is missing.
        download: whether to download missing files there (11 MB), which takes pooch:
            ``pip install pooch``.

    What is downloaded must be the published file, by its checksum. What lies there already may be
    another one of the same form, your own perhaps: its header, length and labels are checked.

    Shapes: images (N, 1, 28, 28), float32 in [0, 1] with 1 for ink; labels (N,), int64, 0 to 9.
    Raises DataNotFoundError where `root` is no folder, or where files are missing and cannot be
    downloaded, and DataError for a file that is damaged or does not fit.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
    document recognition", 1998.
    """
    return _load_idx(data_root(root) / "mnist", MNIST_SHA256, MNIST_MIRRORS, download)


def load_fashion_mnist(
    root: AnyPath | None = None, *, download: bool = True
) -> tuple[Split, Split]:
    """Return Fashion-MNIST's 60 000 pictures of clothes to train on and its 10 000 to test.

    The labels: 0 T-shirt or top, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt,
    7 sneaker, 8 bag, 9 ankle boot.

    Args:
        root: as in `load_mnist`, of whose files these have the names; they are in
            ``fashion-mnist/``.
        download: as in `load_mnist` (31 MB).

    Shapes, checks and errors: as in `load_mnist`.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for
    benchmarking machine learning algorithms", 2017.
    """
    folder = data_root(root) / "fashion-mnist"
    return _load_idx(folder, FASHION_MNIST_SHA256, FASHION_MNIST_MIRRORS, download)


def load_npz(path: AnyPath) -> Split:
    """Return the images and labels of an ``.npz`` file, as ``numpy.savez`` writes it.

    The file: ``images`` of shape (N, H, W), (N, H, W, C) or (N, C, H, W), and ``labels`` (N,).
    Where the last of four axes is 1, 3 or 4 long it holds the channels, otherwise the second does.
    Images of unsigned integers are divided by their dtype's largest number, 255 of 8 bits and 65535
    of 16, so that white is 1; floating-point numbers are kept as they are.

    Returns images (N, C, H, W), float32, and labels (N,), int64. Raises DataNotFoundError for a
    missing file, and DataError for one that is damaged, lacks a key, or holds something else: wider
    integers, labels that are not integers, lengths that differ, no images, infinities or NaN. A
    compressed array of more than 128 MiB must not be more than 256 times the file, as only traps
    are.
    """
    path = as_path("path", path)
    images, labels = read_npz(path, ("images", "labels")).values()
    if images.ndim not in (3, 4):
        shapes = "(N, H, W), (N, H, W, C) or (N, C, H, W)"
        raise DataError(f"{path}: images must have shape {shapes}, got {images.shape}")
    integers = images.dtype.str[1:] in ("u1", "u2")
    # What is white in wider ones is anybody's guess: they seldom hold all that they could.
    if not integers and images.dtype.kind != "f":
        raise DataError(
            f"{path}: images must be unsigned integers of 8 or 16 bits, or floating-point numbers, "
            f"got {images.dtype}"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: labels must be integers of shape (N,), got {labels.dtype} {labels.shape}"
        )
    if len(images) != len(labels):
        raise DataError(f"{path}: holds {len(images)} images and {len(labels)} labels")
    if labels.max() > np.iinfo(np.int64).max:
        raise DataError(f"{path}: labels must fit int64, found {labels.max()}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3, 4):
        images = np.moveaxis(images, -1, 1)
    pixels = scaled(images, int(np.iinfo(images.dtype).max) if integers else 1)
    if not np.isfinite(pixels).all():
        raise DataError(f"{path}: images hold NaN or numbers that are not finite in float32")
    return pixels, labels.astype(np.int64)


def _load_idx(
    folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str], download: bool
) -> tuple[Split, Split]:
    def fetch(names: list[str]) -> None:
        fetch_files(folder, {f"{name}.gz": checksums[name] for name in names}, mirrors)

    hint = f"plain or gzipped (.gz), from {mirrors[0]}"
    files = locate(folder, checksums, fetch if download else None, hint, _idx_spellings)
    train_images, train_labels, test_images, test_labels = (files[name] for name in checksums)
    return _idx_split(train_images, train_labels), _idx_split(test_images, test_labels)


def _idx_spellings(name: str) -> Iterator[str]:
    # Some of the unpacked copies in circulation have a dot before "idx".
    for spelling in (name, name.replace("-idx", ".idx")):
        yield spelling
        yield f"{spelling}.gz"


def _idx_split(images_path: Path, labels_path: Path) -> Split:
    images, labels = read_idx(images_path, (28, 28)), read_idx(labels_path, ())
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels"
        )
    if labels.max() > 9:
        raise DataError(f"{labels_path}: labels must be 0 to 9, found {labels.max()}")
    return scaled(images[:, None], 255), labels.astype(np.int64)
