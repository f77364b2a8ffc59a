"""Why CuPy cannot compute here, and what to do about it.

CuPy itself answers a yes or no (``cupy.is_available()`` turns every cause into False), or fails at
the first array with an error from the depths of CUDA. Here the causes are asked for one by one, in
the order in which they hide each other: the package, the driver, its age, the devices, and the
libraries of the CUDA toolkit, which only a real computation finds missing.
"""

import os
import re
from contextlib import suppress
from functools import cache
from typing import Any

INSTALL = (
    'pip install "cupy-cuda13x[ctk]" (or cupy-cuda12x[ctk]: nvidia-smi prints the newest CUDA '
    "version that the driver serves)"
)

# Of cudaError_t; CuPy's exception carries the number as `status`.
INSUFFICIENT_DRIVER = 35
NO_DEVICE = 100
# By which the runtime, the driver and cuBLAS say that no memory is left.
NO_MEMORY = {"CUDARuntimeError": 2, "CUDADriverError": 2, "CUBLASError": 3}


def problem() -> str | None:
    """Return what keeps CuPy from computing on the current device and what to do, or None."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return f"CuPy is not installed; install it with: {INSTALL}"
        return _with_duplicates(f"importing cupy failed: {_short(error)}")
    except Exception as error:  # CuPy wraps what it met; a warning may be an error here
        return _with_duplicates(f"importing cupy failed: {_short(error.__cause__ or error)}")
    try:
        found = _driver_problem(cupy.cuda.runtime) or _toolkit_problem(cupy)
    except Exception as error:  # a CuPy that is no whole CuPy
        found = f"asking CuPy for its CUDA driver failed: {_short(error)}"
    return found and _with_duplicates(found)


def _driver_problem(runtime: Any) -> str | None:
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return (
            "no NVIDIA driver was found; install one (nvidia-smi then lists the GPUs); "
            "a container must be started with its GPUs (docker run --gpus all)"
        )
    try:
        devices = runtime.getDeviceCount()
    except Exception as error:
        status = getattr(error, "status", None)
        # Within one major version an older driver serves a newer runtime, so that comparing the
        # two numbers would turn away what works: CUDA itself is asked.
        if status == INSUFFICIENT_DRIVER:
            other = (
                f", or take the CuPy made for it: pip uninstall {_package(needed)}, then "
                f'pip install "cupy-cuda{driver // 1000}x[ctk]"'
            )
            return (
                f"the NVIDIA driver serves CUDA up to {_version(driver)} and this CuPy is made "
                f"for CUDA {_version(needed)}; update the driver{other if driver >= 12000 else ''}"
            )
        if status != NO_DEVICE:
            return f"the CUDA driver does not start: {_short(error)}; see what nvidia-smi says"
        devices = 0
    if devices == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        value = "not set" if visible is None else repr(visible)
        return (
            f"no CUDA device is visible; CUDA_VISIBLE_DEVICES is {value}, nvidia-smi -L lists the "
            "devices: set it to one of their numbers, or unset it, before the program starts"
        )
    return None


def _toolkit_problem(cupy: Any) -> str | None:
    try:
        _compute(cupy)
    except Exception as error:
        # Libraries, and the headers that CuPy's kernels include, as the error names them.
        names = r"\blib\w+\.so(?:\.\d+)*|\b\w+\.dll\b|\b\w+\.h\b|\bCUDA headers\b"
        missing = re.findall(names, str(error))
        if missing:
            package = _package(cupy.cuda.runtime.runtimeGetVersion())
            return (
                f"of the CUDA toolkit, {' or '.join(dict.fromkeys(missing))} is missing or does "
                f'not load; install it with: pip install "{package}[ctk]"'
            )
        return f"a first small computation failed: {_short(error)}"
    return None


@cache  # a failure is an exception, which is not kept: the next question tries again
def _compute(cupy: Any) -> None:
    import numpy as np

    # The product needs cuBLAS, the ufunc needs NVRTC; fetching the result, that both have run. In
    # float64, for with its first product of float32 CuPy settles its precision; see `precision`.
    square = cupy.asarray(np.ones((2, 2), dtype="float64"))
    cupy.asnumpy(cupy.sqrt(square @ square))


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether one of CUDA's libraries found no memory."""
    status = getattr(error, "status", None)
    return status is not None and status == NO_MEMORY.get(type(error).__name__)


def info() -> dict[str, str]:
    """Return CuPy's version, CUDA's versions, and each device with its memory."""
    import cupy

    runtime = cupy.cuda.runtime
    devices = []
    for i in range(runtime.getDeviceCount()):
        device = runtime.getDeviceProperties(i)
        memory = device["totalGlobalMem"] / 2**30
        devices.append(f"{i}: {device['name'].decode()} ({memory:.0f} GiB)")
    answer = {
        "version": cupy.__version__,
        "devices": ", ".join(devices),
        "CUDA": f"runtime {_version(runtime.runtimeGetVersion())}, "
        f"driver for up to {_version(runtime.driverGetVersion())}",
    }
    packages = _packages()
    if len(packages) > 1:
        answer["warning"] = _duplicates(packages)
    return answer


def _with_duplicates(found: str) -> str:
    packages = _packages()
    return f"{found}; {_duplicates(packages)}" if len(packages) > 1 else found


def _duplicates(packages: list[str]) -> str:
    return (
        f"{', '.join(packages)} are all installed and overwrite each other: "
        "pip uninstall every one, then install one"
    )


def _packages() -> list[str]:
    """Return the installed packages that bring the module cupy."""
    from importlib.metadata import distributions

    names = set()
    for found in distributions():
        with suppress(Exception):  # somebody else's broken metadata
            names.add(found.metadata["Name"].lower())
    return sorted(name for name in names if re.fullmatch(r"cupy(-(cuda|rocm)[\w-]*)?", name))


def _package(runtime: int) -> str:
    """Return the CuPy package to speak of: the installed one, else the runtime's."""
    wheels = [name for name in _packages() if "-" in name]
    return wheels[0] if wheels else f"cupy-cuda{runtime // 1000}x"


def _version(number: int) -> str:
    """Return CUDA's number of a version, such as 13020, as ``"13.2"``."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _short(error: BaseException) -> str:
    """Return an error in one line: its type and the first line that says something."""
    lines = [line.strip(" =-") for line in str(error).splitlines()]
    return f"{type(error).__name__}: {next(filter(None, lines), '')}"
