"""Data sets: what the loaders return, and what they say of files that are missing or damaged."""

import errno
import hashlib
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_data import COUNTS, assert_split, idx, npy, packed, tiny_mnist, write, zipped

from portanet.data import dataset, files, formats
from portanet.data.dataset import MNIST_SHA256, load_digits, load_mnist, load_npz
from portanet.data.files import DataError, DataNotFoundError, data_root
from portanet.data.formats import read_idx

TRAIN_X, TRAIN_Y, TEST_X, TEST_Y = MNIST_SHA256


# Digits


@pytest.mark.parametrize("size", [8, 28])
def test_digits(size):
    train, test = load_digits(size=size)
    assert_split(train, 1437, (1, size, size))
    assert_split(test, 360, (1, size, size))
    for images, labels in (train, test):
        assert images.min() == 0
        assert images.max() == 1
        assert set(labels.tolist()) == set(range(10))


def test_digits_are_the_sources():
    path = Path(dataset.__file__).with_name("digits.npz")
    told = path.with_suffix(".md").read_text(encoding="utf-8")
    with np.load(path, allow_pickle=False) as arrays:
        for name in ("images", "labels"):
            assert hashlib.sha256(arrays[name].tobytes()).hexdigest() in told
        # The counts per class that the UCI repository gives for these samples.
        counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert np.bincount(arrays["labels"]).tolist() == counts
        loaded = np.concatenate([images for images, _ in load_digits()])[:, 0] * 16
        assert sorted(i.tobytes() for i in loaded) == sorted(
            i.tobytes() for i in arrays["images"].astype(np.float32)
        )


def test_digits_split_stays_the_same():
    (_, train), (_, test) = load_digits()
    digest = hashlib.sha256(np.concatenate((train, test)).astype("<i8").tobytes()).hexdigest()
    assert digest.startswith("34e0ca295ef7755a")


def test_digits_are_the_callers_own():
    (images, labels), _ = load_digits()
    images[:], labels[:] = 7, 7
    (images, labels), _ = load_digits()
    assert images.max() == 1
    assert set(labels) == set(range(10))


def test_digits_enlarged():
    small, large = load_digits()[0], load_digits(size=28)[0]
    np.testing.assert_array_equal(small[1], large[1])
    inner = large[0][:, :, 2:-2, 2:-2]
    for i in range(3):
        for j in range(3):
            np.testing.assert_array_equal(inner[:, :, i::3, j::3], small[0])
    assert large[0].sum(dtype=np.float64) == inner.sum(dtype=np.float64)  # a margin of zeros


@pytest.mark.parametrize("size", [0, 16, "8", None])
def test_digits_size(size):
    with pytest.raises(ValueError, match=f"size must be 8 or 28, got {size!r}"):
        load_digits(size=size)


# MNIST


def as_is(name, data):
    return name, data


def gzipped(name, data):
    return f"{name}.gz", packed(data)


def dotted(name, data):
    return name.replace("-idx", ".idx"), data


def dotted_gzipped(name, data):
    return gzipped(*dotted(name, data))


def unpacked_under_the_old_name(name, data):
    return f"{name}.gz", data


def packed_without_a_suffix(name, data):
    return name, packed(data)


SPELLINGS = [
    as_is,
    gzipped,
    dotted,
    dotted_gzipped,
    unpacked_under_the_old_name,
    packed_without_a_suffix,
]


@pytest.mark.parametrize("spell", SPELLINGS, ids=lambda f: f.__name__)
def test_mnist_files(spell, tmp_path):
    write(tmp_path / "mnist", dict(spell(*item) for item in tiny_mnist().items()))
    for split, n in zip(load_mnist(tmp_path, download=False), COUNTS.values(), strict=True):
        assert_split(split, n, (1, 28, 28))
        images, labels = split
        np.testing.assert_array_equal(labels, np.arange(n))
        np.testing.assert_array_equal(
            images[1, 0].reshape(-1), (np.arange(1, 785) % 256).astype(np.float32) / 255
        )


def test_mnist_root(tmp_path, monkeypatch):
    write(tmp_path / "env" / "mnist", tiny_mnist())
    write(tmp_path / "arg" / "mnist", tiny_mnist() | {TEST_Y: idx(np.array([9, 8, 7]))})
    monkeypatch.setenv("PORTANET_DATA", str(tmp_path / "env"))
    assert load_mnist()[1][1].tolist() == [0, 1, 2]
    assert load_mnist(str(tmp_path / "arg"))[1][1].tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/portanet"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/portanet"),
        ("linux", {"PORTANET_DATA": "~/data", "XDG_CACHE_HOME": "xdg"}, "home/data"),
        ("linux", {"PORTANET_DATA": ""}, "home/.cache/portanet"),
        ("darwin", {"XDG_CACHE_HOME": "xdg"}, "home/Library/Caches/portanet"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/portanet"),
        ("win32", {}, "home/AppData/Local/portanet"),
    ],
)
def test_data_root(platform, variables, expected, monkeypatch):
    for name in ("PORTANET_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "home", "USERPROFILE": "home"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert data_root() == Path(expected)
    assert data_root("~/mine") == Path("home/mine")


def test_a_file_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    np.savez(tmp_path / "own.npz", images=np.ones((2, 3, 3), "u1"), labels=np.zeros(2, "i8"))
    assert load_npz("~/own.npz")[0].shape == (2, 1, 3, 3)


def test_a_user_without_a_home_directory(tmp_path, monkeypatch):
    """As in a container; a folder of the name ~ would be made where the program happens to be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where there is none
    for name in ("PORTANET_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for root in (None, "~/mine"):
        with pytest.raises(DataNotFoundError, match=r"no home directory; set HOME, or .*PORTANET"):
            load_mnist(root)
    assert data_root(tmp_path) == tmp_path
    assert data_root("~mine") == Path("~mine")
    monkeypatch.setenv("PORTANET_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert not list(tmp_path.iterdir())


def replaced(start, new):
    """Return a change of a file's bytes from position `start`."""
    return lambda data: data[:start] + new + data[start + len(new) :]


def flipped_at_the_end(data):
    return data[:-8] + bytes(byte ^ 255 for byte in data[-8:-4]) + data[-4:]


HUGE = struct.pack(">I", 0xFFFFFFFF)
DAMAGES = [
    # what is done to which file's plain bytes, then to the packed ones; what is said of it
    (TRAIN_X, lambda d: d[:-1], None, "truncated: expected 3920 bytes of values, got 3919"),
    (TRAIN_X, lambda d: d + b"!", None, "holds more than the 3920 bytes"),
    (TRAIN_X, lambda d: d[:9], None, "truncated header: expected 16 bytes, got 9"),
    (TRAIN_X, lambda d: b"", None, "not an IDX file .* must start with 00 00 08 03, got nothing"),
    (TRAIN_X, replaced(0, b"<htm"), None, "not an IDX file .* got 3c 68 74 6d"),
    (TRAIN_X, replaced(2, b"\x0d"), None, "not an IDX file .* got 00 00 0d 03"),
    (TRAIN_X, lambda d: idx(np.zeros(5)), None, "with 3 axes, .* got 00 00 08 01"),
    (TRAIN_X, lambda d: idx(np.zeros((5, 32, 32))), None, r"shape \(28, 28\), got \(32, 32\)"),
    (TRAIN_X, lambda d: idx(np.zeros((0, 28, 28))), None, "holds no items"),
    (TRAIN_X, replaced(4, HUGE), None, f"expected {0xFFFFFFFF * 784} bytes of values, got 3920"),
    (TRAIN_X, lambda d: idx(np.zeros((4, 28, 28))), None, "holds 4 images, .* 5 labels"),
    (TEST_Y, replaced(4, HUGE), None, f"expected {0xFFFFFFFF} bytes of values, got 3"),
    (TEST_Y, lambda d: d[:-1], None, "expected 3 bytes of values, got 2"),
    (TEST_Y, replaced(9, b"\x0a"), None, "labels must be 0 to 9, found 10"),
    (TEST_X, as_is, lambda d: d[:-9], "truncated or corrupt gzip file: .* ended before"),
    (TEST_X, as_is, flipped_at_the_end, "truncated or corrupt gzip file: CRC check failed"),
    (TEST_X, as_is, lambda d: d[:30] + bytes(99) + d[129:], "truncated or corrupt gzip file"),
    (TEST_X, as_is, lambda d: d + b"more", "truncated or corrupt gzip file"),
    (TEST_X, as_is, replaced(0, b"P"), "not an IDX file .* got 50 8b 08 00"),
]


@pytest.mark.parametrize(("name", "change", "repack", "message"), DAMAGES)
def test_mnist_damage(name, change, repack, message, tmp_path):
    contents = tiny_mnist()
    damaged = contents.pop(name)
    write(tmp_path / "mnist", contents)
    if repack is None:
        variants = {name: change(damaged), f"{name}.gz": packed(change(damaged))}
    else:
        variants = {f"{name}.gz": repack(packed(damaged))}
    for file, data in variants.items():
        path = tmp_path / "mnist" / file
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"(?s)^{re.escape(str(path))}.*{message}"):
            load_mnist(tmp_path)
        path.unlink()


def test_expansion_is_bounded(tmp_path):
    images = np.zeros((1 << 26) // 784, np.uint8)[:, None, None] * np.zeros((28, 28), np.uint8)
    bomb = replaced(4, struct.pack(">I", 5))(idx(images))
    path = tmp_path / "bomb.gz"
    path.write_bytes(packed(bomb))
    del images, bomb
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="holds more than the 3920 bytes"):
            read_idx(path, (28, 28))
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


def test_idx_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, ())


def test_real_mnist():
    root = os.environ.get("PORTANET_DATA")
    if not root or not (Path(root) / "mnist").is_dir():
        pytest.skip("needs PORTANET_DATA to name a folder with mnist/")
    train, test = load_mnist(download=False)
    assert_split(train, 60_000, (1, 28, 28))
    assert_split(test, 10_000, (1, 28, 28))
    assert train[1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test[1]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train[0].mean(dtype=np.float64) == pytest.approx(0.1307, abs=1e-4)  # as is well known
    assert train[0].std(dtype=np.float64) == pytest.approx(0.3081, abs=1e-4)


# Missing files and downloads


def test_missing_without_download(tmp_path):
    write(tmp_path / "mnist", {TRAIN_X: b"", TEST_Y: b""})
    with pytest.raises(DataNotFoundError) as caught:
        load_mnist(tmp_path, download=False)
    message = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    assert message.startswith(f"missing in {tmp_path / 'mnist'}: {TRAIN_Y}, {TEST_X}; not ")
    assert "PORTANET_DATA" in message
    assert "download=False" in message


def test_missing_without_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataNotFoundError, match=r"pip install pooch"):
        load_mnist(tmp_path)


@pytest.mark.parametrize("download", [True, False])
def test_a_misspelled_root_is_not_created(download, tmp_path, monkeypatch):
    wrong, file = tmp_path / "nonsense", tmp_path / "file"
    file.touch()
    for root in (wrong, wrong / "deeper", file):
        with pytest.raises(DataNotFoundError, match=f"^there is no folder {re.escape(str(root))} "):
            load_mnist(root, download=download)
        monkeypatch.setenv("PORTANET_DATA", str(root))
        with pytest.raises(DataNotFoundError, match="PORTANET_DATA"):
            load_mnist(download=download)
    assert list(tmp_path.iterdir()) == [file]


def test_pooch_is_imported_only_to_download():
    code = "import portanet.data.dataset, sys; sys.exit('pooch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Mirrors:
    """Two mirrors of MNIST on the server, /a/ and /b/, of which the second has the files."""

    def __init__(self, server):
        self.good = {f"{name}.gz": packed(data) for name, data in tiny_mnist().items()}
        self.urls = tuple(f"{server.url}/{letter}/" for letter in "ab")
        self.pages, self.asked = server.pages, server.asked
        self.pages.update({f"/b/{name}": (200, {}, data) for name, data in self.good.items()})


@pytest.fixture
def mirrors(server, monkeypatch):
    mirrors = Mirrors(server)
    checksums = {
        name.removesuffix(".gz"): hashlib.sha256(data).hexdigest()
        for name, data in mirrors.good.items()
    }
    monkeypatch.setattr(dataset, "MNIST_MIRRORS", mirrors.urls)
    monkeypatch.setattr(dataset, "MNIST_SHA256", checksums)
    return mirrors


def test_mirrors_are_safe():
    assert all(url.startswith("https://") and url.endswith("/") for url in dataset.MNIST_MIRRORS)


def test_download(mirrors, tmp_path, capfd):
    import pooch

    level = pooch.get_logger().level
    for split, n in zip(load_mnist(tmp_path), COUNTS.values(), strict=True):
        assert_split(split, n, (1, 28, 28))
    # The first mirror failed once and was not asked again.
    assert mirrors.asked == [f"/a/{TRAIN_X}.gz", *mirrors.pages]
    assert {p.name: p.read_bytes() for p in (tmp_path / "mnist").iterdir()} == mirrors.good
    load_mnist(tmp_path)
    assert len(mirrors.asked) == 5
    assert "".join(capfd.readouterr()) == ""
    assert pooch.get_logger().level == level


def test_download_only_what_is_missing(mirrors, tmp_path):
    mine = idx(np.array([4, 4, 4]))
    write(tmp_path / "mnist", {TEST_Y: mine})
    assert load_mnist(tmp_path)[1][1].tolist() == [4, 4, 4]
    assert (tmp_path / "mnist" / TEST_Y).read_bytes() == mine
    assert f"/b/{TEST_Y}.gz" not in mirrors.asked


BAD_ANSWERS = {
    "not found": (lambda d: (404, {}, b"no"), "404"),
    "server error": (lambda d: (503, {}, b"later"), "503"),
    "cut off": (lambda d: (200, {"Content-Length": str(len(d))}, d[:-7]), "."),
    "cut off unnoticed": (lambda d: (200, {}, d[:-7]), "hash"),
    "another file": (lambda d: (200, {}, b"<html>log in</html>"), "hash"),
    "elsewhere": (lambda d: (302, {"Location": f"/c/{TEST_X}.gz"}, b""), "hash"),
}


@pytest.mark.parametrize(("answer", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_download_fails(answer, reason, mirrors, tmp_path):
    good = mirrors.good[f"{TEST_X}.gz"]
    mirrors.pages[f"/c/{TEST_X}.gz"] = (200, {}, good)
    for letter in "ab":
        mirrors.pages[f"/{letter}/{TEST_X}.gz"] = answer(good)
    with pytest.raises(DataNotFoundError) as caught:
        load_mnist(tmp_path)
    _, first, second, _ = str(caught.value).splitlines()
    assert first.startswith(f"  {mirrors.urls[0]}{TRAIN_X}.gz: 404")
    assert re.match(f"  {mirrors.urls[1]}{TEST_X}.gz: .*{reason}", second)
    # What came is whole; nothing else is left.
    left = {path.name: path.read_bytes() for path in (tmp_path / "mnist").iterdir()}
    assert left == {name: mirrors.good[name] for name in (f"{TRAIN_X}.gz", f"{TRAIN_Y}.gz")}
    mirrors.pages[f"/b/{TEST_X}.gz"] = (200, {}, good)
    load_mnist(tmp_path)


def test_download_without_a_server(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(dataset, "MNIST_MIRRORS", ("https://127.0.0.1:9/",))  # discard: refused
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DataNotFoundError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value).splitlines() == [
        f"missing in {tmp_path / 'mnist'}: {', '.join(dataset.MNIST_SHA256)}; not downloaded:",
        f"  https://127.0.0.1:9/{TRAIN_X}.gz: {os.strerror(errno.ECONNREFUSED)}",
        "Put them there by hand, plain or gzipped (.gz), from https://127.0.0.1:9/, or set the "
        "environment variable PORTANET_DATA to the folder that holds mnist/",
    ]
    [cause] = caught.value.__cause__.exceptions  # all that requests and urllib3 had to say
    assert "Max retries exceeded" in str(cause)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mnist").mkdir()  # the user's own stays
    with pytest.raises(DataNotFoundError):
        load_mnist(tmp_path)
    assert (tmp_path / "mnist").is_dir()


def test_only_the_cache_folder_is_created(mirrors, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.delenv("PORTANET_DATA", raising=False)
    monkeypatch.setattr(files, "_user_cache", lambda: str(cache))
    cache.mkdir()
    pages = mirrors.pages.copy()
    mirrors.pages.clear()
    with pytest.raises(DataNotFoundError, match="not downloaded"):
        load_mnist()
    assert not list(cache.iterdir())
    mirrors.pages.update(pages)
    load_mnist()
    assert len(list((cache / "portanet" / "mnist").iterdir())) == 4


def test_download_into_a_file(mirrors, tmp_path):
    (tmp_path / "mnist").write_text("in the way")
    with pytest.raises(DataNotFoundError, match="not downloaded"):
        load_mnist(tmp_path)


# Files of one's own


def npz(path, compress=True, **arrays):
    (np.savez_compressed if compress else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("shape", "expected", "axes"),
    [
        ((4, 5, 6), (4, 1, 5, 6), None),
        ((4, 5, 6, 1), (4, 1, 5, 6), (0, 3, 1, 2)),
        ((4, 5, 6, 3), (4, 3, 5, 6), (0, 3, 1, 2)),
        ((4, 5, 6, 4), (4, 4, 5, 6), (0, 3, 1, 2)),
        ((4, 3, 5, 6), (4, 3, 5, 6), None),
        ((4, 2, 5, 6), (4, 2, 5, 6), None),
        ((4, 3, 8, 3), (4, 3, 3, 8), (0, 3, 1, 2)),
    ],
)
def test_npz_layouts(shape, expected, axes, tmp_path):
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    path = npz(tmp_path / "own.npz", images=pixels, labels=np.array([3, 1, 0, 2], np.uint8))
    split = load_npz(path)
    assert_split(split, 4, expected[1:])
    turned = pixels.reshape(expected) if axes is None else pixels.transpose(axes)
    np.testing.assert_array_equal(split[0], turned.astype(np.float32) / np.float32(255))
    assert split[1].tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("u1", 255), ("<u2", 65535), (">u2", 65535), ("f2", 1), (">f4", 1), ("f8", 1)],
)
def test_npz_dtypes(dtype, scale, order, compress, tmp_path):
    pixels = np.asarray(np.arange(70).reshape(2, 5, 7), dtype=dtype, order=order)
    labels = np.array([-1, 5], ">i2")
    path = npz(tmp_path / "own.npz", compress, images=pixels, labels=labels, more=np.ones(3))
    split = load_npz(str(path))
    assert_split(split, 2, (1, 5, 7))
    np.testing.assert_array_equal(
        split[0][:, 0], np.arange(70).reshape(2, 5, 7).astype(np.float32) / np.float32(scale)
    )
    assert split[1].tolist() == [-1, 5]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f2"])
@pytest.mark.parametrize("labels", ["u1", "u2", "u4", "i8"])
def test_npz_white_is_one_and_labels_stay(dtype, labels, tmp_path):
    white = np.iinfo(dtype).max if dtype != "f2" else 1
    pixels, wanted = np.full((2, 3, 3), white, dtype), np.array([0, 255], labels)
    images, classes = load_npz(npz(tmp_path / "own.npz", images=pixels, labels=wanted))
    assert images.min() == images.max() == 1
    assert classes.tolist() == [0, 255]


X, Y = np.zeros((2, 5, 5), np.uint8), np.array([0, 1])
NPZ_ERRORS = [
    ({"image": X, "labels": Y}, "has no 'images'; it holds image, labels"),
    ({"images": X}, "has no 'labels'; it holds images"),
    ({}, "has no 'images'; it holds nothing"),
    ({"images": X, "labels": np.array([0, None])}, "labels: expected .* numbers, got dtype object"),
    ({"images": X, "labels": np.array(["a", "b"])}, "labels: expected .* numbers, got dtype <U1"),
    ({"images": X.astype("c8"), "labels": Y}, "images: expected .* real numbers, got .* complex64"),
    ({"images": X, "labels": Y[:1]}, "holds 2 images and 1 labels"),
    ({"images": X[:0], "labels": Y[:0]}, r"images: is empty, of shape \(0, 5, 5\)"),
    ({"images": X[:, :, :0], "labels": Y}, r"images: is empty, of shape \(2, 5, 0\)"),
    ({"images": X, "labels": Y * 1.0}, r"labels must be integers of shape \(N,\), got float64"),
    ({"images": X, "labels": Y == 1}, "labels must be integers .* got bool"),
    ({"images": X, "labels": Y[:, None]}, r"labels must be .* got int64 \(2, 1\)"),
    ({"images": X, "labels": np.array(3)}, r"labels must be .* got int64 \(\)"),
    ({"images": X, "labels": np.array([0, 2**63], "u8")}, "labels must fit int64, found 9223"),
    ({"images": X[0], "labels": Y}, r"images must have shape \(N, H, W\), .* got \(5, 5\)"),
    ({"images": X.astype("i4"), "labels": Y}, "images must be unsigned .* got int32"),
    ({"images": X == 0, "labels": Y}, "images must be unsigned .* got bool"),
    ({"images": X.astype("u4"), "labels": Y}, "images must be unsigned .* 8 or 16 bits.* uint32"),
    ({"images": X.astype("u8"), "labels": Y}, "images must be unsigned .* 8 or 16 bits.* uint64"),
    ({"images": X + np.nan, "labels": Y}, "images hold NaN or numbers that are not finite"),
    ({"images": X + np.inf, "labels": Y}, "images hold NaN or numbers that are not finite"),
    ({"images": X + 1e300, "labels": Y}, "images hold NaN or numbers that are not finite"),
]


@pytest.mark.parametrize(("arrays", "message"), NPZ_ERRORS)
def test_npz_errors(arrays, message, tmp_path):
    path = npz(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{message}"):
        load_npz(path)


GOOD = {"images": npy(X), "labels": npy(Y)}
# Of brackets and signs within each other Python's parser says that it has no memory for more.
DEEP = b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"-" * 9000
NPZ_DAMAGES = [
    (b"", "not a zip file"),
    (b"\x93NUMPY", "not a zip file"),
    (npy(X), "not a zip file"),
    (zipped(**GOOD)[:-30], "not a zip file of arrays, or damaged"),
    (zipped(zipfile.ZIP_STORED, **GOOD).replace(bytes(50), b"\x01" * 50), "damaged: .*CRC"),
    (zipped(images=b"text", labels=b"text"), "not a zip file of arrays, or damaged"),
    (zipped(images=GOOD["images"][:-1], labels=GOOD["labels"]), "expected 50 .* got 49"),
    (zipped(images=GOOD["images"] + b"!", labels=GOOD["labels"]), "more than the 50 bytes"),
    (zipped(zipfile.ZIP_BZIP2, **GOOD), "images: neither stored nor deflated"),
    (
        zipped(images=GOOD["images"].replace(b"(2, 5, 5), }      ", b"(2222222, 5, 5), }")),
        "images: truncated: expected 55555550 bytes of values, got 50",
    ),
    (
        zipped(images=GOOD["images"].replace(b"(2, 5, 5), }  ", b"(-2, -5, 5), }")),
        r"images: is empty, of shape \(-2, -5, 5\)",
    ),
    (zipped(images=DEEP, labels=GOOD["labels"]), "header that is not NumPy's|or damaged"),
    (
        zipped(images=GOOD["images"].replace(b"NUMPY\1\0", b"NUMPY\1\1"), labels=GOOD["labels"]),
        r"images: has version \(1, 1\) of NumPy's format, which is unknown",
    ),
    (zipped(**GOOD, label5=GOOD["labels"]).replace(b"label5", b"labels"), "holds 'labels' twice"),
]


@pytest.mark.parametrize(("data", "message"), NPZ_DAMAGES)
def test_npz_damage(data, message, tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"(?s)^{re.escape(str(path))}: .*{message}"):
        load_npz(path)


def expanding(size):
    """Return a compressed file of one-byte numbers, all zero."""
    return zipped(images=npy(np.zeros((size // 100, 10, 10), np.uint8)), labels=npy(Y))


def test_npz_expansion_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "ROOM", 1 << 20)
    path = tmp_path / "bomb.npz"
    header = b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 24) + bytes(1 << 24)
    for bomb, message in (
        (expanding(1 << 24), r"images: expands to more than \d{7} bytes, too many"),
        (zipped(images=header, labels=GOOD["labels"]), "header that is not NumPy's"),
    ):
        path.write_bytes(bomb)
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match=message):
                load_npz(path)
            assert tracemalloc.get_traced_memory()[1] < 1 << 23
        finally:
            tracemalloc.stop()
    path.write_bytes(expanding(1 << 19))
    with pytest.raises(DataError, match="holds 5242 images and 2 labels"):
        load_npz(path)


def test_npz_missing(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"none\.npz: no such file"):
        load_npz(tmp_path / "none.npz")
    with pytest.raises(DataError, match="not a zip file of arrays"):
        load_npz(tmp_path)
    with pytest.raises(TypeError):
        load_npz(None)
