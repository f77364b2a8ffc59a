"""CUDA kernels' own sources, run on the CPU: compiled as C++, one thread after the other.

So their arithmetic, their indices and the arguments of their launch are tested where there is no
GPU. It is no test on a GPU: nothing is said of races, coalescing, or CUDA's own rounding.
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

# What CUDA's compiler has built in, as far as the kernels use it.
CUDA = """
#define __global__
#define __device__ static
struct dim3 { unsigned x, y, z; };
static dim3 gridDim, blockDim, blockIdx, threadIdx;
static inline float sqrt(float x) { return __builtin_sqrtf(x); }
static inline double sqrt(double x) { return __builtin_sqrt(x); }
static inline float fabs(float x) { return __builtin_fabsf(x); }
static inline double fabs(double x) { return __builtin_fabs(x); }
static inline float exp(float x) { return __builtin_expf(x); }
static inline double exp(double x) { return __builtin_exp(x); }
static inline float log(float x) { return __builtin_logf(x); }
static inline double log(double x) { return __builtin_log(x); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{ return (unsigned __int128)a * b >> 64; }
"""
LAUNCH = """
extern "C" void launch_{name}(const dim3 grid, const dim3 block, {parameters})
{{
    gridDim = grid, blockDim = block;
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
                for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x)
                    {name}({arguments});
}}
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
            launch(*sizes, *(passed(kind, x, real) for kind, x in pairs))
            self.launches += 1

        return run

    def _build(self, code: str, options: tuple[str, ...]) -> ctypes.CDLL:
        launches = [
            LAUNCH.format(
                name=name,
                parameters=signature,
                arguments=", ".join(word for _, word in parameters(signature)),
            )
            for name, signature in KERNEL.findall(code)
        ]
        number = len(list(self.folder.iterdir()))
        cpp, library = (self.folder / f"{number}.{end}" for end in ("cpp", "so"))
        cpp.write_text("\n".join([CUDA, code, *launches]), encoding="utf-8")
        definitions = [option for option in options if option.startswith("-D")]
        command = [str(compiler), *COMPILE, *definitions, str(cpp), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(library))


def parameters(signature: str) -> list[list[str]]:
    """Return each parameter's type and name."""
    return [parameter.strip().rsplit(maxsplit=1) for parameter in signature.split(",")]


def passed(kind: str, x: Any, real: str) -> Any:
    """Return an argument for ctypes, which must be what the parameter's type asks for."""
    if not kind.endswith("*"):
        assert type(x) is NUMBERS[kind], f"{kind}: got {x!r}"
        return (ctypes.c_longlong if type(x) is int else ctypes.c_double)(x)
    assert isinstance(x, np.ndarray)
    assert x.dtype == (real if "real" in kind else "uint8")
    assert x.transpose(np.argsort(x.strides)[::-1]).flags.c_contiguous  # one block of memory
    assert x.flags.writeable or kind.startswith("const")
    return ctypes.c_void_p(x.ctypes.data)
