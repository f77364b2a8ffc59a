"""How much memory is in use, and what is said where there is too little."""

import ast
import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

import portanet as pn
from portanet.memory import of_process
from portanet.train.memory import no_room

MEBIBYTE = 2**20


def grown(backend: pn.Backend) -> tuple[Any, Any, Any]:
    """Return the memory before 64 MiB are taken, while they are, and afterward."""
    before = backend.memory()
    x = backend.xp.ones((64 * MEBIBYTE // 8,), dtype=backend.xp.float64, device=backend.device)
    backend.synchronize()
    held = backend.memory()
    del x
    return before, held, backend.memory()


@pytest.mark.skipif(sys.platform == "win32", reason="made up of another system")
def test_what_other_systems_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, **options: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)  # macOS has no /proc
    used, peak = of_process()
    assert used is None
    assert peak > 10 * MEBIBYTE
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert of_process() == (None, None)


# In a process of its own: in this one, training has told the allocator to keep what is freed.
PROGRAM = """
import portanet
from test_memory_in_use import grown
print([tuple(memory) for memory in grown(portanet.set_backend("numpy"))])
"""


@pytest.mark.parametrize("name", ["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_memory_counts_what_arrays_take(name: str) -> None:
    if name == "cupy":
        if reason := pn.available_backends()["cupy"]:
            pytest.skip(f"cupy: {reason}")
        answers = grown(pn.set_backend("cupy"))
    else:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, check=True, timeout=120
        )
        answers = ast.literal_eval(done.stdout.decode())
    (before, _), (held, peak), (after, last) = answers
    if before is None:
        pytest.skip("the system does not tell how much memory is in use")
    assert 60 * MEBIBYTE < held - before < 70 * MEBIBYTE
    assert after < held - 60 * MEBIBYTE
    assert peak >= held
    assert last > held - 2 * MEBIBYTE  # it remembers, as closely as Linux counts


def test_releasing_memory_keeps_arrays(library: Any) -> None:
    x = library.array([1.0, 2.0])
    pn.release_memory()
    assert library.host(x).tolist() == [1.0, 2.0]


def test_memory_is_told_everywhere(library: Any) -> None:
    used, peak = library.backend.memory()
    assert used is None or 0 <= used <= peak


def test_too_large_an_array_is_known_by_its_error(library: Any) -> None:
    backend, xp = library.backend, library.backend.xp
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each library raises its own)
        xp.empty((1 << 50,), dtype=xp.float64, device=backend.device)
    assert backend.is_out_of_memory(caught.value)
    for other in (ValueError("memory"), RuntimeError("no kernel"), KeyError(2)):
        assert not backend.is_out_of_memory(other)


def raised(function: Any, *arguments: Any) -> BaseException:
    with pytest.raises(MemoryError) as caught:
        function(*arguments)
    return caught.value


class Room:
    """Takes so many samples, and notes what was tried."""

    def __init__(self, size: int, least: int = 0) -> None:
        self.size, self.least, self.tried = size, least, list[int]()

    def __call__(self, samples: int) -> None:
        self.tried.append(samples)
        if samples > self.size:
            raise MemoryError
        if samples < self.least:
            raise ValueError("BatchNorm2d: needs more than one value per channel")


@pytest.mark.parametrize(
    ("batch", "room", "tried", "words"),
    [
        (100, Room(30), [50, 25], "batch_size=25 fits, and with accumulate=4 "),
        (101, Room(50), [50], "batch_size=34 fits, and with accumulate=3 it is nearly the same"),
        (7, Room(1), [3, 1], "batch_size=1 fits, and with accumulate=7 "),
        (4, Room(0), [2, 1], "no smaller batch fits"),
        (4, Room(1, least=2), [2, 1], "no smaller batch fits"),
        (1, Room(0), [], "no smaller batch fits"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_the_error_says_what_fits(batch: int, room: Room, tried: Any, words: str) -> None:
    backend = pn.set_backend("numpy")
    found = str(no_room(backend, raised(room, batch + 60), batch, room))
    assert found.startswith(f"batch_size={batch} needs more memory than there is on numpy on cpu; ")
    assert words in found
    assert room.tried == [batch + 60, *tried]


def test_what_failed_is_given_up_before_another_attempt() -> None:
    class Activations:
        pass

    held: list[Any] = []

    def step(samples: int) -> None:
        gc.collect()
        assert all(gone() is None for gone in held)
        activations = Activations()
        held.append(weakref.ref(activations))
        if samples > 1:
            raise MemoryError

    error = no_room(pn.set_backend("numpy"), raised(step, 8), 8, step)
    assert "batch_size=1 fits" in str(error)
    assert len(held) == 4
