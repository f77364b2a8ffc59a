# ruff: noqa: E501 (tables: a line for each case)
"""Models: how their parameters start, are named, assigned, saved and moved; what they print."""

import abc
import inspect
import pickle
from copy import deepcopy
from math import isclose, sqrt
from typing import Any

import numpy as np
import pytest
from cases import LAYERS, LayerCase, fill, ids, nested, numbers, shared

import portanet as pn
from portanet import nn
from portanet.nn import Context

every_case = pytest.mark.parametrize("case", LAYERS, ids=ids(LAYERS))


def host(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return copies of named arrays on the host."""
    return {name: np.array(pn.backend_of(a).to_numpy(a)) for name, a in arrays.items()}


def assert_equal(got: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare two dicts of host arrays, bit for bit."""
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def mlp() -> nn.Sequential:
    return nn.Sequential({"fc1": nn.Linear(6, 4), "act": nn.Tanh(), "fc2": nn.Linear(4, 3)})


# --- how parameters start ------------------------------------------------------------------------

FAN_IN, FAN_OUT = 50, 200
INITIALIZATIONS = [
    (nn.Constant(3.0), 3.0, 3.0, 0.0),
    (nn.Zeros(), 0.0, 0.0, 0.0),
    (nn.Ones(), 1.0, 1.0, 0.0),
    (nn.Uniform(0.3), -0.3, 0.3, 0.3 / sqrt(3)),
    (nn.FanInUniform(), -1 / sqrt(FAN_IN), 1 / sqrt(FAN_IN), 1 / sqrt(3 * FAN_IN)),
    (nn.HeUniform(), -sqrt(6 / FAN_IN), sqrt(6 / FAN_IN), sqrt(2 / FAN_IN)),
    (nn.HeUniform(gain=1.0), -sqrt(3 / FAN_IN), sqrt(3 / FAN_IN), sqrt(1 / FAN_IN)),
    (nn.GlorotUniform(), -sqrt(6 / 250), sqrt(6 / 250), sqrt(2 / 250)),
    (nn.GlorotUniform(gain=2.0), -2 * sqrt(6 / 250), 2 * sqrt(6 / 250), 2 * sqrt(2 / 250)),
    (nn.Normal(0.02), -np.inf, np.inf, 0.02),
    (nn.HeNormal(), -np.inf, np.inf, sqrt(2 / FAN_IN)),
    (nn.HeNormal(gain=1.0), -np.inf, np.inf, sqrt(1 / FAN_IN)),
    (nn.GlorotNormal(), -np.inf, np.inf, sqrt(2 / 250)),
    (nn.GlorotNormal(gain=3.0), -np.inf, np.inf, 3 * sqrt(2 / 250)),
]


@pytest.mark.parametrize(("init", "low", "high", "std"), INITIALIZATIONS, ids=repr)
def test_initial_distributions(init: Any, low: float, high: float, std: float) -> None:
    layer = nn.Linear(FAN_IN, FAN_OUT).initialize(0, weight=init)
    values = host(layer.params)["weight"].astype("float64")
    assert np.all((np.float32(low) <= values) & (values <= np.float32(high)))
    assert isclose(values.std(), std, rel_tol=0.03, abs_tol=1e-12)
    if std:
        assert abs(values.mean()) < 4 * std / sqrt(values.size)
        share_within_one_std = (np.abs(values) < std).mean()
        expected = 1 / sqrt(3) if np.isfinite(high) else 0.6827
        assert isclose(share_within_one_std, expected, abs_tol=0.02)


def test_initializations_of_ones_own(library: Any) -> None:
    values = np.ones((2, 3))
    layer = nn.Linear(3, 2).initialize(weight=lambda *_: values, bias=nn.Constant(2))
    layer.params["weight"] = 5.0 * values
    np.testing.assert_array_equal(values, 1.0)
    np.testing.assert_array_equal(library.host(layer.params["bias"]), [2, 2])
    library.check(layer.params["bias"], (2,))
    with pytest.raises(ValueError, match=r"array of shape \(2, 3\) gave one of \(3, 2\)"):
        layer.initialize(weight=lambda *_: values.T)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (lambda: nn.Linear(7, 5), 7, 5),
        (lambda: nn.Conv2d(3, 4, (2, 5)), 3 * 10, 4 * 10),
        (lambda: nn.Conv2d(4, 6, 3, groups=2), 2 * 9, 6 * 9),
    ],
)
def test_fans(layer: Any, fan_in: int, fan_out: int) -> None:
    class Fans:
        def __call__(self, key: Any, shape: Any, fan_in: int, fan_out: int) -> float:
            return fan_in + 1000.0 * fan_out

    for values in host(layer().initialize(0, weight=Fans(), bias=Fans()).params).values():
        np.testing.assert_array_equal(values, fan_in + 1000.0 * fan_out)


def test_the_default_is_uniform_in_one_over_the_root_of_fan_in() -> None:
    for layer, fan_in in ((nn.Linear(64, 100), 64), (nn.Conv2d(4, 50, 4, groups=2), 32)):
        for values in host(layer.params).values():
            assert np.max(np.abs(values)) <= 1 / sqrt(fan_in)
            assert np.max(np.abs(values)) > 0.9 / sqrt(fan_in)


def test_batch_norm_starts_as_the_identity() -> None:
    layer = nn.BatchNorm2d(2)
    assert_equal(host(layer.params), {"weight": np.ones(2), "bias": np.zeros(2)})
    expected = {"running_mean": np.zeros(2), "running_var": np.ones(2), "num_batches_tracked": 0}
    assert_equal(host(layer.buffers), expected)


@every_case
def test_the_same_seed_gives_the_same_network_everywhere(case: LayerCase, library: Any) -> None:
    got = host(case.make().initialize(5).params)
    pn.set_backend("numpy", dtype=library.dtype)
    assert_equal(got, host(case.make().initialize(5).params))


def test_float32_starts_as_float64_rounded() -> None:
    pn.set_backend("numpy", dtype="float64")
    expected = {n: a.astype("float32") for n, a in host(mlp().params).items()}
    pn.set_backend("numpy", dtype="float32")
    assert_equal(host(mlp().params), expected)


def test_parameters_are_keyed_by_their_dotted_names() -> None:
    whole = host(nn.Sequential({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}).params)
    assert not np.array_equal(whole["a.weight"], whole["b.weight"])
    assert not np.array_equal(whole["a.weight"][0], whole["a.bias"])
    other_order = nn.Sequential({"b": nn.Linear(3, 3), "a": nn.Linear(3, 3)})
    assert_equal(dict(sorted(host(other_order.params).items())), dict(sorted(whole.items())))
    nested = nn.Sequential({"b": nn.Linear(3, 3), "n": nn.Sequential({"b": nn.Linear(3, 3)})})
    values = host(nested.params)
    np.testing.assert_array_equal(values["b.weight"], whole["b.weight"])
    assert not np.array_equal(values["n.b.weight"], whole["b.weight"])


def test_parameters_do_not_depend_on_when_or_in_what_order_they_are_drawn() -> None:
    expected = host(mlp().params)
    late = mlp()
    late["fc2"].params  # noqa: B018  (drawing is what reading does)
    assert_equal(host(late.params), expected)
    assert_equal(host(mlp().initialize().params), expected)
    assert_equal(host(mlp().initialize(seed=0).params), expected)


def test_seeds() -> None:
    def first(seed: int | None) -> Any:
        return host(mlp().initialize(seed).params)["fc1.weight"]

    assert not np.array_equal(first(0), first(1))
    assert not np.array_equal(first(None), first(None))
    with pytest.raises(TypeError, match=r"a seed must be an integer, got 1\.5"):
        mlp().initialize(1.5)


def test_initialize_replaces_weights_and_biases_of_sums_only() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    values = host(model.initialize(weight=nn.Constant(2.0), bias=nn.Constant(3.0)).params)
    for name, array in values.items():
        expected = {"0": (2, 3), "1": (1, 0), "3": (2, 3)}[name[0]]["bias" in name]
        np.testing.assert_array_equal(array, expected, err_msg=name)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.PReLU(3, init=0.1),
        lambda: nn.LayerNorm((2, 3)),
        lambda: nn.GroupNorm(1, 3),
        lambda: nn.Embedding(4, 3, padding_idx=1),
    ],
)
def test_initialize_leaves_what_is_no_weighted_sum(make: Any) -> None:
    layer = make().initialize(weight=nn.HeNormal(), bias=nn.Constant(3.0))
    assert_equal(host(layer.params), host(make().params))


def test_initialize_resets_buffers_and_draws_on_the_selected_backend(library: Any) -> None:
    model = fill(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    assert model.initialize(3) is model
    for array in model.params.values():
        library.check(array, array.shape)
    np.testing.assert_array_equal(host(model.buffers)["1.running_mean"], np.zeros(2))
    library.check(model.buffers["1.num_batches_tracked"], (), "int64")


# --- names and children --------------------------------------------------------------------------


def test_names() -> None:
    model = nested()
    assert list(model.params) == [
        *("body.c.weight", "body.c.bias", "body.n.weight", "body.n.bias"),
        *("head.1.weight", "head.1.bias", "head.3.weight", "head.3.bias"),
    ]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert list(model.buffers) == [f"body.n.{name}" for name in statistics]
    assert model["head"][1].label == "Linear 'head.1'"
    assert model.label == "Sequential"


def test_children_by_name_and_number() -> None:
    a, b = nn.Linear(2, 3), nn.ReLU()
    model = nn.Sequential({"a": a, "b": b})
    assert model["a"] is model[0] is model[-2] is a
    assert list(model) == [a, b]
    assert len(model) == 2
    numbered = nn.Sequential(a, b)
    assert numbered["1"] is numbered[1] is b
    with pytest.raises(KeyError, match="Sequential: no layer 'c'; there are a, b"):
        model["c"]
    with pytest.raises(IndexError):
        model[2]


def test_layers_assigned_as_attributes_are_children(library: Any) -> None:
    class Twice(nn.Layer):
        def __init__(self, width: int) -> None:
            self.inner = nn.Linear(width, width)

        def vjp(self, x: Any, ctx: Context) -> Any:
            y, pull_1 = ctx.run("inner", self.inner, x)
            z, pull_2 = ctx.run("inner", self.inner, y)

            def pullback(dz: Any) -> Any:
                dy, grads_2 = pull_2(dz)
                dx, grads_1 = pull_1(dy)
                return dx, {f"inner.{n}": grads_1[n] + grads_2[n] for n in grads_1}

            return z, pullback

    model = nn.Sequential({"t": Twice(3)})
    assert list(model.params) == ["t.inner.weight", "t.inner.bias"]
    report = pn.gradcheck.check_gradients(model, library.array(numbers("x", (4, 3))), eps=3e-3)
    assert report.error < 1e-2


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (({"a.b": nn.ReLU()},), ValueError, "a layer's name must be a string without dots"),
        (({"": nn.ReLU()},), ValueError, "a layer's name must be a string without dots"),
        (({1: nn.ReLU()},), ValueError, "a layer's name must be a string without dots, got 1"),
        (([nn.ReLU()],), TypeError, "expected layers, got a list of them"),
        (([nn.ReLU()], nn.ReLU()), TypeError, "expected a layer for '0', got list"),
        ((nn.ReLU(), None), TypeError, "expected a layer for '1', got NoneType"),
        ((nn.ReLU,), TypeError, "expected a layer for '0'"),
    ],
)
def test_what_is_no_layer(layers: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Sequential(*layers)


def test_a_shared_layer_has_one_set_of_parameters(library: Any) -> None:
    model = shared()
    assert list(model.params) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    state = model.state_dict()
    assert [n for n in state if n.endswith("bias")] == ["0.bias", "2.bias", "3.bias"]
    np.testing.assert_array_equal(library.host(state["0.bias"]), library.host(state["2.bias"]))


# --- assigning -----------------------------------------------------------------------------------


def test_assigning_copies_into_place(library: Any) -> None:
    model = mlp()
    array, owner = model.params["fc1.weight"], model["fc1"]
    values = numbers("w", (4, 6))
    model.params["fc1.weight"] = values
    assert model.params["fc1.weight"] is array
    assert owner.params["weight"] is array
    np.testing.assert_allclose(library.host(array), values, rtol=library.rtol)
    library.check(array, (4, 6))
    values[...] = 0.0
    assert np.all(library.host(array) != 0.0), "the array must not share the host's memory"

    owner.params["weight"] = library.array(np.ones((4, 6)))
    np.testing.assert_array_equal(library.host(model.params["fc1.weight"]), 1.0)
    owner.buffers.update({})
    model.params["fc1.bias"] = [1, 2, 3, 4]
    np.testing.assert_array_equal(library.host(array), 1.0)
    np.testing.assert_array_equal(library.host(model.params["fc1.bias"]), [1, 2, 3, 4])


def test_update_is_all_or_nothing(library: Any) -> None:
    model = mlp()
    before = host(model.params)
    new = {"fc1.weight": np.ones((4, 6)), "fc2.bias": np.ones(4)}
    with pytest.raises(ValueError, match=r"fc2\.bias: expected shape \(3,\), got \(4,\)"):
        model.params.update(new)
    assert_equal(host(model.params), before)
    params = model.params
    params |= {"fc1.weight": np.ones((4, 6)), "fc2.bias": np.ones(3)}
    np.testing.assert_array_equal(library.host(model.params["fc1.weight"]), 1.0)


@pytest.mark.parametrize("how", ["update", "load_state_dict"])
def test_a_models_own_arrays_can_change_places(library: Any, how: str) -> None:
    model = nn.Sequential(fill(nn.Linear(3, 3)), fill(nn.Linear(3, 3)))
    model.params["1.weight"] = 2.0 * model.params["0.weight"]
    before, params = host(model.params), model.params
    assert np.all(before["0.weight"] != before["1.weight"])
    swapped = {
        "0.weight": params["1.weight"],
        "1.weight": params["0.weight"].T,  # a view
        "0.bias": params["0.bias"],
        "1.bias": params["0.weight"][1, ...],
    }
    if how == "update":
        model.params.update(swapped)
    else:
        model.load_state_dict(swapped)
    expected = {
        "0.weight": before["1.weight"],
        "1.weight": before["0.weight"].T,
        "0.bias": before["0.bias"],
        "1.bias": before["0.weight"][1],
    }
    assert_equal(host(model.params), expected)


def test_what_cannot_be_assigned() -> None:
    params = mlp().params
    with pytest.raises(KeyError, match=r"no array named 'fc3\.bias'; there are fc1\.weight, "):
        params["fc3.bias"] = 1.0
    with pytest.raises(ValueError, match=r"fc1\.bias: expected shape \(4,\), got \(\)"):
        params["fc1.bias"] = 1.0
    with pytest.raises(TypeError, match="expected real numbers"):
        params["fc1.bias"] = ["a", "b", "c", "d"]
    with pytest.raises(TypeError, match="none can be added or deleted"):
        del params["fc1.bias"]
    with pytest.raises(TypeError, match="none can be added or deleted"):
        params.pop("fc1.bias")


# --- the state -----------------------------------------------------------------------------------


@every_case
def test_the_state_goes_there_and_back(case: LayerCase, library: Any) -> None:
    model = fill(case.make())
    state = model.state_dict()
    other = case.make()
    arrays = {**other.params, **other.buffers}
    other.load_state_dict({name: library.host(array) for name, array in state.items()})
    assert_equal(host(other.state_dict()), host(state))
    for name, array in {**other.params, **other.buffers}.items():
        assert array is arrays[name]
    for array in state.values():
        array[...] = array * 0
    assert_equal(host(model.state_dict()), host(other.state_dict()))


def test_loading_lists_all_that_is_wrong_and_writes_nothing(library: Any) -> None:
    model = mlp()
    before = host(model.state_dict())
    state = {n: np.ones(a.shape) for n, a in before.items()}
    del state["fc1.bias"]
    state["fc2.weight"] = np.ones((3, 5))
    state["fc3.weight"] = np.ones(1)
    state["fc2.bias"] = ["a", "b", "c"]
    with pytest.raises(ValueError, match="Sequential: the state does not fit: ") as caught:
        model.load_state_dict(state)
    for part in (
        "missing 'fc1.bias'",
        "unexpected 'fc3.weight'",
        "'fc2.weight': weight: expected shape (3, 4), got (3, 5)",
        "'fc2.bias': expected real numbers",
    ):
        assert part in str(caught.value)
    assert_equal(host(model.state_dict()), before)


def test_a_state_of_another_head_can_be_loaded(library: Any) -> None:
    model, trained = mlp(), fill(mlp())
    before, state = host(model.state_dict()), trained.state_dict()
    state["fc3.weight"] = state.pop("fc2.weight")
    missing, unexpected = found = model.load_state_dict(state, strict=False)
    assert found.missing_keys == missing == ["fc2.weight"]
    assert found.unexpected_keys == unexpected == ["fc3.weight"]
    now, loaded = host(model.state_dict()), host(trained.state_dict())
    assert_equal(now, loaded | {"fc2.weight": before["fc2.weight"]})
    assert model.load_state_dict(trained.state_dict()) == ([], [])


def test_names_that_fit_must_fit_in_shape_too(library: Any) -> None:
    model = mlp()
    before = host(model.state_dict())
    state = {"fc1.bias": np.ones(4), "fc2.weight": np.ones((3, 5)), "fc3.bias": np.ones(2)}
    with pytest.raises(ValueError, match=r"does not fit: 'fc2.weight': .* got \(3, 5\)$"):
        model.load_state_dict(state, strict=False)
    assert_equal(host(model.state_dict()), before)


@every_case
def test_copies(case: LayerCase, library: Any) -> None:
    x = library.array(case.x())
    for copy in (deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        model = fill(case.make())
        y = library.host(model.forward(x))  # … and keeps a pullback, which cannot be copied
        twin = copy(model)
        assert_equal(host(twin.state_dict()), host(model.state_dict()))
        assert repr(twin) == repr(model)
        for array in model.params.values():
            array[...] = array * 0.0
        np.testing.assert_array_equal(library.host(twin(x)), y)


def test_a_copy_shares_what_its_original_shared() -> None:
    twin = deepcopy(shared())
    assert twin[0] is twin[2]
    assert list(twin.params) == ["0.weight", "0.bias", "3.weight", "3.bias"]


# --- moving --------------------------------------------------------------------------------------


@every_case
def test_moving_to_another_backend_and_back(case: LayerCase, library: Any) -> None:
    model = fill(case.make())
    before = host(model.state_dict())
    assert model.to("numpy") is model
    for name, array in model.state_dict().items():
        assert type(array).__module__ == "numpy", name
    model.to(library.backend)
    for name, array in model.state_dict().items():
        library.check(array, before[name].shape, "int64" if "num_batches" in name else None)
    assert_equal(host(model.state_dict()), before)
    x = library.array(case.x())
    library.check(model(x), model(x).shape)


def test_moving_where_nothing_is() -> None:
    model = mlp()
    before = host(model.params)
    with pytest.raises(pn.BackendError, match="unknown backend 'abacus'; known are auto and: "):
        model.to("abacus")
    assert_equal(host(model.params), before)


def test_changing_the_dtype_leaves_counters_alone() -> None:
    model = fill(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))).to(dtype="float64")
    dtypes = {name: str(array.dtype) for name, array in host(model.state_dict()).items()}
    assert dtypes.pop("1.num_batches_tracked") == "int64"
    assert set(dtypes.values()) == {"float64"}
    assert float(model(np.ones((1, 2)))[0, 0]) != 0.0


# --- forward and backward ------------------------------------------------------------------------


@every_case
def test_backward_adds_into_grads(case: LayerCase, library: Any) -> None:
    model = fill(case.make())
    expected: dict[str, Any] = {}
    for name in ("x", "other x"):
        x = library.array(case.x(name))
        y, pullback = model.vjp(x, Context(True, rng=pn.Key(4)))
        dy = library.array(numbers("dy", y.shape))
        np.testing.assert_array_equal(
            library.host(model.forward(x, training=True, seed=4)), library.host(y)
        )
        dx, grads = pullback(dy)
        got = model.backward(dy)
        assert (got is None) == (dx is None)
        if dx is not None:
            np.testing.assert_array_equal(library.host(got), library.host(dx))
        expected = {n: expected.get(n, 0.0) + library.host(g) for n, g in grads.items()}
        assert_equal(host(model.grads), expected)
    model.zero_grads()
    assert model.grads == {}


def test_grads_are_found_on_the_layer_and_on_the_model() -> None:
    model = mlp()
    model.backward(model.forward(pn.asarray(numbers("x", (2, 6)))))
    assert model["fc1"].grads["weight"] is model.grads["fc1.weight"]


def test_backward_needs_a_forward_of_its_own() -> None:
    model, x = mlp(), pn.asarray(numbers("x", (2, 6)))
    dy = pn.asarray(np.ones((2, 3)))
    for again in (False, True):
        with pytest.raises(RuntimeError, match="Sequential: backward needs a forward of its own"):
            model.backward(dy)
        if not again:
            model.forward(x)
            with pytest.raises(
                ValueError, match=r"expected dy as the output, float32 of shape \(2, 3\)"
            ):
                model.backward(x)
            model.backward(dy)
    model.vjp(x, Context())
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        model.backward(dy)


def test_inference_needs_no_random_numbers_and_changes_nothing(library: Any) -> None:
    model = fill(nested())
    x = library.array(numbers("x", (4, 2, 4, 5)))
    before = host(model.state_dict())
    np.testing.assert_array_equal(library.host(model(x)), library.host(model(x)))
    np.testing.assert_array_equal(library.host(model(x)), library.host(model.forward(x)))
    assert_equal(host(model.state_dict()), before)
    with pytest.raises(ValueError, match=r"Dropout 'head\.0': training needs random numbers"):
        model.vjp(x, Context(training=True))


# --- text ----------------------------------------------------------------------------------------


def test_summary_of_a_nested_model() -> None:
    assert nested().summary((2, 4, 5)).splitlines() == [
        "name    layer        output        parameters",
        "---------------------------------------------",
        "body.c  Conv2d       (N, 3, 4, 5)          57",
        "body.n  BatchNorm2d  (N, 3, 4, 5)           6",
        "act     Tanh         (N, 3, 4, 5)           0",
        "pool    AvgPool2d    (N, 3, 2, 2)           0",
        "flat    Flatten      (N, 12)                0",
        "head.0  Dropout      (N, 12)                0",
        "head.1  Linear       (N, 5)                65",
        "head.2  Dropout      (N, 5)                 0",
        "head.3  Linear       (N, 3)                18",
        "total: 146 parameters",
    ]


def test_summary_of_a_single_layer() -> None:
    assert nn.Linear(1000, 20).summary((1000,)).splitlines() == [
        "name  layer   output   parameters",
        "---------------------------------",
        "      Linear  (N, 20)      20,020",
        "total: 20,020 parameters",
    ]


def test_summary_counts_a_shared_layer_once() -> None:
    assert shared().summary((4,)).splitlines()[2:] == [
        "0     Linear  (N, 4)          20",
        "1     Tanh    (N, 4)           0",
        "0:2   Linear  (N, 4)          20",
        "3     Linear  (N, 2)          10",
        "total: 30 parameters",
    ]


@every_case
def test_every_layer_has_a_summary(case: LayerCase, library: Any) -> None:
    model = fill(case.make())
    before = host(model.state_dict())
    shape = case.shape[1:] if len(case.shape) > 1 else case.shape
    dtype = None if case.indices is None else "int64"
    assert "parameters" in model.summary(shape, dtype)
    assert_equal(host(model.state_dict()), before)


REPRS = {
    "Linear(in_features=5, out_features=3, bias=True)": nn.Linear(5, 3),
    "Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1))": nn.Conv2d(2, 3, 3),
    "Conv2d(4, 2, kernel_size=(3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, "
    "bias=False)": nn.Conv2d(4, 2, (3, 2), (2, 1), (1, 2), (1, 2), 2, False),
    "MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))": nn.MaxPool2d(3, 2, 1),
    "AvgPool2d(kernel_size=(2, 2), stride=(2, 2))": nn.AvgPool2d(2),
    "BatchNorm1d(3, eps=1e-05, momentum=None)": nn.BatchNorm1d(3, momentum=None),
    "LeakyReLU(negative_slope=0.2)": nn.LeakyReLU(0.2),
    "ReLU()": nn.ReLU(),
    "PReLU(num_parameters=3)": nn.PReLU(3),
    "ELU(alpha=1.0)": nn.ELU(),
    "Softplus(beta=2.0, threshold=20.0)": nn.Softplus(2),
    "GELU(approximate='tanh')": nn.GELU("tanh"),
    "Softmax(dim=1)": nn.Softmax(1),
    "LayerNorm((3,), eps=1e-05)": nn.LayerNorm(3),
    "GroupNorm(2, 6, eps=0.001)": nn.GroupNorm(2, 6, 1e-3),
    "Dropout(p=0.5)": nn.Dropout(),
    "Dropout2d(p=0.2)": nn.Dropout2d(0.2),
    "Embedding(5, 3)": nn.Embedding(5, 3),
    "Embedding(5, 3, padding_idx=4)": nn.Embedding(5, 3, -1),
    "Flatten(start_dim=1, end_dim=-1)": nn.Flatten(),
    "Permute(0, 2, 1)": nn.Permute(0, 2, 1),
    "Reshape(3, -1)": nn.Reshape(3, -1),
    "Sequential(\n  (a): ReLU()\n  (b): Sequential(\n    (0): Tanh()\n  )\n)": nn.Sequential(
        {"a": nn.ReLU(), "b": nn.Sequential(nn.Tanh())}
    ),
    "CrossEntropyLoss()": nn.CrossEntropyLoss(),
}


@pytest.mark.parametrize("text", REPRS)
def test_repr(text: str) -> None:
    assert repr(REPRS[text]) == text


# --- errors --------------------------------------------------------------------------------------


def test_help_shows_the_arguments() -> None:
    signature = inspect.signature
    assert str(signature(nn.Dropout)) == "(p: float = 0.5)"
    assert list(signature(nn.Linear).parameters) == ["in_features", "out_features", "bias"]
    assert list(signature(nn.Sequential).parameters) == ["layers"]
    assert not signature(nn.ReLU).parameters
    assert list(signature(nn.MSELoss).parameters) == ["reduction"]


INPUTS = {
    "Linear: expected x of shape (…, 5), got (4, 6)": (nn.Linear(5, 3), (4, 6)),
    "Linear: expected x of shape (…, 5), got ()": (nn.Linear(5, 3), ()),
    "Conv2d: expected x of shape (N, 2, H, W), got (2, 5, 5)": (nn.Conv2d(2, 3, 3), (2, 5, 5)),
    "Conv2d: expected x of shape (N, 2, H, W), got (2, 3, 5, 5)": (nn.Conv2d(2, 3, 3), (2, 3, 5, 5)),
    "Conv2d: a window of (3, 3) (dilation (2, 2), padding ((1, 1), (1, 1))) does not fit into an image of 2×5": (nn.Conv2d(2, 3, 3, 1, 1, 2), (2, 2, 2, 5)),
    "MaxPool2d: expected x of shape (N, C, H, W), got (4, 4)": (nn.MaxPool2d(2), (4, 4)),
    "MaxPool2d: a window of (3, 3)": (nn.MaxPool2d(3), (1, 1, 2, 4)),
    "AvgPool2d: a window of (2, 2)": (nn.AvgPool2d(2), (1, 1, 4, 1)),
    "BatchNorm1d: expected x of shape (N, 3) or (N, 3, L), got (4, 2)": (nn.BatchNorm1d(3), (4, 2)),
    "BatchNorm1d: expected x of shape (N, 3) or (N, 3, L), got (4, 3, 2, 2)": (nn.BatchNorm1d(3), (4, 3, 2, 2)),
    "BatchNorm1d: needs more than one value per channel, got shape (1, 3)": (nn.BatchNorm1d(3), (1, 3)),
    "BatchNorm1d: needs more than one value per channel, got shape (0, 3)": (nn.BatchNorm1d(3), (0, 3)),
    "BatchNorm2d: expected x of shape (N, 3, H, W), got (4, 3)": (nn.BatchNorm2d(3), (4, 3)),
    "BatchNorm2d: needs more than one value per channel, got shape (1, 3, 1, 1)": (nn.BatchNorm2d(3), (1, 3, 1, 1)),
    "Flatten: cannot flatten axes 1 to -1 of shape (3,)": (nn.Flatten(), (3,)),
    "Flatten: cannot flatten axes 2 to 3 of shape (3, 2, 2)": (nn.Flatten(2, 3), (3, 2, 2)),
    "PReLU: expected x of shape (N, 3, …), got (2, 4)": (nn.PReLU(3), (2, 4)),
    "PReLU: expected x of shape (N, 3, …), got (3,)": (nn.PReLU(3), (3,)),
    "Softmax: there is no axis 1 in x of shape (3,)": (nn.Softmax(1), (3,)),
    "LogSoftmax: there is no axis -3 in x of shape (3, 4)": (nn.LogSoftmax(-3), (3, 4)),
    "LayerNorm: expected x of shape (…, 2, 3), got (4, 3, 2)": (nn.LayerNorm((2, 3)), (4, 3, 2)),
    "LayerNorm: expected x of shape (…, 2, 3), got (3,)": (nn.LayerNorm((2, 3)), (3,)),
    "GroupNorm: expected x of shape (N, 4, …), got (2, 3, 5)": (nn.GroupNorm(2, 4), (2, 3, 5)),
    "GroupNorm: expected x of shape (N, 4, …), got (4,)": (nn.GroupNorm(2, 4), (4,)),
    "Dropout2d: expected x of shape (N, C, H, W), got (4, 3, 2)": (nn.Dropout2d(), (4, 3, 2)),
    "Reshape: cannot make (N, 5) of x of shape (2, 4)": (nn.Reshape(5), (2, 4)),
    "Reshape: cannot make (N, 3, -1) of x of shape (2, 4)": (nn.Reshape(3, -1), (2, 4)),
    "Reshape: cannot make (N, 1) of x of shape ()": (nn.Reshape(1), ()),
    "Linear 'fc2': expected x of shape (…, 4), got (2, 3)": (nn.Sequential({"fc1": nn.Linear(6, 3), "fc2": nn.Linear(4, 3)}), (2, 6)),
}  # fmt: skip


@pytest.mark.parametrize("message", INPUTS)
def test_wrong_shapes_of_x(message: str) -> None:
    layer, shape = INPUTS[message]
    with pytest.raises(ValueError, match=r"^\w+( '\w+')?: ") as caught:
        layer.vjp(pn.asarray(np.zeros(shape)), Context(True, rng=pn.Key(0)))
    assert message in str(caught.value)


WITH_ARRAYS = [c for c in LAYERS if c.make().state_dict() and c.indices is None]


@pytest.mark.parametrize("case", WITH_ARRAYS, ids=ids(WITH_ARRAYS))
def test_x_in_another_dtype_than_the_layers(case: LayerCase, library: Any) -> None:
    x = library.array(case.x())
    library.select("float32")
    with pytest.raises(
        TypeError, match="expected x of float32, its parameters' dtype, got float64"
    ):
        fill(case.make())(x)


# A container's layers look for themselves.
TAKES_ANYTHING = {nn.Identity, nn.Flatten, nn.Permute, nn.Reshape, nn.Sequential}
PARTICULAR = [
    case for case in LAYERS if type(case.make()) not in TAKES_ANYTHING and case.indices is None
]


@pytest.mark.parametrize("case", PARTICULAR, ids=ids(PARTICULAR))
def test_x_that_is_no_array_of_floats(case: LayerCase, library: Any) -> None:
    integers = library.array(np.ones(case.shape, "int64"))
    with pytest.raises(TypeError, match=r"expected (floating-point x|x of float\d\d).*got int64"):
        case.make()(integers)
    with pytest.raises(TypeError, match=r"expected an array of one of .*numpy.*, got list"):
        case.make().vjp([[1.0, 2.0]], Context())


def test_mixed_backends_are_both_named() -> None:
    pn.set_backend("numpy")
    model = mlp().initialize()
    pn.set_backend("strict")
    x = pn.asarray(np.ones((2, 6)))
    with pytest.raises(pn.BackendMismatchError, match=r"strict on .* and of numpy on cpu met"):
        model(x)


def test_mixed_devices_are_both_named() -> None:
    pn.set_backend("strict", device="CPU_DEVICE")
    model = mlp().initialize()
    pn.set_backend("strict", device="device1")
    with pytest.raises(pn.BackendMismatchError, match=r"device1.*CPU_DEVICE"):
        model(pn.asarray(np.ones((2, 6))))


@pytest.mark.parametrize("shape", [(0, 5), (0, 3, 5)])
def test_linear_takes_an_empty_batch(library: Any, shape: Any) -> None:
    layer = nn.Linear(5, 2)
    y, pullback = layer.vjp(library.array(np.zeros(shape)), Context())
    library.check(y, (*shape[:-1], 2))
    dx, grads = pullback(y)
    library.check(dx, shape)
    np.testing.assert_array_equal(library.host(grads["weight"]), np.zeros((2, 5)))


def test_an_attribute_that_is_replaced_is_no_child_any_more() -> None:
    class Pair(nn.Layer):
        def __init__(self) -> None:
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    layer = Pair()
    layer.a = None
    assert list(layer.params) == ["b.weight", "b.bias"]
    layer.b = nn.Linear(3, 3, bias=False)
    assert {n: p.shape for n, p in layer.params.items()} == {"b.weight": (3, 3)}


# --- what looks right and would be lost ----------------------------------------------------------


def test_a_sequential_refuses_what_it_would_not_run() -> None:
    model = nn.Sequential({"c1": nn.Linear(4, 3), "f": nn.Linear(3, 2)})
    for change in (
        lambda: setattr(model, "c1", nn.Linear(4, 3)),
        lambda: setattr(model, "extra", nn.Linear(2, 2)),
        lambda: model.add_child("2", nn.Linear(2, 2)),
    ):
        with pytest.raises(TypeError, match="its layers are fixed; make a new one"):
            change()
    assert list(model.children) == ["c1", "f"]
    swapped = nn.Sequential({**model.children, "f": nn.Linear(3, 5)})
    assert swapped(np.zeros((1, 4), "float32")).shape == (1, 5)


def test_layers_in_a_list_and_arrays_as_attributes_are_refused() -> None:
    class Stack(nn.Layer):
        def __init__(self) -> None:
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(TypeError, match="'layers': layers in a list would not be trained"):
        Stack()
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"assign to params\['weight'\]"):
        layer.weight = np.zeros((2, 2))
    with pytest.raises(ValueError, match="there is an array 'weight' already"):
        layer.add_buffer("weight", (2,), 0.0)


@pytest.mark.parametrize(
    ("fill", "dtype"), [(True, "bool"), (3, "int64"), (float("-inf"), None), (0.5, "float32")]
)
def test_what_a_buffer_begins_with(library: Any, fill: Any, dtype: Any) -> None:
    layer = nn.Layer()
    layer.add_buffer("b", (2, 3), fill, dtype)
    library.check(layer.buffers["b"], (2, 3), dtype)
    np.testing.assert_array_equal(library.host(layer.buffers["b"]), np.full((2, 3), fill))


def test_a_deleted_attribute_is_no_child_any_more() -> None:
    class One(nn.Layer):
        def __init__(self) -> None:
            self.a = nn.Linear(2, 2)

    layer = One()
    del layer.a
    assert not layer.children
    assert not layer.params


def test_initialize_takes_numbers_and_says_what_it_does_not_take() -> None:
    layer = nn.Linear(3, 3).initialize(bias=0.0, weight=2)
    assert (layer.params["bias"] == 0).all()
    assert (layer.params["weight"] == 2).all()
    for wrong in ("he", nn.Zeros, np.zeros(3)):
        with pytest.raises(TypeError, match="bias must be a number or an initialization such as"):
            layer.initialize(bias=wrong)

    class Bare(nn.Layer):
        def __init__(self) -> None:
            self.add_parameter("w", (3,), nn.HeNormal())

    with pytest.raises(ValueError, match=r"HeNormal.*needs the fans: add_parameter"):
        _ = Bare().params


def test_initial_weights_do_not_depend_on_other_containers() -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer).initialize(0)
    before = np.array(model.params["0.weight"])
    nn.Sequential({"x": layer})
    np.testing.assert_array_equal(model.initialize(0).params["0.weight"], before)


def test_to_takes_a_device_alone_and_only_float_dtypes() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(pn.BackendError, match="no device 'nonsense'"):
        model.to(device="nonsense")
    assert model.to(device="cpu") is model
    strict = pn.set_backend("strict", device="CPU_DEVICE")
    assert model.to(strict, device="device1").params["weight"].device != strict.device
    for dtype in ("int32", "float16"):
        with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'"):
            model.to(dtype=dtype)


def test_backward_refuses_another_dtype_or_backend() -> None:
    layer = nn.Linear(2, 2)
    y = layer.forward(np.ones((1, 2), "float32"))
    with pytest.raises(ValueError, match="expected dy as the output, float32"):
        layer.backward(np.ones_like(y, dtype="float64"))
    with pn.use_backend("strict"), pytest.raises(pn.BackendMismatchError):
        layer.backward(pn.asarray(np.ones((1, 2))))
    assert layer.backward(np.ones_like(y)).dtype == np.float32


def test_layers_may_be_abstract_classes() -> None:
    class Abstract(nn.Layer, abc.ABC):
        pass

    assert issubclass(Abstract, nn.Layer)


def test_moved_arrays_can_be_written(library: Any) -> None:
    """Before NumPy 2.2, what comes from another library is a read-only view of its memory."""
    model = nn.Linear(3, 2).initialize(0)
    moved = model.to("numpy")
    moved.params["weight"] = np.ones((2, 3))
    assert (moved.params["weight"] == 1.0).all()
