"""SVHN, the street view house numbers, from its MATLAB files."""

from pathlib import Path

import numpy as np

from portanet.data.download import fetch_files
from portanet.data.files import AnyPath, DataError, data_root, locate
from portanet.data.matlab import read_mat, require_scipy
from portanet.data.split import Split, scaled

# The site calls itself http; it is asked by HTTPS or not at all.
HOME = "http://ufldl.stanford.edu/housenumbers/"
MIRRORS = ("https://ufldl.stanford.edu/housenumbers/",)
SHA256 = {
    "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
}


def load_svhn(root: AnyPath | None = None, *, download: bool = True) -> tuple[Split, Split]:
    """Return SVHN's 73 257 cropped digits of house numbers to train on and its 26 032 to test.

    Args:
        root: the folder that holds ``svhn/`` with ``train_32x32.mat`` and ``test_32x32.mat``. By
            default as in `load_mnist`.
        download: whether to download missing files there (246 MB), which takes pooch.

    Downloads are compared with the published checksums, files that lie there already are not, as in
    `load_mnist`. SciPy reads them in a process of its own, with limits of time and memory.

    Shapes: images (N, 3, 32, 32), float32 in [0, 1], the channels red, green, blue; labels (N,),
    int64, 0 to 9: the digit (in the files, 10 stands for 0). Raises DataNotFoundError as
    `load_mnist` does, DataError for a file that is damaged or whose arrays do not fit, and
    ImportError without SciPy; downloading takes pooch: ``pip install scipy pooch``.

    Source: Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu and A. Y. Ng, "Reading digits in
    natural images with unsupervised feature learning", 2011.
    """
    require_scipy()
    folder = data_root(root) / "svhn"

    def fetch(names: list[str]) -> None:
        fetch_files(folder, {name: SHA256[name] for name in names}, MIRRORS)

    files = locate(folder, SHA256, fetch if download else None, f"from {HOME}")
    return read_split(files["train_32x32.mat"]), read_split(files["test_32x32.mat"])


def read_split(path: Path) -> Split:
    """Return the images and labels of a file: X, uint8 (32, 32, 3, N), and y, 1 to 10, (N, 1)."""
    images, labels = read_mat(path, ("X", "y"))
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise DataError(
            f"{path}: X must be uint8 of shape (32, 32, 3, N), got {images.dtype} {images.shape}"
        )
    if labels.shape != (images.shape[3], 1):
        raise DataError(
            f"{path}: X holds {images.shape[3]} images, so y must have shape "
            f"({images.shape[3]}, 1), got {labels.shape}"
        )
    known = np.isin(labels, np.arange(1, 11))
    if not known.all():
        raise DataError(f"{path}: labels must be 1 to 10, found {labels[~known][0]}")
    return scaled(images.transpose(3, 2, 0, 1), 255), labels[:, 0].astype(np.int64) % 10
