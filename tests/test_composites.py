"""Layers made of layers: what `compute` may do, what is frozen, what is refused."""

from typing import Any

import numpy as np
import pytest
from cases import fill, numbers

import portanet as pn
from portanet import nn, optim
from portanet.nn import Context, calls


class Block(nn.Layer):
    """A residual block, once as a composite …"""

    def __init__(self) -> None:
        self.fc1, self.act, self.fc2 = nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4)

    def compute(self, x: nn.Node) -> nn.Node:
        return self.fc2(self.act(self.fc1(x))) + x


class ByHand(Block):
    """… and once with its pullback written out."""

    def vjp(self, x: Any, ctx: Context) -> Any:
        z1, back1 = ctx.run("fc1", self.fc1, x)
        a, back = ctx.run("act", self.act, z1)
        z2, back2 = ctx.run("fc2", self.fc2, a)

        def pullback(dy: Any) -> Any:
            da, grads2 = back2(dy)
            dx, grads1 = back1(back(da)[0])
            grads = {f"fc1.{key}": grad for key, grad in grads1.items()}
            return dx + dy, grads | {f"fc2.{key}": grad for key, grad in grads2.items()}

        return z2 + x, pullback


def test_a_composite_is_what_one_would_write_by_hand(library: Any) -> None:
    x, dy = library.array(numbers("x", (3, 4))), library.array(numbers("dy", (3, 4)))
    got, expected = (fill(block).vjp(x, Context(True)) for block in (Block(), ByHand()))
    assert library.host(got[0]).tolist() == library.host(expected[0]).tolist()
    (dx, grads), (expected_dx, expected_grads) = got[1](dy), expected[1](dy)
    np.testing.assert_allclose(library.host(dx), library.host(expected_dx), rtol=library.rtol)
    assert grads.keys() == expected_grads.keys() == Block().params.keys()
    for name, grad in grads.items():
        np.testing.assert_allclose(
            library.host(grad), library.host(expected_grads[name]), rtol=library.rtol
        )


class Twice(nn.Layer):
    """Calls one dropout twice."""

    def __init__(self) -> None:
        self.drop = nn.Dropout(0.5)

    def compute(self, x: nn.Node) -> nn.Node:
        return nn.concat([self.drop(x), self.drop(x)])


def test_a_dropout_called_twice_draws_twice(library: Any) -> None:
    x = library.array(np.ones((20, 10)))
    y = library.host(Twice().vjp(x, Context(True, pn.Key(0)))[0])
    assert (y[:, :10] != y[:, 10:]).any()
    again = library.host(Twice().vjp(x, Context(True, pn.Key(0)))[0])
    assert (y == again).all()


class Inner(nn.Layer):
    """Calls a layer that lies deeper, and leaves one of its own uncalled."""

    def __init__(self) -> None:
        self.body = nn.Sequential({"a": nn.Linear(3, 3), "b": nn.Linear(3, 2)})
        self.unused = nn.Linear(3, 3)

    def compute(self, x: nn.Node) -> nn.Node:
        assert x.shape == x.value.shape
        self.body(x)  # whose output is not used
        return self.body["a"](x)


def test_layers_within_layers_can_be_called(library: Any) -> None:
    model = fill(Inner())
    x = library.array(numbers("x", (2, 3)))
    y, pullback = model.vjp(x, Context(True))
    dx, grads = pullback(y)
    assert grads.keys() == {"body.a.weight", "body.a.bias"}
    expected_dx, expected = model.body["a"].vjp(x, Context(True))[1](y)
    assert (library.host(dx) == library.host(expected_dx)).all()
    assert (library.host(grads["body.a.bias"]) == library.host(expected["bias"])).all()


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat_is_numpys(library: Any, axis: int) -> None:
    class Join(nn.Layer):
        def __init__(self) -> None:
            self.tanh, self.relu = nn.Tanh(), nn.ReLU()

        def compute(self, x: nn.Node) -> nn.Node:
            return nn.concat([self.tanh(x), x, self.relu(x)], axis=axis)

    host = numbers("x", (2, 3, 4))
    y, pullback = Join().vjp(library.array(host), Context(True))
    expected = np.concatenate([np.tanh(host), host, np.maximum(host, 0)], axis=axis)
    np.testing.assert_allclose(library.host(y), expected, rtol=library.rtol)
    dy = numbers("dy", y.shape)
    a, b, c = np.split(dy, 3, axis=axis)
    expected = a * (1 - np.tanh(host) ** 2) + b + c * (host > 0)
    dx, _ = pullback(library.array(dy))
    np.testing.assert_allclose(library.host(dx), expected, rtol=library.rtol, atol=1e-12)


# --- freezing ------------------------------------------------------------------------------------


class Loud(nn.Layer):
    """Fails when its pullback is run."""

    def vjp(self, x: Any, ctx: Context) -> Any:
        needs_input_grad = ctx.needs_input_grad

        def pullback(dy: Any) -> Any:
            assert not needs_input_grad
            raise AssertionError("nobody asked for this gradient")

        return x, pullback


def test_a_frozen_beginning_costs_nothing() -> None:
    model = nn.Sequential({"c1": nn.Linear(4, 4), "loud": Loud(), "f": nn.Linear(4, 2)})
    x = pn.asarray(numbers("x", (3, 4)))
    y, pullback = model.vjp(x, Context(True, needs_input_grad=False))
    with pytest.raises(AssertionError):
        pullback(y)
    assert model["c1"].freeze() is model["c1"]
    y, pullback = model.vjp(x, Context(True, needs_input_grad=False))
    dx, grads = pullback(y)
    assert dx is None
    assert grads.keys() == {"f.weight", "f.bias"}
    model["c1"].unfreeze()
    with pytest.raises(AssertionError):
        model.vjp(x, Context(True, needs_input_grad=False))[1](y)


@pytest.mark.parametrize("before", [True, False])
def test_training_leaves_frozen_layers_as_they_are(library: Any, before: bool) -> None:
    model = nn.Sequential({"a": nn.Linear(4, 4), "act": nn.Tanh(), "f": nn.Linear(4, 2)})
    if before:
        model["a"].freeze()
    optimizer = optim.SGD(model, lr=0.1, momentum=0.9, weight_decay=0.1)
    if not before:
        model["a"].freeze()
    trainer = pn.Trainer(model, nn.MSELoss(), optimizer)
    start = {name: library.host(p) for name, p in model.state_dict().items()}
    data = (library.array(numbers("x", (8, 4))), library.array(numbers("y", (8, 2))))
    trainer.fit(data, epochs=2, batch_size=4, progress=False)
    changed = {n for n, p in model.params.items() if (library.host(p) != start[n]).any()}
    assert changed == {"f.weight", "f.bias"}
    model.unfreeze()
    trainer.fit(data, epochs=1, batch_size=4, progress=False)
    changed = {n for n, p in model.params.items() if (library.host(p) != start[n]).any()}
    assert changed == model.params.keys()


def test_a_frozen_layer_passes_gradients_on(library: Any) -> None:
    x, dy = library.array(numbers("x", (3, 4))), library.array(numbers("dy", (3, 4)))
    free = fill(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    dx, grads = free.vjp(x, Context(True))[1](dy)
    free[1].freeze()
    frozen_dx, frozen_grads = free.vjp(x, Context(True))[1](dy)
    assert (library.host(dx) == library.host(frozen_dx)).all()
    assert frozen_grads.keys() == {"0.weight", "0.bias"}
    assert (library.host(grads["0.weight"]) == library.host(frozen_grads["0.weight"])).all()


def test_a_layer_alone_can_be_frozen(library: Any) -> None:
    layer = nn.Linear(3, 2).freeze()
    optimizer = optim.SGD(layer, lr=0.1)
    before = library.host(layer.params["weight"])
    layer.forward(library.array(numbers("x", (2, 3))))
    layer.backward(library.array(numbers("dy", (2, 2))))
    optimizer.step(layer.grads)
    assert (library.host(layer.params["weight"]) == before).all()


# --- what a composite keeps of its layers --------------------------------------------------------


def gradients(model: nn.Layer, library: Any) -> set[str]:
    """Return the names of the gradients of a pass."""
    y, pullback = model.vjp(library.array(numbers("x", (2, 4))), Context(True))
    return set(pullback(y)[1])


def test_changes_elsewhere_cost_no_new_look(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(
        calls, "_calls", lambda layer, of=calls._calls: found.append(layer) or of(layer)
    )
    inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    model, other = (
        nn.Sequential(nn.Residual(inner), nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(4, 4)),
    )
    for each in (model, other, model):
        gradients(each, library)
    assert found == [model, model[0], inner, other]
    other.freeze()
    nn.Sequential(nn.ReLU())
    gradients(model, library)
    assert found == [model, model[0], inner, other]
    model[1].freeze()
    gradients(model, library)
    assert found == [model, model[0], inner, other, model]


def test_a_shared_layer_is_frozen_from_either_tree(library: Any) -> None:
    shared = nn.Linear(4, 4)
    trees = [nn.Sequential(shared, nn.Tanh()), nn.Sequential(nn.Linear(4, 4), shared)]
    assert [len(gradients(tree, library)) for tree in trees] == [2, 4]
    trees[1].freeze()
    assert [len(gradients(tree, library)) for tree in trees] == [0, 0]
    shared.unfreeze()
    assert [len(gradients(tree, library)) for tree in trees] == [2, 2]


class Pair(nn.Layer):
    """Adds what its layers make of x; they come and go."""

    def compute(self, x: nn.Node) -> nn.Node:
        return sum([layer(x) for layer in self.children.values()])  # type: ignore[return-value]


def test_layers_that_come_and_go_are_seen(library: Any) -> None:
    shared, pair = nn.Linear(4, 4), Pair()
    pair.a = shared
    model = nn.Sequential({"first": shared, "pair": pair})
    assert gradients(model, library) == {"first.weight", "first.bias"}
    pair.b = nn.Linear(4, 4)
    four = {"first.weight", "first.bias", "pair.b.weight", "pair.b.bias"}
    assert gradients(model, library) == four
    del pair.a  # under its other name it is there still
    assert gradients(model, library) == four
    del pair.b
    pair.c = nn.Tanh()
    assert gradients(model, library) == {"first.weight", "first.bias"}


# --- parts of a network --------------------------------------------------------------------------


def test_a_slice_is_a_sequential_of_the_same_layers(library: Any) -> None:
    model = nn.Sequential({"a": nn.Linear(4, 3), "act": nn.Tanh(), "b": nn.Linear(3, 2)})
    x = library.array(numbers("x", (5, 4)))
    features = model[:-1]
    assert type(features) is nn.Sequential
    assert list(features.children) == ["a", "act"]
    assert features["a"] is model["a"]
    expected = library.host(model["act"](model["a"](x)))
    assert (library.host(features(x)) == expected).all()
    assert [list(model[::2].children), list(model[3:].children)] == [["a", "b"], []]
    y, pullback = nn.Sequential(features, model[-1:]).vjp(x, Context(True))
    assert pullback(y)[1].keys() == {"0.a.weight", "0.a.bias", "1.b.weight", "1.b.bias"}


def test_a_slice_leaves_the_layers_names() -> None:
    shared = nn.Linear(3, 3)

    def make() -> nn.Layer:
        return nn.Sequential({"body": nn.Sequential(shared, nn.Linear(3, 3), shared)})

    expected = make().initialize(0).state_dict()
    model = make()
    part = model["body"][1:]
    assert [layer.label for layer in part] == ["Linear 'body.1'", "Linear 'body.0'"]
    for name, array in model.initialize(0).state_dict().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    fresh = nn.Sequential({"body": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))})
    assert len(fresh["body"][:1].params) == 2  # drawn now, under its name in the whole
    np.testing.assert_array_equal(fresh.params["body.0.weight"], expected["body.0.weight"])


# --- errors --------------------------------------------------------------------------------------


def composite(compute: Any, **layers: nn.Layer) -> nn.Layer:
    """Return a composite of these layers."""

    class Composite(nn.Layer):
        def __init__(self) -> None:
            for name, layer in layers.items():
                setattr(self, name, layer)

        def compute(self, x: nn.Node) -> nn.Node:
            return compute(self, x)

    return Composite()


def test_differences_and_scaled_nodes(library: Any) -> None:
    model = fill(
        composite(lambda me, x: me.f(x) - 0.5 * me.g(x) * 3, f=nn.Linear(4, 3), g=nn.Linear(4, 3))
    )
    report = pn.check_gradients(model, library.array(numbers("x", (2, 4))))
    assert report.error < 1e-6


NUMBERS = {
    "sum": (lambda a, b: sum([a, b]), lambda a, b: a + b),
    "numbers": (lambda a, b: 2 + a - 3 * b - 4, lambda a, b: a - 3 * b - 2),
    "from a number": (lambda a, b: (1 - a) * b, lambda a, b: (1 - a) * b),
    "minus": (lambda a, b: -(-a + b), lambda a, b: a - b),
    "quotient": (lambda a, b: a / 2 - b / np.float32(4), lambda a, b: a / 2 - b / 4),
}


@pytest.mark.parametrize("formula", NUMBERS)
def test_nodes_meet_numbers(library: Any, formula: str) -> None:
    nodes, arrays = NUMBERS[formula]
    linear, tanh = fill(nn.Linear(4, 4)), nn.Tanh()
    model = composite(lambda me, x: nodes(me.f(x), me.g(x)), f=linear, g=tanh)
    x = library.array(numbers("x", (2, 4)))
    y, expected = model(x), arrays(library.host(linear(x)), library.host(tanh(x)))
    np.testing.assert_allclose(library.host(y), expected, rtol=library.rtol)
    assert y.dtype == x.dtype
    assert pn.check_gradients(model, x).error < 1e-6


class Keeps(nn.Layer):
    """Hands a node of its own to whoever looks for it."""

    def __init__(self) -> None:
        self.a = nn.Linear(4, 4)

    def compute(self, x: nn.Node) -> nn.Node:
        self.kept = self.a(x)
        return self.kept


def test_a_node_of_another_compute_is_refused(library: Any) -> None:
    model = composite(lambda me, x: me.inner(x) + me.inner.kept, inner=Keeps())
    with pytest.raises(ValueError, match="a node of another compute"):
        model(library.array(numbers("x", (2, 4))))


def test_a_pullback_that_lacks_a_gradient_is_named(library: Any) -> None:
    class Lacking(nn.Linear):
        def vjp(self, x: Any, ctx: Context) -> Any:
            y, pullback = super().vjp(x, ctx)
            return y, lambda dy: (pullback(dy)[0], {})

    x = library.array(numbers("x", (2, 4)))
    y, pullback = nn.Sequential(Lacking(4, 4)).vjp(x, Context(True))
    lacks = r"layer '0': the pullback lacks gradients for \['0.bias', '0.weight'\]"
    with pytest.raises(ValueError, match=lacks):
        pullback(y)


def test_frozen_is_set_as_freeze_does() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model.frozen = True
    assert model[1].frozen
    model[1].frozen = False
    assert [layer.frozen for layer in model] == [True, False]
    for word in ("trainable", "requires_grad"):
        with pytest.raises(TypeError, match="freeze\\(\\) and unfreeze"):
            setattr(model, word, False)


def test_gradients_of_a_frozen_layer_can_be_checked() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2).freeze())
    assert pn.check_gradients(model, numbers("x", (3, 4))).error < 1e-6
    assert model[2].frozen


STRANGER = nn.Tanh()
WRONG = {
    "a stranger": (lambda me, x: STRANGER(x), ValueError, "Tanh that is no part of it"),
    "itself": (lambda me, x: me(x), ValueError, "no part of it"),
    "an array": (lambda me, x: x.value, TypeError, "must return a node of its own, got"),
    "nothing": (lambda me, x: None, TypeError, "got NoneType"),
    "shapes": (lambda me, x: me.f(x) + x, ValueError, r"\(2, 3\) \+ \(2, 4\)"),
    "product": (lambda me, x: x * me.f(x), ValueError, r"\(2, 4\) \* \(2, 3\)"),
    "a word": (lambda me, x: x + "1", TypeError, r"\+ str: expected a number, or a node"),
    "a quotient": (lambda me, x: x / x, TypeError, r"/ Node: expected a number"),
    "several": (lambda me, x: nn.concat(x, 1), TypeError, "concat takes a list"),
    "array methods": (lambda me, x: x.reshape(3, 4), AttributeError, "has no 'reshape'"),
    "concat": (lambda me, x: nn.concat([x, me.f(x)], axis=0), ValueError, "along axis 0"),
    "axis": (lambda me, x: nn.concat([x, x], axis=2), ValueError, "along axis 2"),
    "concat arrays": (lambda me, x: nn.concat([x, x.value]), TypeError, "joins the nodes"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_compute_may_not_do(library: Any, wrong: str) -> None:
    compute, error, message = WRONG[wrong]
    model = composite(compute, f=nn.Linear(4, 3))
    with pytest.raises(error, match=message):
        model(library.array(numbers("x", (2, 4))))


def test_a_layer_without_mathematics() -> None:
    class Torch(nn.Layer):
        def forward(self, x):  # type: ignore[no-untyped-def, override]
            return x

    for layer, hint in ((nn.Layer(), ""), (Torch(), r" \(call its forward compute\)")):
        with pytest.raises(NotImplementedError, match=f"defines neither vjp nor compute{hint}$"):
            layer(pn.asarray([[1.0]]))


def test_wrong_containers() -> None:
    with pytest.raises(ValueError, match="merge must be 'add' or 'concat', got 'sum'"):
        nn.Parallel(nn.Tanh(), merge="sum")
    with pytest.raises(ValueError, match="at least one branch"):
        nn.Parallel()
    with pytest.raises(TypeError, match="body must be a Layer"):
        nn.Residual([nn.Tanh()])
    with pytest.raises(ValueError, match=r"Residual: \(2, 3\) \+ \(2, 4\)"):
        nn.Residual(nn.Linear(4, 3))(pn.asarray(np.ones((2, 4))))


def test_how_containers_look() -> None:
    assert repr(nn.Parallel(nn.Tanh(), merge="concat")) == (
        "Parallel(\n  (0): Tanh()\n  merge='concat'\n)"
    )
    assert repr(nn.Residual(nn.Tanh())) == "Residual(\n  (body): Tanh()\n)"


# --- gates ---------------------------------------------------------------------------------------


class Gate(nn.Layer):
    """Squeeze and excitation: each channel weighed by what all of them say of the image."""

    def __init__(self, first: bool) -> None:
        self.mean, self.mix, self.gate = nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1), nn.Sigmoid()
        self.first = first

    def compute(self, x: nn.Node) -> nn.Node:
        gate = self.gate(self.mix(self.mean(x)))
        return gate * x if self.first else x * gate


@pytest.mark.parametrize("first", [True, False])
def test_a_factor_may_be_one_number_a_channel(library: Any, first: bool) -> None:
    model, host = fill(Gate(first)), numbers("x", (2, 3, 4, 5))
    x = library.array(host)
    weight, bias = (library.host(model.mix.params[n]) for n in ("weight", "bias"))
    means = host.mean(axis=(2, 3))
    gate = 1 / (1 + np.exp(-(means @ weight[:, :, 0, 0].T + bias)))[:, :, None, None]
    y = model.vjp(x, Context(True))[0]
    np.testing.assert_allclose(library.host(y), host * gate, rtol=library.rtol)
    if library.rtol < 1e-8:
        assert pn.check_gradients(model, x).error <= 1e-6


def test_both_factors_may_be_shorter_than_the_product() -> None:
    class Outer(nn.Layer):
        def __init__(self) -> None:
            self.rows, self.columns = nn.Linear(3, 1), nn.Sequential(nn.Permute(0, 2, 1))

        def compute(self, x: nn.Node) -> nn.Node:
            rows = self.rows(x)
            return rows * self.columns(rows)

    with pn.use_backend("numpy", dtype="float64"):
        x = pn.asarray(numbers("x", (2, 4, 3)))
        model = fill(Outer())
        rows = model.rows(x)
        np.testing.assert_allclose(model(x), rows * rows.transpose(0, 2, 1))
        assert pn.check_gradients(model, x).error <= 1e-6


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (2, 3, 1)])
def test_factors_that_fit_nowhere_are_refused(shape: tuple[int, ...]) -> None:
    class Other(nn.Layer):
        def __init__(self) -> None:
            self.cut = Cut(shape)

        def compute(self, x: nn.Node) -> nn.Node:
            return x * self.cut(x)

    with pytest.raises(ValueError, match=r"Other: \(2, 3\) \* .*equally long, or 1 but for the"):
        Other()(np.ones((2, 3), "float32"))


class Cut(nn.Layer):
    """Gives zeros of a certain shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def vjp(self, x: Any, ctx: Context) -> Any:
        return np.zeros(self.shape, "float32"), lambda dy: (None, {})
