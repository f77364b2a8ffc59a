"""CIFAR-10: its files, its archive, and what is said of damaged ones."""

import hashlib
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from small_data import CIFAR10_RECORDS as N
from small_data import archive, assert_split, cifar10_arrays, member, tiny_cifar10, write

from portanet.data import DataError, DataNotFoundError, cifar10, load_cifar10

FOLDER = "cifar-10-batches-bin"
TRAIN, TEST = cifar10.FILES[:5], cifar10.FILES[5]


@pytest.fixture
def small(monkeypatch):
    """Let files hold N records."""
    monkeypatch.setattr(cifar10, "RECORDS", N)


@pytest.mark.usefixtures("small")
def test_files(tmp_path, monkeypatch):
    write(tmp_path / FOLDER, tiny_cifar10())
    monkeypatch.setenv("PORTANET_DATA", str(tmp_path))
    train, test = load_cifar10(download=False)
    assert_split(train, 5 * N, (3, 32, 32))
    assert_split(test, N, (3, 32, 32))
    expected = [cifar10_arrays(number) for number in range(6)]
    for split, of_files in ((train, expected[:5]), (test, expected[5:])):
        pixels, labels = (np.concatenate(parts) for parts in zip(*of_files, strict=True))
        np.testing.assert_array_equal(split[0], pixels.astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(split[1], labels)


def labeled(label, record):
    """Return a change of a record's label."""
    at = record * cifar10.RECORD
    return lambda data: data[:at] + bytes([label]) + data[at + 1 :]


SIZE = N * 3073
DAMAGES = [
    (lambda d: b"", f"expected {SIZE} bytes, which are 3 records of 3073, got 0"),
    (lambda d: d[:-1], f"expected {SIZE} bytes, .* got {SIZE - 1}"),
    (lambda d: d[: 2 * 3073], f"expected {SIZE} bytes, .* got 6146"),
    (lambda d: d + b"!", f"expected {SIZE} bytes, .* got more"),
    (lambda d: d + d, f"expected {SIZE} bytes, .* got more"),
    (labeled(10, 0), "labels must be 0 to 9, found 10 in record 0"),
    (labeled(255, 2), "labels must be 0 to 9, found 255 in record 2"),
    (lambda d: tiny_cifar10()["data_batch_1.bin"], "is the same file as data_batch_1.bin"),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["data_batch_3.bin", TEST])
@pytest.mark.parametrize(("change", "message"), DAMAGES)
def test_damage(name, change, message, tmp_path):
    contents = tiny_cifar10()
    write(tmp_path / FOLDER, contents | {name: change(contents[name])})
    path = re.escape(str(tmp_path / FOLDER / name))
    with pytest.raises(DataError, match=f"^{path}: .*{message}"):
        load_cifar10(tmp_path)


def test_files_hold_10_000_records(tmp_path):
    write(tmp_path / FOLDER, tiny_cifar10())
    with pytest.raises(DataError, match="expected 30730000 bytes, which are 10000 records of 3073"):
        load_cifar10(tmp_path)


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # of which nothing is on the disk
    with pytest.raises(DataError, match="got more"):
        cifar10.read_records(path)


def test_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        cifar10.read_records(tmp_path)


def test_real_cifar10():
    root = os.environ.get("PORTANET_DATA")
    if not root or not (Path(root) / FOLDER).is_dir():
        pytest.skip(f"needs PORTANET_DATA to name a folder with {FOLDER}/")
    train, test = load_cifar10(download=False)
    assert_split(train, 50_000, (3, 32, 32))
    assert_split(test, 10_000, (3, 32, 32))
    assert np.bincount(train[1]).tolist() == [5000] * 10
    assert np.bincount(test[1]).tolist() == [1000] * 10
    # As is well known; copies that went through JPEG are near.
    means = train[0].mean(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=5e-4)


# Missing files and the archive


def test_missing(tmp_path):
    write(tmp_path / FOLDER, dict.fromkeys(TRAIN, b""))
    with pytest.raises(DataNotFoundError) as caught:
        load_cifar10(tmp_path, download=False)
    message = str(caught.value)
    assert message.splitlines() == [
        f"missing in {tmp_path / FOLDER}: {TEST}; not downloaded:",
        "  download=False",
        f"Put them there by hand, from the archive {cifar10.URL}, or set the environment variable "
        f"PORTANET_DATA to the folder that holds {FOLDER}/",
    ]


def test_the_archive_is_safe():
    assert cifar10.URL.startswith("https://")
    assert len(bytes.fromhex(cifar10.SHA256)) == 32


def official():
    """Return the members of the archive as it is published, one folder and a text among them."""
    return [
        member(FOLDER, kind=tarfile.DIRTYPE),
        *(member(f"{FOLDER}/{name}", data) for name, data in tiny_cifar10().items()),
        member(f"{FOLDER}/batches.meta.txt", b"airplane"),
    ]


@pytest.fixture
def publish(small, server, monkeypatch):
    """Put an archive on the server: by default its checksum is the published one."""

    def publish(data, status=200, checksum=None, headers=()):
        server.pages["/archive"] = (status, dict(headers), data)
        monkeypatch.setattr(cifar10, "URL", f"{server.url}/archive")
        monkeypatch.setattr(cifar10, "SHA256", checksum or hashlib.sha256(data).hexdigest())
        return server

    return publish


def left(root):
    """Return the files and the empty folders below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def test_download(publish, tmp_path, monkeypatch):
    import pooch

    said = []
    monkeypatch.setattr(pooch.get_logger(), "handle", said.append)
    server = publish(archive(*official()))
    train, _ = load_cifar10(tmp_path)
    np.testing.assert_array_equal(train[1][:N], cifar10_arrays(0)[1])
    assert left(tmp_path) == {f"{FOLDER}/{name}": data for name, data in tiny_cifar10().items()}
    load_cifar10(tmp_path)
    assert server.asked == ["/archive"]
    assert not said


def test_download_only_what_is_missing(publish, tmp_path):
    contents = tiny_cifar10()
    mine = bytes(labeled(9, 0)(contents[TEST]))
    write(tmp_path / FOLDER, {TEST: mine})
    publish(archive(*official()))
    assert load_cifar10(tmp_path)[1][1][0] == 9
    assert left(tmp_path) == {f"{FOLDER}/{n}": d for n, d in (contents | {TEST: mine}).items()}


def test_nothing_leaves_the_folder(publish, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("before")
    root = tmp_path / "root"
    root.mkdir()
    evil = [
        member("../outside", b"after"),
        member(str(outside), b"after"),
        member(f"{FOLDER}/../../outside", b"after"),
        member(f"{FOLDER}/link", kind=tarfile.SYMTYPE, link="../../outside"),
        member(f"{FOLDER}/link", b"after"),
        member(f"{FOLDER}/data_batch_1.bin/more", b"after"),
    ]
    publish(archive(*evil, *official(), member(f"{FOLDER}/{TEST}", b"again")))
    load_cifar10(root)
    assert outside.read_text() == "before"
    assert left(root) == {f"{FOLDER}/{name}": data for name, data in tiny_cifar10().items()}


@pytest.mark.parametrize(
    "instead",
    [
        [],
        [member(f"{FOLDER}/{TEST}", kind=tarfile.DIRTYPE)],
        [member(f"{FOLDER}/{TEST}", kind=tarfile.SYMTYPE, link="data_batch_1.bin")],
        [member(f"{FOLDER}/{TEST}", kind=tarfile.LNKTYPE, link=f"{FOLDER}/data_batch_1.bin")],
        [member(f"{FOLDER}/{TEST}", kind=tarfile.FIFOTYPE)],
        [member(TEST, b"elsewhere")],
    ],
)
def test_an_archive_without_a_file(instead, publish, tmp_path):
    publish(archive(*official()[:6], *instead))
    with pytest.raises(DataNotFoundError, match=f"archive has no {FOLDER}/{TEST}"):
        load_cifar10(tmp_path)
    assert left(tmp_path) == {f"{FOLDER}/{name}": tiny_cifar10()[name] for name in TRAIN}


BAD_ARCHIVES = {
    "another file": (lambda d: {"data": d, "checksum": "0" * 64}, "hash"),
    "not found": (lambda d: {"data": d, "status": 404}, "404"),
    "elsewhere": (
        lambda d: {"data": b"", "status": 302, "headers": {"Location": "/b"}, "checksum": "0" * 64},
        "hash",
    ),
    "cut off": (lambda d: {"data": d, "headers": {"Content-Length": "99999999"}}, "."),
    "no archive": (lambda d: {"data": b"text"}, "not a gzip file"),
    "empty": (lambda d: {"data": b""}, "empty file"),
    "half": (lambda d: {"data": d[: len(d) // 2]}, "."),
    "damaged": (
        lambda d: {
            "data": d[:5000] + bytes(99) + d[5099:],
            "checksum": hashlib.sha256(d).hexdigest(),
        },
        "hash",
    ),
}


@pytest.mark.parametrize(("answer", "reason"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_download_fails(answer, reason, publish, tmp_path):
    server = publish(**answer(archive(*official())))
    with pytest.raises(DataNotFoundError, match="not downloaded") as caught:
        load_cifar10(tmp_path)
    _, words, _ = str(caught.value).splitlines()
    assert re.fullmatch(f"  {server.url}/archive: .*{reason}.*", words)
    assert len(words) < 200
    assert caught.value.__cause__ is not None
    # What came is whole; nothing else is left.
    contents = {f"{FOLDER}/{name}": data for name, data in tiny_cifar10().items()}
    assert left(tmp_path).items() <= contents.items()
    publish(archive(*official()))
    load_cifar10(tmp_path)
    assert left(tmp_path) == contents


def test_download_into_a_file(publish, tmp_path):
    publish(archive(*official()))
    (tmp_path / FOLDER).write_text("in the way")
    with pytest.raises(DataNotFoundError, match="not downloaded"):
        load_cifar10(tmp_path)
