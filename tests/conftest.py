"""The backends that tests run on.

The fixture `place` gives one after another, on each device and with read-only inputs; `library`
gives each array library once, for tests in which these do not matter.
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


LIBRARIES = [
    Place("numpy"),
    Place("strict", "device1"),
    Place("torch"),
    pytest.param(Place("cupy"), marks=pytest.mark.gpu),
]
PLACES = [
    *LIBRARIES,
    Place("numpy", read_only=True),
    Place("strict", "CPU_DEVICE"),
    Place("strict", "no_float64", dtype="float32"),
]


@cache
def _unavailable(name: str) -> str | None:
    return pn.available_backends().get(name, "it is not known")


def _selected(place: Place) -> Place:
    """Select a place, or skip the test where it cannot be used."""
    reason = _unavailable(place.name)
    if reason is not None:
        pytest.skip(f"{place.name}: {reason}")
    return place.select()


@pytest.fixture(params=PLACES, ids=str)
def place(request: pytest.FixtureRequest) -> Place:
    """Give each place in turn, selected."""
    return _selected(request.param)


@pytest.fixture(params=LIBRARIES, ids=str)
def library(request: pytest.FixtureRequest) -> Place:
    """Give one place of each library, selected."""
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
