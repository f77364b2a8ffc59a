"""The gradient check finds what is wrong, says where, and leaves everything as it is."""

from typing import Any

import numpy as np
import pytest
from cases import fill, numbers

import portanet as pn
from portanet import nn
from portanet.gradcheck import GradientReport, check_gradients
from portanet.nn import Context

X = numbers("x", (4, 5))


def wrong(change: Any) -> nn.Layer:
    """Return a linear layer, 5 to 5, whose gradients (dx, grads) are changed."""

    class Wrong(nn.Linear):
        def vjp(self, x: Any, ctx: Context) -> Any:
            y, pullback = super().vjp(x, ctx)
            weight = self.own_params["weight"]

            def changed(dy: Any) -> Any:
                dx, grads = pullback(dy)
                return change({"x": dx, "dy": dy, "in": x, "W": weight, **grads})

            return y, changed

    return fill(Wrong(5, 5))


def result(g: dict[str, Any], **changes: Any) -> Any:
    g = g | changes
    return g["x"], {"weight": g["weight"], "bias": g["bias"]}


FAULTS = {
    "nothing": (lambda g: result(g), None),
    "wrong sign of dx": (lambda g: result(g, x=-g["x"]), "x"),
    "wrong sign of a parameter's": (lambda g: result(g, bias=-g["bias"]), "bias"),
    "missing factor 2": (lambda g: result(g, weight=g["weight"] / 2), "weight"),
    "transposed product": (lambda g: result(g, weight=g["weight"].T), "weight"),
    "untransposed weight": (lambda g: result(g, x=g["dy"] @ g["W"].T), "x"),
    "sum over the wrong axis": (lambda g: result(g, bias=wrong_axis(g["dy"])), "bias"),
    "mean for a sum": (lambda g: result(g, bias=g["bias"] / 4), "bias"),
    "forgotten gradient": (lambda g: result(g, x=g["x"] * 0), "x"),
    "one wrong element": (lambda g: result(g, weight=spoiled(g["weight"], -5.0)), "weight"),
    "not a number": (lambda g: result(g, weight=spoiled(g["weight"], np.nan)), "weight"),
    "infinite": (lambda g: result(g, weight=spoiled(g["weight"], np.inf)), "weight"),
}


def wrong_axis(dy: Any) -> Any:
    rows = pn.backend_of(dy).to_numpy(dy).sum(axis=1)
    return pn.asarray(np.append(rows, 0.0), str(rows.dtype))


def spoiled(array: Any, factor: float) -> Any:
    array = pn.backend_of(array).xp.asarray(array, copy=True)
    array[1, 2] = array[1, 2] * factor
    return array


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str, elementwise: bool, place: Any) -> None:
    change, where = FAULTS[fault]
    bound = 1e-7 if place.dtype == "float64" else 1e-2
    report = check_gradients(wrong(change), place.array(X), elementwise=elementwise)
    assert set(report.errors) == {"x", "weight", "bias"}
    for name, error in report.errors.items():
        assert (error <= bound) == (name != where), f"{name}: {error}"
    if where:
        assert report.where.partition("[")[0] == where
        assert not report.error <= 0.01
        assert (report.where == where) == (not elementwise)


def test_the_wrong_element_is_named(place: Any) -> None:
    for fault in ("one wrong element", "not a number", "infinite"):
        report = check_gradients(wrong(FAULTS[fault][0]), place.array(X), elementwise=True)
        assert report.where == "weight[1, 2]"
        assert str(report).endswith(" at weight[1, 2]")


MISSING = {
    r"returns gradients for \['weight'\], but the parameters are \['bias', 'weight'\]": (
        lambda g: (g["x"], {"weight": g["weight"]})
    ),
    r"returns gradients for \['bias', 'w', 'weight'\]": (
        lambda g: (g["x"], {**result(g)[1], "w": g["weight"]})
    ),
    r"gradient of 'x': expected shape \(4, 5\), got None": lambda g: (None, result(g)[1]),
    r"gradient of 'x': expected shape \(4, 5\), got \(5, 4\)": lambda g: result(g, x=g["x"].T),
    r"gradient of 'bias': expected shape \(5,\), got \(5, 1\)": (
        lambda g: result(g, bias=g["bias"][:, None])
    ),
}


@pytest.mark.parametrize("message", MISSING)
def test_missing_and_misshapen_gradients(message: str, place: Any) -> None:
    with pytest.raises(ValueError, match=message):
        check_gradients(wrong(MISSING[message]), place.array(X))


def test_a_loss_with_a_fault(place: Any) -> None:
    class Doubled(nn.MSELoss):
        def vjp(self, *args: Any, **kwargs: Any) -> Any:
            value, pullback = super().vjp(*args, **kwargs)
            return value, lambda dvalue=1.0: 2.0 * pullback(dvalue)

    target = place.array(numbers("target", X.shape))
    report = check_gradients(Doubled(), place.array(X), target)
    assert report.where == "x"
    assert report.error == pytest.approx(0.5, rel=1e-2)


def test_a_forgotten_weight_of_a_sample_shows(place: Any) -> None:
    class Unweighted(nn.MSELoss):
        def vjp(self, scores: Any, target: Any, sample_weight: Any = None, n: Any = None) -> Any:
            value, _ = super().vjp(scores, target, sample_weight, n)
            return value, super().vjp(scores, target, None, n)[1]

    arrays = [place.array(numbers(name, X.shape)) for name in ("x", "target")]
    weights = place.array([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="Unweighted: vjp does not weigh the samples by sample_w"):
        check_gradients(Unweighted(), *arrays, sample_weight=weights)
    assert check_gradients(Unweighted(), *arrays).error < 1e-2
    assert check_gradients(nn.MSELoss(), *arrays, sample_weight=weights).error < 1e-2


@pytest.mark.parametrize("elementwise", [False, True])
def test_the_layer_stays_as_it_is(elementwise: bool, place: Any) -> None:
    model = fill(nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Dropout(0.2)))
    arrays = {**model.params, **model.buffers}
    before = {name: place.host(array) for name, array in arrays.items()}
    x = place.array(X)
    check_gradients(model, x, elementwise=elementwise)
    np.testing.assert_array_equal(place.host(x), X.astype(place.dtype))
    assert model.grads == {}
    for name, array in {**model.params, **model.buffers}.items():
        assert array is arrays[name]
        np.testing.assert_array_equal(place.host(array), before[name])


def test_a_float32_layer_can_be_checked_in_float64() -> None:
    pn.set_backend("numpy", dtype="float32")
    layer = fill(nn.Linear(5, 3))
    assert check_gradients(layer, X.astype("float64")).error < 1e-7
    assert str(layer.params["weight"].dtype) == "float32"
    assert check_gradients(layer, X.astype("float32")).error < 1e-2


def test_the_check_repeats_itself_and_its_seed_counts(place: Any) -> None:
    layer, x = fill(nn.Sequential(nn.Linear(5, 3), nn.Tanh())), place.array(X)
    first = check_gradients(layer, x)
    assert first == check_gradients(layer, x)
    assert first != check_gradients(layer, x, seed=1)


def test_inference_is_checked_where_asked(place: Any) -> None:
    class WrongInTraining(nn.Layer):
        def vjp(self, x: Any, ctx: Context) -> Any:
            factor = 2.0 if ctx.training else 1.0
            return x * 1.0, lambda dy: (factor * dy, {})

    x = place.array(X)
    assert check_gradients(WrongInTraining(), x).error > 0.4
    assert check_gradients(WrongInTraining(), x, training=False).error < 1e-2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float, place: Any) -> None:
    x = np.array(X)
    x[1, 1] = value
    with pytest.raises(ValueError, match="x contains numbers that are not finite"):
        check_gradients(nn.Tanh(), place.array(x))


def test_a_gradient_of_zero_is_right_where_nothing_depends_on_x(place: Any) -> None:
    report = check_gradients(nn.Dropout(1.0), place.array(X))
    assert report == GradientReport(0.0, "x", {"x": 0.0})


def test_an_empty_input_is_refused_or_right() -> None:
    report = check_gradients(nn.Tanh(), np.zeros((0, 3)))
    assert report.error <= 0.0


class InPlace(nn.Layer):
    """y = 3 x, with a pullback, or a forward pass, that writes into what it was given."""

    def __init__(self, what: str) -> None:
        self.what = what

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        what = self.what
        if what == "x":
            x *= 3
            return x, lambda dy: (3 * dy, {})

        def pullback(dy: Any) -> Any:
            dy *= 0
            return dy, {}

        return 3 * x, pullback


@pytest.mark.parametrize("what", ["x", "dy"])
def test_changing_what_was_given_is_an_error(what: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    with pytest.raises(ValueError, match=f"InPlace: {what} was changed in place"):
        check_gradients(InPlace(what), x)


def test_a_pullback_that_reads_the_layer_is_found() -> None:
    class Stateful(nn.Layer):
        def vjp(self, x: Any, ctx: nn.Context) -> Any:
            self.x = x
            return x**2, lambda dy: (2 * self.x * dy, {})

    x = np.random.default_rng(0).normal(size=(3, 4))
    assert check_gradients(Stateful(), x).error > 0.05


def test_of_integers_only_the_parameters_are_checked(place: Any) -> None:
    class Doubled(nn.Embedding):
        def vjp(self, x: Any, ctx: Context) -> Any:
            y, pullback = super().vjp(x, ctx)
            return y, lambda dy: pullback(2.0 * dy)

    x = place.array([[0, 3], [3, 1]])
    bound = 1e-7 if place.dtype == "float64" else 1e-2
    for elementwise in (False, True):
        report = check_gradients(nn.Embedding(4, 3), x, elementwise=elementwise)
        assert report.errors.keys() == {"weight"}
        assert report.error <= bound
        report = check_gradients(Doubled(4, 3), x, elementwise=elementwise)
        assert report.error == pytest.approx(0.5, rel=1e-2)


def test_integers_and_no_parameters_leave_nothing_to_check(place: Any) -> None:
    with pytest.raises(ValueError, match="x holds integers, and there are no parameters"):
        check_gradients(nn.Flatten(), place.array([[1, 2]]))


def test_a_layer_takes_no_target() -> None:
    with pytest.raises(TypeError, match="a layer takes neither target"):
        check_gradients(nn.Tanh(), np.ones((2, 2)), np.ones(2))
