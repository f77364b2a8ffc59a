"""Fashion-MNIST: MNIST's files, tested in test_dataset.py, in a folder of its own."""

import hashlib

import numpy as np
import pytest
from small_data import COUNTS, assert_split, idx, packed, tiny_mnist, write

from portanet.data import DataNotFoundError, dataset, load_fashion_mnist, load_mnist

TEST_Y = "t10k-labels-idx1-ubyte"


def test_files(tmp_path, monkeypatch):
    write(tmp_path / "mnist", tiny_mnist())
    write(tmp_path / "fashion-mnist", tiny_mnist() | {TEST_Y: idx(np.array([9, 8, 7]))})
    monkeypatch.setenv("PORTANET_DATA", str(tmp_path))
    for split, n in zip(load_fashion_mnist(), COUNTS.values(), strict=True):
        assert_split(split, n, (1, 28, 28))
    assert load_fashion_mnist(download=False)[1][1].tolist() == [9, 8, 7]
    assert load_mnist()[1][1].tolist() == [0, 1, 2]


def test_missing(tmp_path):
    with pytest.raises(
        DataNotFoundError, match=r"(?s)fashion-mnist: train-.* from https://.*amazon"
    ):
        load_fashion_mnist(tmp_path, download=False)


def test_download(server, tmp_path, monkeypatch):
    files = {f"{name}.gz": packed(data) for name, data in tiny_mnist().items()}
    server.pages.update({f"/{name}": (200, {}, data) for name, data in files.items()})
    monkeypatch.setattr(dataset, "FASHION_MNIST_MIRRORS", (f"{server.url}/",))
    with pytest.raises(DataNotFoundError, match="hash"):  # those of the real files
        load_fashion_mnist(tmp_path)
    assert not list(tmp_path.iterdir())
    checksums = {
        name.removesuffix(".gz"): hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    monkeypatch.setattr(dataset, "FASHION_MNIST_SHA256", checksums)
    assert load_fashion_mnist(tmp_path)[0][1].tolist() == [0, 1, 2, 3, 4]
    assert {p.name: p.read_bytes() for p in (tmp_path / "fashion-mnist").iterdir()} == files


def test_mirrors_are_safe():
    mirrors, checksums = dataset.FASHION_MNIST_MIRRORS, dataset.FASHION_MNIST_SHA256
    assert all(url.startswith("https://") and url.endswith("/") for url in mirrors)
    assert list(checksums) == list(dataset.MNIST_SHA256)
    assert not set(checksums.values()) & set(dataset.MNIST_SHA256.values())
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in checksums.values())
