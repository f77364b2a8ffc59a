"""The backends that tests run on.

The fixture `place` gives one after another, on each device and with read-only inputs; `library`
gives each array library once, for tests in which these do not matter. With ``--backend NAME`` they
give that backend alone; tests that use neither run as ever, on NumPy unless they select another.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import portanet as pn


@dataclass(frozen=True)
class Place:
    """A backend on a device, in a dtype, selected for the process while a test runs."""

    name: str
    device: str | None = None
    dtype: str = "float64"
    read_only: bool = False

    def __str__(self) -> str:
        words = (self.name, self.device, "read-only" if self.read_only else None)
        return "-".join(filter(None, words))

    @property
    def rtol(self) -> float:
        """How closely results agree between backends."""
        return 1e-10 if self.dtype == "float64" else 1e-4

    @property
    def backend(self) -> pn.Backend:
        """The selected backend."""
        return pn.get_backend()

    def select(self, dtype: str | None = None) -> "Place":
        """Select this backend for the process, perhaps in another dtype."""
        pn.set_backend(self.name, device=self.device, dtype=dtype or self.dtype)
        return replace(self, dtype=dtype or self.dtype)

    def array(self, host: Any, dtype: str | None = None) -> Any:
        """Return the host's values as an array here: a copy, read-only where the place says so."""
        array = self.backend.asarray(np.array(host), dtype)
        self.freeze(array)
        return array

    def freeze(self, *arrays: Any) -> None:
        """Forbid writing to the arrays, where the place says so."""
        if self.read_only:
            for array in arrays:
                array.flags.writeable = False

    def host(self, array: Any) -> Any:
        """Return a copy of an array's values on the host."""
        return np.array(self.backend.to_numpy(array))

    def check(self, array: Any, shape: tuple[int, ...], dtype: str | None = None) -> None:
        """Assert an array's library, device, dtype and shape."""
        assert self.backend.owns(array), f"{type(array)} is not of {self.backend}"
        assert array.device == self.backend.device
        assert array.dtype == getattr(self.backend.xp, dtype or self.dtype)
        assert tuple(array.shape) == tuple(shape)


LIBRARIES = [Place("numpy"), Place("strict", "device1"), Place("torch"), Place("cupy")]
PLACES = [
    *LIBRARIES,
    Place("numpy", read_only=True),
    Place("strict", "CPU_DEVICE"),
    Place("strict", "no_float64", dtype="float32"),
]


@cache
def _unavailable(name: str) -> str | None:
    reasons = pn.available_backends()
    return reasons.get(name, f"it is unknown; known are: {', '.join(reasons)}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", metavar="NAME", help="run every case on this backend alone")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a backend that cannot be used here: skipped cases would look like a clean run."""
    name = config.getoption("--backend")
    if name is not None and (reason := _unavailable(name)) is not None:
        raise pytest.UsageError(f"--backend {name}: {reason}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each place that its fixture gives."""
    only = metafunc.config.getoption("--backend")
    for fixture, places in {"place": PLACES, "library": LIBRARIES}.items():
        if fixture in metafunc.fixturenames:
            if only is not None:  # one that has no place here has its default device
                places = [place for place in places if place.name == only] or [Place(only)]
            marked = [
                pytest.param(place, marks=[pytest.mark.gpu] * (place.name == "cupy"))
                for place in places
            ]
            metafunc.parametrize(fixture, marked, indirect=True, ids=str)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU of its own accord, where another backend is asked for.

    And, without a word, dtypes of places that do not have them: there are no such cases.
    """
    items[:] = [item for item in items if _has_its_dtype(item)]
    if config.getoption("--backend") not in (None, "cupy"):
        others = [item for item in items if item.get_closest_marker("gpu")]
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=others)


def _has_its_dtype(item: pytest.Item) -> bool:
    given = item.callspec.params if hasattr(item, "callspec") else {}
    wide = "place" not in given or given["place"].dtype == "float64"
    return wide or given.get("dtype") != "float64"


def _selected(place: Place) -> Place:
    """Select a place, or skip the test where it cannot be used."""
    reason = _unavailable(place.name)
    if reason is not None:
        pytest.skip(f"{place.name}: {reason}")
    return place.select()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """Give each of `PLACES` in turn, selected."""
    return _selected(request.param)


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Place:
    """Give each of `LIBRARIES` in turn, selected."""
    return _selected(request.param)


@pytest.fixture(autouse=True)
def _fresh_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test without a selected backend, and forget what it selects."""
    monkeypatch.setattr("portanet.selection._process", None)
    monkeypatch.delenv("PORTANET_BACKEND", raising=False)


@pytest.fixture
def pythons_handler() -> Iterator[None]:
    """Python's own handler of Ctrl-C, which a shell takes from what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
