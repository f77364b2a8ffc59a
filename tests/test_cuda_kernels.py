"""CUDA kernels against the generic versions: on a GPU, and their source on the CPU.

On the CPU each source is compiled as C++ (see `cuda_on_cpu`) and launched as on a GPU, with NumPy's
arrays: a test of what the kernels compute, not of CUDA.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cuda_on_cpu
import numpy as np
import portanet_cupy.compiler
import pytest
from cases import OPTIMIZERS, fill, ids, numbers, shared
from portanet_cupy import drawing, fusion, losses, normalization, windows

import portanet as pn
from portanet import im2col as generic
from portanet import nn, optim, pooling
from portanet import normalization as generic_normalization
from portanet.im2col import Window
from portanet.kernels import Kernels
from portanet.nn import Context
from portanet.nn.elementwise import Elementwise
from portanet.nn.elementwise_loss import ElementwiseLoss
from portanet.registry import known
from portanet.selection import make_backend


@dataclass
class Device:
    """Where kernels run: a backend for the arrays, and the kernels launched in a test."""

    backend: pn.Backend
    launched: list[tuple[str, ...]]

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
    make, launched = portanet_cupy.compiler.kernel, list[tuple[str, ...]]()
    if request.param == "cpu":
        make = request.getfixturevalue("on_cpu").kernel
        monkeypatch.setattr("portanet_cupy.compiler.address", lambda array: array.ctypes.data)
    elif reason := portanet_cupy.CupyBackend.unavailable():
        pytest.skip(f"cupy: {reason}")

    def noted(code: str, name: str, options: Any) -> Any:
        def launch(*arguments: Any) -> None:
            launched.append((code, name))
            make(code, name, options)(*arguments)

        return launch

    monkeypatch.setattr("portanet_cupy.compiler.kernel", noted)
    return Device(make_backend({"cpu": "numpy", "gpu": "cupy"}[request.param]), launched)


both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


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
    assert len(device.launched) == 3

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
    assert len(device.launched) == 3


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


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(3, 1, 1), (4, 2, 1), (5, 2, 2)])
def test_minus_infinity_beside_the_padding(
    device: Device, stride: int, kernel: int, padding: int, dilation: int
) -> None:
    window = Window.of(kernel, stride, padding, dilation)
    x = np.full((2, 2, 9, 10), -np.inf, "float32")
    x[1, 1, 4:, 5:] = 1.0
    y, back = windows.max_pool(device.backend.xp, device.backend.asarray(x), window)
    expected, back_expected = pooling.max_pool(np, x, window)
    assert_same_bits(device.host(y), expected)
    dy = whole_numbers(y.shape, "float32")
    assert_same_numbers(device.host(back(device.backend.asarray(dy))), back_expected(dy))


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
    assert len(device.launched) == 6


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


# --- normalization -------------------------------------------------------------------------------

# Of 4096 numbers a block makes one slice: several slices, one that is full, one that is not.
NORMALIZED = [(100, 3, 9, 7), (64, 1, 8, 8), (5, 3), (2, 17), (4, 2, 3), (1, 2, 1, 2)]
every_normalized = pytest.mark.parametrize("shape", NORMALIZED, ids=str)


def batch(shape: Any, dtype: str, seed: int = 0) -> Any:
    """Return random numbers with the batch innermost in memory, as layers leave them."""
    numbers = np.random.default_rng(seed).standard_normal((*shape[1:], shape[0])).astype(dtype)
    return np.moveaxis(numbers, -1, 0)


def assert_near(own: Any, expected: Any, scale: float = 1.0) -> None:
    """Compare sums in another order."""
    assert own.dtype == expected.dtype
    assert own.shape == expected.shape
    few = 64 * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(own, expected, few, few * scale)


@both_dtypes
@every_normalized
def test_moments(device: Device, shape: Any, dtype: str) -> None:
    host = 2.0 + batch(shape, dtype)
    own = normalization.moments(device.backend.xp, device.backend.asarray(host, dtype))
    for a, b in zip(own, generic_normalization.moments(np, host), strict=True):
        assert_near(device.host(a), b)
    slices = -(-host[:, 0].size // 4096)
    assert [name for _, name in device.launched] == ["slice_moments", "moments"][: min(slices, 2)]


def test_moments_where_the_mean_is_large(device: Device) -> None:
    """Sums of x and of x² would leave a variance that is noise: 10⁸ has no digits beyond 8."""
    host = (1e4 + batch((150, 2, 9, 7), "float64")).astype("float32")
    naive = (host**2).mean((0, 2, 3)) - host.mean((0, 2, 3)) ** 2
    mean, var = normalization.moments(device.backend.xp, device.backend.asarray(host, "float32"))
    exact = host.astype("float64")
    assert not np.allclose(naive, exact.var((0, 2, 3)), 0.5)
    np.testing.assert_allclose(device.host(mean), exact.mean((0, 2, 3)), 1e-6)
    np.testing.assert_allclose(device.host(var), exact.var((0, 2, 3)), 1e-4)


@both_dtypes
@every_normalized
def test_normalize(device: Device, shape: Any, dtype: str) -> None:
    hosts = [batch(shape, dtype, seed) for seed in (0, 1)]
    vectors = [batch((1, shape[1]), dtype, seed)[0] for seed in (2, 3, 4, 5)]
    vectors[1] = abs(vectors[1])
    x, dy, mean, var, weight, bias = map(device.backend.asarray, [*hosts, *vectors], [dtype] * 6)
    for affine, of_batch in ((True, True), (True, False), (False, True), (False, False)):
        own_scale, scale = ((weight, bias), vectors[2:]) if affine else ((None,) * 2,) * 2
        y, back = normalization.normalize(
            device.backend.xp, x, mean, var, 1e-3, *own_scale, of_batch
        )
        expected, back_expected = generic_normalization.normalize(
            np, hosts[0], *vectors[:2], 1e-3, *scale, of_batch
        )
        assert_near(device.host(y), expected, 30)
        gradients, gradients_expected = back(dy, True), back_expected(hosts[1], True)
        for made in (y, gradients[0]):
            assert made.strides[0] == made.itemsize  # the batch innermost
        for a, b in zip(gradients, gradients_expected, strict=True):
            assert_near(device.host(a), b, 30 * np.sqrt(hosts[0].size))
        nothing, *sums = back(dy, False)
        assert nothing is None
        for a, b in zip(sums, gradients[1:], strict=True):
            assert_same_bits(device.host(a), device.host(b))  # in whichever order threads run
    names = {name for _, name in device.launched}
    assert names == {"normalize", "slice_sums", "normalize_back"} | (
        {"row_sums"} if hosts[0][:, 0].size > 4096 else set()
    )


def test_normalization_in_fewer_blocks_than_channels(device: Device, monkeypatch: Any) -> None:
    monkeypatch.setattr(portanet_cupy.compiler, "_ROWS", 2)
    test_moments(device, (2, 5, 3), "float64")
    del device.launched[:]
    test_normalize(device, (2, 5, 3), "float64")


def test_channels_of_more_slices_than_threads(device: Device, monkeypatch: Any) -> None:
    monkeypatch.setitem(normalization.CONSTANTS, "EACH", 1)
    host = batch((257, 1, 280), "float64")
    x, ones = (device.backend.asarray(a, "float64") for a in (host, [1.0]))
    for a, b in zip(
        normalization.moments(device.backend.xp, x),
        generic_normalization.moments(np, host),
        strict=True,
    ):
        assert_near(device.host(a), b)
    _, back = normalization.normalize(device.backend.xp, x, ones, ones, 0.0, None, None, True)
    for a, b in zip(back(x, False)[1:], ((host * (host - 1)).sum(), host.sum()), strict=True):
        np.testing.assert_allclose(device.host(a), [b])
    assert [name for _, name in device.launched].count("row_sums") == 1


def test_normalization_of_no_samples(device: Device) -> None:
    x, ones = (device.backend.asarray(np.ones(n), "float32") for n in ((0, 3, 2), 3))
    y, back = normalization.normalize(
        device.backend.xp, x, ones, ones, 1e-5, ones, ones, of_batch=False
    )
    dx, *sums = back(y, True)
    assert y.shape == dx.shape == (0, 3, 2)
    assert [device.host(v).tolist() for v in sums] == [[0.0, 0.0, 0.0]] * 2


BARRIER = """
extern "C" __global__ void total(const real* x, real* sums, long long least)
{
    __shared__ real all[64];
    all[threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x >= least) __syncthreads();
    real sum = 0;
    for (int k = 0; k < 64; ++k) sum += all[k];
    sums[threadIdx.x] = sum;
    __syncthreads();
}
"""


def test_a_barrier_in_its_place_a_missing_one_and_one_that_not_all_meet(
    on_cpu: cuda_on_cpu.Compiled,
) -> None:
    x, sums = np.arange(1.0, 65.0), np.empty(64)
    options = portanet_cupy.compiler.options("float64")
    run = on_cpu.kernel(BARRIER, "total", options)
    run((1,), (64,), (x, sums, 0))
    assert sums.tolist() == [2080.0] * 64
    run = on_cpu.kernel(
        BARRIER.replace("if (threadIdx.x >= least) __syncthreads();", ""), "total", options
    )
    run((1,), (64,), (x, sums, 0))
    assert sums.tolist() != [2080.0] * 64
    apart = BARRIER.replace("    __syncthreads();\n}", "}")
    with pytest.raises(AssertionError, match="some threads of a block ended while others waited"):
        on_cpu.kernel(apart, "total", options)((1,), (64,), (x, sums, 32))


# --- random numbers ------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("shape", "first"), [((5, 3), 0), ((300, 17), 2), ((1, 16), 10**9), ((0, 4), 1), ((3, 0), 0)]
)
def test_numbers_are_the_hosts(device: Device, shape: Any, first: int, dtype: str) -> None:
    key = pn.Key(2**70, ("mask", 3))
    drawn = drawing.uniform(device.backend.xp, key, shape, dtype, first)
    assert_same_bits(device.host(drawn), key.samples(shape, dtype, first))
    assert len(device.launched) == 1


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@both_dtypes
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
    gradient()[...] = 0.0  # whose it is: the next is another
    np.testing.assert_array_equal(device.host(gradient()), gradients[0])
    assert len(device.launched) == 1


def test_cross_entropies_that_the_kernel_serves() -> None:
    few, many = np.ones((4, 64), "float32"), np.ones((4, 65), "float32")
    assert losses.serves(few, few)
    assert not losses.serves(many, many)
    assert not losses.serves(few, few.astype("float64"))
    assert not losses.serves(few, few[:1])
    assert not losses.serves(few.astype("float16"), few.astype("float16"))


# --- formulas ------------------------------------------------------------------------------------

STEPS = 7  # RAdam's formula changes in the sixth


def one_by_one(formula: Any, calls: Any) -> None:
    """Run a formula with each of the arguments, as it is."""
    for arguments in calls:
        formula(*arguments)


def trained(device: Device, case: Any, dtype: str, each: Any) -> tuple[Any, list[Any]]:
    """Return an optimizer after some steps, and all its arrays on the host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(device.backend), "fused_each", lambda self, *given: each(*given))
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
    optimizer, expected = trained(device, case, dtype, one_by_one)
    assert not device.launched
    formulas = fusion.Formulas(device.backend.xp)
    _, got = trained(device, case, dtype, lambda f, calls: one_by_one(formulas.fused(f), calls))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        if device.backend.name == "numpy":
            assert_same_bits(a, b)
        else:
            np.testing.assert_allclose(a, b, 1e-6, 1e-7)
    assert len(device.launched) == STEPS * len(optimizer.owners)
    # The numbers of a step are no part of the text; some formulas begin in another way.
    assert len({code for code, _ in device.launched}) <= 2


@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
def test_an_optimizers_step_is_one_launch(device: Device, case: Any) -> None:
    _, expected = trained(device, case, "float32", one_by_one)
    formulas = fusion.Formulas(device.backend.xp)
    optimizer, got = trained(device, case, "float32", formulas.fused_each)
    for a, b in zip(got, expected, strict=True):
        if device.backend.name == "numpy":
            assert_same_bits(a, b)
        else:
            np.testing.assert_allclose(a, b, 1e-6, 1e-7)
    assert len(device.launched) == STEPS * len(optimizer.groups)


def test_many_rows_take_several_launches(device: Device) -> None:
    def formula(p: Any, g: Any, m: Any, rate: float) -> None:
        m += g
        p -= rate * m

    sizes = [1, 3, 1000, 70_001, 2, *range(1, 200)]  # more than one block, and none
    rng, backend = np.random.default_rng(0), device.backend
    hosts = [[rng.standard_normal(n).astype("float32") for _ in range(3)] for n in sizes]
    rows = [[backend.asarray(a, "float32") for a in row] for row in hosts]
    rows = [[backend.xp.asarray(a, copy=True) for a in row] for row in rows]
    fusion.Formulas(backend.xp).fused_each(formula, [(*row, 0.5) for row in rows])
    room = fusion.BYTES // 32
    assert [name for _, name in device.launched].count("formula_each") == -(-len(sizes) // room)
    for row, (p, g, m) in zip(rows, hosts, strict=True):
        formula(p, g, m, 0.5)
        for got, expected in zip(row, (p, g, m), strict=True):
            np.testing.assert_allclose(device.host(got), expected, 1e-6, 1e-7)


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


@both_dtypes
def test_all_that_formulas_may_do(device: Device, dtype: str) -> None:
    results = []
    for formula in (everything, fusion.Formulas(device.backend.xp).fused(everything)):
        p, g, m = arrays_with_nan(device, dtype)
        assert formula(p, g, {"m": m}, 0.3) is None
        results.append([device.host(array) for array in (p, g, m)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, 0 if device.backend.name == "numpy" else 1e-6)
        assert a.dtype == dtype
    assert len(device.launched) == 1


LAYERS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.Sigmoid(), nn.Tanh(), nn.SiLU()]
LAYERS += [nn.GELU(), nn.GELU("tanh"), nn.Hardswish(), nn.Softplus(2.0, 3.0), nn.Softplus(-1.0)]
LAYERS += [nn.ReLU6(), nn.Hardtanh(-0.5, 2.0), nn.Hardsigmoid(), nn.Mish()]
LOSSES = [
    nn.MSELoss(),
    nn.L1Loss(),
    nn.HuberLoss(delta=0.7),
    nn.SmoothL1Loss(),
    nn.SmoothL1Loss(beta=0),
]
LOSSES += [nn.BCEWithLogitsLoss(), nn.MSELoss("none")]


def as_kernels(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backend compute element by element as CuPy's does."""

    def elementwise(self: Any, formula: Any, back: Any, *arguments: Any) -> Any:
        return fusion.Formulas(self.xp).elementwise(formula, back, *arguments)

    monkeypatch.setattr(type(device.backend), "elementwise", elementwise)


def as_they_are(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backend compute element by element as the generic version does."""
    monkeypatch.setattr(type(device.backend), "elementwise", Kernels.elementwise)


def assert_alike(device: Device, own: Any, expected: Any, dtype: str) -> None:
    """Compare results of functions, such as exp, that differ by some units in the last place."""
    few = 16 * np.finfo(dtype).eps
    assert own.dtype == expected.dtype
    np.testing.assert_allclose(device.host(own), device.host(expected), few, few)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@both_dtypes
def test_layers_as_kernels(device: Device, layer: Any, dtype: str, monkeypatch: Any) -> None:
    images = 3 * np.random.default_rng(0).standard_normal((5, 4, 3, 2)).transpose(3, 0, 1, 2)
    # Kinks, what is beyond exp's range, and what is no number.
    images[0, 0] = [[0.0, -0.0, 3.0], [-3.0, 1.5, 20.0], [1e-30, 90.0, -90.0], [1e30, -1e30, 1]]
    images[1, 0] = [[np.inf, -np.inf, np.nan], [1e3, -1e3, 800.0], [-800.0, 40, -40], [17, 5, 6]]
    dys = np.random.default_rng(1).standard_normal((5, 4, 3, 2)).transpose(3, 0, 1, 2)
    x, dy = (device.backend.asarray(a, dtype) for a in (images, dys))
    results = []
    for way in (as_they_are, as_kernels):
        way(device, monkeypatch)
        y, pullback = layer.vjp(x, Context())
        results.append((y, pullback(dy)[0]))
    assert [name for _, name in device.launched] == ["formula", "formula"]
    for expected, own in zip(*results, strict=True):
        assert own.strides == expected.strides == x.strides  # the order in memory
        assert_alike(device, own, expected, dtype)


def test_every_layer_of_formulas_is_one_of_these() -> None:
    known = {cls for cls in vars(nn).values() if isinstance(cls, type)}
    known -= {Elementwise, ElementwiseLoss}  # what they are made from
    assert {type(x) for x in LAYERS} == {c for c in known if issubclass(c, Elementwise)}
    assert {type(x) for x in LOSSES} == {c for c in known if issubclass(c, ElementwiseLoss)}


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.Sigmoid(), nn.Tanh()], ids=repr)
def test_a_pullback_keeps_the_value_where_it_can(device: Device, layer: Any) -> None:
    """What comes after keeps the value, too; x would be one array more."""
    x = device.backend.asarray(np.ones((2, 3)), "float32")
    formulas = layer.formula, layer.gradient
    y, pullback = fusion.Formulas(device.backend.xp).elementwise(*formulas, x)
    x[...] = -5.0
    _, expected = Kernels.elementwise(device.backend, *formulas, x + 6.0)
    np.testing.assert_allclose(device.host(pullback(y)), device.host(expected(y)), 1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{type(loss).__name__}-{vars(loss)}")
@both_dtypes
def test_losses_as_kernels(device: Device, loss: Any, dtype: str, monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    s, t = 3 * rng.standard_normal((4, 6)), rng.random((4, 6))
    s[0, :3] = t[0, 0], 100.0, -100.0
    # Scores come out of a layer, with the batch innermost; targets as they were given.
    scores, target = (device.backend.asarray(a, dtype) for a in (np.asfortranarray(s), t))
    results = []
    for way in (as_they_are, as_kernels):
        way(device, monkeypatch)
        value, pullback = loss.vjp(scores, target)
        results.append((value, pullback(0.7)))
    assert [name for _, name in device.launched] == ["formula", "formula"]
    assert results[1][1].strides == scores.strides
    for expected, own in zip(*results, strict=True):
        assert_alike(device, own, expected, dtype)


def test_losses_with_weights_of_another_shape(device: Device, monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    loss = nn.BCEWithLogitsLoss(weight=[1.0, 2.0, 0.5], pos_weight=3.0)
    arrays = [device.backend.asarray(rng.random(n), "float64") for n in ((4, 3), (4, 3), 4)]
    results = []
    for way in (as_they_are, as_kernels):
        way(device, monkeypatch)
        value, pullback = loss.vjp(*arrays)
        results.append((value, pullback()))
    for expected, own in zip(*results, strict=True):
        assert_alike(device, own, expected, "float64")
    assert not device.launched


def test_a_map_of_which_no_kernel_can_be_made(device: Device) -> None:
    def formula(xp: Any, x: Any) -> Any:
        return xp.sin(x), x, 2.0

    def back(xp: Any, x: Any, factor: float, dy: Any) -> Any:
        return dy * xp.cos(x) * factor

    x = device.backend.asarray([0.0, 1.0, 2.0], "float64")
    y, pullback = fusion.Formulas(device.backend.xp).elementwise(formula, back, x)
    np.testing.assert_allclose(device.host(y), np.sin([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(device.host(pullback(x)), [0.0, 2 * np.cos(1), 4 * np.cos(2)])
    assert not device.launched


def larger(p: Any, g: Any) -> Any:
    return pn.backend_of(p).xp.maximum(p, g)


def smaller(p: Any, g: Any) -> Any:
    return pn.backend_of(p).xp.minimum(p, g)


def signs(p: Any, g: Any) -> Any:
    xp = pn.backend_of(p).xp
    return xp.sign(p) + 3.0 * xp.sign(g)


@pytest.mark.parametrize("formula", [larger, smaller, signs])
def test_what_is_no_number_is_kept(device: Device, formula: Any) -> None:
    p, g, _ = arrays_with_nan(device)
    result = device.host(fusion.Formulas(device.backend.xp).fused(formula)(p, g))
    assert_same_numbers(result, device.host(formula(p, g)))
    assert np.isnan(result).sum() == 27  # in both, in the first, in the second
    assert len(device.launched) == 1


def test_a_result_of_arrays_in_two_orders_is_in_the_firsts(device: Device) -> None:
    backend = device.backend
    p, g = (backend.asarray(whole_numbers(s, "float64"), "float64") for s in ((2, 3), (3, 2)))
    for arrays in ((p, g.T), (g.T, p)):
        result = fusion.Formulas(backend.xp).fused(larger)(*arrays)
        assert_same_numbers(device.host(result), np.maximum(*map(device.host, arrays)))
        assert result.strides == arrays[0].strides
    assert len(device.launched) == 2


def test_what_is_changed_in_two_orders_stays_where_it_is(device: Device) -> None:
    def formula(p: Any, g: Any) -> None:
        p += g
        g *= 2.0

    p, g = (device.backend.asarray(np.arange(6.0).reshape(s), "float64") for s in ((2, 3), (3, 2)))
    fusion.Formulas(device.backend.xp).fused(formula)(p, g.T)
    assert device.host(p).tolist() == [[0.0, 3.0, 6.0], [4.0, 7.0, 10.0]]
    assert device.host(g).tolist() == [[0.0, 2.0], [4.0, 6.0], [8.0, 10.0]]
    assert not device.launched


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
    p += pn.backend_of(p).xp.cos(state["m"])


def computes_with_a_comparison(p: Any, state: dict[str, Any]) -> None:
    p *= state["m"] > 0.0


def returns_a_comparison(p: Any, state: dict[str, Any]) -> Any:
    return p > state["m"]


def chooses_by_numbers(p: Any, state: dict[str, Any]) -> None:
    p[...] = pn.backend_of(p).xp.where(state["m"], p, 2.0)


def takes_numbers_for_a_comparison(p: Any, state: dict[str, Any]) -> None:
    p += pn.backend_of(p).xp.astype(state["m"], p.dtype)


OTHERS = [rebinds, adds, branches, compares, changes_a_part, takes_numpys_numbers, returns_two]
OTHERS += [
    returns_what_it_took,
    returns_a_number,
    begins_with_numpys_numbers,
    uses_another_function,
    takes_another_dtype,
    computes_with_a_comparison,
    returns_a_comparison,
    chooses_by_numbers,
    takes_numbers_for_a_comparison,
]


@pytest.mark.parametrize("formula", OTHERS, ids=lambda f: f.__name__)
def test_other_formulas_run_as_they_are(device: Device, formula: Any) -> None:
    results = []
    for run in (formula, fusion.Formulas(device.backend.xp).fused(formula)):
        p, m, _ = arrays_with_nan(device)
        state = {"m": m}
        answer = run(p, state)
        assert formula is not returns_what_it_took or answer is p
        assert formula is not returns_a_number or answer == 2.0
        made = answer if isinstance(answer, tuple) else ()
        made += (answer,) if formula is returns_a_comparison else ()
        named = {"p": p, **dict(enumerate(made)), **state}
        results.append({n: device.host(a) for n, a in named.items()})
    assert results[0].keys() == results[1].keys()
    for name, array in results[0].items():
        np.testing.assert_array_equal(results[1][name], array)
    assert not device.launched


def doubles(p: Any, g: Any) -> None:
    p += g


def test_arrays_that_no_kernel_serves(device: Device) -> None:
    backend = device.backend
    run, x = fusion.Formulas(backend.xp).fused(doubles), np.arange(6.0).reshape(2, 3)
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
    assert not device.launched


def test_one_array_in_two_places(device: Device) -> None:
    def formula(p: Any, g: Any) -> None:
        p *= 2.0
        p += g

    p = device.backend.asarray([1.0, 2.0])
    fusion.Formulas(device.backend.xp).fused(formula)(p, p)
    assert device.host(p).tolist() == [4.0, 8.0]
    assert not device.launched


def test_a_strided_gradient_is_read_in_order(device: Device) -> None:
    backend = device.backend
    p, g = (backend.asarray(np.arange(6.0).reshape(s), "float64") for s in ((2, 3), (3, 2)))
    fusion.Formulas(backend.xp).fused(doubles)(p, g.T)
    assert device.host(p).tolist() == [[0.0, 3.0, 6.0], [4.0, 7.0, 10.0]]
    assert len(device.launched) == 1


def test_one_image_has_two_strides_for_the_same_order(device: Device) -> None:
    """What a convolution leaves of a single image, beside an image from the host."""
    host = np.arange(6.0).reshape(1, 2, 3)
    xp, p = device.backend.xp, device.backend.asarray(host, "float64")
    g = xp.permute_dims(xp.reshape(xp.asarray(p, copy=True), (2, 3, 1)), (2, 0, 1))
    assert g.strides != p.strides
    result = fusion.Formulas(xp).fused(larger)(g, p)
    assert_same_numbers(device.host(result), host)
    assert len(device.launched) == 1


def test_an_error_of_a_formula_is_its_own(device: Device) -> None:
    def wrong(p: Any) -> None:
        raise KeyError("no such state")

    with pytest.raises(KeyError, match="no such state"):
        fusion.Formulas(device.backend.xp).fused(wrong)(device.backend.asarray([1.0]))


# --- a step of training --------------------------------------------------------------------------


class Cpu(str):
    """NumPy's device, which can be the current one."""

    __enter__ = __exit__ = use = lambda *_: None


class CupyOnCpu(portanet_cupy.CupyBackend):
    """The whole of CuPy's backend, on NumPy's arrays."""

    name = package = "numpy"
    install, device_key = "pip install numpy", "device"

    def __init__(self, device: Any = None, dtype: str = "float32") -> None:
        pn.Backend.__init__(self, device, dtype)
        self.device, self._formulas = Cpu(self.device), fusion.Formulas(np)

    load = classmethod(lambda cls: np)
    unavailable = classmethod(lambda cls: None)
    probe, to_numpy = pn.Backend.probe, staticmethod(np.asarray)


@pytest.fixture
def cupy_backend(device: Device) -> Iterator[str]:
    """Select CuPy's backend: on a GPU, or on the CPU in NumPy's place."""
    before = known()["numpy"]
    if device.backend.name == "numpy":
        pn.register_backend(CupyOnCpu)
    try:
        with pn.use_backend(device.backend.name):
            yield device.backend.name
    finally:
        pn.register_backend(before)


def one_step() -> tuple[dict[str, Any], Any]:
    """Return a network's arrays after a step of training, and its input's gradient."""
    model = nn.Sequential(
        {
            "conv": nn.Conv2d(2, 4, 3, padding=1),
            "norm": nn.BatchNorm2d(4),
            "relu": nn.ReLU(),
            "pool": nn.MaxPool2d(2),
            "flat": nn.Flatten(),
            "hidden": nn.Linear(36, 8),
            "norm1": nn.BatchNorm1d(8, momentum=None),
            "silu": nn.SiLU(),
            "scores": nn.Linear(8, 3),
        }
    )
    loss, optimizer = nn.CrossEntropyLoss(), optim.SGD(fill(model), lr=0.1, momentum=0.9)
    ctx = Context(training=True)
    y, pullback = model.vjp(pn.asarray(numbers("x", (7, 2, 6, 6))), ctx)
    _, back = loss.vjp(y, pn.asarray([0, 1, 2, 0, 1, 2, 0]))
    dx, grads = pullback(back())
    optimizer.step(grads)
    ctx.apply_updates()
    return model.state_dict(), dx


def test_the_kernels_of_a_step(device: Device, cupy_backend: str) -> None:
    arrays, dx = one_step()
    names = [name for _, name in device.launched]
    forward, back = names[: names.index("cross_entropy")], names[names.index("cross_entropy") :]
    assert forward == [
        "im2col",
        *("slice_moments", "formula", "formula", "normalize"),  # two running statistics
        "formula",  # ReLU
        "max_pool",
        *("slice_moments", "normalize"),  # with momentum=None the factor is an array
        "formula",  # SiLU
    ]
    assert back == [
        "cross_entropy",
        "formula",
        *("slice_sums", "normalize_back"),
        "max_pool_back",
        "formula",
        *("slice_sums", "normalize_back"),
        *("im2col", "col2im"),  # the columns are made anew
        "formula_each",  # the optimizer's, for all parameters
    ]
    with pn.use_backend("strict"):
        expected, dx_expected = one_step()
        expected = {n: pn.get_backend().to_numpy(a) for n, a in expected.items()}
        dx_expected = pn.get_backend().to_numpy(dx_expected)
    np.testing.assert_allclose(device.host(dx), dx_expected, 1e-4, 1e-6)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        got = device.host(array)
        assert got.dtype == expected[name].dtype
        np.testing.assert_allclose(got, expected[name], 1e-4, 1e-6, err_msg=name)
