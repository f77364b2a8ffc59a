"""The same numbers as PyTorch: layers and losses in generated shapes, optimizers, schedules."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, SCHEDULES, OptimizerCase, ScheduleCase, ids, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

import portanet as pn
from portanet import nn, optim
from portanet.nn import Context

torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")

BOUNDS = {"float64": 1e-10, "float32": 1e-5}
both_dtypes = pytest.mark.parametrize("dtype", BOUNDS)
generated = settings(max_examples=20, derandomize=True, deadline=None, database=None)
Draw = Callable[[st.SearchStrategy[Any]], Any]


def host(tensor: Any) -> Any:
    return tensor.detach().numpy()


def tensor(values: Any, dtype: str, grad: bool = False) -> Any:
    return torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=grad)


def assert_near(got: Any, expected: Any, bound: float, what: str) -> None:
    """Bound ‖got − expected‖ / ‖expected‖."""
    assert tuple(got.shape) == tuple(expected.shape), what
    distance, norm = np.linalg.norm(got - expected), np.linalg.norm(expected)
    assert distance <= bound * (norm or 1.0), f"{what}: {distance:.1e} of {norm:.1e}"


def assert_same_layer(
    ours: nn.Layer, theirs: Any, shape: tuple[int, ...], dtype: str, training: bool = True
) -> None:
    """Give both the same weights, x and dy; compare y and all gradients and buffers."""
    pn.set_backend("numpy", dtype=dtype)
    theirs = theirs.to(getattr(torch, dtype)).train(training)
    for name, array in theirs.named_parameters():
        array.data = tensor(numbers(name, tuple(array.shape)), dtype)
    ours.load_state_dict(theirs.state_dict())

    x = numbers("x", shape)
    their_x = tensor(x, dtype, grad=True)
    ctx = Context(training, rng=pn.Key(0))
    y, pullback = ours.vjp(pn.asarray(x), ctx)
    their_y = theirs(their_x)
    assert_near(y, host(their_y), BOUNDS[dtype], "y")

    dy = numbers("dy", y.shape) + 0.5  # a sum over it does not cancel
    dx, grads = pullback(pn.asarray(dy))
    their_y.backward(tensor(dy, dtype))
    expected = {"dx": their_x.grad} | {n: p.grad for n, p in theirs.named_parameters()}
    assert grads.keys() | {"dx"} == expected.keys()
    for name, array in {"dx": dx, **grads}.items():
        assert_near(array, host(expected[name]), BOUNDS[dtype], name)

    ctx.apply_updates()
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, array in ours.state_dict().items():
        assert str(array.dtype) == str(state[name].dtype).removeprefix("torch.")
        assert_near(array, host(state[name]), BOUNDS[dtype], name)
    # … and back
    theirs.load_state_dict({n: torch.tensor(a) for n, a in ours.state_dict().items()})
    if training:  # the running statistics that both have now
        assert_same_inference(ours, theirs, x, dtype)


def assert_same_inference(ours: nn.Layer, theirs: Any, x: Any, dtype: str) -> None:
    with torch.no_grad():
        expected = theirs.eval()(tensor(x, dtype))
    assert_near(ours(pn.asarray(x)), host(expected), BOUNDS[dtype], "y in inference")


# --- layers: each strategy draws (ours, theirs, the shape of x) ----------------------------------


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


def shapes(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, 5), min_size=low, max_size=high).map(tuple)


@st.composite
def linear(draw: Draw) -> Any:
    sizes = {"in_features": draw(st.integers(1, 9)), "out_features": draw(st.integers(1, 9))}
    options = sizes | {"bias": draw(st.booleans())}
    shape = (*draw(shapes(1, 3)), sizes["in_features"])
    return nn.Linear(**options), torch.nn.Linear(**options), shape


def image(draw: Draw, kernel: Any, padding: Any, dilation: Any = (1, 1)) -> tuple[int, int]:
    """Draw the height and width of an image that the window fits into."""
    least = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    return tuple(max(1, n) + draw(st.integers(0, 4)) for n in least)


@st.composite
def conv2d(draw: Draw) -> Any:
    groups = draw(st.integers(1, 3))
    options = {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": draw(pairs(1, 4)),
        "stride": draw(pairs(1, 3)),
        "padding": draw(st.one_of(pairs(0, 3), st.sampled_from(["same", "valid"]))),
        "dilation": draw(pairs(1, 3)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    if options["padding"] == "same":
        options["stride"] = (1, 1)
    pads = (0, 0) if isinstance(options["padding"], str) else options["padding"]
    size = image(draw, options["kernel_size"], pads, options["dilation"])
    shape = (draw(st.integers(1, 4)), options["in_channels"], *size)
    return nn.Conv2d(**options), torch.nn.Conv2d(**options), shape


@st.composite
def pool(draw: Draw, ours: Any, theirs: Any) -> Any:
    kernel = draw(pairs(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = draw(st.one_of(st.none(), pairs(1, 4)))
    shape = (*draw(pairs(1, 3)), *image(draw, kernel, padding))
    return ours(kernel, stride, padding), theirs(kernel, stride, padding), shape


@st.composite
def batch_norm(draw: Draw, ours: Any, theirs: Any, lengths: Any) -> Any:
    options = {
        "num_features": draw(st.integers(1, 4)),
        "eps": draw(st.sampled_from([1e-5, 1e-3])),
        "momentum": draw(st.one_of(st.none(), st.floats(0.0, 1.0))),
        "affine": draw(st.booleans()),
        "track_running_stats": draw(st.booleans()),
    }
    shape = (draw(st.integers(4, 8)), options["num_features"], *draw(lengths))
    return ours(**options), theirs(**options), shape


@st.composite
def flatten(draw: Draw) -> Any:
    shape = draw(shapes(1, 4))
    first = draw(st.integers(0, len(shape) - 1))
    last = draw(st.integers(first, len(shape) - 1))
    first, last = (d - draw(st.sampled_from([0, len(shape)])) for d in (first, last))
    return nn.Flatten(first, last), torch.nn.Flatten(first, last), shape


def elementwise(ours: Any, theirs: Any) -> Any:
    return st.tuples(st.builds(ours), st.builds(theirs), shapes(1, 4))


STRATEGIES = {
    nn.Linear: linear(),
    nn.Conv2d: conv2d(),
    nn.MaxPool2d: pool(nn.MaxPool2d, torch.nn.MaxPool2d),
    nn.AvgPool2d: pool(nn.AvgPool2d, torch.nn.AvgPool2d),
    nn.BatchNorm1d: batch_norm(nn.BatchNorm1d, torch.nn.BatchNorm1d, shapes(0, 1)),
    nn.BatchNorm2d: batch_norm(nn.BatchNorm2d, torch.nn.BatchNorm2d, shapes(2, 2)),
    nn.ReLU: elementwise(nn.ReLU, torch.nn.ReLU),
    nn.LeakyReLU: st.floats(-1.0, 1.0).flatmap(
        lambda slope: elementwise(lambda: nn.LeakyReLU(slope), lambda: torch.nn.LeakyReLU(slope))
    ),
    nn.Sigmoid: elementwise(nn.Sigmoid, torch.nn.Sigmoid),
    nn.Tanh: elementwise(nn.Tanh, torch.nn.Tanh),
    nn.Flatten: flatten(),
}
OF_THEIR_OWN = {nn.Dropout, nn.Sequential}  # tested below


def test_every_layer_has_a_strategy() -> None:
    public = {getattr(nn, name) for name in nn.__all__}
    layers = {c for c in public if isinstance(c, type) and issubclass(c, nn.Layer)} - {nn.Layer}
    assert STRATEGIES.keys() | OF_THEIR_OWN == layers


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@both_dtypes
@pytest.mark.parametrize("layer", STRATEGIES, ids=lambda layer: layer.__name__)
@generated
@given(data=st.data())
def test_layers(layer: Any, dtype: str, data: Any) -> None:
    ours, theirs, shape = data.draw(STRATEGIES[layer])
    training = data.draw(st.booleans()) if "BatchNorm" in layer.__name__ else True
    assert_same_layer(ours, theirs, shape, dtype, training)


@both_dtypes
def test_dropout(dtype: str) -> None:
    assert_same_layer(nn.Dropout(0.3), torch.nn.Dropout(0.3), (4, 5), dtype, training=False)
    pn.set_backend("numpy", dtype=dtype)
    for p in (0.0, 0.3, 1.0):
        values = [set(), set()]
        for found, y in zip(
            values,
            (
                nn.Dropout(p).forward(pn.asarray(np.ones((40, 40))), training=True),
                host(torch.nn.Dropout(p)(torch.ones((40, 40), dtype=getattr(torch, dtype)))),
            ),
            strict=True,
        ):
            found |= {round(float(v), 6) for v in np.unique(y)}
        assert values[0] == values[1]


def mlp() -> Any:
    def make(n: Any) -> Any:
        layers = OrderedDict(fc1=n.Linear(6, 5), act=n.Sigmoid(), fc2=n.Linear(5, 3))
        return n.Sequential(layers)

    return make(nn), make(torch.nn), (4, 6)


def cnn() -> Any:
    def make(n: Any) -> Any:
        body = n.Sequential(n.Conv2d(2, 4, 3, padding=1, bias=False), n.BatchNorm2d(4), n.ReLU())
        # A bias before a batch norm would have a gradient of zero, which has no relative error.
        tail = n.Sequential(n.Dropout(0.0), n.Linear(24, 5, bias=False), n.BatchNorm1d(5))
        middle = n.MaxPool2d(2), n.Conv2d(4, 6, 2, groups=2), n.Tanh(), n.Flatten()
        return n.Sequential(body, *middle, tail)

    return make(nn), make(torch.nn), (5, 2, 6, 6)


def twice() -> Any:
    def make(n: Any) -> Any:
        shared = n.Linear(4, 4)
        return n.Sequential(shared, n.LeakyReLU(), shared)

    return make(nn), make(torch.nn), (3, 4)


@both_dtypes
@pytest.mark.parametrize("network", [mlp, cnn, twice])
def test_networks(network: Any, dtype: str) -> None:
    assert_same_layer(*network(), dtype)


# --- losses --------------------------------------------------------------------------------------


def cross_entropy(scores: Any, target: Any) -> Any:
    return torch.nn.functional.cross_entropy(scores, target, reduction="none")


def squared_error(scores: Any, target: Any) -> Any:
    return torch.mean((scores - target) ** 2, dim=tuple(range(1, scores.ndim)))


@st.composite
def class_scores(draw: Draw) -> Any:
    n, k = draw(pairs(1, 7))
    if draw(st.booleans()):
        return (n, k), np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    soft = np.abs(numbers("soft", (n, k)))
    return (n, k), soft / (soft.sum(axis=1, keepdims=True) if draw(st.booleans()) else 1.0)


LOSSES = {
    nn.CrossEntropyLoss: (class_scores(), cross_entropy, torch.nn.CrossEntropyLoss),
    nn.MSELoss: (
        shapes(2, 4).map(lambda shape: (shape, numbers("target", shape))),
        squared_error,
        torch.nn.MSELoss,
    ),
}


def test_every_loss_has_a_strategy() -> None:
    public = {getattr(nn, name) for name in nn.__all__}
    losses = {c for c in public if isinstance(c, type) and issubclass(c, nn.Loss)} - {nn.Loss}
    assert LOSSES.keys() == losses


@both_dtypes
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@generated
@given(data=st.data())
def test_losses(loss: Any, dtype: str, data: Any) -> None:
    pn.set_backend("numpy", dtype=dtype)
    strategy, of_samples, module = LOSSES[loss]
    shape, target = data.draw(strategy)
    scores, scale = numbers("scores", shape), data.draw(st.sampled_from([1.0, 30.0]))
    their_scores = tensor(scale * scores, dtype, grad=True)
    indices = target.dtype.kind == "i"
    their_target = torch.tensor(target) if indices else tensor(target, dtype)
    weights = None
    if data.draw(st.booleans()):
        weights = pn.asarray(np.abs(numbers("weights", shape[:1])))
        w = tensor(weights, dtype)
        expected = torch.sum(of_samples(their_scores, their_target) * w) / torch.sum(w)
    else:
        expected = module()(their_scores, their_target)
    expected.backward()
    expected = expected.item()

    value, pullback = loss().vjp(pn.asarray(scale * scores), pn.asarray(target), weights)
    # A value near 0 is the difference of numbers as large as the scores.
    assert abs(float(value) - expected) <= BOUNDS[dtype] * max(expected, 0.1)
    gradient = host(their_scores.grad)
    distance = np.linalg.norm(pullback() - gradient)
    assert distance <= BOUNDS[dtype] * max(np.linalg.norm(gradient), 0.1 / shape[0])


# --- optimizers ----------------------------------------------------------------------------------


def networks() -> tuple[nn.Layer, Any]:
    """Return the same network of both libraries, in float64."""
    pn.set_backend("numpy", dtype="float64")
    ours, theirs, _ = mlp()
    theirs.to(torch.float64)
    for name, array in theirs.named_parameters():
        array.data = tensor(numbers(name, tuple(array.shape)), "float64")
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def optimizers(make: Any, options: dict[str, Any], ours: nn.Layer, theirs: Any) -> Any:
    twin = getattr(torch.optim, make.__name__)
    return make(ours, **options), twin(theirs.parameters(), **options)


def assert_same_parameters(ours: nn.Layer, theirs: Any, step: int) -> None:
    for name, array in theirs.named_parameters():
        assert_near(ours.params[name], host(array), 1e-10, f"{name} after step {step + 1}")


def train_both(make: Any, options: dict[str, Any], schedule: Any = None, steps: int = 100) -> None:
    """Train the same network with both libraries; compare the parameters after every step."""
    ours, theirs = networks()
    optimizer, their_optimizer = optimizers(make, options, ours, theirs)
    x, target = numbers("x", (4, 6)), numbers("target", (4, 3))
    loss, their_loss = nn.MSELoss(), torch.nn.MSELoss()
    their_x, their_target = tensor(x, "float64"), tensor(target, "float64")
    if schedule:
        schedule, their_schedule = schedule(their_optimizer)
    for step in range(steps):
        if schedule:
            schedule.apply(optimizer, step)
        loss.forward(ours.forward(x, training=True), target)
        ours.zero_grads()
        ours.backward(loss.backward())
        optimizer.step(ours.grads)

        their_optimizer.zero_grad()
        their_loss(theirs(their_x), their_target).backward()
        their_optimizer.step()
        if schedule and step < steps - 1:
            their_schedule.step()
        assert_same_parameters(ours, theirs, step)


def step_both(make: Any, options: dict[str, Any], steps: int = 100) -> None:
    """Do steps with the same random gradients in both libraries: nothing amplifies rounding."""
    ours, theirs = networks()
    optimizer, their_optimizer = optimizers(make, options, ours, theirs)
    for step in range(steps):
        grads = {name: numbers(f"{step} {name}", p.shape) for name, p in ours.params.items()}
        optimizer.step(grads)
        for name, array in theirs.named_parameters():
            array.grad = tensor(grads[name], "float64")
        their_optimizer.step()
        assert_same_parameters(ours, theirs, step)


@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
def test_optimizers(case: OptimizerCase) -> None:
    train_both(case.make, case.options)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_default_options(make: Any) -> None:
    train_both(make, {})


OPTIONS = {
    optim.SGD: {
        "lr": st.floats(1e-4, 0.1),
        "momentum": st.floats(0.01, 0.95),
        "dampening": st.floats(0.0, 0.5),
        "weight_decay": st.floats(0.0, 0.1),
        "nesterov": st.booleans(),
    },
    optim.Adam: {
        "lr": st.floats(1e-4, 0.1),
        "betas": st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.9999)),
        "eps": st.floats(1e-8, 1e-2),
        "weight_decay": st.floats(0.0, 0.1),
    },
}


def test_every_optimizer_has_options_and_cases() -> None:
    assert OPTIONS.keys() == {case.make for case in OPTIMIZERS}


@pytest.mark.parametrize("make", OPTIONS, ids=lambda make: make.__name__)
@settings(generated, max_examples=8)
@given(data=st.data())
def test_optimizers_with_any_options(make: Any, data: Any) -> None:
    options = data.draw(st.fixed_dictionaries(OPTIONS[make]))
    if options.get("nesterov"):
        options["dampening"] = 0.0
    step_both(make, options)


# --- schedules -----------------------------------------------------------------------------------


def twins(make: Any, options: dict[str, Any]) -> Any:
    """Return a function that makes our schedule and, from an optimizer of theirs, its twin."""
    theirs = {key: value for key, value in options.items() if key != "by"}
    twin = getattr(torch.optim.lr_scheduler, make.__name__)
    return lambda optimizer: (make(**options), twin(optimizer, **theirs))


def assert_same_schedule(case: ScheduleCase) -> None:
    options = case.optimizer.options
    initial = case.optimizer.make(nn.Linear(1, 1), **options).initial
    parameters = [torch.nn.Parameter(torch.ones(1))]
    optimizer = getattr(torch.optim, case.optimizer.make.__name__)(parameters, **options)
    ours, theirs = twins(case.make, case.options)(optimizer)
    for count in range(case.counts):
        group = optimizer.param_groups[0]
        for name, value in (dict(initial) | ours(count, initial)).items():
            np.testing.assert_allclose(value, group[name], rtol=1e-12, err_msg=f"{name} at {count}")
        optimizer.step()
        if count < case.counts - 1:
            theirs.step()


@pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))
def test_schedules(case: ScheduleCase) -> None:
    assert_same_schedule(case)


@pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))
def test_training_by_a_schedule(case: ScheduleCase) -> None:
    schedule = twins(case.make, case.options)
    train_both(case.optimizer.make, case.optimizer.options, schedule, steps=case.counts)


@generated
@given(
    options=st.fixed_dictionaries(
        {
            "max_lr": st.floats(1e-3, 10.0),
            "total_steps": st.integers(3, 40),
            "pct_start": st.floats(0.0, 1.0),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "cycle_momentum": st.booleans(),
            "base_momentum": st.floats(0.1, 0.9),
            "max_momentum": st.floats(0.1, 0.9),
            "div_factor": st.floats(1.0, 100.0),
            "final_div_factor": st.floats(1.0, 1e4),
        }
    ),
    optimizer=st.sampled_from([case.optimizer for case in SCHEDULES]),
)
def test_one_cycle_lr_with_any_options(options: Any, optimizer: OptimizerCase) -> None:
    if options["pct_start"] * options["total_steps"] == 1.0:
        options["pct_start"] = 0.0  # there PyTorch divides by zero
    assert_same_schedule(
        ScheduleCase("any", optim.OneCycleLR, options, options["total_steps"], optimizer)
    )


@generated
@given(step_size=st.integers(1, 9), gamma=st.floats(0.01, 1.5))
def test_step_lr_with_any_options(step_size: int, gamma: float) -> None:
    options = {"step_size": step_size, "gamma": gamma}
    assert_same_schedule(ScheduleCase("any", optim.StepLR, options, 30))
