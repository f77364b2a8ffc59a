"""Layers give PyTorch's numbers, in generated shapes."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from cases import numbers
from hypothesis import assume, given
from hypothesis import strategies as st
from twins import (
    BOUNDS,
    Draw,
    assert_near,
    both_dtypes,
    generated,
    host,
    pairs,
    shapes,
    tensor,
    torch,
)

import portanet as pn
from portanet import nn
from portanet.nn import Context


def assert_same_layer(
    ours: nn.Layer, theirs: Any, x: Any, dtype: str, training: bool = True
) -> None:
    """Give both the same weights, x and dy; compare y and all gradients and buffers.

    `x` is an array of integers, or the shape of one of numbers.
    """
    pn.set_backend("numpy", dtype=dtype)
    theirs = theirs.to(getattr(torch, dtype)).train(training)
    for name, array in theirs.named_parameters():
        array.data = tensor(numbers(name, tuple(array.shape)), dtype)
    ours.load_state_dict(theirs.state_dict())

    differentiable = isinstance(x, tuple)
    x = numbers("x", x) if differentiable else x
    their_x = tensor(x, dtype, grad=True) if differentiable else torch.tensor(x)
    ctx = Context(training, rng=pn.Key(0))
    y, pullback = ours.vjp(pn.asarray(x), ctx)
    their_y = theirs(their_x)
    assert_near(y, host(their_y), BOUNDS[dtype], "y")

    dy = numbers("dy", y.shape) + 0.5  # a sum over it does not cancel
    dx, grads = pullback(pn.asarray(dy))
    their_y.backward(tensor(dy, dtype))
    expected = {n: p.grad for n, p in theirs.named_parameters()}
    assert grads.keys() == expected.keys()
    assert (dx is not None) == differentiable
    if differentiable:
        expected["dx"], grads = their_x.grad, {"dx": dx, **grads}
    for name, array in grads.items():
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
        assert_same_inference(ours, theirs, x, their_x, dtype)


def assert_same_inference(ours: nn.Layer, theirs: Any, x: Any, their_x: Any, dtype: str) -> None:
    with torch.no_grad():
        expected = theirs.eval()(their_x)
    assert_near(ours(pn.asarray(x)), host(expected), BOUNDS[dtype], "y in inference")


# --- layers: each strategy draws (ours, theirs, x or its shape) -----------------------------------


@st.composite
def linear(draw: Draw) -> Any:
    sizes = {"in_features": draw(st.integers(1, 9)), "out_features": draw(st.integers(1, 9))}
    options = sizes | {"bias": draw(st.booleans())}
    shape = (*draw(shapes(1, 3)), sizes["in_features"])
    return nn.Linear(**options), torch.nn.Linear(**options), shape


def image(draw: Draw, kernel: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    """Draw the height and width of an image, or a sequence's length, that the window fits into."""
    least = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    return tuple(max(1, n) + draw(st.integers(0, 4)) for n in least)


PADDING_MODES = st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"])


def convolved(draw: Draw, groups: int) -> dict[str, Any]:
    """Draw the channels of a convolution, and whether it has a bias."""
    return {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }


@st.composite
def conv(draw: Draw, ours: Any, theirs: Any, axes: int) -> Any:
    def sizes(low: int, high: int) -> Any:
        return st.tuples(*[st.integers(low, high)] * axes)

    kernel, dilation = draw(sizes(1, 4)), draw(sizes(1, 3))
    padding = draw(st.one_of(sizes(0, 3), st.sampled_from(["same", "valid"])))
    options = convolved(draw, draw(st.integers(1, 3))) | {
        "kernel_size": kernel,
        "stride": (1,) * axes if padding == "same" else draw(sizes(1, 3)),
        "padding": padding,
        "dilation": dilation,
        "padding_mode": draw(PADDING_MODES),
    }
    pads = (0,) * axes if isinstance(padding, str) else padding
    size = image(draw, kernel, pads, dilation)
    if padding == "same":
        pads = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if options["padding_mode"] in ("reflect", "circular"):  # they need the pixels
        size = tuple(max(n, p + 1) for n, p in zip(size, pads, strict=True))
    shape = (draw(st.integers(1, 4)), options["in_channels"], *size)
    return ours(**options), theirs(**options), shape


@st.composite
def conv_transpose(draw: Draw, ours: Any, theirs: Any, axes: int) -> Any:
    def sizes(low: int, high: int) -> Any:
        return draw(st.tuples(*[st.integers(low, high)] * axes))

    kernel, stride, dilation, padding = sizes(1, 4), sizes(1, 3), sizes(1, 3), sizes(0, 3)
    extra = [draw(st.integers(0, max(both) - 1)) for both in zip(stride, dilation, strict=True)]
    options = convolved(draw, draw(st.integers(1, 3))) | {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "output_padding": tuple(extra),
        "dilation": dilation,
    }
    size = []
    for k, s, p, e, d in zip(kernel, stride, padding, extra, dilation, strict=True):
        least = -(-(2 * p - d * (k - 1) - e) // s) + 1  # of which something is left
        size.append(max(1, least) + draw(st.integers(0, 3)))
    shape = (draw(st.integers(1, 4)), options["in_channels"], *size)
    return ours(**options), theirs(**options), shape


@st.composite
def pool(draw: Draw, ours: Any, theirs: Any, axes: int) -> Any:
    def sizes(low: int, high: int) -> Any:
        return st.tuples(*[st.integers(low, high)] * axes)

    kernel, dilation = draw(sizes(1, 4)), (1,) * axes
    options = {
        "kernel_size": kernel,
        "stride": draw(st.one_of(st.none(), sizes(1, 4))),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    if ours in (nn.MaxPool1d, nn.MaxPool2d):
        options["dilation"] = dilation = draw(sizes(1, 3))
    else:
        options["count_include_pad"] = draw(st.booleans())
    if ours is nn.AvgPool2d:
        options["divisor_override"] = draw(st.one_of(st.none(), st.integers(1, 9)))
    size = image(draw, kernel, options["padding"], dilation)
    # A window between whose elements all pixels fall is undefined in PyTorch.
    size = tuple(max(n, d) for n, d in zip(size, dilation, strict=True))
    return ours(**options), theirs(**options), (*draw(pairs(1, 3)), *size)


@st.composite
def adaptive_pool(draw: Draw, name: str) -> Any:
    one, axes = st.integers(1, 20), int(name[-2])
    either = st.tuples(*[st.one_of(one, st.none())] * 2)
    size = draw(one if axes == 1 else st.one_of(one, either))
    shape = (*draw(pairs(1, 3)), *draw(pairs(1, 7))[:axes])
    return getattr(nn, name)(size), getattr(torch.nn, name)(size), shape


@st.composite
def upsample(draw: Draw) -> Any:
    mode = draw(st.sampled_from(["nearest", "linear", "bilinear"]))
    axes = {"linear": 1, "bilinear": 2}.get(mode) or draw(st.integers(1, 2))
    options = {"mode": mode}
    if mode != "nearest":
        options["align_corners"] = draw(st.sampled_from([None, True, False]))
    before = draw(st.tuples(*[st.integers(3, 8)] * axes))
    if draw(st.booleans()):
        sizes = st.integers(1, 12)
        options["size"] = draw(st.one_of(sizes, st.tuples(*[sizes] * axes)))
    else:
        scales = st.sampled_from([0.5, 0.7, 1.0, 1.3, 1.5, 2.0, 2.5, 3.0])
        options["scale_factor"] = factors = draw(st.tuples(*[scales] * axes))
        # Where the size is rounded down to once or twice what it was, their nearest pixels differ
        # from function to function.
        after = [int(n * f) for n, f in zip(before, factors, strict=True)]
        odd = (
            m / n in (1, 2) and m != n * f for n, m, f in zip(before, after, factors, strict=True)
        )
        assume(mode != "nearest" or not any(odd))
    return nn.Upsample(**options), torch.nn.Upsample(**options), (*draw(pairs(1, 3)), *before)


@st.composite
def pixel_shuffle(draw: Draw) -> Any:
    r, (n, c, h, w) = draw(st.integers(1, 3)), draw(st.tuples(*[st.integers(1, 3)] * 4))
    return nn.PixelShuffle(r), torch.nn.PixelShuffle(r), (n, c * r * r, h, w)


@st.composite
def pixel_unshuffle(draw: Draw) -> Any:
    r, (n, c, h, w) = draw(st.integers(1, 3)), draw(st.tuples(*[st.integers(1, 3)] * 4))
    return nn.PixelUnshuffle(r), torch.nn.PixelUnshuffle(r), (n, c, h * r, w * r)


@st.composite
def padded(draw: Draw, name: str) -> Any:
    width = st.integers(0, 3)
    padding = draw(st.one_of(width, st.tuples(*[width] * 4)))
    least = 4 if name.startswith("Reflection") else 1
    shape = (*draw(pairs(1, 3)), *draw(pairs(least, 6)))
    return getattr(nn, name)(padding), getattr(torch.nn, name)(padding), shape


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


def elementwise(name: str, options: Any = None) -> Any:
    """Draw an element-wise layer with options, a dict of strategies."""
    return st.fixed_dictionaries(options or {}).flatmap(
        lambda drawn: st.tuples(
            st.just(getattr(nn, name)(**drawn)),
            st.just(getattr(torch.nn, name)(**drawn)),
            shapes(1, 4),
        )
    )


@st.composite
def prelu(draw: Draw) -> Any:
    shape = draw(shapes(1, 4))
    several = len(shape) > 1 and draw(st.booleans())
    options = {"num_parameters": shape[1] if several else 1, "init": draw(st.floats(-1.0, 1.0))}
    return nn.PReLU(**options), torch.nn.PReLU(**options), shape


@st.composite
def softmax(draw: Draw, name: str) -> Any:
    shape = draw(shapes(1, 4))
    # Of a single score both gradients are 0 but for rounding, which has no relative error.
    shape = tuple(n + 1 for n in shape)
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    return getattr(nn, name)(dim), getattr(torch.nn, name)(dim), shape


@st.composite
def layer_norm(draw: Draw) -> Any:
    # Of two numbers the gradient is 0 but for eps and rounding.
    sizes = (*draw(shapes(0, 2)), draw(st.integers(4, 6)))
    options = {
        "normalized_shape": sizes if len(sizes) > 1 else draw(st.sampled_from([sizes, sizes[0]])),
        "eps": draw(st.sampled_from([1e-5, 1e-3])),
        "elementwise_affine": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    return nn.LayerNorm(**options), torch.nn.LayerNorm(**options), (*draw(shapes(0, 2)), *sizes)


@st.composite
def group_norm(draw: Draw) -> Any:
    groups, channels = draw(pairs(1, 3))
    options = {
        "num_groups": groups,
        "num_channels": groups * channels,
        "eps": draw(st.sampled_from([1e-5, 1e-3])),
        "affine": draw(st.booleans()),
    }
    shape = (draw(st.integers(1, 4)), groups * channels, draw(st.integers(4, 6)))
    return nn.GroupNorm(**options), torch.nn.GroupNorm(**options), (*shape, *draw(shapes(0, 1)))


@st.composite
def instance_norm(draw: Draw, ours: Any, theirs: Any, axes: int) -> Any:
    channels = draw(st.integers(1, 4))
    options = {"eps": draw(st.sampled_from([1e-5, 1e-3])), "affine": draw(st.booleans())}
    # Of a few numbers the gradients would be what is left of larger ones.
    shape = (draw(st.integers(1, 4)), channels, *draw(st.tuples(*[st.integers(4, 6)] * axes)))
    return ours(channels, **options), theirs(channels, **options), shape


class Hardsigmoid(torch.nn.Module):  # type: ignore[misc,name-defined]
    """PyTorch's, whose 1/6 has float32's digits in float64, too."""

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.relu6(x + 3) / 6


@st.composite
def hardtanh(draw: Draw) -> Any:
    low, width = draw(st.floats(-1.0, 1.0)), draw(st.floats(0.1, 2.0))
    options = {"min_val": low, "max_val": low + width}
    return nn.Hardtanh(**options), torch.nn.Hardtanh(**options), draw(shapes(1, 4))


@st.composite
def embedding(draw: Draw) -> Any:
    rows, dim = draw(pairs(1, 6))
    padding = draw(st.one_of(st.none(), st.integers(-rows, rows - 1)))
    x = pn.Key(draw(st.integers(0, 99))).integers(rows, draw(shapes(1, 3)))
    return nn.Embedding(rows, dim, padding), torch.nn.Embedding(rows, dim, padding), x


@st.composite
def reshape(draw: Draw) -> Any:
    shape = draw(shapes(2, 4))
    new = list(draw(st.permutations(shape[1:])))
    if draw(st.booleans()):
        new[draw(st.integers(0, len(new) - 1))] = -1
    theirs = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Unflatten(1, tuple(new)))
    return nn.Reshape(*new), theirs, shape


class Permuted(torch.nn.Module):  # type: ignore[misc,name-defined]
    """torchvision's Permute."""

    def __init__(self, dims: Any) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return x.permute(self.dims)


@st.composite
def permute(draw: Draw) -> Any:
    shape = draw(shapes(1, 5))
    dims = (0, *draw(st.permutations(range(1, len(shape)))))
    return nn.Permute(*dims), Permuted(dims), shape


ANY_SLOPE = st.floats(-1.0, 1.0)


STRATEGIES = {
    nn.Linear: linear(),
    nn.Conv1d: conv(nn.Conv1d, torch.nn.Conv1d, 1),
    nn.Conv2d: conv(nn.Conv2d, torch.nn.Conv2d, 2),
    nn.ConvTranspose1d: conv_transpose(nn.ConvTranspose1d, torch.nn.ConvTranspose1d, 1),
    nn.ConvTranspose2d: conv_transpose(nn.ConvTranspose2d, torch.nn.ConvTranspose2d, 2),
    nn.MaxPool1d: pool(nn.MaxPool1d, torch.nn.MaxPool1d, 1),
    nn.MaxPool2d: pool(nn.MaxPool2d, torch.nn.MaxPool2d, 2),
    nn.AvgPool1d: pool(nn.AvgPool1d, torch.nn.AvgPool1d, 1),
    nn.AvgPool2d: pool(nn.AvgPool2d, torch.nn.AvgPool2d, 2),
    nn.AdaptiveAvgPool1d: adaptive_pool("AdaptiveAvgPool1d"),
    nn.AdaptiveAvgPool2d: adaptive_pool("AdaptiveAvgPool2d"),
    nn.AdaptiveMaxPool1d: adaptive_pool("AdaptiveMaxPool1d"),
    nn.AdaptiveMaxPool2d: adaptive_pool("AdaptiveMaxPool2d"),
    nn.Upsample: upsample(),
    nn.PixelShuffle: pixel_shuffle(),
    nn.PixelUnshuffle: pixel_unshuffle(),
    nn.ZeroPad2d: padded("ZeroPad2d"),
    nn.ReflectionPad2d: padded("ReflectionPad2d"),
    nn.ReplicationPad2d: padded("ReplicationPad2d"),
    nn.BatchNorm1d: batch_norm(nn.BatchNorm1d, torch.nn.BatchNorm1d, shapes(0, 1)),
    nn.BatchNorm2d: batch_norm(nn.BatchNorm2d, torch.nn.BatchNorm2d, shapes(2, 2)),
    nn.LayerNorm: layer_norm(),
    nn.GroupNorm: group_norm(),
    nn.InstanceNorm1d: instance_norm(nn.InstanceNorm1d, torch.nn.InstanceNorm1d, 1),
    nn.InstanceNorm2d: instance_norm(nn.InstanceNorm2d, torch.nn.InstanceNorm2d, 2),
    nn.ReLU: elementwise("ReLU"),
    nn.LeakyReLU: elementwise("LeakyReLU", {"negative_slope": ANY_SLOPE}),
    nn.PReLU: prelu(),
    nn.ELU: elementwise("ELU", {"alpha": ANY_SLOPE}),
    nn.SELU: elementwise("SELU"),
    nn.Sigmoid: elementwise("Sigmoid"),
    nn.Tanh: elementwise("Tanh"),
    nn.Softplus: elementwise(
        "Softplus", {"beta": st.floats(0.1, 4.0), "threshold": st.floats(-1.0, 4.0)}
    ),
    nn.SiLU: elementwise("SiLU"),
    nn.GELU: elementwise("GELU", {"approximate": st.sampled_from(["none", "tanh"])}),
    nn.Hardswish: elementwise("Hardswish"),
    nn.Hardsigmoid: shapes(1, 4).map(lambda shape: (nn.Hardsigmoid(), Hardsigmoid(), shape)),
    nn.Hardtanh: hardtanh(),
    nn.ReLU6: elementwise("ReLU6"),
    nn.Mish: elementwise("Mish"),
    nn.Softmax: softmax("Softmax"),
    nn.LogSoftmax: softmax("LogSoftmax"),
    nn.Embedding: embedding(),
    nn.Identity: elementwise("Identity"),
    nn.Flatten: flatten(),
    nn.Reshape: reshape(),
    nn.Permute: permute(),
}
OF_THEIR_OWN = {nn.Dropout, nn.Dropout2d, nn.Parallel, nn.Residual, nn.Sequential}  # below


def test_every_layer_has_a_strategy() -> None:
    public = {getattr(nn, name) for name in nn.__all__}
    layers = {c for c in public if isinstance(c, type) and issubclass(c, nn.Layer)}
    assert STRATEGIES.keys() | OF_THEIR_OWN == layers - {nn.Layer, nn.Elementwise}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@both_dtypes
@pytest.mark.parametrize("layer", STRATEGIES, ids=lambda layer: layer.__name__)
@generated
@given(data=st.data())
def test_layers(layer: Any, dtype: str, data: Any) -> None:
    ours, theirs, x = data.draw(STRATEGIES[layer])
    training = data.draw(st.booleans()) if "BatchNorm" in layer.__name__ else True
    assert_same_layer(ours, theirs, x, dtype, training)


@both_dtypes
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "Hardswish")),
        *((name, {}) for name in ("Sigmoid", "Tanh", "Softplus", "SiLU", "GELU", "Mish")),
        *((name, {}) for name in ("ReLU6", "Hardtanh")),
        ("ELU", {"alpha": 0.5}),
        ("GELU", {"approximate": "tanh"}),
        ("Softplus", {"beta": 0.5, "threshold": 1.5}),  # there b x is the threshold at 3
    ],
)
def test_activations_at_kinks_and_far_from_zero(name: str, options: Any, dtype: str) -> None:
    pn.set_backend("numpy", dtype=dtype)
    x = np.array([-np.inf, -1e4, -100, -20, -3, -0.0, 0, 3, 20, 100, 1e4, np.inf])
    their_x = tensor(x, dtype, grad=True)
    their_y = getattr(torch.nn, name)(**options).to(their_x.dtype)(their_x)
    their_y.backward(torch.ones_like(their_y))
    y, pullback = getattr(nn, name)(**options).vjp(pn.asarray(x), Context())
    dx, _ = pullback(np.ones_like(y))
    for got, expected in ((y, host(their_y)), (dx, host(their_x.grad))):
        known = ~np.isnan(expected)  # PyTorch has no value for some at ±∞
        np.testing.assert_allclose(got[known], expected[known], BOUNDS[dtype], BOUNDS[dtype])


@both_dtypes
def test_dropout(dtype: str) -> None:
    assert_same_layer(nn.Dropout(0.3), torch.nn.Dropout(0.3), (4, 5), dtype, training=False)
    twins = nn.Dropout2d(0.3), torch.nn.Dropout2d(0.3)
    assert_same_layer(*twins, (2, 3, 4, 5), dtype, training=False)
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
