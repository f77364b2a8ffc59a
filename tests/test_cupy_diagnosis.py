"""Why CuPy cannot compute: every cause by its name. Only the driver's answers are made up here."""

import importlib.metadata
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from portanet_cupy import CupyBackend, diagnosis, precision

import portanet as pn


class CUDARuntimeError(RuntimeError):
    """An error of CUDA's runtime as CuPy raises it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


NO_DEVICE = CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")
TOO_OLD = CUDARuntimeError(
    35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
NOT_STARTED = CUDARuntimeError(3, "cudaErrorInitializationError: initialization error")
NO_CUBLAS = ImportError(
    'Failure finding "libcublasLt.so.13 or libcublasLt.so.12": No such file: libcublasLt.so.13\n'
)
NO_NVRTC = RuntimeError('Failure finding "libnvrtc.so.13": No such file: libnvrtc.so.13\n')
NO_HEADERS = RuntimeError('catastrophic error: cannot open source file "cuda_fp16.h"\n1 error')
NO_HEADERS_AT_ALL = RuntimeError(
    "Failed to find CUDA headers. Please install CUDA toolkit headers (e.g., pip install "
    "cupy-cuda12x[ctk]) or specify CUDA_PATH environment variable."
)
NO_DLL = ImportError('Failure finding "cublasLt64_13.dll"')


class Matrix(np.ndarray):
    """An array whose product needs a library."""

    error: Exception | None = None

    def __matmul__(self, other: Any) -> Any:
        if self.error is not None:
            raise self.error
        return super().__matmul__(other)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A CuPy on a computer where all is well; tests spoil the driver's answers."""
    fake = ModuleType("cupy")
    fake.__version__ = "14.2.0"
    fake.runtime = SimpleNamespace(
        driverGetVersion=lambda: 13020,
        runtimeGetVersion=lambda: 13020,
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda i: {"name": b"Fast GPU", "totalGlobalMem": (i + 1) << 33},
    )
    fake.cuda = SimpleNamespace(runtime=fake.runtime)
    matrix = type("Product", (Matrix,), {})
    fake.matrix, fake.sqrt, fake.asnumpy = matrix, np.sqrt, np.asarray
    fake.asarray = lambda x: x.view(matrix)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(importlib.metadata, "distributions", list)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def failing(error: Exception) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def reason() -> str:
    """Return the reason, which `set_backend` and `available_backends` give too, in one line."""
    found = diagnosis.problem()
    assert found is not None
    assert "\n" not in found
    assert CupyBackend.unavailable() == found
    assert pn.available_backends()["cupy"] == found
    with pytest.raises(pn.BackendError) as error:
        pn.set_backend("cupy")
    assert str(error.value) == f"backend 'cupy' cannot be used: {found}"
    return found


def test_where_all_is_well_there_is_no_problem(cupy: Any) -> None:
    assert diagnosis.problem() is None


def test_an_older_driver_of_the_same_major_version_is_no_problem(cupy: Any) -> None:
    cupy.runtime.driverGetVersion = lambda: 13000
    assert diagnosis.problem() is None


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    found = reason()
    assert "not installed" in found
    assert 'pip install "cupy-cuda13x[ctk]" (or cupy-cuda12x[ctk]: nvidia-smi' in found


def test_no_driver(cupy: Any) -> None:
    cupy.runtime.driverGetVersion = lambda: 0
    cupy.runtime.getDeviceCount = failing(TOO_OLD)  # what CUDA answers without a driver
    assert "no NVIDIA driver" in reason()


def test_a_driver_older_than_the_runtime(cupy: Any) -> None:
    cupy.runtime.driverGetVersion = lambda: 12040
    cupy.runtime.getDeviceCount = failing(TOO_OLD)
    found = reason()
    assert "serves CUDA up to 12.4 and this CuPy is made for CUDA 13.2; update the driver" in found
    assert 'pip uninstall cupy-cuda13x, then pip install "cupy-cuda12x[ctk]"' in found


def test_a_driver_older_than_every_extra(cupy: Any) -> None:
    cupy.runtime.driverGetVersion = lambda: 11080
    cupy.runtime.getDeviceCount = failing(TOO_OLD)
    assert reason().endswith("update the driver")


@pytest.mark.parametrize("answer", [failing(NO_DEVICE), lambda: 0], ids=["error", "none"])
@pytest.mark.parametrize(
    ("visible", "words"), [(None, "not set"), ("", "''"), ("7", "'7'")], ids=str
)
def test_no_visible_device(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, visible: str | None, words: str
) -> None:
    cupy.runtime.getDeviceCount = answer
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = reason()
    assert f"no CUDA device is visible; CUDA_VISIBLE_DEVICES is {words}," in found
    assert "nvidia-smi -L" in found


@pytest.mark.parametrize("step", ["product", "ufunc", "transfer"])
@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (NO_CUBLAS, "libcublasLt.so.13 or libcublasLt.so.12"),
        (NO_NVRTC, "libnvrtc.so.13"),
        (NO_HEADERS, "cuda_fp16.h"),
        (NO_HEADERS_AT_ALL, "CUDA headers"),
        (NO_DLL, "cublasLt64_13.dll"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_toolkit_library_is_missing(cupy: Any, step: str, error: Exception, missing: str) -> None:
    if step == "product":
        cupy.matrix.error = error
    else:
        setattr(cupy, {"ufunc": "sqrt", "transfer": "asarray"}[step], failing(error))
    found = reason()
    assert f"{missing} is missing" in found
    assert found.endswith('pip install "cupy-cuda13x[ctk]"')


def test_a_repaired_toolkit_is_noticed(cupy: Any) -> None:
    cupy.matrix.error = NO_CUBLAS
    assert diagnosis.problem() is not None
    cupy.matrix.error = None
    assert diagnosis.problem() is None


@pytest.mark.parametrize("error", [MemoryError("out of memory"), NOT_STARTED, KeyError("x")])
def test_another_failure_of_the_computation_is_told(cupy: Any, error: Exception) -> None:
    cupy.matrix.error = error
    found = reason()
    assert "a first small computation failed" in found
    assert type(error).__name__ in found
    assert "ctk" not in found


def test_another_failure_of_the_driver_is_told(cupy: Any) -> None:
    cupy.runtime.getDeviceCount = failing(NOT_STARTED)
    assert "does not start: CUDARuntimeError: cudaErrorInitializationError" in reason()


@pytest.mark.parametrize("name", ["driverGetVersion", "runtimeGetVersion"])
@pytest.mark.parametrize("error", [NOT_STARTED, OSError("libcuda.so"), AttributeError("x")])
def test_a_driver_that_cannot_be_asked_is_told(cupy: Any, name: str, error: Exception) -> None:
    setattr(cupy.runtime, name, failing(error))
    found = reason()
    assert "asking CuPy for its CUDA driver failed" in found
    assert str(error).split(":")[0] in found


def test_a_folder_named_cupy_is_no_cupy(cupy: Any) -> None:
    del cupy.cuda
    assert "has no attribute 'cuda'" in reason()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('libfoo is broken')", "OSError: libfoo is broken"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("import warnings; warnings.warn('\\n-----\\n\\n  Two CuPys')", "UserWarning: Two CuPys"),
        (
            "try:\n    raise ImportError('libcudart.so.13: cannot open')\n"
            "except ImportError as error:\n    raise ImportError('=====\\nA banner') from error",
            "ImportError: libcudart.so.13: cannot open",
        ),
    ],
    ids=["error", "dependency", "warning", "banner"],
)
def test_a_cupy_that_does_not_import_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, words: str
) -> None:
    (tmp_path / "cupy.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    found = reason()
    assert found.startswith("importing cupy failed: ")
    assert words in found


@pytest.fixture
def packages(cupy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Install two CuPy packages, or what the metadata says of them, beside others."""
    find = importlib.metadata.Distribution.discover
    for name in ("cupy-cuda12x", "CuPy-cuda13x", "cupy-xarray", "numpy", ""):
        folder = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        folder.mkdir()
        name_line = f"Name: {name}\n" if name else ""
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{name_line}Version: 1\n")
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: find(path=[str(tmp_path)]))


def test_several_packages_are_named_with_the_problem(cupy: Any, packages: None) -> None:
    cupy.matrix.error = NO_CUBLAS
    assert "cupy-cuda12x, cupy-cuda13x are all installed and overwrite each other" in reason()


def test_several_packages_are_a_warning_where_it_works(cupy: Any, packages: None) -> None:
    assert diagnosis.problem() is None
    assert "pip uninstall every one" in CupyBackend.info()["warning"]


def test_info_names_versions_and_devices(cupy: Any) -> None:
    cupy.runtime.driverGetVersion = lambda: 13000
    assert CupyBackend.info() == {
        "version": "14.2.0",
        "devices": "0: Fast GPU (8 GiB), 1: Fast GPU (16 GiB)",
        "CUDA": "runtime 13.2, driver for up to 13.0",
    }


# --- memory and precision ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("CUDARuntimeError", 2, True),
        ("CUDADriverError", 2, True),
        ("CUBLASError", 3, True),
        ("CUDARuntimeError", 3, False),
        ("CUBLASError", 2, False),
        ("HTTPError", 2, False),
    ],
)
def test_errors_of_no_memory_are_known_by_their_numbers(
    name: str, status: int, expected: bool
) -> None:
    error = type(name, (CUDARuntimeError,), {})(status, "out of memory")
    assert diagnosis.is_out_of_memory(error) is expected
    assert not diagnosis.is_out_of_memory(RuntimeError("out of memory"))


@pytest.fixture
def _fresh_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_chosen", None)
    monkeypatch.setenv("CUPY_TF32", "before")  # so that it is put back
    monkeypatch.delenv("CUPY_TF32")


@pytest.mark.usefixtures("_fresh_precision")
@pytest.mark.parametrize(
    ("given", "tf32", "after"),
    [
        (None, None, None),
        (None, True, "1"),
        (None, False, "0"),
        ("1", None, "1"),
        ("1", False, "0"),
        ("0", True, "1"),
    ],
    ids=str,
)
def test_tf32_is_settled_once(
    monkeypatch: pytest.MonkeyPatch, given: str | None, tf32: bool | None, after: str | None
) -> None:
    if given is not None:
        monkeypatch.setenv("CUPY_TF32", given)
    precision.choose(tf32)
    assert os.environ.get("CUPY_TF32") == after
    settled = after == "1"
    for again in (None, settled):  # the same once more is no change
        precision.choose(again)
    words = f"tf32={not settled} comes too late: .* began with tf32={settled}; .*CUPY_TF32="
    with pytest.raises(pn.BackendError, match=words):
        precision.choose(not settled)
    assert os.environ.get("CUPY_TF32") == after


@pytest.mark.usefixtures("_fresh_precision")
@pytest.mark.parametrize("tf32", ["yes", 2])
def test_tf32_is_true_or_false(tf32: Any) -> None:
    with pytest.raises(ValueError, match=f"tf32 must be True or False, got {tf32!r}"):
        precision.choose(tf32)


@pytest.mark.usefixtures("_fresh_precision")
def test_the_diagnosis_leaves_the_precision_open(cupy: Any) -> None:
    dtypes = []
    asarray = cupy.asarray
    cupy.asarray = lambda x: dtypes.append(x.dtype) or asarray(x)
    assert diagnosis.problem() is None
    assert dtypes == [np.dtype("float64")]
    assert precision._chosen is None


# --- what of array-api-compat would wait ---------------------------------------------------------


def test_signs_are_taken_without_a_look_at_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a CuPy whose own sign makes 0 of NaN, on arrays that cannot be indexed with a mask."""

    class Array(np.ndarray):
        __getitem__ = __setitem__ = None

    cupy, compat = ModuleType("cupy"), ModuleType("array_api_compat.cupy")
    cupy.where, cupy.sign = np.where, lambda x: (x > 0) * 1.0 - (x < 0)
    compat.sign, compat.ndarray = failing(AssertionError("this one waits")), Array
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", compat)
    monkeypatch.delitem(sys.modules, "portanet_cupy.namespace", raising=False)
    monkeypatch.delattr("portanet_cupy.namespace", raising=False)
    try:
        xp = CupyBackend.load()
        signs = xp.sign(np.array([np.nan, -2.0, 0.0, 3.0]).view(Array))
    finally:
        sys.modules.pop("portanet_cupy.namespace", None)
        vars(sys.modules["portanet_cupy"]).pop("namespace", None)
    np.testing.assert_array_equal(np.asarray(signs), [np.nan, -1.0, 0.0, 1.0])
    assert xp.ndarray is Array
