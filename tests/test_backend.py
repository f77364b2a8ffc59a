"""Selecting a backend, moving arrays between backends, and what every backend computes alike."""

import asyncio
import contextvars
import pickle
import re
import subprocess
import sys
import threading
from copy import copy, deepcopy
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import portanet as pn
from portanet import nn, registry
from portanet.backend import dtype_name
from portanet.selection import make_backend

# --- selection ------------------------------------------------------------------------------------


def test_numpy_in_float32_is_the_default() -> None:
    chosen = pn.get_backend()
    assert (chosen.name, chosen.device, chosen.dtype) == ("numpy", "cpu", "float32")
    assert pn.get_backend() is chosen


def test_set_backend_holds_and_use_backend_holds_within_its_block() -> None:
    outer = pn.set_backend("numpy", dtype="float64")
    with pn.use_backend("strict", device="device1") as inner:
        assert pn.get_backend() is inner
        with pn.use_backend("numpy"):
            assert pn.get_backend().name == "numpy"
        assert pn.get_backend() is inner
    assert pn.get_backend() is outer


def test_use_backend_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), pn.use_backend("strict"):
        raise KeyError
    assert pn.get_backend().name == "numpy"


def test_a_failed_selection_changes_nothing() -> None:
    before = pn.set_backend("strict")
    with pytest.raises(pn.BackendError):
        pn.set_backend("numpy", device="gpu")
    with pytest.raises(pn.BackendError), pn.use_backend("nonsense"):
        pass
    assert pn.get_backend() is before


def run_in_thread(target: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(target()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_sees_use_backend_only_in_a_copied_context() -> None:
    process = pn.set_backend("numpy")
    with pn.use_backend("strict") as local:
        context = contextvars.copy_context()
        assert run_in_thread(lambda: context.run(pn.get_backend)) is local
        if not getattr(sys.flags, "thread_inherit_context", False):  # free-threaded Python inherits
            assert run_in_thread(pn.get_backend) is process


def test_a_thread_sees_set_backend_of_another() -> None:
    chosen = run_in_thread(lambda: pn.set_backend("strict"))
    assert pn.get_backend() is chosen
    assert run_in_thread(pn.get_backend) is chosen


def test_tasks_select_independently() -> None:
    async def task(name: str, barrier: asyncio.Barrier) -> str:
        with pn.use_backend(name):
            await barrier.wait()
            return pn.get_backend().name

    async def both() -> list[str]:
        barrier = asyncio.Barrier(2)
        return await asyncio.gather(task("numpy", barrier), task("strict", barrier))

    assert asyncio.run(both()) == ["numpy", "strict"]


def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTANET_BACKEND", "strict")
    assert pn.get_backend().name == "strict"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTANET_BACKEND", "")
    assert pn.get_backend().name == "numpy"


def test_nonsense_in_the_environment_is_named_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTANET_BACKEND", "nmpy")
    with pytest.raises(pn.BackendError, match=r"PORTANET_BACKEND=nmpy: unknown backend 'nmpy'"):
        pn.get_backend()
    with pn.use_backend("strict") as chosen:  # what is selected in the program goes first
        assert pn.get_backend() is chosen


def test_auto_takes_cupy_where_it_works_else_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(registry.known()["numpy"]):  # type: ignore[misc]
        reason: ClassVar[str | None] = "no driver"

        @classmethod
        def unavailable(cls) -> str | None:
            return cls.reason

    monkeypatch.setitem(registry.classes, "cupy", Other)
    assert type(pn.set_backend("auto")) is registry.classes["numpy"]
    monkeypatch.setattr(Other, "reason", None)
    assert type(pn.set_backend("auto")) is Other


# --- what cannot be had ---------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(pn.BackendError, match=r"unknown backend 'nmpy'.* numpy, strict, torch"):
        pn.set_backend("nmpy")


def test_numpys_dtypes_select_too() -> None:
    assert pn.set_backend("numpy", dtype=np.dtype("float64")).dtype == "float64"  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", None])
def test_a_dtype_other_than_the_two_is_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match="'float32' or 'float64', got"):
        pn.set_backend("numpy", dtype=dtype)


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("numpy", "gpu", "float32"),
        ("strict", "device7", "float32"),
        ("strict", "no_float64", "float64"),
        ("torch", "cuda:99", "float32"),
        ("torch", "nonsense", "float32"),
    ],
)
def test_a_device_that_does_not_answer_is_named(name: str, device: str, dtype: str) -> None:
    if name == "torch":
        pytest.importorskip("torch")
    with pytest.raises(pn.BackendError, match=f"'{name}' has no device '{device}' for {dtype}"):
        pn.set_backend(name, device=device, dtype=dtype)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points to fill before a backend is first asked for by name."""
    points: list[EntryPoint] = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    for name in ("classes", "broken", "_met", "_places"):
        monkeypatch.setattr(registry, name, {})
    monkeypatch.setattr(registry, "_scanned", False)
    return points


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "portanet.backends")


def test_a_broken_entry_point_is_reported_and_harms_no_other(points: list[EntryPoint]) -> None:
    points += [
        point("gone", "no_such_package:Backend"),
        point("wrong", "math:pi"),
        point("numpy", "portanet_numpy:NumpyBackend"),
    ]
    reasons = pn.available_backends()
    assert list(reasons) == ["gone", "numpy", "wrong"]
    assert reasons["numpy"] is None
    assert "no_such_package:Backend failed to load: ModuleNotFoundError" in str(reasons["gone"])
    assert "expected a subclass of portanet.Backend, got 3.14" in str(reasons["wrong"])
    with pytest.raises(pn.BackendError, match="'gone' cannot be used: no_such_package"):
        pn.set_backend("gone")
    assert pn.get_backend().name == "numpy"


def test_registering_repairs_a_broken_entry_point(points: list[EntryPoint]) -> None:
    points += [point("repaired", "no_such_package:Backend")]
    assert pn.available_backends()["repaired"] is not None

    @pn.register_backend
    class Repaired(Absent):
        name = "repaired"
        load = classmethod(lambda cls: np)

    assert pn.available_backends() == {"repaired": None}


def test_what_is_registered_again_takes_over_its_arrays(points: list[EntryPoint]) -> None:
    points += [point("numpy", "portanet_numpy:NumpyBackend")]
    x, before = np.ones(2), type(pn.get_backend())
    assert type(pn.backend_of(x)) is before
    other = pn.register_backend(type("Other", (before,), {}))
    assert type(pn.backend_of(x)) is other


def test_a_registered_backend_goes_before_an_entry_point(points: list[EntryPoint]) -> None:
    points += [point("absent", "no_such_package:Backend")]
    pn.register_backend(Absent)
    assert "pip install absent-library" in str(pn.available_backends()["absent"])
    assert registry.broken == {}


def test_without_entry_points_the_message_says_what_is_missing(points: list[EntryPoint]) -> None:
    with pytest.raises(pn.BackendError, match="pip install -e"):
        pn.get_backend()


class Absent(pn.Backend):
    """A library that is not there."""

    name = "absent"
    package = "absent_library"
    install = "pip install absent-library"

    @classmethod
    def load(cls) -> Any:
        import absent_library

        return absent_library


class Nameless(Absent):
    """A library that lacks a word."""

    package = None  # type: ignore[assignment]


@pytest.mark.parametrize("word", ["name", "package", "install"])
def test_a_backend_says_what_it_is_called(points: list[EntryPoint], word: str) -> None:
    for lacks in (type("Mine", (Absent,), {word: None}), type("Mine", (Absent,), {word: 3})):
        with pytest.raises(TypeError, match=f"Mine lacks `{word}`, a string; see portanet.Backend"):
            pn.register_backend(lacks)
    assert pn.available_backends() == {}


def test_an_entry_point_of_a_backend_that_lacks_a_word(points: list[EntryPoint]) -> None:
    points += [point("mine", f"{__name__}:Nameless")]
    assert "Nameless lacks `package`, a string" in str(pn.available_backends()["mine"])


class Broken(Absent):
    """A library that is there and fails."""

    name = "broken"

    @classmethod
    def load(cls) -> Any:
        raise OSError("libfoo.so.1: cannot open")


def test_an_absent_library_says_how_to_install_it(points: list[EntryPoint]) -> None:
    pn.register_backend(Absent)
    with pytest.raises(pn.BackendError, match=r"'absent' .*: pip install absent-library"):
        pn.set_backend("absent")


def test_a_broken_library_says_what_it_said(points: list[EntryPoint]) -> None:
    pn.register_backend(Broken)
    assert "importing absent_library failed: OSError" in str(pn.available_backends()["broken"])


def test_importing_portanet_imports_no_array_library_but_numpy() -> None:
    costly = ("cupy", "torch", "array_api_compat", "importlib.metadata", "threadpoolctl")
    program = f"""
import sys, numpy
before = set(sys.modules)
import portanet
print(*[name for name in {costly} if name in sys.modules and name not in before])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("", "")


# --- where an array lives -------------------------------------------------------------------------


def test_backend_of_finds_library_and_device(place: Any) -> None:
    x = place.array([1.0])
    found = pn.backend_of(x, place.array([2.0]))
    assert (found.name, found.device) == (place.name, x.device)
    assert pn.backend_of(x) is found
    assert x.dtype in found.floats


def test_all_types_of_a_library_mix() -> None:
    x = np.ones(2)
    assert pn.backend_of(np.float32(1.0), x, x.view(Subclass)).name == "numpy"


def test_parameters_of_torch_are_its_arrays() -> None:
    torch = pytest.importorskip("torch")
    assert pn.backend_of(torch.nn.Parameter(torch.ones(2)), torch.ones(2)).name == "torch"


def test_arrays_of_two_libraries_do_not_mix() -> None:
    there = make_backend("strict", device="device1").asarray([1.0])
    with pytest.raises(pn.BackendMismatchError, match=r"numpy on cpu and of strict on .*device1"):
        pn.backend_of(np.ones(1), there)


def test_arrays_of_two_devices_do_not_mix() -> None:
    here, there = (make_backend("strict", device=d).asarray([1.0]) for d in ("device1", None))
    with pytest.raises(pn.BackendMismatchError, match=r"device1.* and of strict on .*CPU_DEVICE"):
        pn.backend_of(here, there)


@pytest.mark.parametrize("x", [1.0, [1.0], None, "numpy", np.float32, SimpleNamespace(device=0)])
def test_backend_of_refuses_what_is_no_array(x: Any) -> None:
    with pytest.raises(TypeError, match=f"got {type(x).__name__}; portanet.asarray"):
        pn.backend_of(x)


class Counted(np.ndarray):
    """An array that does something of its own with NumPy's functions, as those with units do."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return None


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.ones((2, 2)).view(np.matrix), marks=pytest.mark.filterwarnings("ignore")),
        np.ma.array([[1.0, 2.0]]),
        np.ones((2, 2)).view(Counted),
    ],
)
def test_an_array_with_an_arithmetic_of_its_own_is_none(array: Any) -> None:
    kind = type(array).__name__
    with pytest.raises(TypeError, match=f"expected an array of .*, got {kind}; portanet.asarray"):
        pn.backend_of(array)
    with pytest.raises(TypeError, match=f"got {kind}; portanet.asarray"):
        nn.Tanh()(array)
    assert type(pn.asarray(array)) is np.ndarray


def test_arrays_that_compute_as_others_are_numpys(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "x", "float32", "w+", shape=(2, 2))
    for array in (mapped, np.ones(3).view(Subclass), np.float32(1.0), np.ones(2).view(np.recarray)):
        assert pn.backend_of(array).name == "numpy"


def test_backend_of_needs_an_array() -> None:
    with pytest.raises(TypeError, match="array"):
        pn.backend_of()


class Chip:
    """A device that compares but has no hash, as CuPy's."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chip) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]


class ChipArray:
    """As much of an array as finding its place needs."""

    def __init__(self, device: Chip, dtype: str) -> None:
        self.device, self.dtype = device, dtype


class ChipBackend(pn.Backend):
    """A library of such arrays."""

    name = "chip"
    package = __name__.partition(".")[0]
    install = "…"
    device_key = "device.number"

    @classmethod
    def load(cls) -> Any:
        def empty(shape: Any, dtype: str, device: Chip) -> ChipArray:
            return ChipArray(device, dtype)

        return SimpleNamespace(float32="float32", float64="float64", empty=empty)


def test_selecting_makes_a_device_current(
    points: list[EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    pn.register_backend(ChipBackend)
    current: list[int] = []
    monkeypatch.setattr(
        ChipBackend, "make_current", lambda self: current.append(self.device.number)
    )
    pn.set_backend("chip", device=Chip(1))
    with pn.use_backend("chip", device=Chip(2)):
        with pn.use_backend("chip", device=Chip(3)):
            pass
        pn.set_backend("chip", device=Chip(4))
    assert current == [1, 2, 3, 2, 4, 4]
    make_backend("chip", device=Chip(5))  # made, not selected
    assert current[-1] == 4


def test_devices_without_a_hash_are_told_apart(points: list[EntryPoint]) -> None:
    pn.register_backend(ChipBackend)
    first, second = (ChipArray(Chip(n), "float32") for n in (1, 2))
    found = pn.backend_of(first, ChipArray(Chip(1), "float64"))
    assert found.device == Chip(1)
    assert pn.backend_of(first) is found
    with pytest.raises(pn.BackendMismatchError):
        pn.backend_of(first, second)


# --- asarray --------------------------------------------------------------------------------------

VALUES = np.array([[0.0, 1.0, -2.5], [3.0, 0.5, 4.0]])


def read_only(x: Any) -> Any:
    x.flags.writeable = False
    return x


def structured(x: Any) -> Any:
    table = np.zeros(x.shape, dtype=[("value", "f8"), ("flag", "i1")])
    table["value"] = x
    return table["value"]


class Subclass(np.ndarray):
    """A subclass of NumPy's array."""


INPUTS = {
    "array": lambda x: x,
    "float16": lambda x: x.astype("float16"),
    "float32": lambda x: x.astype("float32"),
    "long double": lambda x: x.astype("longdouble"),
    "big-endian": lambda x: x.astype(">f4"),
    "read-only": lambda x: read_only(x.astype("float32")),
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "structured": structured,
    "subclass": lambda x: x.view(Subclass),
    "list": lambda x: x.tolist(),
    "tuples": lambda x: tuple(map(tuple, x.tolist())),
    "list of arrays": list,
}


@pytest.mark.parametrize("dtype", ["float32", "float64", None])
@pytest.mark.parametrize("kind", INPUTS)
def test_asarray_of_what_numpy_takes(place: Any, kind: str, dtype: str | None) -> None:
    x = place.backend.asarray(INPUTS[kind](VALUES.copy()), dtype)
    place.check(x, (2, 3), dtype)
    np.testing.assert_array_equal(place.host(x), VALUES)
    assert type(x) is type(place.backend.xp.ones(1))


def test_asarray_of_a_memory_map(place: Any, tmp_path: Any) -> None:
    path = tmp_path / "values"
    VALUES.astype(">f4").tofile(path)
    x = place.backend.asarray(np.memmap(path, ">f4", mode="r", shape=(2, 3)))
    place.check(x, (2, 3))
    np.testing.assert_array_equal(place.host(x), VALUES)
    assert not isinstance(x, np.memmap)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [(2.5, None), (np.float64(2.5), None), (np.array(2.5), None), (3, "int64"), (True, "bool")],
    ids=repr,
)
def test_asarray_of_one_number(place: Any, x: Any, dtype: str | None) -> None:
    y = place.backend.asarray(x)
    place.check(y, (), dtype)
    assert place.host(y) == x


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", ">i4", "int32", "int64"])
def test_asarray_keeps_integers_and_booleans(place: Any, dtype: str) -> None:
    x = place.backend.asarray(np.array([0, 1, 1], dtype=dtype))
    place.check(x, (3,), np.dtype(dtype).name)
    assert place.host(x).tolist() == [0, 1, 1]
    place.check(place.backend.asarray(x), (3,), np.dtype(dtype).name)


def test_asarray_converts_to_the_dtype_asked_for(place: Any) -> None:
    for x in (np.array([0, 1, 2]), place.array([0, 1, 2], "int32"), place.array([0.0, 1.0, 2.0])):
        for dtype in ("float32", "int64", "uint8"):
            place.check(place.backend.asarray(x, dtype), (3,), dtype)


def test_only_whole_numbers_become_integers(place: Any) -> None:
    for x in (np.array([0.0, 1.5, 3.0]), place.array([0.0, 1.5, 3.0])):
        with pytest.raises(ValueError, match=r"not all of them whole, from 0\.0 to 3\.0 cannot"):
            place.backend.asarray(x, "int64")
    buffers = nn.BatchNorm1d(3).buffers
    with pytest.raises(ValueError, match="cannot become"):
        buffers["num_batches_tracked"] = 1.7
    assert int(buffers["num_batches_tracked"]) == 0


def sources() -> list[Any]:
    strict = [("strict", d) for d in ("CPU_DEVICE", "device1", "no_float64")]
    return [("numpy", None), *strict, ("torch", "cpu")]


@pytest.mark.parametrize("source", sources(), ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_asarray_between_backends(place: Any, source: tuple[str, str], dtype: str) -> None:
    if source[0] == "torch":
        pytest.importorskip("torch")
    host = np.array([[1, 0, 1], [1, 1, 0]], dtype=dtype)
    x = make_backend(source[0], device=source[1]).asarray(host)
    y = place.backend.asarray(x)
    place.check(y, (2, 3), None if dtype == "float32" else dtype)
    np.testing.assert_array_equal(place.host(y), host)


def test_asarray_returns_its_own_arrays_as_they_are(place: Any) -> None:
    x = place.array(VALUES)
    if place.name == "torch":  # detached: another tensor on the same memory
        assert place.backend.asarray(x).data_ptr() == x.data_ptr()
    else:
        assert place.backend.asarray(x) is x


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_asarray_shares_memory_and_its_order(name: str) -> None:
    if name == "torch":
        pytest.importorskip("torch")
    backend = make_backend(name)
    x = np.ones((3, 4, 5, 2), dtype="float32").transpose(3, 0, 1, 2)  # batch innermost in memory
    assert np.shares_memory(backend.to_numpy(backend.asarray(x)), x)
    for other in (x, read_only(x.copy("K")), x.astype("float64"), x[::-1]):
        assert backend.to_numpy(backend.asarray(other)).strides == x.strides or other.strides[0] < 0


BAD = {
    "complex": (np.ones(2, dtype="complex64"), "ndarray of dtype complex64"),
    "complex numbers": ([1j], "list of dtype complex128"),
    "strings": (["a", "b"], "list of dtype <U1"),
    "objects": (np.array([{}, None]), "ndarray of dtype object"),
    "None": (None, "NoneType of dtype object"),
    "dates": (np.array(["2026-01-01"], dtype="datetime64[D]"), r"dtype datetime64\[D\]"),
}


@pytest.mark.parametrize("kind", BAD)
def test_asarray_refuses_what_is_not_real(place: Any, kind: str) -> None:
    x, words = BAD[kind]
    with pytest.raises(TypeError, match=f"expected real numbers, got .*{words}"):
        place.backend.asarray(x)


def test_asarray_refuses_its_own_complex_arrays(place: Any) -> None:
    xp = place.backend.xp
    x = xp.ones((2,), dtype=xp.complex64, device=place.backend.device)
    with pytest.raises(TypeError, match=r"expected real numbers, got .* of dtype complex64"):
        place.backend.asarray(x)


@pytest.mark.parametrize("dtype", ["complex64", "nonsense", "U3"])
def test_asarray_refuses_other_dtypes(place: Any, dtype: str) -> None:
    for x in ([1.0], place.array([1.0])):
        with pytest.raises(TypeError, match=dtype):
            place.backend.asarray(x, dtype)


def test_asarray_reads_a_dtype_as_numpy_does(place: Any) -> None:
    for x in ([1], place.array([1])):
        for dtype in ("f4", np.float32, np.dtype("float32")):
            place.check(place.backend.asarray(x, dtype), (1,), "float32")


def test_asarray_explains_ragged_rows() -> None:
    with pytest.raises(ValueError, match="rows of equal length"):
        pn.asarray([[1.0, 2.0], [3.0]])


def test_asarray_takes_tensors_out_of_autograd() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(2))
    for backend in (make_backend("torch"), make_backend("numpy"), make_backend("strict")):
        x = backend.asarray(weight)
        assert backend.to_numpy(x).tolist() == [1.0, 1.0]
        assert not getattr(x, "requires_grad", False)


def test_asarray_of_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    for backend in (make_backend("torch"), make_backend("numpy")):
        y = backend.asarray(x)
        assert (dtype_name(y), backend.to_numpy(y).tolist()) == ("float32", [1.5, -2.0])


# --- what backends compute alike ------------------------------------------------------------------


@pytest.mark.parametrize("generic", [False, True], ids=["own", "generic"])
@pytest.mark.parametrize(
    ("shape", "indices", "dtype"),
    [
        ((5,), [0, 4, 0, 0], "int64"),
        ((5, 3), [2, 2, 1], "int32"),
        ((4, 2, 3), [3, 0, 3, 3, 1], "int64"),
        ((300, 2), [255, 0, 255], "uint8"),
        ((5, 3), [], "int64"),
        ((5, 0), [1, 1], "int64"),
    ],
)
def test_index_add(place: Any, shape: Any, indices: Any, dtype: str, generic: bool) -> None:
    random = np.random.default_rng(0)
    # Eighths sum exactly, in any order.
    start, values = (random.integers(-9, 9, s) / 8 for s in (shape, (len(indices), *shape[1:])))
    backend = place.backend
    x = backend.asarray(start.copy())
    add = pn.Backend.index_add if generic else type(backend).index_add
    y = add(backend, x, place.array(np.array(indices, dtype=dtype)), place.array(values))
    expected = start.copy()
    np.add.at(expected, np.array(indices, dtype="int64"), values)
    np.testing.assert_array_equal(place.host(x), expected)
    np.testing.assert_array_equal(place.host(y), expected)
    place.check(y, shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_is_the_same_everywhere(place: Any, dtype: str) -> None:
    key = pn.Key(3).child("mask")
    drawn = place.backend.random(key, (4, 5), dtype)
    place.check(drawn, (4, 5), dtype)
    np.testing.assert_array_equal(place.host(drawn), key.samples((4, 5), dtype))
    part = place.backend.random(key, (2, 5), dtype, 1)
    np.testing.assert_array_equal(place.host(part), place.host(drawn)[1:3])
    again = place.backend.random(key, (4, 5), dtype)
    np.testing.assert_array_equal(place.host(again), place.host(drawn))


def test_dtype_name_is_one_word(place: Any) -> None:
    assert dtype_name(place.array([1.0], "float32")) == "float32"
    assert dtype_name(place.array([True])) == "bool"


def test_info_of_a_backend_that_says_nothing_of_it() -> None:
    plain = pn.Backend.info.__func__(type(make_backend("numpy")))
    assert plain == {"version": np.__version__, "devices": "cpu"}


def test_info_names_version_and_devices(place: Any) -> None:
    info = place.backend.info()
    assert {"version", "devices"} <= info.keys()
    assert all(isinstance(value, str) and value for value in info.values())


@pytest.mark.parametrize("copied", [copy, deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_backends_can_be_copied(place: Any, copied: Any) -> None:
    backend = make_backend(place.name, device=place.backend.device, dtype=place.dtype)
    other = copied(backend)
    assert other is not backend
    assert repr(other) == repr(backend)
    assert (other.xp, other.device, other.floats) == (backend.xp, backend.device, backend.floats)
    place.check(other.asarray([1.0, 2.0]), (2,))


@pytest.mark.parametrize("copied", [copy, deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_copies_keep_the_options(copied: Any) -> None:
    assert copied(make_backend("numpy", threads=3)).threads == 3


def test_a_pickle_of_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make_backend("strict")
    saved = pickle.dumps(backend)
    monkeypatch.setattr(type(backend), "unavailable", classmethod(lambda cls: "it is gone"))
    with pytest.raises(pn.BackendError, match="backend 'strict' cannot be used: it is gone"):
        pickle.loads(saved)


def test_the_rest_of_the_contract(place: Any) -> None:
    backend = place.backend
    backend.make_current()
    backend.synchronize()
    assert place.name in repr(backend)
    assert str(backend.device) in str(backend)

    def formula(x: Any) -> Any:
        return x * 2.0

    x = place.array([1.0, 2.0])
    assert place.host(backend.fused(formula)(x)).tolist() == [2.0, 4.0]


def test_asarray_refuses_masked_numbers() -> None:
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with pytest.raises(ValueError, match="masked ones"):
        pn.asarray(masked)
    unmasked = np.ma.masked_array([1.0, 2.0])
    np.testing.assert_array_equal(pn.asarray(unmasked), [1.0, 2.0])


def test_asarray_says_how_to_make_numbers() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for x, remedy in (
        (sparse.csr_matrix(np.eye(3)), ".toarray() makes a sparse matrix dense"),
        (np.array(["cat", "dog"]), "numpy.unique(…, return_inverse=True) numbers labels"),
        (np.array([1.0, 2], dtype=object), ".astype(float) makes numbers of objects"),
    ):
        with pytest.raises(TypeError, match=f"expected real numbers.*; {re.escape(remedy)}$"):
            pn.asarray(x)
