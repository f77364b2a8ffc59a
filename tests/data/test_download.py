"""Downloads: by HTTPS alone, checked before use, and whole or not there, whatever happens."""

import hashlib
import subprocess
import sys

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


# Archives that are unpacked in part

CRASHES = {
    "within a member": "shutil.copyfileobj = lambda source, target: (target.write(b'1'), die())",
    "between members": "move = os.replace; os.replace = lambda *where: (move(*where), die())",
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_while_unpacking(crash, packed, folder, server):
    program = f"""
import os, shutil, sys
from pathlib import Path
from portanet.data import download
def die():
    target.flush() if "target" in globals() else None
    os._exit(77)
{CRASHES[crash]}
download.SCHEME = "http://"
folder, url, checksum, *names = sys.argv[1:]
download.fetch_archive(Path(folder), names, url, checksum)
"""
    url, checksum = f"{server.url}/archive", sha256(server.pages["/archive"][2])
    command = [sys.executable, "-c", program, folder, url, checksum, *DATA]
    assert subprocess.run(command, check=False).returncode == 77
    whole = {"one.bin": DATA["one.bin"]} if crash == "between members" else {}
    assert left(folder) == whole
    packed()
    assert left(folder) == DATA
