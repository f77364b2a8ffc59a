"""The suite's own option: ``--backend`` runs every case on one backend."""

import sys
from pathlib import Path

import pytest

import portanet as pn
from portanet import registry

ROOT = Path(__file__).parent.parent
CONFTEST = (ROOT / "tests/conftest.py").read_text(encoding="utf-8")

CASES = """
import pytest

import portanet as pn


def test_neither():
    assert pn.get_backend().name == "numpy"


def test_library(library):
    assert pn.get_backend().name == library.name


def test_place(place):
    assert pn.get_backend().name == place.name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype(place, dtype):
    assert place.select(dtype).dtype == dtype


@pytest.mark.gpu
def test_gpu():
    pytest.skip("needs a GPU")
"""

KNOWN = sorted({*registry.known(), *registry.broken, "own"})

# Somebody's backend, which no entry point names here.
OWN = """
pn.register_backend(type("Own", (type(pn.set_backend("numpy")),), {"name": "own"}))
"""


class Seen:
    """Notes what pytest runs."""

    def __init__(self):
        self.names = []

    def pytest_runtest_logfinish(self, nodeid):
        self.names.append(nodeid.partition("::test_")[2])


@pytest.fixture
def suite(tmp_path, monkeypatch, capsys):
    """Give a function that runs the cases with options: pytest's status, the tests, the errors."""
    monkeypatch.setattr(registry, "classes", dict(registry.known()))
    (tmp_path / "test_cases.py").write_text(CASES)
    # In this process, which has imported the libraries; what would reach beyond the run stays out.
    without = ("cacheprovider", "faulthandler", "hypothesispytest")
    options = ["--assert=plain", *(f"-pno:{name}" for name in without)]
    options += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]

    def run(*others, more=""):
        (tmp_path / "conftest.py").write_text(CONFTEST + more, encoding="utf-8")
        for name in ("conftest", "test_cases"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        seen = Seen()
        status = pytest.main([*others, *options], [seen])
        return status, seen.names, capsys.readouterr().err.strip()

    return run


def cases(*places):
    """Return the names of the cases with a backend, of which the first place is the library's."""
    with_dtype = [f"{place}-{dtype}" for place in places for dtype in ("float32", "float64")]
    exist = [f"dtype[{case}]" for case in with_dtype if case != "strict-no_float64-float64"]
    return [f"library[{places[0]}]", *(f"place[{place}]" for place in places), *exist]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("numpy", ["numpy", "numpy-read-only"]),
        ("strict", ["strict-device1", "strict-CPU_DEVICE", "strict-no_float64"]),
        ("own", ["own"]),
    ],
)
def test_every_case_runs_on_the_backend_alone(suite, name, places):
    status, found, _ = suite("--backend", name, more=OWN)
    assert status == 0
    assert sorted(found) == sorted(["neither", *cases(*places)])


def test_without_it_every_case_runs_on_every_backend(suite):
    status, found, _ = suite()
    assert status == 0
    libraries = ["numpy", "strict-device1", "torch", "cupy"]
    places = [*libraries, "numpy-read-only", "strict-CPU_DEVICE", "strict-no_float64"]
    each = [f"library[{name}]" for name in libraries[1:]]
    assert sorted(found) == sorted(["neither", *each, *cases(*places), "gpu"])


def test_the_mark_of_a_gpu_means_cupy(suite):
    status, found, _ = suite("-m", "gpu")
    assert (status, sorted(found)) == (0, sorted([*cases("cupy"), "gpu"]))
    if pn.available_backends()["cupy"] is None:
        status, found, _ = suite("--backend", "cupy")
        assert (status, sorted(found)) == (0, sorted(["neither", *cases("cupy"), "gpu"]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nmpy", f"it is unknown; known are: {', '.join(KNOWN)}"),
        ("gone", "No module named 'gone'; install it with: pip install gone"),
    ],
)
def test_a_backend_that_cannot_be_used_is_an_error_at_the_start(suite, name, reason):
    broken = OWN
    if name == "gone":
        broken = (
            "class Gone(pn.Backend):\n"
            '    name = package = "gone"\n'
            '    install = "pip install gone"\n'
            "    load = classmethod(lambda cls: __import__(cls.name))\n"
            "pn.register_backend(Gone)\n"
        )
    status, found, errors = suite("--backend", name, more=broken)
    assert (status, found) == (pytest.ExitCode.USAGE_ERROR, [])
    assert errors == f"ERROR: --backend {name}: {reason}"
