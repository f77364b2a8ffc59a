"""CUDA kernels' own sources, run on the CPU: compiled as C++, one thread after the other.

So their arithmetic, their indices and the arguments of their launch are tested where there is no
GPU. The threads of a block run in turns from barrier to barrier, in real blocks, each time in
another order: a sum in shared memory comes out right only where its barriers are in their places
and every thread meets them. It is no test on a GPU: nothing is said of races between blocks, of
coalescing, or of CUDA's own rounding.
"""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from portanet_cupy.compiler import REALS

CUDA = Path(__file__).with_suffix(".h").read_text(encoding="utf-8")
LAUNCH = """
extern "C" bool launch_{name}(const dim3 grid, const dim3 block, {parameters})
{{ return cpu::launch(grid, block, {has_barriers}, [&] {{ {name}({arguments}); }}); }}
"""
COMPILE = ("-shared", "-fPIC", "-ffp-contract=off", "-Wall", "-Wno-unused", "-Werror")
KERNEL = re.compile(r"__global__ void (\w+)\(([^)]*)\)")
NUMBERS = {"wide": int, "long long": int, "double": float}
COMPILERS = ("g++", "clang++")
compiler = next(filter(None, map(shutil.which, COMPILERS)), None)


class Dim3(ctypes.Structure):
    _fields_ = tuple((axis, ctypes.c_uint) for axis in "xyz")


class Compiled:
    """Makes kernels of CUDA sources as `portanet_cupy.compiler.kernel` does, and counts them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.launches, self.sources = folder, 0, set[str]()
        self.built = cache(self._build)

    def kernel(self, code: str, name: str, options: tuple[str, ...]) -> Callable[..., None]:
        self.sources.add(code)
        launch = getattr(self.built(code, options), f"launch_{name}")
        types = [kind for kind, _ in parameters(dict(KERNEL.findall(code))[name])]
        real = next(dtype for dtype, word in REALS.items() if f"-Dreal={word}" in options)

        def run(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            sizes = [Dim3(*(*size, 1, 1)[:3]) for size in (grid, block)]
            pairs = zip(types, arguments, strict=True)
            together = launch(*sizes, *(passed(kind, x, real) for kind, x in pairs))
            assert together & 1, f"{name}: some threads of a block ended while others waited"
            self.launches += 1

        return run

    def _build(self, code: str, options: tuple[str, ...]) -> ctypes.CDLL:
        launches = [
            LAUNCH.format(
                name=name,
                parameters=signature,
                has_barriers=str("__syncthreads" in code).lower(),
                arguments=", ".join(word for _, word in parameters(signature)),
            )
            for name, signature in KERNEL.findall(code)
        ]
        number = len(list(self.folder.iterdir()))
        cpp, library = (self.folder / f"{number}.{end}" for end in ("cpp", "so"))
        cpp.write_text("\n".join([CUDA, code, *launches]), encoding="utf-8")
        definitions = [option for option in options if option.startswith("-D")]
        command = [str(compiler), *COMPILE, *definitions, str(cpp), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(library))


def parameters(signature: str) -> list[list[str]]:
    """Return each parameter's type and name."""
    return [parameter.strip().rsplit(maxsplit=1) for parameter in signature.split(",")]


def passed(kind: str, x: Any, real: str) -> Any:
    """Return an argument for ctypes, which must be what the parameter's type asks for."""
    if isinstance(x, np.ndarray) and x.dtype.names:  # a structure, which comes by value
        assert x.size == 1
        assert x.nbytes <= 4096
        return type(kind, (ctypes.Structure,), {"_fields_": [("bytes", ctypes.c_byte * x.nbytes)]})(
            (ctypes.c_byte * x.nbytes)(*x.tobytes())
        )
    if not kind.endswith("*"):
        assert type(x) is NUMBERS[kind], f"{kind}: got {x!r}"
        return (ctypes.c_longlong if type(x) is int else ctypes.c_double)(x)
    assert isinstance(x, np.ndarray)
    assert x.dtype == (real if "real" in kind else "uint8")
    assert x.transpose(np.argsort(x.strides)[::-1]).flags.c_contiguous  # one block of memory
    assert x.flags.writeable or kind.startswith("const")
    return ctypes.c_void_p(x.ctypes.data)
