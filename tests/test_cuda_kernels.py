"""CUDA kernels against the generic versions: on a GPU, and their source on the CPU.

On the CPU each source is compiled as C++ (see `cuda_on_cpu`) and launched as on a GPU, with NumPy's
arrays: a test of what the kernels compute, not of CUDA.
"""

from dataclasses import dataclass
from typing import Any

import cuda_on_cpu
import numpy as np
import portanet_cupy.compiler
import pytest
from cases import OPTIMIZERS, fill, ids, numbers, shared
from portanet_cupy import drawing, fusion, losses, windows

import portanet as pn
from portanet import im2col as generic
from portanet import nn, pooling
from portanet.im2col import Window
from portanet.nn import Context
from portanet.selection import make_backend


@dataclass
class Device:
    """Where kernels run: a backend for the arrays, and the kernels made in a test."""

    backend: pn.Backend
    made: list[tuple[str, ...]]

    def host(self, array: Any) -> Any:
        return np.array(self.backend.to_numpy(array))


@pytest.fixture(scope="session")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> cuda_on_cpu.Compiled:
    if cuda_on_cpu.compiler is None:
        pytest.skip(f"no C++ compiler: {', '.join(cuda_on_cpu.COMPILERS)}")
    return cuda_on_cpu.Compiled(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Run kernels on a GPU, or their source on the CPU."""
    make, made = portanet_cupy.compiler.kernel, list[tuple[str, ...]]()
    if request.param == "cpu":
        make = request.getfixturevalue("on_cpu").kernel
    elif reason := portanet_cupy.CupyBackend.unavailable():
        pytest.skip(f"cupy: {reason}")

    def noted(code: str, name: str, options: Any) -> Any:
        made.append((code, name))
        return make(code, name, options)

    monkeypatch.setattr("portanet_cupy.compiler.kernel", noted)
    return Device(make_backend({"cpu": "numpy", "gpu": "cupy"}[request.param]), made)


# --- windows -------------------------------------------------------------------------------------

# kernel_size, stride, padding, dilation, and the image's height and width
GEOMETRIES = [
    (1, 1, 0, 1, (4, 5)),
    (3, 1, 1, 1, (4, 4)),
    (2, 2, 0, 1, (5, 7)),  # the last row and column are in no window
    (2, 3, 1, 1, (7, 8)),  # a stride beyond the kernel
    ((1, 4), (1, 2), (0, 2), 1, (3, 6)),
    (2, (2, 3), (2, 1), (3, 2), (6, 7)),
    (5, 1, 2, 1, (2, 3)),  # a kernel beyond the image
    ((2, 4), 1, "same", (1, 2), (4, 5)),  # more padding on one side
]
# Each is compiled: in float64, one is enough.
every_geometry = pytest.mark.parametrize(
    ("geometry", "dtype"),
    [*((geometry, "float32") for geometry in GEOMETRIES), (GEOMETRIES[5], "float64")],
    ids=str,
)


@every_geometry
def test_im2col_and_col2im(device: Device, geometry: Any, dtype: str) -> None:
    *arguments, size = geometry
    window, shape, xp = Window.of(*arguments), (3, 2, *size), device.backend.xp
    host = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x = device.backend.asarray(host, dtype)
    columns = windows.im2col(xp, x, window)
    images = [windows.col2im(xp, c, shape, window) for c in (columns, columns[:, ::-1])]
    assert len(device.made) == 3

    expected = generic.im2col(np, host, window)
    assert_same_bits(device.host(columns), expected)
    for image, c in zip(images, (expected, expected[:, ::-1]), strict=True):
        assert_same_bits(device.host(image), generic.col2im(np, c, shape, window))
        assert image.strides[0] == image.itemsize  # the batch innermost


def whole_numbers(shape: Any, dtype: str, least: int = -9) -> Any:
    """Return whole numbers, whose sums are exact in any order, many of them equal."""
    return np.random.default_rng(1).integers(least, 10, shape).astype(dtype)


@pytest.mark.parametrize("kind", ["max_pool", "sum_pool"])
@every_geometry
def test_pooling(device: Device, geometry: Any, dtype: str, kind: str) -> None:
    *arguments, size = geometry
    window, xp = Window.of(*arguments), device.backend.xp
    host = whole_numbers((3, 2, *size), dtype)
    y, back = getattr(windows, kind)(xp, device.backend.asarray(host, dtype), window)
    expected, back_expected = getattr(pooling, kind)(np, host, window)
    assert_same_numbers(device.host(y), expected)
    dy = whole_numbers(expected.shape, dtype)
    for d in (dy, np.asfortranarray(dy)):
        dx = back(device.backend.asarray(d, dtype))
        assert_same_numbers(device.host(dx), back_expected(d))
        assert dx.strides[0] == dx.itemsize  # the batch innermost
    assert y.strides[0] == y.itemsize
    assert len(device.made) == 3


def test_sums_of_windows_are_rounded_alike(device: Device) -> None:
    x, window = np.random.default_rng(0).standard_normal((4, 2, 9, 8)), Window.of(3, 2, 1)
    y, back = windows.sum_pool(device.backend.xp, device.backend.asarray(x, "float32"), window)
    expected, back_expected = pooling.sum_pool(np, x.astype("float32"), window)
    assert_same_bits(device.host(y), expected)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype("float32")
    assert_same_numbers(device.host(back(device.backend.asarray(dy))), back_expected(dy))


def test_pooling_of_what_is_no_number(device: Device) -> None:
    x = whole_numbers((2, 2, 6, 6), "float32")
    x[0, 0, 1, 1] = x[0, 1, 0, 0] = x[1, 0, 5, 5] = np.nan
    x[1, 1, :3, :3] = -np.inf
    for kind in ("max_pool", "sum_pool"):
        y, _ = getattr(windows, kind)(device.backend.xp, device.backend.asarray(x), Window.of(3, 3))
        expected, _ = getattr(pooling, kind)(np, x, Window.of(3, 3))
        assert_same_numbers(device.host(y), expected)


def test_windows_in_fewer_blocks_than_rows(device: Device, monkeypatch: Any) -> None:
    monkeypatch.setattr(portanet_cupy.compiler, "_ROWS", 2)
    x = device.backend.asarray(np.arange(3.0 * 5 * 7 * 4).reshape(3, 5, 7, 4), "float32")
    window, host = Window.of(3, padding=1), device.host(x)
    columns = windows.im2col(device.backend.xp, x, window)
    assert_same_bits(device.host(columns), generic.im2col(np, host, window))
    image = windows.col2im(device.backend.xp, columns, x.shape, window)
    assert_same_bits(device.host(image), generic.col2im(np, device.host(columns), x.shape, window))
    for kind in ("max_pool", "sum_pool"):
        y, back = getattr(windows, kind)(device.backend.xp, x, window)
        expected, back_expected = getattr(pooling, kind)(np, host, window)
        assert_same_numbers(device.host(y), expected)
        assert_same_numbers(device.host(back(y)), back_expected(expected))


@pytest.mark.parametrize("shape", [(0, 2, 4, 5), (3, 0, 4, 5)], ids=str)
def test_windows_of_nothing(device: Device, shape: Any) -> None:
    xp, window = device.backend.xp, Window.of(3, padding=1)
    x = device.backend.asarray(np.zeros(shape), "float32")
    columns = windows.im2col(xp, x, window)
    assert columns.shape == (9 * shape[1], 20 * shape[0])
    assert windows.col2im(xp, columns, shape, window).shape == shape
    for pool in (windows.max_pool, windows.sum_pool):
        y, back = pool(xp, x, window)
        assert y.shape == back(y).shape == shape
    assert len(device.made) == 6


@pytest.mark.parametrize(
    ("dtype", "samples", "served"),
    [("float32", 2, True), ("float64", 2, True), ("int64", 2, False), ("float32", 1 << 29, False)],
)
def test_windows_that_the_kernels_serve(dtype: str, samples: int, served: bool) -> None:
    window = Window.of(2, padding=1)  # makes rows of 4 pixels into 5
    assert windows.serves(np.dtype(dtype), (samples, 1, 1, 3), window) == served


def assert_same_numbers(got: Any, expected: Any) -> None:
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def assert_same_bits(got: Any, expected: Any) -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


# --- random numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "first"), [((5, 3), 0), ((300, 17), 2), ((1, 16), 10**9), ((0, 4), 1), ((3, 0), 0)]
)
def test_numbers_are_the_hosts(device: Device, shape: Any, first: int, dtype: str) -> None:
    key = pn.Key(2**70, ("mask", 3))
    drawn = drawing.uniform(device.backend.xp, key, shape, dtype, first)
    assert_same_bits(device.host(drawn), key.samples(shape, dtype, first))
    assert len(device.made) == 1


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(300, 10), (1, 1), (2, 3, 4, 5)], ids=str)
def test_cross_entropy(device: Device, shape: Any, dtype: str, each: bool) -> None:
    rng = np.random.default_rng(0)
    scores, t = 30 * rng.standard_normal(shape), rng.random(shape) * rng.integers(0, 2, shape)
    scores[0, 0], t[0, 0] = -np.inf, 0.0
    t[-1] = 0.0
    if shape == (300, 10):
        scores, t = np.asfortranarray(scores), np.asfortranarray(t)
        scores[5, 3] = np.nan
    hosts = [a.astype(dtype) for a in (scores, t)]
    arrays = [device.backend.asarray(a, dtype) for a in hosts]
    assert losses.serves(*arrays)
    value, gradient = losses.cross_entropy(device.backend.xp, *arrays, each)
    with np.errstate(invalid="ignore"):
        expected, gradient_expected = make_backend("numpy").cross_entropy(*hosts, each)
        gradients = device.host(gradient()), gradient_expected()
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    for a, b in ((device.host(value), expected), gradients):
        assert a.dtype == dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, tolerance, tolerance)
    assert len(device.made) == 1


def test_cross_entropies_that_the_kernel_serves() -> None:
    few, many = np.ones((4, 64), "float32"), np.ones((4, 65), "float32")
    assert losses.serves(few, few)
    assert not losses.serves(many, many)
    assert not losses.serves(few, few.astype("float64"))
    assert not losses.serves(few, few[:1])
    assert not losses.serves(few.astype("float16"), few.astype("float16"))


# --- formulas ------------------------------------------------------------------------------------

STEPS = 7  # RAdam's formula changes in the sixth


def trained(device: Device, case: Any, dtype: str, fused: Any) -> tuple[Any, list[Any]]:
    """Return an optimizer after some steps, and all its arrays on the host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(device.backend), "fused", lambda self, formula: fused(formula))
        with pn.use_backend(device.backend.name, dtype=dtype):
            model = fill(shared())
            optimizer = case.make(model, **case.options)
            for step in range(STEPS):
                grads = {n: numbers(f"{step} {n}", p.shape) for n, p in model.params.items()}
                optimizer.step({n: pn.asarray(g) for n, g in grads.items()})
    arrays = [*model.params.values(), *optimizer.state_dict()["arrays"].values()]
    return optimizer, [device.host(array) for array in arrays]


@pytest.mark.parametrize(
    ("case", "dtype"),
    [*((case, "float32") for case in OPTIMIZERS), (OPTIMIZERS[-1], "float64")],
    ids=[*ids(OPTIMIZERS), "float64"],
)
def test_optimizers_as_kernels(device: Device, case: Any, dtype: str) -> None:
    optimizer, expected = trained(device, case, dtype, lambda formula: formula)
    assert not device.made
    _, got = trained(device, case, dtype, lambda f: fusion.fused(device.backend.xp, f))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        if device.backend.name == "numpy":
            assert_same_bits(a, b)
        else:
            np.testing.assert_allclose(a, b, 1e-6, 1e-7)
    assert len(device.made) == STEPS * len(optimizer.owners)
    # The numbers of a step are no part of the text; some formulas begin in another way.
    assert len({code for code, _ in device.made}) <= 2


def everything(p: Any, g: Any, state: dict[str, Any], rate: float) -> None:
    xp = pn.backend_of(p, g).xp
    p += xp.maximum(g, state["m"]) - 2 * xp.minimum(g, 0.5)
    state["m"][...] = -xp.abs(g) / 3.0
    state["m"] -= rate - xp.sqrt(p * p) / (1.0 / g)
    p /= 3


def arrays_with_nan(device: Device, dtype: str = "float64") -> list[Any]:
    rng = np.random.default_rng(0)
    hosts = rng.standard_normal((3, 4, 50))
    hosts[:, 0, :9] = np.nan  # in all, then in one of them
    hosts[0, 1, :9] = hosts[1, 2, :9] = hosts[2, 3, :9] = np.nan
    return [device.backend.asarray(host, dtype) for host in hosts]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_that_formulas_may_do(device: Device, dtype: str) -> None:
    results = []
    for formula in (everything, fusion.fused(device.backend.xp, everything)):
        p, g, m = arrays_with_nan(device, dtype)
        assert formula(p, g, {"m": m}, 0.3) is None
        results.append([device.host(array) for array in (p, g, m)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, 0 if device.backend.name == "numpy" else 1e-6)
        assert a.dtype == dtype
    assert len(device.made) == 1


LAYERS = [nn.ReLU(), nn.LeakyReLU(0.2)]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_as_kernels(device: Device, layer: Any, dtype: str, monkeypatch: Any) -> None:
    backend = device.backend
    images = np.random.default_rng(0).standard_normal((5, 4, 3, 2)).transpose(3, 0, 1, 2)
    images[0, 0] = 0.0
    x, dy = (backend.asarray(a, dtype) for a in (images, images[::-1].copy("K")))
    results = []
    for fused in (lambda formula: formula, lambda f: fusion.fused(backend.xp, f)):
        monkeypatch.setattr(type(backend), "fused", lambda self, f, fused=fused: fused(f))
        y, pullback = layer.vjp(x, Context())
        results.append((y, pullback(dy)[0]))
    assert len(device.made) == 2
    for own, expected in zip(*results, strict=True):
        assert own.strides == expected.strides == x.strides  # the order in memory
        if backend.name == "numpy":
            assert_same_numbers(own, expected)
        else:
            np.testing.assert_allclose(device.host(own), device.host(expected), 1e-6)


def larger(p: Any, g: Any) -> Any:
    return pn.backend_of(p).xp.maximum(p, g)


def smaller(p: Any, g: Any) -> Any:
    return pn.backend_of(p).xp.minimum(p, g)


@pytest.mark.parametrize("formula", [larger, smaller])
def test_what_is_no_number_is_kept(device: Device, formula: Any) -> None:
    p, g, _ = arrays_with_nan(device)
    result = device.host(fusion.fused(device.backend.xp, formula)(p, g))
    assert_same_numbers(result, device.host(formula(p, g)))
    assert np.isnan(result).sum() == 27  # in both, in the first, in the second
    assert len(device.made) == 1


def test_a_result_of_arrays_in_two_orders(device: Device) -> None:
    backend = device.backend
    p, g = (backend.asarray(whole_numbers(s, "float64"), "float64") for s in ((2, 3), (3, 2)))
    result = fusion.fused(backend.xp, larger)(p, g.T)
    assert_same_numbers(device.host(result), np.maximum(device.host(p), device.host(g).T))
    assert not device.made


def rebinds(p: Any, state: dict[str, Any]) -> None:
    state["m"] = state["m"] + p


def adds(p: Any, state: dict[str, Any]) -> None:
    state["new"] = p * 2.0


def branches(p: Any, state: dict[str, Any]) -> None:
    if p[0, 0] > 0:
        p += 1.0


def compares(p: Any, state: dict[str, Any]) -> None:
    p *= pn.backend_of(p).xp.astype(p == p, p.dtype)


def changes_a_part(p: Any, state: dict[str, Any]) -> None:
    p[0, :] = state["m"][0, :]


def takes_numpys_numbers(p: Any, state: dict[str, Any]) -> None:
    p += state["m"] * np.float64(2.0)


def begins_with_numpys_numbers(p: Any, state: dict[str, Any]) -> None:
    p += np.float64(2.0) * state["m"]


def returns_two(p: Any, state: dict[str, Any]) -> Any:
    return p * 2.0, p


def returns_what_it_took(p: Any, state: dict[str, Any]) -> Any:
    p += state["m"]
    return p


def returns_a_number(p: Any, state: dict[str, Any]) -> Any:
    p += state["m"]
    return 2.0


def takes_another_dtype(p: Any, state: dict[str, Any]) -> None:
    xp = pn.backend_of(p).xp
    p += xp.astype(xp.astype(state["m"], xp.float32), xp.float64)


def uses_another_function(p: Any, state: dict[str, Any]) -> None:
    p += pn.backend_of(p).xp.exp(state["m"])


OTHERS = [rebinds, adds, branches, compares, changes_a_part, takes_numpys_numbers, returns_two]
OTHERS += [
    returns_what_it_took,
    returns_a_number,
    begins_with_numpys_numbers,
    uses_another_function,
    takes_another_dtype,
]


@pytest.mark.parametrize("formula", OTHERS, ids=lambda f: f.__name__)
def test_other_formulas_run_as_they_are(device: Device, formula: Any) -> None:
    results = []
    for run in (formula, fusion.fused(device.backend.xp, formula)):
        p, m, _ = arrays_with_nan(device)
        state = {"m": m}
        answer = run(p, state)
        assert formula is not returns_what_it_took or answer is p
        assert formula is not returns_a_number or answer == 2.0
        made = answer if isinstance(answer, tuple) else ()
        named = {"p": p, **dict(enumerate(made)), **state}
        results.append({n: device.host(a) for n, a in named.items()})
    assert results[0].keys() == results[1].keys()
    for name, array in results[0].items():
        np.testing.assert_array_equal(results[1][name], array)
    assert not device.made


def doubles(p: Any, g: Any) -> None:
    p += g


def test_arrays_that_no_kernel_serves(device: Device) -> None:
    backend = device.backend
    run, x = fusion.fused(backend.xp, doubles), np.arange(6.0).reshape(2, 3)
    cases = {
        "broadcast": (backend.asarray(x, "float64"), backend.asarray(x[:1], "float64")),
        "mixed": (backend.asarray(x, "float64"), backend.asarray(x, "float32")),
        "integers": (backend.asarray(x, "int64"), backend.asarray(x, "int64")),
        "strided": (backend.asarray(x, "float64")[:, ::2], backend.asarray(x, "float64")[:, ::2]),
    }
    for name, (p, g) in cases.items():
        expected = device.host(p) + device.host(g)
        run(p, g)
        np.testing.assert_array_equal(device.host(p), expected, err_msg=name)
    assert not device.made


def test_one_array_in_two_places(device: Device) -> None:
    def formula(p: Any, g: Any) -> None:
        p *= 2.0
        p += g

    p = device.backend.asarray([1.0, 2.0])
    fusion.fused(device.backend.xp, formula)(p, p)
    assert device.host(p).tolist() == [4.0, 8.0]
    assert not device.made


def test_a_strided_gradient_is_read_in_order(device: Device) -> None:
    backend = device.backend
    p, g = (backend.asarray(np.arange(6.0).reshape(s), "float64") for s in ((2, 3), (3, 2)))
    fusion.fused(backend.xp, doubles)(p, g.T)
    assert device.host(p).tolist() == [[0.0, 3.0, 6.0], [4.0, 7.0, 10.0]]
    assert len(device.made) == 1


def test_an_error_of_a_formula_is_its_own(device: Device) -> None:
    def wrong(p: Any) -> None:
        raise KeyError("no such state")

    with pytest.raises(KeyError, match="no such state"):
        fusion.fused(device.backend.xp, wrong)(device.backend.asarray([1.0]))
