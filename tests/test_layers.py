"""Every layer of `cases.LAYERS`, on every backend: gradients, values, dtypes, threads, memory."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import isclose, prod
from threading import Barrier
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import pytest
from cases import LAYERS, LayerCase, fill, numbers

import portanet as pn
from portanet import nn
from portanet.gradcheck import check_gradients
from portanet.nn import Context
from portanet.nn.window import ImageLayer, OnSequences

KEY = pn.Key(3)
RUNS = [
    pytest.param(case, training, id=f"{case.id}-{'training' if training else 'inference'}")
    for case in LAYERS
    for training in case.modes
]
every_run = pytest.mark.parametrize(("case", "training"), RUNS)


def context(training: bool, needs_input_grad: bool = True) -> Context:
    return Context(training, rng=KEY, needs_input_grad=needs_input_grad)


def run(case: LayerCase, training: bool, place: Any = None) -> dict[str, Any]:
    """Run a filled layer forward and backward, on the host's numbers or on a place's arrays."""
    array = place.array if place else pn.asarray
    x = array(case.x())
    y, pullback = fill(case.make()).vjp(x, context(training))
    dx, grads = pullback(array(numbers("dy", y.shape)))
    return {"y": y, **({} if dx is None else {"dx": dx}), **grads}


def assert_close(got: dict[str, Any], expected: dict[str, Any], rtol: float) -> None:
    """Compare a run's arrays, where numbers below rtol · the largest one are noise."""
    assert got.keys() == expected.keys()
    largest = max(float(np.max(np.abs(array), initial=0.0)) for array in expected.values())
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol, rtol * largest, err_msg=name)


def assert_same(place: Any, got: Any, expected: Any, message: str = "") -> None:
    """Compare two (dx, grads) bit for bit."""
    (dx, grads), (expected_dx, expected_grads) = got, expected
    assert (dx is None) == (expected_dx is None), message
    assert grads.keys() == expected_grads.keys(), message
    for name in grads:
        a, b = place.host(grads[name]), place.host(expected_grads[name])
        np.testing.assert_array_equal(a, b, err_msg=f"{name} {message}")
    if dx is not None:
        np.testing.assert_array_equal(place.host(dx), place.host(expected_dx), err_msg=message)


# --- gradients -----------------------------------------------------------------------------------


@every_run
def test_gradients(case: LayerCase, training: bool, place: Any) -> None:
    x = place.array(case.x())
    eps, bound = (1e-5, 1e-7) if place.dtype == "float64" else (3e-3, 1e-2)
    report = check_gradients(fill(case.make()), x, training=training, eps=eps)
    assert report.error <= bound, str(report)
    assert report.errors.keys() - {"x"} == case.make().params.keys()
    assert ("x" in report.errors) == (case.indices is None)


@pytest.mark.parametrize(("case", "training"), [r for r in RUNS if r.values[0].small])
def test_gradients_element_by_element(case: LayerCase, training: bool) -> None:
    pn.set_backend("numpy", dtype="float64")
    x = pn.asarray(case.x())
    report = check_gradients(fill(case.make()), x, training=training, elementwise=True)
    assert report.error <= 1e-6, str(report)


@every_run
def test_without_input_gradient(case: LayerCase, training: bool, place: Any) -> None:
    layer, x = fill(case.make()), place.array(case.x())
    y, pullback = layer.vjp(x, context(training))
    dy = place.array(numbers("dy", y.shape))
    _, expected = pullback(dy)
    y, pullback = layer.vjp(x, context(training, needs_input_grad=False))
    dx, grads = pullback(dy)
    if layer.params:  # else no pullback is run where nobody uses dx
        assert dx is None
    assert_same(place, (None, grads), (None, expected))


# --- the same on every backend -------------------------------------------------------------------


@every_run
def test_library_device_dtype_and_shape(case: LayerCase, training: bool, place: Any) -> None:
    layer, x = fill(case.make()), place.array(case.x())
    ctx = context(training)
    y, pullback = layer.vjp(x, ctx)
    dx, grads = pullback(place.array(numbers("dy", y.shape)))
    place.check(y, y.shape)
    if case.indices is None:
        place.check(dx, case.shape)
    else:
        assert dx is None
    assert grads.keys() == layer.params.keys()
    for name, p in layer.params.items():
        place.check(p, p.shape)
        place.check(grads[name], p.shape)
    for (owner, name), new in ctx.updates.items():
        old = owner.buffers[name]
        dtype = "int64" if name == "num_batches_tracked" else None
        place.check(new, old.shape, dtype)


@every_run
def test_values_are_those_of_numpy(case: LayerCase, training: bool, place: Any) -> None:
    got = {name: place.host(array) for name, array in run(case, training, place).items()}
    pn.set_backend("numpy", dtype=place.dtype)
    assert_close(got, run(case, training), place.rtol)


@every_run
def test_float32_stays_float32(case: LayerCase, training: bool, place: Any) -> None:
    place = place.select("float32")
    for array in run(case, training, place).values():
        place.check(array, array.shape)


@every_run
def test_inputs_stay_as_they_are(case: LayerCase, training: bool, place: Any) -> None:
    layer, x = fill(case.make()), place.array(case.x())
    place.freeze(*layer.params.values(), *layer.buffers.values())
    before = {"x": place.host(x)}
    before |= {name: place.host(array) for name, array in layer.state_dict().items()}

    y, pullback = layer.vjp(x, context(training))
    dy = place.array(numbers("dy", y.shape))
    y_before, dy_before = place.host(y), place.host(dy)
    pullback(dy)

    np.testing.assert_array_equal(place.host(y), y_before)
    np.testing.assert_array_equal(place.host(dy), dy_before)
    for name, array in {"x": x, **layer.state_dict()}.items():
        np.testing.assert_array_equal(place.host(array), before[name], err_msg=name)


# --- a pass stores nothing on the layer ----------------------------------------------------------


@every_run
def test_two_passes_before_either_pullback(case: LayerCase, training: bool, place: Any) -> None:
    layer = fill(case.make())
    xs = [place.array(case.x(name)) for name in ("x", "other x")]
    shape = layer.vjp(xs[0], context(training))[0].shape
    dys = [place.array(numbers(name, shape)) for name in ("dy", "other dy")]
    alone = [layer.vjp(x, context(training))[1](dy) for x, dy in zip(xs, dys, strict=True)]

    pullbacks = [layer.vjp(x, context(training))[1] for x in xs]
    for i in (1, 0):
        for repeat in range(2):  # a pullback may be called again
            assert_same(place, pullbacks[i](dys[i]), alone[i], f"pass {i}, call {repeat}")


@every_run
def test_two_threads_at_once(case: LayerCase, training: bool, place: Any) -> None:
    layer = fill(case.make())
    xs = [place.array(case.x(name)) for name in ("x", "other x")]

    def step(x: Any, wait: Any) -> Any:
        y, pullback = layer.vjp(x, context(training))
        wait()
        dx, grads = pullback(place.array(numbers("dy", y.shape)))
        wait()
        return dx, grads

    serial = [step(x, lambda: None) for x in xs]
    barrier = Barrier(2, timeout=60)
    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(partial(step, wait=barrier.wait), xs))
    for name in serial[0][1]:
        sums = [place.host(a[1][name] + b[1][name]) for a, b in (serial, threaded)]
        np.testing.assert_array_equal(*sums, err_msg=name)
    for i in range(2):
        assert_same(place, threaded[i], serial[i], f"thread {i}")


@every_run
def test_the_pullback_keeps_no_layer(case: LayerCase, training: bool) -> None:
    layer, x = fill(case.make()), pn.asarray(case.x())
    _, pullback = layer.vjp(x, context(training))
    kept = [what for what in reachable(pullback) if isinstance(what, nn.Layer)]
    assert not kept, f"the pullback keeps {kept[0].label}"


def reachable(root: Any) -> Iterator[Any]:
    """Yield everything that a function keeps alive: closures, defaults, arguments, containers."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        what = todo.pop()
        if id(what) in seen:
            continue
        seen.add(id(what))
        yield what
        if isinstance(what, FunctionType):
            todo += [cell.cell_contents for cell in what.__closure__ or ()]
            todo += [*(what.__defaults__ or ()), *(what.__kwdefaults__ or {}).values()]
        elif isinstance(what, MethodType):
            todo += [what.__self__, what.__func__]
        elif isinstance(what, partial):
            todo += [what.func, *what.args, *what.keywords.values()]
        elif isinstance(what, tuple | list | set | frozenset):
            todo += what
        elif isinstance(what, dict):
            todo += [*what.keys(), *what.values()]


# --- memory order --------------------------------------------------------------------------------

BATCH_INNERMOST = (1, 2, 3, 0)  # (N, C, H, W) that lies in memory as C, H, W, N
IMAGES = [r for r in RUNS if len(r.values[0].shape) == 4 and r.values[0].indices is None]
OTHER_ORDER = nn.Flatten, nn.Permute, nn.Sequential
KEEP_ORDER = [r for r in IMAGES if not isinstance(r.values[0].make(), OTHER_ORDER)]


def memory_order(array: Any) -> tuple[int, ...]:
    """Return the axes from the slowest to the fastest in memory, without those of length 1."""
    axes = [a for a in range(array.ndim) if array.shape[a] > 1]
    return tuple(sorted(axes, key=lambda a: -array.strides[a]))


def batch_innermost(host: Any) -> Any:
    """Return a copy of (N, …) whose memory has the batch innermost."""
    last = np.ascontiguousarray(np.moveaxis(host, 0, -1))
    return np.moveaxis(last, -1, 0)


def assert_batch_innermost(array: Any) -> None:
    order = (*range(1, array.ndim), 0)
    assert memory_order(array) == tuple(a for a in order if array.shape[a] > 1)


@pytest.fixture
def _numpy_float64() -> None:
    pn.set_backend("numpy", dtype="float64")


@pytest.mark.usefixtures("_numpy_float64")
@pytest.mark.parametrize(("case", "training"), KEEP_ORDER)
def test_the_batch_stays_innermost_in_memory(case: LayerCase, training: bool) -> None:
    x = batch_innermost(case.x())
    y, pullback = fill(case.make()).vjp(x, context(training))
    dx, _ = pullback(batch_innermost(numbers("dy", y.shape)))
    assert_batch_innermost(y)
    assert_batch_innermost(dx)


SEQUENCES = OnSequences, nn.InstanceNorm1d


@pytest.mark.usefixtures("_numpy_float64")
@pytest.mark.parametrize(
    "case",
    [c for c in LAYERS if isinstance(c.make(), SEQUENCES) or c.id.startswith("upsample-linear")],
)
def test_the_batch_stays_innermost_in_sequences(case: LayerCase) -> None:
    layer, x = fill(case.make()), batch_innermost(numbers("x", case.shape))
    y, pullback = layer.vjp(x, context(True))
    dx, _ = pullback(batch_innermost(numbers("dy", y.shape)))
    assert_batch_innermost(y)
    assert_batch_innermost(dx)


@pytest.mark.usefixtures("_numpy_float64")
@pytest.mark.parametrize(("case", "training"), IMAGES)
def test_memory_order_changes_no_number(case: LayerCase, training: bool) -> None:
    layer, x = fill(case.make()), case.x()
    results = []
    for order in (np.ascontiguousarray, batch_innermost, np.asfortranarray):
        y, pullback = layer.vjp(order(x), context(training))
        dx, grads = pullback(order(numbers("dy", y.shape)))
        results.append({"y": y, "dx": dx, **grads})
    for other in results[1:]:
        assert_close(other, results[0], rtol=1e-12)


@pytest.mark.usefixtures("_numpy_float64")
def test_linear_has_the_batch_innermost() -> None:
    x = numbers("x", (4, 5))
    for order in (np.ascontiguousarray, batch_innermost):
        y, pullback = fill(nn.Linear(5, 3)).vjp(order(x), context(True))
        dx, _ = pullback(order(numbers("dy", y.shape)))
        assert_batch_innermost(y)
        assert_batch_innermost(dx)


@pytest.mark.usefixtures("_numpy_float64")
def test_flatten_is_a_view_of_a_convolutions_output() -> None:
    y = nn.Conv2d(2, 3, 3)(numbers("x", (4, 2, 6, 5)))
    flat, pullback = nn.Flatten().vjp(y, context(True))
    assert np.shares_memory(flat, y)
    assert_batch_innermost(flat)
    dy = batch_innermost(numbers("dy", flat.shape))
    dx, _ = pullback(dy)
    assert np.shares_memory(dx, dy)
    assert_batch_innermost(dx)


@pytest.mark.usefixtures("_numpy_float64")
def test_a_whole_network_keeps_the_batch_innermost() -> None:
    orders = {}

    class Watching(Context):
        def run(self, name: str, layer: Any, x: Any, needs_input_grad: bool = True) -> Any:
            y, pullback = super().run(name, layer, x, needs_input_grad)

            def watched(dy: Any) -> Any:
                dx, grads = pullback(dy)
                orders[name] = (memory_order(y)[-1], memory_order(dx)[-1])
                return dx, grads

            return y, watched

    model = nn.Sequential(
        *(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(3, 2, 2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(18, 4), nn.Tanh()),
    )
    x = batch_innermost(numbers("x", (5, 1, 8, 8)))
    y, pullback = model.vjp(x, Watching(True, rng=KEY))
    pullback(batch_innermost(numbers("dy", y.shape)))
    assert orders == {str(i): (0, 0) for i in range(9)}


# --- what single layers promise ------------------------------------------------------------------


def test_max_pool_sends_the_gradient_to_the_first_of_equals(place: Any) -> None:
    x = place.array([[[[1.0, 3.0, 0.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]]]])
    y, pullback = nn.MaxPool2d(2, stride=1).vjp(x, context(True))
    np.testing.assert_array_equal(place.host(y), [[[[3, 3], [3, 3]]]])
    dx, _ = pullback(place.array([[[[1.0, 10.0], [100.0, 1000.0]]]]))
    np.testing.assert_array_equal(place.host(dx), [[[[0, 11, 0], [100, 1000, 0], [0, 0, 0]]]])


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(3, 1, 1), (4, 2, 1), (5, 2, 2)])
@pytest.mark.parametrize("among", [0, 6, 90])
def test_a_gradient_never_falls_into_the_padding(
    library: Any, among: int, kernel: int, padding: int, dilation: int, stride: int, ceil_mode: bool
) -> None:
    """Minus infinity, which padding is, counts as any number that is lower than the others."""
    layer = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    x = np.full(90, -9.0)
    x[:among] = numbers("x", (among,))
    (x,) = x.reshape(1, 1, 1, 9, 10)
    y, pullback = layer.vjp(library.array(x), context(True))
    dy = library.array(numbers("dy", y.shape))
    dx = library.host(pullback(dy)[0])
    assert dx.sum() == pytest.approx(library.host(dy).sum())
    _, pullback = layer.vjp(library.array(np.where(x == -9.0, -np.inf, x)), context(True))
    np.testing.assert_array_equal(library.host(pullback(dy)[0]), dx)


def test_max_pool_never_takes_its_padding(place: Any) -> None:
    x = place.array(-1.0 - np.arange(16.0).reshape(1, 1, 4, 4))
    y = nn.MaxPool2d(3, stride=2, padding=1)(x)
    np.testing.assert_array_equal(place.host(y), [[[[-1, -2], [-5, -6]]]])


def test_average_pool_counts_its_padding(place: Any) -> None:
    y = nn.AvgPool2d(2, stride=2, padding=1)(place.array(np.ones((1, 1, 2, 2))))
    np.testing.assert_array_equal(place.host(y), np.full((1, 1, 2, 2), 0.25))


def test_max_pool_with_ceil_mode_never_takes_what_lies_beyond(place: Any) -> None:
    x = place.array(-1.0 - np.arange(9.0).reshape(1, 1, 3, 3))
    y, pullback = nn.MaxPool2d(2, ceil_mode=True).vjp(x, context(True))
    np.testing.assert_array_equal(place.host(y), [[[[-1, -3], [-7, -9]]]])
    dx, _ = pullback(place.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    np.testing.assert_array_equal(place.host(dx), [[[[1, 0, 2], [0, 0, 0], [3, 0, 4]]]])


def test_with_ceil_mode_no_window_begins_in_the_right_padding(place: Any) -> None:
    x = place.array(np.arange(3.0).reshape(1, 1, 3))
    y = nn.MaxPool1d(2, 2, padding=1, ceil_mode=True)(x)
    np.testing.assert_array_equal(place.host(y), [[[0, 2]]])
    y = nn.MaxPool1d(2, 2, padding=1, ceil_mode=True)(place.array(np.arange(4.0).reshape(1, 1, 4)))
    np.testing.assert_array_equal(place.host(y), [[[0, 2, 3]]])


@pytest.mark.parametrize(
    ("options", "counts"),  # pixels of windows at −1, 1, 3 and 5 of the padded places −1 … 6
    [
        ({}, [3, 3, 3]),
        ({"count_include_pad": False}, [2, 3, 3]),
        ({"ceil_mode": True}, [3, 3, 3, 2]),
        ({"ceil_mode": True, "count_include_pad": False}, [2, 3, 3, 1]),
    ],
)
def test_average_pool_divides_by_what_it_counts(place: Any, options: Any, counts: Any) -> None:
    x = place.array(np.ones((1, 1, 6)))
    y = place.host(nn.AvgPool1d(3, 2, 1, **options)(x))
    pixels = [2, 3, 3, 1][: len(counts)]
    np.testing.assert_allclose(y, [[[p / c for p, c in zip(pixels, counts, strict=True)]]], 1e-6)


def test_a_divisor_takes_the_place_of_every_count(place: Any) -> None:
    layer = nn.AvgPool2d(3, 2, 1, True, False, divisor_override=5)
    y = place.host(layer(place.array(np.ones((1, 1, 6, 1)))))
    np.testing.assert_allclose(y, np.reshape([2 / 5, 3 / 5, 3 / 5, 1 / 5], (1, 1, 4, 1)), 1e-6)


def test_an_adaptive_pool_to_one_is_the_mean(place: Any) -> None:
    x = numbers("x", (2, 3, 4, 5))
    y, pullback = nn.AdaptiveAvgPool2d(1).vjp(place.array(x), context(True))
    np.testing.assert_allclose(place.host(y), x.mean(axis=(2, 3), keepdims=True), place.rtol)
    dx = place.host(pullback(place.array(np.full((2, 3, 1, 1), 20.0)))[0])
    np.testing.assert_allclose(dx, np.ones_like(x), 1e-6)


def test_an_adaptive_pools_windows_share_the_pixels_between_them(place: Any) -> None:
    x = place.array(np.reshape([1.0, 2.0, 4.0, 8.0, float("inf")], (1, 1, 1, 5)))
    y = place.host(nn.AdaptiveAvgPool2d((None, 3))(x))  # pixels 0–1, 1–3 and 3–4
    np.testing.assert_allclose(y, [[[[1.5, 14 / 3, float("inf")]]]], 1e-6)


@pytest.mark.usefixtures("_numpy_float64")
def test_an_adaptive_pool_to_more_than_there_is_repeats_pixels(place: Any) -> None:
    x = place.array([[[[0.0, 1.0, 2.0]]]])
    y, pullback = nn.AdaptiveAvgPool2d((2, 6)).vjp(x, context(True))
    assert place.host(y)[0, 0].tolist() == [[0, 0, 1, 1, 2, 2]] * 2
    # Where an output lies across two pixels it is their mean.
    y, pullback = nn.AdaptiveAvgPool2d((1, 4)).vjp(x, context(True))
    assert place.host(y)[0, 0, 0].tolist() == [0, 0.5, 1.5, 2]
    dx, _ = pullback(place.array([[[[1.0, 2.0, 4.0, 8.0]]]]))
    assert place.host(dx)[0, 0, 0].tolist() == [2, 3, 10]


def test_an_adaptive_pool_leaves_what_has_its_size() -> None:
    x = numbers("x", (2, 3, 5, 7))
    y, pullback = nn.AdaptiveAvgPool2d((5, None)).vjp(x, context(True))
    assert np.shares_memory(y, x)
    assert np.shares_memory(pullback(x)[0], x)


def twin_of(layer: nn.ConvTranspose2d) -> nn.Conv2d:
    """Return the convolution whose input gradient a transposed one computes, with its weight."""
    w = layer.window
    conv = nn.Conv2d(
        layer.out_channels,
        layer.in_channels,
        *(w.kernel, w.stride, tuple(before for before, _ in w.padding), w.dilation),
        groups=layer.groups,
        bias=False,
    )
    conv.params["weight"] = layer.params["weight"]
    return conv


TRANSPOSED = [
    pytest.param(case, id=case.id)
    for case in LAYERS
    if isinstance(case.make(), nn.ConvTranspose2d) and "beyond" not in case.id
]


@pytest.mark.parametrize("case", TRANSPOSED)
def test_a_transposed_convolution_is_a_convolutions_input_gradient(
    case: LayerCase, place: Any
) -> None:
    layer, x = fill(case.make()), place.array(numbers("x", case.shape))
    y = layer(x)
    image = place.array(numbers("image", y.shape))
    z, pullback = twin_of(layer).vjp(image, context(True))
    assert z.shape == x.shape
    dx, _ = pullback(x)
    bias = layer.params.get("bias")
    expected = place.host(dx) + (0.0 if bias is None else place.host(bias)[:, None, None])
    np.testing.assert_allclose(place.host(y), expected, place.rtol, place.rtol)


def test_a_transposed_convolution_starts_as_pytorchs() -> None:
    layer = nn.ConvTranspose2d(32, 8, (2, 3), groups=2).initialize(0)
    bound = (8 // 2 * 2 * 3) ** -0.5
    assert layer.params["weight"].shape == (32, 4, 2, 3)
    for array in layer.params.values():
        assert 0.6 * bound < float(np.max(np.abs(array))) <= bound


@pytest.mark.parametrize(
    "make",
    [
        lambda: (nn.Conv1d(4, 2, 3, 2, 1, 2, 2), nn.Conv2d(4, 2, (1, 3), 2, (0, 1), 2, 2)),
        lambda: (
            nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2, True, 2),
            nn.ConvTranspose2d(4, 6, (1, 3), (1, 2), (0, 1), (0, 1), 2, True, (1, 2)),
        ),
    ],
    ids=["forward", "transposed"],
)
def test_sequences_are_images_of_height_one(place: Any, make: Any) -> None:
    x = place.array(numbers("x", (2, 4, 6)))
    layer, twin = make()
    weight = fill(layer).params["weight"]
    assert weight.ndim == 3
    twin.params["weight"] = weight[:, :, None, :]
    twin.params["bias"] = layer.params["bias"]
    y = place.host(layer(x))
    np.testing.assert_array_equal(y, place.host(twin(x[:, :, None, :]))[:, :, 0, :])


REPRS = {
    "Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), padding_mode='reflect')": (
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")
    ),
    "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,), groups=2, bias=False)": (
        nn.Conv1d(2, 4, 3, 2, (1,), groups=2, bias=False)
    ),
    "Conv1d(2, 4, kernel_size=(4,), stride=(1,), padding=((1, 2),))": (
        nn.Conv1d(2, 4, 4, padding="same")
    ),
    "ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1))": (
        nn.ConvTranspose2d(2, 4, 3, 2, output_padding=1)
    ),
    "MaxPool1d(kernel_size=(2,), stride=(3,), dilation=(2,), ceil_mode=True)": (
        nn.MaxPool1d(2, 3, dilation=2, ceil_mode=True)
    ),
    "AvgPool2d(kernel_size=(2, 2), stride=(2, 2), count_include_pad=False, divisor_override=3)": (
        nn.AvgPool2d(2, count_include_pad=False, divisor_override=3)
    ),
    "ConvTranspose1d(2, 4, kernel_size=(3,), stride=(2,), output_padding=(1,))": (
        nn.ConvTranspose1d(2, 4, 3, 2, output_padding=1)
    ),
    "AvgPool1d(kernel_size=(2,), stride=(2,))": nn.AvgPool1d(2),
    "AdaptiveAvgPool2d(output_size=(1, 1))": nn.AdaptiveAvgPool2d(1),
    "AdaptiveAvgPool2d(output_size=(None, 3))": nn.AdaptiveAvgPool2d((None, 3)),
    "AdaptiveMaxPool1d(output_size=(3,))": nn.AdaptiveMaxPool1d(3),
    "Upsample(size=(4, 5), mode='nearest')": nn.Upsample((4, 5)),
    "Upsample(scale_factor=2, mode='bilinear', align_corners=True)": (
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    ),
    "PixelShuffle(upscale_factor=2)": nn.PixelShuffle(2),
    "PixelUnshuffle(downscale_factor=2)": nn.PixelUnshuffle(2),
    "ZeroPad2d(padding=(1, 2, 0, 3))": nn.ZeroPad2d((1, 2, 0, 3)),
    "InstanceNorm2d(3, eps=0.001)": nn.InstanceNorm2d(3, 1e-3),
}


@pytest.mark.parametrize("text", REPRS)
def test_repr_of_layers_with_windows(text: str) -> None:
    assert repr(REPRS[text]) == text


MISFITS = {
    "ConvTranspose1d: expected x of shape (N, 2, L), got (4, 3, 5)": (
        nn.ConvTranspose1d(2, 3, 3),
        (4, 3, 5),
    ),
    "AdaptiveMaxPool1d: expected x of shape (N, C, L), got (2, 3, 0)": (
        nn.AdaptiveMaxPool1d(1),
        (2, 3, 0),
    ),
    "AdaptiveMaxPool2d: images of 4×2 would become 1000000×1000000": (
        nn.AdaptiveMaxPool2d(10**6),
        (1, 2, 4, 2),
    ),
    "Upsample: images of 4×2 would become 4000000000×2000000000": (
        nn.Upsample(scale_factor=1e9),
        (1, 2, 4, 2),
    ),
    "Upsample: scale_factor 0.4 leaves nothing of (4, 2)": (
        nn.Upsample(scale_factor=0.4),
        (1, 2, 4, 2),
    ),
    "Upsample: (4, 5) is for 2 axes, but x has the shape (1, 2, 3)": (
        nn.Upsample((4, 5)),
        (1, 2, 3),
    ),
    "Upsample: expected x of shape (N, C, L) or (N, C, H, W), got (2, 3)": (nn.Upsample(2), (2, 3)),
    "Upsample: expected x of shape (N, C, H, W), got (2, 3, 4)": (
        nn.Upsample(2, mode="bilinear"),
        (2, 3, 4),
    ),
    "Upsample: expected x of shape (N, C, L), got (2, 3, 0)": (
        nn.Upsample(2, mode="linear"),
        (2, 3, 0),
    ),
    "PixelShuffle: expected channels in multiples of 4, got x of (1, 6, 2, 2)": (
        nn.PixelShuffle(2),
        (1, 6, 2, 2),
    ),
    "PixelUnshuffle: expected height and width in multiples of 2, got x of (1, 2, 4, 3)": (
        nn.PixelUnshuffle(2),
        (1, 2, 4, 3),
    ),
    "ReflectionPad2d: padding_mode='reflect' of 2 pixels allows padding of 1, got 2": (
        nn.ReflectionPad2d((2, 0, 0, 0)),
        (1, 1, 5, 2),
    ),
    "ZeroPad2d: expected x of shape (N, C, H, W), got (2, 3, 4)": (nn.ZeroPad2d(1), (2, 3, 4)),
    "ReplicationPad2d: images of 4×2 would become 2000004×2000002": (
        nn.ReplicationPad2d(10**6),
        (1, 2, 4, 2),
    ),
    "Conv2d: padding_mode='reflect' of 2 pixels allows padding of 1, got 2": (
        nn.Conv2d(1, 1, 3, padding=(0, 2), padding_mode="reflect"),
        (1, 1, 5, 2),
    ),
    "Conv1d: padding_mode='circular' of 2 pixels allows padding of 2, got 3": (
        nn.Conv1d(1, 1, 3, padding=3, padding_mode="circular"),
        (1, 1, 2),
    ),
    "Conv1d: expected x of shape (N, 2, L), got (4, 3, 5)": (nn.Conv1d(2, 3, 3), (4, 3, 5)),
    "Conv1d: expected x of shape (N, 2, L), got (4, 2, 1, 5)": (nn.Conv1d(2, 3, 3), (4, 2, 1, 5)),
    "MaxPool1d: expected x of shape (N, C, L), got (4, 5)": (nn.MaxPool1d(2), (4, 5)),
    "AvgPool1d: a window of (1, 3)": (nn.AvgPool1d(3), (4, 2, 2)),
    "ConvTranspose2d: expected x of shape (N, 2, H, W), got (1, 3, 4, 4)": (
        nn.ConvTranspose2d(2, 3, 3),
        (1, 3, 4, 4),
    ),
    "ConvTranspose2d: padding leaves nothing of images of (4, 2)": (
        nn.ConvTranspose2d(2, 3, 1, padding=1),
        (1, 2, 4, 2),
    ),
    # Sizes that are mistakes are told before any memory is asked for.
    "ConvTranspose2d: images of 4×2 would become 3000000001×1000000001": (
        nn.ConvTranspose2d(2, 3, 1, stride=10**9),
        (1, 2, 4, 2),
    ),
    "ConvTranspose2d: images of 4×2 would become 1000000004×1000000002": (
        nn.ConvTranspose2d(2, 3, 2, dilation=10**9),
        (1, 2, 4, 2),
    ),
    "AdaptiveAvgPool2d: images of 4×2 would become 1000000×1000000": (
        nn.AdaptiveAvgPool2d(10**6),
        (1, 2, 4, 2),
    ),
    "Conv2d: images of 4×2 would become 2097152×2097148": (
        nn.Conv2d(2, 3, (1, 3), padding=2**20 - 2, bias=False),
        (1, 2, 4, 2),
    ),
    "Conv2d: a window of (99, 99)": (nn.Conv2d(2, 3, 99), (1, 2, 4, 2)),
    "MaxPool2d: a window of (1000000000, 1000000000)": (nn.MaxPool2d(10**9), (1, 2, 4, 2)),
    "AvgPool2d: a window of (1000000000, 1000000000)": (nn.AvgPool2d(10**9), (1, 2, 4, 2)),
    "AvgPool1d: a window of (1, 1000000000)": (nn.AvgPool1d(10**9), (1, 2, 4)),
    "AdaptiveAvgPool2d: expected x of shape (N, C, H, W), got (2, 3)": (
        nn.AdaptiveAvgPool2d(1),
        (2, 3),
    ),
    "AdaptiveAvgPool2d: expected x of shape (N, C, H, W), got (2, 3, 0, 4)": (
        nn.AdaptiveAvgPool2d(1),
        (2, 3, 0, 4),
    ),
}


@pytest.mark.parametrize("message", MISFITS)
def test_images_that_do_not_fit(message: str) -> None:
    layer, shape = MISFITS[message]
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(pn.asarray(np.zeros(shape)))
    with pytest.raises(TypeError, match="expected an array"):
        layer(np.zeros(shape).tolist())


EMPTY = [c for c in LAYERS if isinstance(c.make(), ImageLayer | nn.Upsample)]


@pytest.mark.parametrize("case", EMPTY, ids=lambda case: case.id)
def test_an_empty_batch_of_images(case: LayerCase, library: Any) -> None:
    layer, x = case.make(), library.array(np.zeros((0, *case.shape[1:])))
    y, pullback = layer.vjp(x, context(True))
    dx, grads = pullback(y)
    library.check(dx, x.shape)
    for name, p in layer.params.items():
        library.check(grads[name], p.shape)
        assert not np.any(library.host(grads[name]))


def test_relu_and_leaky_relu_have_the_lower_slope_at_zero(place: Any) -> None:
    x, dy = place.array([-2.0, 0.0, 2.0]), place.array([1.0, 1.0, 1.0])
    for layer, expected in ((nn.ReLU(), [0, 0, 1]), (nn.LeakyReLU(0.25), [0.25, 0.25, 1])):
        dx, _ = layer.vjp(x, context(True))[1](dy)
        np.testing.assert_array_equal(place.host(dx), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturated_activations_are_exact_and_silent(place: Any, dtype: str) -> None:
    place = place.select(dtype)
    x, dy = place.array([-1000.0, -100.0, 0.0, 100.0, 1000.0]), place.array(np.ones(5))
    for layer, expected in ((nn.Sigmoid(), [0, 0, 0.5, 1, 1]), (nn.Tanh(), [-1, -1, 0, 1, 1])):
        y, pullback = layer.vjp(x, context(True))
        np.testing.assert_allclose(place.host(y), expected, atol=1e-40)
        assert np.all(np.isfinite(place.host(pullback(dy)[0])))


def test_batch_norm_normalizes_each_channel(place: Any) -> None:
    x = place.array(5.0 + 3.0 * numbers("x", (8, 3, 4, 4)))
    y = place.host(nn.BatchNorm2d(3).vjp(x, context(True))[0])
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1.0, rtol=1e-4)


@pytest.mark.parametrize(
    ("momentum", "mean", "variance"),
    [(0.1, 0.9 * 0.1 + 0.2, 0.9 * (0.9 + 0.2) + 0.2), (None, 1.5, 2.0)],
)
def test_batch_norm_tracks_statistics(
    place: Any, momentum: float | None, mean: float, variance: float
) -> None:
    layer = nn.BatchNorm1d(1, momentum=momentum)
    batches = [[[0.0], [2.0]], [[1.0], [3.0]]]  # means 1 and 2, unbiased variances 2 and 2
    for batch in batches:
        layer.forward(place.array(batch), training=True)
    assert isclose(float(layer.buffers["running_mean"][0]), mean, rel_tol=1e-6)
    assert isclose(float(layer.buffers["running_var"][0]), variance, rel_tol=1e-6)
    assert int(layer.buffers["num_batches_tracked"]) == 2


def test_a_pass_alone_changes_no_statistics(place: Any) -> None:
    layer = nn.BatchNorm1d(3)
    x = place.array(numbers("x", (4, 3)))
    ctx = context(True)
    layer.vjp(x, ctx)
    assert float(place.backend.xp.max(layer.buffers["running_mean"])) == 0.0
    ctx.apply_updates()
    assert float(place.backend.xp.max(layer.buffers["running_mean"])) != 0.0
    before = layer.state_dict()
    layer.forward(x, training=False)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(place.host(array), place.host(before[name]))


def test_a_batch_norm_used_twice_in_a_pass_tracks_both(place: Any) -> None:
    norm = nn.BatchNorm1d(1)
    model = nn.Sequential(norm, norm)
    model.forward(place.array([[0.0], [2.0]]), training=True)
    assert int(norm.buffers["num_batches_tracked"]) == 2


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75])
def test_dropout_statistics(place: Any, keep: float) -> None:
    x = place.array(5.0 + numbers("x", (100, 100)))
    y = place.host(nn.Dropout(p=1.0 - keep).vjp(x, context(True))[0])
    assert isclose(y.mean(), place.host(x).mean(), rel_tol=0.04)
    assert isclose((y == 0.0).mean(), 1.0 - keep, abs_tol=0.02)
    kept = y != 0.0
    np.testing.assert_allclose(y[kept], place.host(x)[kept] / keep, rtol=1e-6)


def test_dropout_masks_repeat_with_their_key_and_differ_by_name(place: Any) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout())
    x = place.array(np.ones((20, 20)))
    first, again, other = (place.host(model.forward(x, True, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert isclose((first != 0).mean(), 0.25, abs_tol=0.08), "both dropped the same elements"


def test_dropout_without_a_seed_differs(place: Any) -> None:
    x = place.array(np.ones((20, 20)))
    layer = nn.Dropout()
    assert np.any(place.host(layer.forward(x, True)) != place.host(layer.forward(x, True)))


def test_a_frozen_prefix_costs_no_gradient() -> None:
    asked = []

    class Spy(nn.Layer):
        def vjp(self, x: Any, ctx: Context) -> Any:
            asked.append(ctx.needs_input_grad)
            return x, lambda dy: (dy if asked else None, {})

    model = nn.Sequential(Spy(), Spy(), nn.Linear(3, 2), Spy())
    x = pn.asarray(numbers("x", (4, 3)))
    y, pullback = model.vjp(x, context(True, needs_input_grad=False))
    assert asked == [False, False, True]
    dx, grads = pullback(y)
    assert dx is None
    assert set(grads) == {"2.weight", "2.bias"}


def test_no_pullback_is_kept_for_inference() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    x = pn.asarray(numbers("x", (4, 3)))
    _, pullback = model.vjp(x, Context(needs_pullback=False))
    with pytest.raises(RuntimeError, match="needs_pullback=False"):
        pullback(x)


def test_cases_are_small() -> None:
    assert all(prod(case.shape) <= 300 for case in LAYERS), "the suite must stay fast"
