"""Bad inputs for every layer of `tests/cases.py`: each is refused by name, or taken right."""

import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.layouts import NAMES, laid_out
from cases import LAYERS, LayerCase, fill, ids, numbers

import portanet as pn
from portanet import nn

KEY = pn.Key(0)
PORTANET = Path(pn.__file__).parent
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)  # they square their x
DROPOUTS = (nn.Dropout, nn.Dropout2d)
NO_BATCH = {c.id for c in LAYERS if len(c.shape) == 1} | {"flatten-all"}
FLOATS = [c for c in LAYERS if c.indices is None]
every_case = pytest.mark.parametrize("case", LAYERS, ids=ids(LAYERS))
every_case_of_floats = pytest.mark.parametrize("case", FLOATS, ids=ids(FLOATS))
BATCHES = [c for c in LAYERS if c.id not in NO_BATCH]


def passed(case: LayerCase, x: Any, dy: Any = None, training: bool = True) -> Any:
    """Return y, dx and the gradients of one pass, on the host."""
    layer, backend = fill(case.make()), pn.get_backend()
    layer.check(x)
    y, pullback = layer.vjp(x, nn.Context(training, rng=KEY))
    if dy is None:
        dy = backend.asarray(numbers("dy", tuple(y.shape)))
    dx, grads = pullback(dy)
    arrays = {"y": y, **grads} if case.indices else {"y": y, "dx": dx, **grads}
    assert case.indices or dx.shape == x.shape
    return {n: np.array(backend.to_numpy(array)) for n, array in arrays.items()}


def layers_of(case: LayerCase) -> list[Any]:
    return [layer for _, layer in case.make().named_layers()]


APART = [  # cases whose samples do not depend on each other
    c
    for c in FLOATS
    if c.id not in NO_BATCH and not any(layer.couples_samples for layer in layers_of(c))
]


def assert_close(found: Any, expected: Any, rtol: float, atol: float) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol, atol, err_msg=name)


def refusal(error: Exception) -> str:
    """Return the words in which portanet itself refuses something, with the layer's name."""
    source = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    assert source.is_relative_to(PORTANET), f"raised in {source}: {error!r}"
    assert isinstance(error, ValueError | TypeError), repr(error)
    message = str(error)
    name = message.partition(":")[0].partition(" ")[0]
    assert hasattr(nn, name) or name == "Branched", f"names no layer: {message}"
    return message


# --- shapes --------------------------------------------------------------------------------------


def odd_shapes(case: LayerCase) -> Iterator[tuple[str, Any]]:
    """Yield inputs of other shapes than the case's: of an axis more or less, longer, empty."""
    x = case.x()
    yield "a number", x.flat[0].reshape(())
    yield "an axis less", x[0]
    yield "an axis more", x[None]
    for axis in range(x.ndim):
        # Of other numbers: equal ones would be a tie, where max-pooling has no derivative.
        yield f"axis {axis} longer", np.concatenate([x, case.x("more").take([0], axis)], axis)
        yield f"axis {axis} empty", x.take([], axis)


def outcome(case: LayerCase, x: Any) -> Any:
    try:
        return passed(case, pn.asarray(x))
    except Exception as error:
        return refusal(error)


@cache
def on_numpy(case: LayerCase) -> dict[str, Any]:
    """Return what becomes of each odd shape: arrays, or the words that refuse it."""
    with pn.use_backend("numpy", dtype="float64"):
        return {what: outcome(case, x) for what, x in odd_shapes(case)}


@every_case
def test_odd_shapes_are_refused_or_have_right_gradients(case: LayerCase) -> None:
    for what, x in odd_shapes(case):
        if isinstance(on_numpy(case)[what], dict) and x.size and x.ndim != len(case.shape):
            with pn.use_backend("numpy", dtype="float64"):
                report = pn.check_gradients(fill(case.make()), x)
            assert report.error < 1e-6, f"{what}: {report}"


@every_case
def test_every_library_refuses_the_same(case: LayerCase, library: Any) -> None:
    for what, x in odd_shapes(case):
        expected = on_numpy(case)[what]
        if isinstance(expected, str) or not x.size:  # others are as any shape
            found = outcome(case, x)
            if isinstance(expected, str):
                assert found == expected, what
            else:
                assert_close(found, expected, 1e-9, 1e-12)


@pytest.mark.parametrize("case", BATCHES, ids=ids(BATCHES))
def test_a_batch_of_nothing(case: LayerCase) -> None:
    pn.set_backend("numpy", dtype="float64")
    x = case.x()[:0]
    for training in (True, False):
        norms = [layer for layer in layers_of(case) if isinstance(layer, NORMS[:2])]
        if any(training or not norm.buffers for norm in norms):
            with pytest.raises(ValueError, match="needs more than one value per channel, got"):
                passed(case, x, training=training)
            continue
        found = passed(case, x, training=training)
        assert found.pop("y").shape[0] == 0
        found.pop("dx", None)
        for gradient in found.values():
            np.testing.assert_array_equal(gradient, 0.0)


# --- dtypes --------------------------------------------------------------------------------------

# What only moves numbers, or does nothing.
ANY = (nn.Identity, nn.Flatten, nn.Permute, nn.Reshape, nn.Sequential)


@every_case
def test_other_dtypes(case: LayerCase) -> None:
    pn.set_backend("numpy", dtype="float64")
    layer, values = fill(case.make()), np.abs(np.rint(case.x()))  # which every dtype holds
    for dtype in ("bool", "uint8", "int32", "complex128", ">f8", "float32"):
        x = values.astype(dtype)
        if all(isinstance(part, ANY) for part in layers_of(case)):
            y, _ = layer.vjp(x, nn.Context())
            np.testing.assert_array_equal(np.sort(y.ravel()), np.sort(x.ravel()))
            assert y.dtype == dtype
        elif case.indices is not None and dtype in ("uint8", "int32"):
            y, _ = layer.vjp(x, nn.Context())
            np.testing.assert_array_equal(y, layer(case.x()))
        elif dtype == "float32" and not (layer.params or layer.buffers):
            assert layer.vjp(x, nn.Context())[0].dtype == "float32"
        else:
            with pytest.raises(TypeError) as caught:
                layer.vjp(x, nn.Context(True, rng=KEY))
            assert f"got {dtype}" in refusal(caught.value)


# --- memory --------------------------------------------------------------------------------------


@every_case
def test_any_layout_in_memory(case: LayerCase, tmp_path: Path) -> None:
    pn.set_backend("numpy", dtype="float64")
    expected = passed(case, case.x())
    for layout in NAMES:
        dy = laid_out(numbers("dy", expected["y"].shape), layout, tmp_path)
        found = passed(case, laid_out(case.x(), layout, tmp_path), dy)
        assert_close(found, expected, 1e-12, 1e-14)


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", APART, ids=ids(APART))
def test_a_bad_number_stays_in_its_sample(case: LayerCase) -> None:
    pn.set_backend("numpy", dtype="float64")
    for training in case.modes:
        expected = passed(case, case.x(), training=training)
        for bad in (np.nan, np.inf, -np.inf):
            x = case.x()
            x[0].flat[0] = bad
            with np.errstate(all="ignore"):
                found = passed(case, x, training=training)
            for name in ("y", "dx"):
                np.testing.assert_allclose(found[name][1:], expected[name][1:], 1e-12)


@every_case_of_floats
def test_nan_is_never_swallowed(case: LayerCase, library: Any) -> None:
    def y(x: Any) -> Any:
        return passed(case, library.array(x), training=False)["y"]

    depends = y(case.x()) != y(1.1 * case.x())  # on x, not only on a bias
    assert np.isnan(y(np.full(case.shape, np.nan))[depends]).all()


@every_case_of_floats
def test_huge_numbers_in_float32(case: LayerCase, library: Any) -> None:
    training = not any(isinstance(layer, DROPOUTS) for layer in layers_of(case))
    squared = any(isinstance(layer, NORMS) for layer in layers_of(case))
    for size in (1e4, 1e15 if squared else 1e30):
        x = case.x() * size
        expected = passed(case, library.select("float64").array(x), training=training)
        found = passed(case, library.select("float32").array(x), training=training)
        for name in ("y", "dx"):
            atol = 1e-4 * np.abs(expected[name]).max() + 1e-15  # what rounding leaves, in float64
            np.testing.assert_allclose(found[name], expected[name], 1e-3, atol, err_msg=name)
