"""Every CUDA source is compiled by NVRTC, which needs no GPU and no driver."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cases
import numpy as np
import pytest
from cases import OPTIMIZERS
from portanet_cupy import compiler, fusion, normalization, windows

from portanet.fusion import Written, keeps_value, pullback_of, value_of, written
from portanet.im2col import Window
from portanet.nn import BCEWithLogitsLoss, HuberLoss, L1Loss, Linear, MSELoss, SmoothL1Loss
from portanet.nn.elementwise import Elementwise
from portanet.tracing import Functions, Items, Traced

OTHERS = {"random.cu": {}, "losses.cu": {}, "normalization.cu": normalization.CONSTANTS}
AS_CUPY = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")  # what it adds
both_dtypes = pytest.mark.parametrize("dtype", compiler.REALS)


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """NVRTC's own interface, as CuPy passes it on."""
    cupy = pytest.importorskip("cupy", reason='no CuPy: pip install "cupy-cuda13x[ctk]"')
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
        nvrtc.compileProgram(program, (*options, *AS_CUPY, f"-arch=sm_{arch}"))
        log = nvrtc.getProgramLog(program).strip("\0\n")
        assert not log, log
        return bytes(nvrtc.getCUBIN(program))
    except nvrtc.NVRTCError as error:
        raise AssertionError(nvrtc.getProgramLog(program)) from error
    finally:
        nvrtc.destroyProgram(program)


def compile_all(nvrtc: Any, arch: int, file: str, options: tuple[str, ...]) -> None:
    code = compiler.source(file)
    names = re.findall(r"__global__ void (\w+)", code)
    assert names
    binary = compile_for(nvrtc, arch, code, options)
    assert all(name.encode() in binary for name in names)


@both_dtypes
@pytest.mark.parametrize(
    "window",
    [Window.of(1), Window.of((5, 4), (2, 3), (2, 0), (1, 2)), Window.of(4, padding="same")],
    ids=["pixel", "all", "same"],
)
@pytest.mark.parametrize("file", ["windows.cu", "pooling.cu"])
def test_windows_compile(nvrtc: Any, file: str, dtype: str, window: Window) -> None:
    for arch in archs(nvrtc):
        compile_all(nvrtc, arch, file, windows.options(dtype, window))


@both_dtypes
@pytest.mark.parametrize(("file", "constants"), OTHERS.items(), ids=OTHERS)
def test_other_kernels_compile(nvrtc: Any, dtype: str, file: str, constants: Any) -> None:
    for arch in archs(nvrtc):
        compile_all(nvrtc, arch, file, compiler.options(dtype, **constants))


def test_every_source_is_compiled_here() -> None:
    folder = Path(compiler.__file__).parent
    assert {file.name for file in folder.glob("*.cu")} == {"windows.cu", "pooling.cu", *OTHERS}
    for file in folder.glob("*.cu*"):  # CuPy may write it to a file in the system's own encoding
        assert file.read_text(encoding="utf-8").isascii(), file.name


def formula_of(case: Any, step: int) -> Written:
    """Return what an optimizer's formula does in a step."""
    optimizer = case.make(Linear(1, 1), **case.options)
    hyper = optimizer.hyper | {"mu_product": 0.5}
    state = {slot: Traced for slot in optimizer.slots if optimizer._is_kept(slot, hyper)}
    words = (Items(state.items()), step, Items(hyper.items()))
    return written(optimizer.update, (Traced, Traced, *words))


@both_dtypes
def test_formulas_of_optimizers_compile(nvrtc: Any, dtype: str) -> None:
    kernels = {formula_of(case, step).kernel for case in OPTIMIZERS for step in (1, 7)}
    assert len(kernels) > len({case.make for case in OPTIMIZERS})
    texts = [*map(fusion.of_one, kernels), *(fusion.of_each(kernel, 8) for kernel in kernels)]
    for text in texts:
        assert b"formula" in compile_for(nvrtc, 90, text, compiler.options(dtype))


def elementwise(
    formula: Any, back: Any, numbers: tuple[Any, ...], arrays: int
) -> Iterator[Written]:
    """Yield what a layer's or a loss's formula does forward, and back."""
    given = (Functions, *[Traced] * arrays, *numbers)
    yield written(value_of(formula), given)
    if keeps_value(formula, given):
        yield written(back, (Functions, Traced, Traced))
    else:
        yield written(pullback_of(formula, back), (*given, Traced))


LAYERS = [case.make() for case in cases.LAYERS]
LAYERS = [layer for layer in LAYERS if isinstance(layer, Elementwise)]


@both_dtypes
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_activations_compile(nvrtc: Any, dtype: str, layer: Elementwise) -> None:
    for done in elementwise(layer.formula, layer.gradient, layer.constants(), 1):
        assert b"formula" in compile_for(
            nvrtc, 90, fusion.of_one(done.kernel), compiler.options(dtype)
        )


LOSSES = [MSELoss(), L1Loss(), HuberLoss(), SmoothL1Loss(), BCEWithLogitsLoss()]


@both_dtypes
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_losses_compile(nvrtc: Any, dtype: str, loss: Any) -> None:
    for done in elementwise(
        loss.formula, loss.gradient, loss.constants(np.zeros((2, 3), dtype)), 2
    ):
        assert b"formula" in compile_for(
            nvrtc, 90, fusion.of_one(done.kernel), compiler.options(dtype)
        )


def test_a_mistake_would_be_found(nvrtc: Any) -> None:
    with pytest.raises(AssertionError, match='identifier "colums" is undefined'):
        compile_for(
            nvrtc,
            90,
            compiler.source("windows.cu").replace("columns[(((", "colums[((("),
            windows.options("float32", Window.of(2)),
        )
