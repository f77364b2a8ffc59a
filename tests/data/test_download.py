"""Downloads: by HTTPS alone, checked before use, and whole or not there, whatever happens."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import time

import pytest
from small_data import archive, member

from portanet.data.download import NotDownloadedError, fetch_archive, fetch_files

DATA = {"one.bin": b"1" * 100_000, "two.bin": b"2" * 100_000}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "set"


@pytest.fixture
def files(server, folder):
    """Download the files, each by itself."""
    server.pages.update({f"/{name}": (200, {}, data) for name, data in DATA.items()})
    checksums = {name: sha256(data) for name, data in DATA.items()}
    return lambda: fetch_files(folder, checksums, [f"{server.url}/"])


@pytest.fixture
def packed(server, folder):
    """Download the files in an archive."""
    data = archive(*(member(f"{folder.name}/{name}", data) for name, data in DATA.items()))
    server.pages["/archive"] = (200, {}, data)
    return lambda: fetch_archive(folder, DATA, f"{server.url}/archive", sha256(data))


@pytest.fixture(params=["files", "packed"])
def fetch(request):
    return request.getfixturevalue(request.param)


def left(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_whole_files(fetch, folder):
    fetch()
    assert left(folder) == DATA


def test_what_one_mirror_gave_is_not_asked_of_the_next(server, folder):
    one, two = ((200, {}, data) for data in DATA.values())
    server.pages.update({"/a/one.bin": one, "/b/one.bin": one, "/b/two.bin": two})
    checksums = {name: sha256(data) for name, data in DATA.items()}
    fetch_files(folder, checksums, [f"{server.url}/{letter}/" for letter in "ab"])
    assert left(folder) == DATA
    assert server.asked == ["/a/one.bin", "/a/two.bin", "/b/two.bin"]


def test_http_is_refused(folder):
    pytest.importorskip("pooch")
    home, name, checksum = "http://127.0.0.1:9/", "one.bin", "0" * 64
    with pytest.raises(NotDownloadedError, match=f"{home}{name} is not an address of HTTPS"):
        fetch_files(folder, {name: checksum}, [home])
    with pytest.raises(NotDownloadedError, match=f"{home}{name} is not an address of HTTPS"):
        fetch_archive(folder, [name], f"{home}{name}", checksum)
    assert not folder.exists()


def test_a_redirect_to_http_is_not_followed(fetch, folder, server):
    for path, (_, _, data) in list(server.pages.items()):
        server.pages[path] = (302, {"Location": f"{server.url}/there{path}"}, b"")
        server.pages[f"/there{path}"] = (200, {}, data)
    with pytest.raises(NotDownloadedError, match="hash"):
        fetch()
    assert not any("there" in path for path in server.asked)
    assert not folder.exists()


def test_another_checksum(fetch, folder, server):
    pages = server.pages.copy()
    for path, (status, headers, data) in pages.items():
        server.pages[path] = (status, headers, data[:-1] + b"!")
    with pytest.raises(NotDownloadedError, match="hash"):
        fetch()
    assert not folder.exists()
    server.pages.update(pages)
    fetch()
    assert left(folder) == DATA


def test_a_connection_that_is_cut(fetch, folder, server):
    pages = server.pages.copy()
    for path, (status, _, data) in pages.items():
        server.pages[path] = (status, {"Content-Length": str(len(data))}, data[: len(data) // 2])
    with pytest.raises(NotDownloadedError, match=r"IncompleteRead|hash"):
        fetch()
    assert not folder.exists()
    server.pages.update(pages)
    fetch()
    assert left(folder) == DATA


def test_interrupted_in_the_middle(fetch, folder, monkeypatch):
    import requests

    def chunks(self, chunk_size):
        yield self.raw.read(10)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", chunks)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    assert not folder.exists()
    fetch()
    assert left(folder) == DATA


# Processes that are killed

KILLED_AT = """
import requests
def chunks(self, chunk_size):
    yield self.raw.read(10)
    os._exit(77)
requests.Response.iter_content = chunks
"""
CRASHES = {  # for each, what is there afterward
    ("files", "while the first comes"): (KILLED_AT, []),
    ("files", "before it has its name"): ("os.replace = lambda *where: os._exit(77)", []),
    ("files", "between two files"): (
        "move = os.replace; os.replace = lambda *where: (move(*where), os._exit(77))",
        ["one.bin"],
    ),
    ("packed", "while the archive comes"): (KILLED_AT, []),
    ("packed", "before unpacking"): ("download._unpack = lambda *what: os._exit(77)", []),
    ("packed", "within a member"): (
        "shutil.copyfileobj = lambda source, target: "
        "(target.write(b'1'), target.flush(), os._exit(77))",
        [],
    ),
    ("packed", "between two members"): (
        "move = os.replace; os.replace = lambda *where: (move(*where), os._exit(77))",
        ["one.bin"],
    ),
}


@pytest.mark.parametrize(("fetch", "crash"), CRASHES, indirect=["fetch"])
def test_killed_and_begun_anew(fetch, crash, request, folder, server):
    kind = request.node.callspec.params["fetch"]
    patch, whole = CRASHES[kind, crash]
    program = f"""
import os, shutil, sys
from pathlib import Path
from portanet.data import download
{patch}
download.SCHEME = "http://"
folder, url, archive, *names = sys.argv[1:]
checksums = dict(zip(names[::2], names[1::2]))
if archive:
    download.fetch_archive(Path(folder), checksums, url + "/archive", archive)
else:
    download.fetch_files(Path(folder), checksums, [url + "/"])
"""
    archive = sha256(server.pages["/archive"][2]) if kind == "packed" else ""
    checksums = [word for name, data in DATA.items() for word in (name, sha256(data))]
    command = [sys.executable, "-c", program, folder, server.url, archive, *checksums]
    assert subprocess.run(command, check=False).returncode == 77
    assert left(folder) == {name: DATA[name] for name in whole}
    [scratch] = (path for path in folder.iterdir() if path.is_dir())
    fetch()
    assert left(folder) == DATA
    assert scratch.is_dir()  # it might be another process's, which is at work
    for path in (scratch, *scratch.iterdir()):
        os.utime(path, (0, 0))
    fetch()
    assert sorted(path.name for path in folder.iterdir()) == sorted(DATA)


@pytest.mark.parametrize("hours", [-30, 3])
def test_another_clock_than_the_files_ends_nobodys_download(fetch, folder, monkeypatch, hours):
    """As on a file server, or where this computer's clock is set meanwhile."""
    other = folder / ".portanet-other"
    other.mkdir(parents=True)
    now = time.time() + 3600 * hours
    monkeypatch.setattr(time, "time", lambda: now)
    fetch()
    assert other.is_dir()


def test_what_has_a_name_is_on_the_disk(fetch, folder, monkeypatch):
    """Else a power failure may leave a file of the right length, full of zeros."""
    done, fsync, replace = [], os.fsync, os.replace

    def sync(handle):
        done.append(os.fstat(handle).st_ino)
        fsync(handle)

    def name(source, target):
        assert os.stat(source).st_ino == done[-1]
        replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", name)
    fetch()
    assert len(done) == len(DATA)
    assert left(folder) == DATA


def test_a_full_disk_is_said_and_leaves_nothing(fetch, folder, server, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("os.fsync", "os.replace", "portanet.data.download._get"):
        with monkeypatch.context() as patch:
            patch.setattr(name, full)
            with pytest.raises(NotDownloadedError, match=r"No space left on device$"):
                fetch()
        assert not folder.exists()
    fetch()
    assert left(folder) == DATA


def test_a_folder_of_ones_own_is_not_taken_for_scratch(fetch, folder):
    own = folder / "download-notes"
    own.mkdir(parents=True)
    os.utime(own, (0, 0))
    fetch()
    assert own.is_dir()


# What is said


def test_what_kept_a_file_is_said_in_a_few_words(fetch, folder, server):
    server.pages.clear()
    with pytest.raises(NotDownloadedError) as caught:
        fetch()
    assert re.fullmatch(
        rf"{server.url}/(one\.bin|archive): 404 Client Error: Not Found", str(caught.value)
    )
    assert caught.value.__cause__ is not None


def test_the_systems_own_words_are_said(monkeypatch, folder):
    requests = pytest.importorskip("requests")
    pytest.importorskip("pooch")

    def fail(*args, **options):
        try:
            raise OSError(-2, "Name or service not known")
        except OSError as error:
            raise requests.ConnectionError("HTTPSConnectionPool(…): Max retries …") from error

    monkeypatch.setattr(requests, "get", fail)
    with pytest.raises(NotDownloadedError) as caught:
        fetch_files(folder, {"a": "0" * 64, "b": "0" * 64}, ["https://one/", "https://two/"])
    assert str(caught.value).splitlines() == [
        "https://one/a: Name or service not known",
        "https://two/a: Name or service not known",
    ]
    assert [str(error) for error in caught.value.__cause__.exceptions] == [
        "HTTPSConnectionPool(…): Max retries …"
    ] * 2
    assert not folder.exists()
