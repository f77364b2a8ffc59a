"""Every CUDA source is compiled by NVRTC, which needs no GPU and no driver."""

import re
from pathlib import Path
from typing import Any

import pytest
from cases import OPTIMIZERS
from portanet_cupy import compiler, fusion, windows
from portanet_cupy.tracing import Functions, Items, Traced

from portanet.im2col import Window
from portanet.nn import Linear, activation

OTHERS = {"random.cu": "uniform", "losses.cu": "cross_entropy"}
both_dtypes = pytest.mark.parametrize("dtype", compiler.REALS)


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """NVRTC's own interface, as CuPy passes it on."""
    cupy = pytest.importorskip("cupy", reason='no CuPy: pip install "portanet[cuda13]"')
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"NVRTC does not load: {error}")
    return cupy.cuda.nvrtc


def archs(nvrtc: Any) -> list[int]:
    """Return the compute capabilities to compile for: the oldest that NVRTC knows, and Hopper's."""
    return [min(nvrtc.getSupportedArchs()), 90]


def compile_for(nvrtc: Any, arch: int, code: str, options: tuple[str, ...]) -> bytes:
    """Return the machine code of a source; a warning is a failure, too."""
    program = nvrtc.createProgram(code, "source.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options, f"--gpu-architecture=sm_{arch}"))
        log = nvrtc.getProgramLog(program).strip("\0\n")
        assert not log, log
        return bytes(nvrtc.getCUBIN(program))
    except nvrtc.NVRTCError as error:
        raise AssertionError(nvrtc.getProgramLog(program)) from error
    finally:
        nvrtc.destroyProgram(program)


@both_dtypes
@pytest.mark.parametrize(
    "window",
    [Window.of(1), Window.of((5, 4), (2, 3), (2, 0), (1, 2)), Window.of(4, padding="same")],
    ids=["pixel", "all", "same"],
)
@pytest.mark.parametrize("file", ["windows.cu", "pooling.cu"])
def test_windows_compile(nvrtc: Any, file: str, dtype: str, window: Window) -> None:
    for arch in archs(nvrtc):
        code = compiler.source(file)
        names = re.findall(r"__global__ void (\w+)", code)
        assert names
        binary = compile_for(nvrtc, arch, code, windows.options(dtype, window))
        assert all(name.encode() in binary for name in names)


@both_dtypes
@pytest.mark.parametrize(("file", "name"), OTHERS.items(), ids=OTHERS)
def test_other_kernels_compile(nvrtc: Any, dtype: str, file: str, name: str) -> None:
    for arch in archs(nvrtc):
        binary = compile_for(nvrtc, arch, compiler.source(file), compiler.options(dtype))
        assert name.encode() in binary


def test_every_source_is_compiled_here() -> None:
    folder = Path(compiler.__file__).parent
    assert {file.name for file in folder.glob("*.cu")} == {"windows.cu", "pooling.cu", *OTHERS}
    for file in folder.glob("*.cu"):  # CuPy may write it to a file in the system's own encoding
        assert file.read_text(encoding="utf-8").isascii(), file.name


def formula_of(case: Any, step: int) -> fusion.Written:
    """Return what an optimizer's formula does in a step."""
    optimizer = case.make(Linear(1, 1), **case.options)
    hyper = optimizer.hyper | {"mu_product": 0.5}
    state = {slot: Traced for slot in optimizer.slots if optimizer._is_kept(slot, hyper)}
    words = (Items(state.items()), step, Items(hyper.items()))
    return fusion.written(optimizer.update, (Traced, Traced, *words))


@both_dtypes
def test_formulas_of_optimizers_compile(nvrtc: Any, dtype: str) -> None:
    texts = {formula_of(case, step).source for case in OPTIMIZERS for step in (1, 7)}
    assert len(texts) > len({case.make for case in OPTIMIZERS})
    for text in texts:
        assert b"formula" in compile_for(nvrtc, 90, text, compiler.options(dtype))


@both_dtypes
@pytest.mark.parametrize(
    ("formula", "arguments"),
    [
        (activation._positive, (Traced,)),
        (activation._where_positive, (Traced, Traced)),
        (activation._leaky, (Traced, 0.1)),
        (activation._leaky_back, (Traced, Traced, 0.1)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_activations_compile(nvrtc: Any, dtype: str, formula: Any, arguments: Any) -> None:
    text = fusion.written(formula, (Functions, *arguments)).source
    assert b"formula" in compile_for(nvrtc, 90, text, compiler.options(dtype))


def test_a_mistake_would_be_found(nvrtc: Any) -> None:
    with pytest.raises(AssertionError, match='identifier "colums" is undefined'):
        compile_for(
            nvrtc,
            90,
            compiler.source("windows.cu").replace("columns[(((", "colums[((("),
            windows.options("float32", Window.of(2)),
        )
