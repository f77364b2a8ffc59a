"""A layer of one's own that returns something else than it should is named wherever it runs."""

from functools import wraps
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim

X = np.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")  # two samples look like a pair
VJP = {"y": lambda x: x, "a list": lambda x: [x, None], "three": lambda x: (x, None, {})}
PULLBACK = {"dx": lambda dy: dy, "a list": lambda dy: [dy, {}], "no dict": lambda dy: (dy, None)}


class Own(nn.Layer):
    """Gives what it is told to give."""

    def __init__(self, given: Any) -> None:
        self.add_parameter("weight", (3,), nn.Ones())
        self.given = given

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return self.given(x)


def of_pullback(given: Any) -> Own:
    return Own(lambda x: (x, given))


def trained(model: nn.Layer) -> None:
    pn.Trainer(model, nn.MSELoss(), optim.SGD(model)).fit((X, X), batch_size=2, progress=False)


def backward(model: nn.Layer) -> None:
    model.backward(model.forward(X, training=True))


RUNS = {
    "call": lambda model: model(X),
    "forward": backward,
    "check_gradients": lambda model: pn.check_gradients(model, X),
    "fit": trained,
}
every_model = pytest.mark.parametrize(
    ("made", "name"), [(lambda own: own, "Own"), (lambda own: nn.Sequential({"own": own}), "own")]
)


@every_model
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("given", VJP)
def test_no_pair_of_output_and_pullback(made: Any, name: str, run: str, given: str) -> None:
    expected = rf"{name}.*: vjp must return \(y, pullback\), got (numpy.ndarray|list|a tuple)"
    with pytest.raises(TypeError, match=expected):
        RUNS[run](made(Own(VJP[given])))


@every_model
@pytest.mark.parametrize("run", ["forward", "check_gradients", "fit"])
@pytest.mark.parametrize("given", PULLBACK)
def test_no_pair_of_gradients(made: Any, name: str, run: str, given: str) -> None:
    expected = rf"{name}.*: the pullback must return \(dx, grads\), got (numpy|list|a tuple)"
    with pytest.raises(TypeError, match=expected):
        RUNS[run](made(of_pullback(PULLBACK[given])))


@pytest.mark.parametrize("method", ["vjp", "compute"])
def test_a_method_that_cannot_be_called_is_refused_when_it_is_written(method: str) -> None:
    with pytest.raises(TypeError, match=rf"Wrong.{method} takes \(self\), but is called with"):
        type("Wrong", (nn.Layer,), {method: lambda self: None})


def test_a_decorated_method_is_called_as_its_decorator_takes_it() -> None:
    def doubling(vjp: Any) -> Any:
        return wraps(vjp)(lambda self, x, ctx: vjp(self, x, ctx, 2.0))

    class Doubling(nn.Layer):
        @doubling
        def vjp(self, x: Any, ctx: nn.Context, factor: float) -> Any:
            return factor * x, lambda dy: (factor * dy, {})

    np.testing.assert_array_equal(Doubling()(X), 2.0 * X)
