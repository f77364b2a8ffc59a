"""SVHN, and the MATLAB files it comes in, which SciPy reads in a process of its own."""

import hashlib
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from small_data import UINT8, assert_split, element, mat, matrix, svhn, write

from portanet.data import DataError, DataNotFoundError, formats, load_svhn, matlab, matlab_child
from portanet.data import svhn as loader
from portanet.data.matlab import read_mat

TRAIN, TEST = loader.SHA256
X, Y = svhn()


@pytest.fixture
def scipy():
    return pytest.importorskip("scipy.io")


def variables(images=X, labels=Y):
    # The published labels are of MATLAB's class double (6), stored as bytes.
    return matrix("X", images), matrix("y", labels, mat_class=6)


def files(**options):
    return {TRAIN: mat(*variables(*svhn(13)), **options), TEST: mat(*variables(), **options)}


# What SciPy reads


@pytest.mark.usefixtures("scipy")
def test_files(tmp_path, monkeypatch):
    write(tmp_path / "svhn", files())
    monkeypatch.setenv("PORTANET_DATA", str(tmp_path))
    for split, n in zip(load_svhn(download=False), (13, 4), strict=True):
        assert_split(split, n, (3, 32, 32))
        images, _ = svhn(n)
        expected = [[images[:, :, channel, i] for channel in range(3)] for i in range(n)]
        np.testing.assert_array_equal(
            split[0], np.array(expected, np.float32) / np.float32(255), strict=True
        )
        assert split[1].tolist() == [i % 10 for i in range(n)]  # 10 has become 0


def test_what_scipy_writes(scipy, tmp_path):
    path = tmp_path / "own.mat"
    scipy.savemat(path, {"X": X, "y": Y.astype(float), "more": "text"}, do_compression=True)
    images, labels = loader.read_split(path)
    np.testing.assert_array_equal(images[2, 1], X[:, :, 1, 2].astype(np.float32) / np.float32(255))
    assert labels.tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("scipy")
def test_the_environment_does_not_matter(tmp_path, monkeypatch):
    for module in ("numpy", "scipy", "sitecustomize"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    (tmp_path / "one.mat").write_bytes(mat(*variables(), compressed=False))
    assert loader.read_split("one.mat")[1].tolist() == [0, 1, 2, 3]


def test_the_childs_modules_are_the_parents(tmp_path, monkeypatch):
    write(tmp_path / "scipy", {"__init__.py": b"", "io.py": b"raise ImportError('of the parent')"})
    (tmp_path / "one.mat").write_bytes(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="ImportError: of the parent"):
        loader.read_split(tmp_path / "one.mat")


@pytest.fixture
def in_process(scipy, monkeypatch):
    """Read without another process, which takes a second to start."""

    def run(command, **_):
        try:
            matlab_child.main(*command[command.index(str(matlab.CHILD)) + 1 :])
        except SystemExit as error:
            return subprocess.CompletedProcess(command, 1, stderr=str(error).encode())
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(matlab_child, "limit", lambda memory, seconds: None)
    monkeypatch.setattr(sys, "path", sys.path)


def sparse(name):
    return matrix(name, X[:, :, 0, 0], mat_class=5)


CELL, STRUCT, CHAR = 1, 2, 4
GOOD = mat(*variables(), compressed=False)
HUGE = struct.pack("<i", 0x7FFFFFFF)
DAMAGES = [
    (mat(*variables(X[:, :, 0])), r"X must be uint8 of shape \(32, 32, 3, N\), .* \(32, 32, 4\)"),
    (mat(*variables(X[:31])), r"X must be .* got uint8 \(31, 32, 3, 4\)"),
    (mat(*variables(X[:, :, :2])), r"X must be .* got uint8 \(32, 32, 2, 4\)"),
    (mat(*variables(X.transpose(3, 2, 0, 1))), r"X must be .* got uint8 \(4, 3, 32, 32\)"),
    (mat(*variables(X.astype(float))), r"X must be uint8 .* got float64"),
    (mat(*variables(labels=Y[:-1])), r"holds 4 images, so y .* \(4, 1\), got \(3, 1\)"),
    (mat(*variables(labels=Y.T)), r"y must have shape \(4, 1\), got \(1, 4\)"),
    (mat(*variables(labels=Y + np.uint8(1))), "labels must be 1 to 10, found 11"),
    (mat(*variables(labels=Y % np.uint8(10))), "labels must be 1 to 10, found 0"),
    (mat(*variables(labels=Y + 0.5)), r"labels must be 1 to 10, found 10\.5"),
    (mat(*variables(labels=Y * np.nan)), "labels must be 1 to 10, found nan"),
    (mat(*variables(X[:, :, :, :0], Y[:0])), r"X: is empty, of shape \(32, 32, 3, 0\)"),
    (mat(variables()[0]), "has no 'y'; it holds X"),
    (mat(), "has no 'X'; it holds nothing"),
    (mat(*variables(), variables()[0]), "holds 'X' twice"),
    (mat(matrix("X", X, mat_class=CELL), matrix("y", Y)), "X: expected .* numbers, got a cell"),
    (mat(matrix("X", X), matrix("y", Y, mat_class=STRUCT)), "y: expected .*, got a struct"),
    (mat(matrix("X", X), matrix("y", Y, mat_class=CHAR)), "y: expected .*, got a char"),
    (mat(sparse("X"), matrix("y", Y)), "X: expected .* numbers, got a sparse"),
    (mat(matrix("X", X), matrix("y", Y, flags=8)), "y: expected real numbers, got complex"),
    (b"", "SciPy can read"),
    (b"text", "SciPy can read"),
    (GOOD[:100], "SciPy can read"),
    (GOOD[:-300], "SciPy can read"),
    (mat(*variables())[:-300], "SciPy can read"),
    (mat(*variables())[:200] + bytes(50) + mat(*variables())[250:], "SciPy can read"),
    (GOOD.replace(struct.pack("<4i", *X.shape), struct.pack("<2i", 32, 32) + HUGE * 2), "read: "),
    (GOOD.replace(struct.pack("<2i", *Y.shape), struct.pack("<i", -4) + HUGE), "SciPy can read: "),
    (b"\x89HDF\r\n\x1a\n" + bytes(504), "SciPy can read"),
    (GOOD[:124] + b"\x00\x02" + GOOD[126:], "SciPy can read: .* HDF"),  # version 7.3
]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("data", "message"), DAMAGES)
def test_damage(data, message, tmp_path):
    path = tmp_path / TEST
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{message}"):
        loader.read_split(path)


@pytest.mark.usefixtures("in_process")
def test_expansion_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / TEST
    path.write_bytes(mat(*variables(*svhn(20))))
    assert len(loader.read_split(path)[1]) == 20
    monkeypatch.setattr(formats, "ROOM", 20 * 3072)
    path.write_bytes(mat(*variables(X.repeat(20, axis=3) * np.uint8(0), svhn(80)[1])))
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: X: expands to more than"):
        loader.read_split(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"none\.mat: no such file"):
        read_mat(tmp_path / "none.mat", ("X",))


# What the process does


@pytest.mark.usefixtures("scipy")
def test_a_damaged_file(tmp_path):
    path = tmp_path / TEST
    path.write_bytes(GOOD[:-300])
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: not a MATLAB file .*Error: "):
        loader.read_split(path)


@pytest.mark.usefixtures("scipy")
def test_scipy_crashes(tmp_path):
    # SciPy looks up a type of values in a table of C without asking how long that is.
    path = tmp_path / TEST
    values = X.tobytes("F")
    wrong = GOOD.replace(element(UINT8, values), element(0x7FFFFFF0, values))
    assert wrong != GOOD
    path.write_bytes(wrong)
    said = "damaged: SciPy crashed on it|not a MATLAB file that SciPy can read"
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: ({said})"):
        loader.read_split(path)


def child(tmp_path, monkeypatch, program):
    """Let a program take the child's place; return the path of a file that it is given."""
    script = tmp_path / "child.py"
    script.write_text(program)
    monkeypatch.setattr(matlab, "CHILD", script)
    path = tmp_path / "one.mat"
    path.write_bytes(b"")
    return path


PROGRAMS = {
    "crashes": ("import os; os._exit(77)", "damaged: SciPy crashed on it, with exit status 77"),
    "says nothing": ("import os; os._exit(1)", "SciPy can read: it did not say why"),
    "talks": ("raise SystemExit('long' * 10**6 + '\\nshort')", "SciPy can read: short"),
    "raves": ("raise SystemExit('long' * 10**6)", "SciPy can read: (long){125}"),
    "writes nothing": ("print('text' * 10**6)", "no such file"),
    "writes nonsense": (
        "import sys; open(sys.argv[5], 'w').write('text')",
        "not a zip file of arrays.*",
    ),
}


@pytest.mark.parametrize(("program", "message"), PROGRAMS.values(), ids=PROGRAMS)
def test_whatever_the_child_does(program, message, tmp_path, monkeypatch):
    path = child(tmp_path, monkeypatch, program)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{message}$"):
        read_mat(path, ("X",))


def test_a_child_that_does_not_end(tmp_path, monkeypatch):
    path = child(tmp_path, monkeypatch, "while True: pass")
    monkeypatch.setattr(matlab, "SECONDS", 0.2)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .* not read it within 0.2 s"):
        read_mat(path, ("X",))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no limit of memory")
@pytest.mark.usefixtures("scipy")
def test_memory_is_limited(tmp_path, monkeypatch):
    path = tmp_path / TEST
    # 64 MB of zeros, in 64 KB
    path.write_bytes(mat(*variables(np.zeros((32, 32, 3, 21_000), np.uint8))))
    monkeypatch.setattr(matlab, "MEMORY", 1 << 20)
    with pytest.raises(DataError, match=r"MemoryError|crashed"):
        loader.read_split(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems limit less")
def test_the_childs_limits():
    program = """
import resource
from portanet.data.matlab_child import limit
limit(1 << 40, 77)
for name in "CORE", "CPU", "AS":
    print(*resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said.split() == ["0", "0", "77", "77", str(1 << 40), str(1 << 40)]


# What is missing


def test_without_scipy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"need SciPy; .* pip install scipy"):
        load_svhn(tmp_path)


def test_scipy_is_imported_only_by_the_child():
    code = "import portanet, sys; sys.exit(any(m in sys.modules for m in ('scipy', 'subprocess')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def pretended(monkeypatch):
    """Go on as if SciPy were installed."""
    monkeypatch.setattr(loader, "require_scipy", lambda: None)


@pytest.mark.usefixtures("pretended")
def test_missing(tmp_path):
    write(tmp_path / "svhn", {TRAIN: b""})
    with pytest.raises(DataNotFoundError) as caught:
        load_svhn(tmp_path, download=False)
    message = str(caught.value)
    assert message.startswith(f"missing in {tmp_path / 'svhn'}: {TEST}; not downloaded:")
    assert "\nPut them there by hand, from http:" in message


def test_the_mirror_is_safe():
    assert all(url.startswith("https://") and url.endswith("/") for url in loader.MIRRORS)
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in loader.SHA256.values())


@pytest.mark.usefixtures("in_process")
def test_download(server, tmp_path, monkeypatch):
    contents = files()
    server.pages.update({f"/{name}": (200, {}, data) for name, data in contents.items()})
    monkeypatch.setattr(loader, "MIRRORS", (f"{server.url}/",))
    with pytest.raises(DataNotFoundError, match=f"(?s){server.url}.*hash"):  # of the real files
        load_svhn(tmp_path)
    assert not list(tmp_path.iterdir())
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    monkeypatch.setattr(loader, "SHA256", checksums)
    assert load_svhn(tmp_path)[1][1].tolist() == [0, 1, 2, 3]
    assert {p.name: p.read_bytes() for p in (tmp_path / "svhn").iterdir()} == contents
    # Then what is missing, no more.
    write(tmp_path / "svhn", {TRAIN: GOOD})
    (tmp_path / "svhn" / TEST).unlink()
    load_svhn(tmp_path)
    assert (tmp_path / "svhn" / TRAIN).read_bytes() == GOOD
