# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad options of layers, initialisations and what layers are made of: who refuses which, and how.

Bad inputs are the same for every layer, and are in `test_every_layer.py`.
"""

import numpy as np

import portanet as pn
from portanet import nn

INF, NAN = float("inf"), float("nan")


class Own(nn.Layer):
    """A layer whose `compute` does something else than it should."""

    def __init__(self, compute=None) -> None:
        self.inner = nn.Tanh()
        self.made = compute

    def compute(self, x: nn.Node) -> nn.Node:
        return self.made(self, x)


def pair() -> nn.Linear:
    return nn.Linear(2, 2)


def run(compute):
    return Own(compute)(np.ones((2, 3)))


def at(*path: str) -> nn.Sequential:
    """Return a network with a layer within a layer, to name what is wrong."""
    return nn.Sequential({"body": nn.Sequential({"fc": nn.Linear(3, 2)})})


# fmt: off
LINES = [
    # --- fully connected ---
    ("nn.Linear", lambda: nn.Linear(0, 3), ValueError, "in_features must be at least 1, got 0"),
    ("nn.Linear", lambda: nn.Linear(3, -1), ValueError, "out_features must be at least 1, got -1"),
    ("nn.Linear", lambda: nn.Linear(2.0, 3), TypeError, "in_features must be an int, got 2.0"),
    ("nn.Linear", lambda: nn.Linear(True, 3), TypeError, "in_features must be an int, got True"),
    ("nn.Linear", lambda: nn.Linear(3, 2, "relu"), TypeError, "bias must be True or False, got 'relu'"),
    ("nn.Linear", lambda: nn.Linear(3, units=2), TypeError, "Linear has no option 'units'; did you mean 'out_features'"),
    ("nn.Linear", lambda: nn.Linear(3, 2, use_bias=False), TypeError, "Linear has no option 'use_bias'; did you mean 'bias'"),
    ("nn.Embedding", lambda: nn.Embedding(0, 3), ValueError, "num_embeddings must be at least 1, got 0"),
    ("nn.Embedding", lambda: nn.Embedding(3, 1.5), TypeError, "embedding_dim must be an int, got 1.5"),
    ("nn.Embedding", lambda: nn.Embedding(5, 3, -6), ValueError, "padding_idx must be at least -5, got -6"),
    ("nn.Embedding", lambda: nn.Embedding(5, 3, 5), ValueError, "Embedding: padding_idx must be below 5, got 5"),
    ("nn.Embedding", lambda: nn.Embedding(input_dim=5), TypeError, "Embedding has no option 'input_dim'; did you mean 'num_embeddings'"),
    ("nn.Embedding", lambda: nn.Embedding(5, output_dim=3), TypeError, "Embedding has no option 'output_dim'; did you mean 'embedding_dim'"),
    ("nn.Embedding", lambda: nn.Sequential(nn.Flatten(), nn.Embedding(5, 3))(np.array([[1, 5]])), ValueError, "Embedding '1': indices must be in 0 … 4, got 5"),
    ("nn.Embedding", lambda: nn.Embedding(5, 3).vjp(np.array([-1]), nn.Context()), ValueError, "Embedding: indices must be in 0 … 4, got -1"),
    # --- windows ---
    ("nn.Conv2d", lambda: nn.Conv2d(1, -1, 3), ValueError, "out_channels must be at least 1, got -1"),
    ("nn.Conv2d", lambda: nn.Conv2d(3, 4, 1, groups=2), ValueError, "Conv2d: groups must divide in_channels and out_channels, got 2 for 3 and 4"),
    ("nn.Conv2d", lambda: nn.Conv2d(4, 3, 1, groups=2), ValueError, "Conv2d: groups must divide in_channels and out_channels, got 2 for 4 and 3"),
    ("nn.Conv2d", lambda: nn.Conv2d(4, 3, 1, groups=0), ValueError, "groups must be at least 1, got 0"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 0), ValueError, "kernel_size must be at least 1, got 0"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, None), TypeError, "kernel_size must be an int, got None"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, (1, 2, 3)), ValueError, "kernel_size must be an int or a pair of ints, got (1, 2, 3)"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 1, stride=0), ValueError, "stride must be at least 1, got 0"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 1, dilation=0), ValueError, "dilation must be at least 1, got 0"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 1, padding=-1), ValueError, "padding must be at least 0, got -1"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 10**9).params, MemoryError, "Conv2d: no room for its weight of shape (1, 1, 1000000000, 1000000000): "),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 1, padding=10**9), ValueError, "padding must be at most 1048576 on each side, got 1000000000"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 3, padding=(0, 10**9), padding_mode="replicate"), ValueError, "padding must be at most 1048576 on each side, got 1000000000"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 3, padding="same", dilation=10**9), ValueError, "padding must be at most 1048576 on each side, got 1000000000"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 1, padding="full"), ValueError, 'padding must be numbers, "same" or "valid", got \'full\''),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 1, padding=np.ones(2)), TypeError, "padding must be an int, got array([1., 1.])"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 3, 2, padding="same"), ValueError, 'padding="same" needs stride 1, got stride 2'),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 3, bias="yes"), TypeError, "bias must be True or False, got 'yes'"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), ValueError, "padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got 'mirror'"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, filters=2), TypeError, "Conv2d has no option 'filters'; did you mean 'out_channels'"),
    ("nn.Conv2d", lambda: nn.Conv2d(1, 2, 3, strides=2), TypeError, "Conv2d has no option 'strides'; did you mean 'stride'"),
    ("nn.Conv1d", lambda: nn.Conv1d(1, 1, (3, 3)), ValueError, "kernel_size must be an int for sequences, got (3, 3)"),
    ("nn.Conv1d", lambda: nn.Conv1d(1, 1, 3, 0), ValueError, "stride must be at least 1, got 0"),
    ("nn.Conv1d", lambda: nn.Conv1d(1, 1, 3, 2, padding="same"), ValueError, 'padding="same" needs stride 1, got stride (1, 2)'),
    ("nn.ConvTranspose2d", lambda: nn.ConvTranspose2d(1, 1, 3, 2, output_padding=2), ValueError, "ConvTranspose2d: output_padding must be less than stride or dilation, got 2 for 2 and 1"),
    ("nn.ConvTranspose2d", lambda: nn.ConvTranspose2d(1, 1, 3, 2, output_padding=-1), ValueError, "output_padding must be at least 0, got -1"),
    ("nn.ConvTranspose2d", lambda: nn.ConvTranspose2d(4, 3, 1, groups=2), ValueError, "ConvTranspose2d: groups must divide in_channels and out_channels, got 2 for 4 and 3"),
    ("nn.ConvTranspose2d", lambda: nn.ConvTranspose2d(1, 1, 3, padding="same"), TypeError, "padding must be an int, got 'same'"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d("a"), TypeError, "kernel_size must be an int, got 'a'"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d(2, padding=2), ValueError, "MaxPool2d: padding must be at most half of kernel_size 2, got 2"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d(2, padding=2, dilation=3), ValueError, "MaxPool2d: padding must be at most half of kernel_size 2, got 2"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d(2, padding="same"), ValueError, "padding"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d(10**9, padding=10**8), ValueError, "padding must be at most 1048576 on each side, got 100000000"),
    ("nn.AvgPool1d", lambda: nn.AvgPool1d(10**9, padding=10**8), ValueError, "padding must be at most 1048576 on each side, got 100000000"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d(2, ceil_mode="no"), TypeError, "ceil_mode must be True or False, got 'no'"),
    ("nn.MaxPool2d", lambda: nn.MaxPool2d(pool_size=2), TypeError, "MaxPool2d has no option 'pool_size'; did you mean 'kernel_size'"),
    ("nn.MaxPool1d", lambda: nn.MaxPool1d(3, padding=-1), ValueError, "padding must be at least 0, got -1"),
    ("nn.MaxPool1d", lambda: nn.MaxPool1d(3, padding=2), ValueError, "MaxPool1d: padding must be at most half of kernel_size 3, got 2"),
    ("nn.AvgPool2d", lambda: nn.AvgPool2d((2, 4), padding=(1, 3)), ValueError, "AvgPool2d: padding must be at most half of kernel_size (2, 4), got (1, 3)"),
    ("nn.AvgPool2d", lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, "divisor_override must be at least 1, got 0"),
    ("nn.AvgPool2d", lambda: nn.AvgPool2d(2, count_include_pad=None), TypeError, "count_include_pad must be True or False, got None"),
    ("nn.AvgPool1d", lambda: nn.AvgPool1d(0), ValueError, "kernel_size must be at least 1, got 0"),
    ("nn.AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((None, 0)), ValueError, "output_size must be at least 1, got 0"),
    ("nn.AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d(10**9), ValueError, "AdaptiveAvgPool2d: output_size must be at most 1048576, got 1000000000"),
    ("nn.AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((None, 10**9)), ValueError, "AdaptiveAvgPool2d: output_size must be at most 1048576, got (None, 1000000000)"),
    ("nn.AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), ValueError, "output_size must be an int or a pair of ints, got"),
    ("nn.AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d(1.5), TypeError, "output_size must be an int, got 1.5"),
    # --- normalisations ---
    ("nn.BatchNorm1d", lambda: nn.BatchNorm1d(0), ValueError, "num_features must be at least 1, got 0"),
    ("nn.BatchNorm1d", lambda: nn.BatchNorm1d(3, momentum=2), ValueError, "momentum must be in [0, 1], got 2"),
    ("nn.BatchNorm1d", lambda: nn.BatchNorm1d(3, eps=-1), ValueError, "eps must be in [0, inf], got -1"),
    ("nn.BatchNorm1d", lambda: nn.BatchNorm1d(3, eps=INF), ValueError, "eps must be finite, got inf"),
    ("nn.BatchNorm1d", lambda: nn.BatchNorm1d(3, epsilon=1e-3), TypeError, "BatchNorm1d has no option 'epsilon'; did you mean 'eps'"),
    ("nn.BatchNorm2d", lambda: nn.BatchNorm2d(3, affine=None), TypeError, "affine must be True or False, got None"),
    ("nn.BatchNorm2d", lambda: nn.BatchNorm2d(3, track_running_stats="no"), TypeError, "track_running_stats must be True or False, got 'no'"),
    ("nn.LayerNorm", lambda: nn.LayerNorm(()), ValueError, "LayerNorm: normalized_shape must name at least one axis"),
    ("nn.LayerNorm", lambda: nn.LayerNorm((3, 2.5)), TypeError, "normalized_shape must be an int, got 2.5"),
    ("nn.LayerNorm", lambda: nn.LayerNorm("ab"), TypeError, "normalized_shape must be an int, got 'a'"),
    ("nn.LayerNorm", lambda: nn.LayerNorm(3, elementwise_affine="no"), TypeError, "elementwise_affine must be True or False, got 'no'"),
    ("nn.GroupNorm", lambda: nn.GroupNorm(4, 6), ValueError, "GroupNorm: num_groups=4 must divide num_channels=6"),
    ("nn.GroupNorm", lambda: nn.GroupNorm(0, 6), ValueError, "num_groups must be at least 1, got 0"),
    ("nn.GroupNorm", lambda: nn.GroupNorm(groups=2), TypeError, "GroupNorm has no option 'groups'; did you mean 'num_groups'"),
    # --- activations ---
    ("nn.ReLU", lambda: nn.ReLU(inplace=True), TypeError, "ReLU has no option 'inplace'; nothing is computed in place"),
    ("nn.LeakyReLU", lambda: nn.LeakyReLU(NAN), ValueError, "negative_slope must be in [-inf, inf], got nan"),
    ("nn.LeakyReLU", lambda: nn.LeakyReLU(-INF), ValueError, "negative_slope must be finite, got -inf"),
    ("nn.LeakyReLU", lambda: nn.LeakyReLU("0.1"), TypeError, "negative_slope must be a number, got '0.1'"),
    ("nn.LeakyReLU", lambda: nn.LeakyReLU(alpha=0.1), TypeError, "LeakyReLU has no option 'alpha'; did you mean 'negative_slope'"),
    ("nn.PReLU", lambda: nn.PReLU(0), ValueError, "num_parameters must be at least 1, got 0"),
    ("nn.PReLU", lambda: nn.PReLU(1, "a"), TypeError, "init must be a number, got 'a'"),
    ("nn.ELU", lambda: nn.ELU(INF), ValueError, "alpha must be finite, got inf"),
    ("nn.SELU", lambda: nn.SELU(1.0), TypeError, "SELU takes no arguments, got 1.0"),
    ("nn.Sigmoid", lambda: nn.Sigmoid(dim=1), TypeError, "Sigmoid has no option 'dim'; it takes none"),
    ("nn.Tanh", lambda: nn.Tanh(3), TypeError, "Tanh takes no arguments, got 3"),
    ("nn.SiLU", lambda: nn.SiLU(True), TypeError, "SiLU takes no arguments, got True"),
    ("nn.Hardswish", lambda: nn.Hardswish(None), TypeError, "Hardswish takes no arguments, got None"),
    ("nn.Softplus", lambda: nn.Softplus(0.0), ValueError, "Softplus: beta must not be 0"),
    ("nn.Softplus", lambda: nn.Softplus(INF), ValueError, "beta must be finite, got inf"),
    ("nn.Softplus", lambda: nn.Softplus(threshold=None), TypeError, "threshold must be a number, got None"),
    ("nn.GELU", lambda: nn.GELU("erf"), ValueError, "approximate must be 'none' or 'tanh', got 'erf'"),
    ("nn.GELU", lambda: nn.GELU(True), ValueError, "approximate must be 'none' or 'tanh', got True"),
    ("nn.Softmax", lambda: nn.Softmax(axis=1), TypeError, "Softmax has no option 'axis'; did you mean 'dim'"),
    ("nn.Softmax", lambda: nn.Softmax(1.0), TypeError, "dim must be an int, got 1.0"),
    ("nn.LogSoftmax", lambda: nn.LogSoftmax(None), TypeError, "dim must be an int, got None"),
    ("nn.Dropout", lambda: nn.Dropout("half"), TypeError, "p must be a number, got 'half'"),
    ("nn.Dropout", lambda: nn.Dropout(1.5), ValueError, "p must be in [0, 1], got 1.5"),
    ("nn.Dropout", lambda: nn.Dropout(-0.1), ValueError, "p must be in [0, 1], got -0.1"),
    ("nn.Dropout", lambda: nn.Dropout(rate=0.5), TypeError, "Dropout has no option 'rate'; did you mean 'p'"),
    ("nn.Dropout2d", lambda: nn.Dropout2d(NAN), ValueError, "p must be in [0, 1], got nan"),
    # --- shapes ---
    ("nn.Dropout", lambda: nn.Dropout(0.5, True), TypeError, "Dropout takes p, got 0.5, True"),
    ("nn.Identity", lambda: nn.Identity(54), TypeError, "Identity takes no arguments, got 54"),
    ("nn.Identity", lambda: nn.Identity()([1.0]), TypeError, "expected an array of one of"),
    ("nn.Flatten", lambda: nn.Flatten(axis=1), TypeError, "Flatten has no option 'axis'; it takes start_dim, end_dim"),
    ("nn.Flatten", lambda: nn.Flatten(1.5), TypeError, "start_dim must be an int, got 1.5"),
    ("nn.Flatten", lambda: nn.Flatten(1, None), TypeError, "end_dim must be an int, got None"),
    ("nn.Reshape", lambda: nn.Reshape(3, -2), ValueError, "shape must be at least 1, got -2"),
    ("nn.Reshape", lambda: nn.Reshape((2, 3), 4), TypeError, "shape must be an int, got (2, 3)"),
    ("nn.Reshape", lambda: nn.Reshape(-1, 3, -1), ValueError, "Reshape: only one axis can be what is left, got (-1, 3, -1)"),
    # --- containers ---
    ("nn.Sequential", lambda: nn.Sequential(3), TypeError, "expected a layer for '0', got int"),
    ("nn.Sequential", lambda: nn.Sequential([pair(), pair()]), TypeError, "Sequential: expected layers, got a list of them: Sequential(a, b)"),
    ("nn.Sequential", lambda: nn.Sequential(nn.ReLU), TypeError, "expected a layer for '0', got the class ReLU"),
    ("nn.Sequential", lambda: nn.Sequential({"a.b": nn.ReLU()}), ValueError, "a layer's name must be a string without dots, got 'a.b'"),
    ("nn.Sequential", lambda: nn.Sequential({1: nn.ReLU()}), ValueError, "a layer's name must be a string without dots, got 1"),
    ("nn.Sequential", lambda: nn.Sequential(pair())["c"], KeyError, "Sequential: no layer 'c'; there are 0"),
    ("nn.Sequential", lambda: nn.Sequential(pair())[1], IndexError, "Sequential: no layer 1; there are 1"),
    ("nn.Sequential", lambda: nn.Sequential()([1.0]), TypeError, "expected an array of one of"),
    ("nn.Residual", lambda: nn.Residual("body"), TypeError, "body must be a Layer, got 'body'"),
    ("nn.Residual", lambda: nn.Residual(pair(), 3), TypeError, "shortcut must be a Layer, got 3"),
    ("nn.Residual", lambda: nn.Residual(nn.Linear(3, 2))(np.ones((1, 3), "f4")), ValueError, "Residual: (1, 2) + (1, 3): both nodes must have the same shape"),
    ("nn.Parallel", lambda: nn.Parallel((pair(), pair())), TypeError, "Parallel: expected layers, got a tuple of them: Parallel(a, b)"),
    ("nn.Parallel", lambda: nn.Parallel(), ValueError, "Parallel: needs at least one branch"),
    ("nn.Parallel", lambda: nn.Parallel(pair(), merge="stack"), ValueError, "merge must be 'add' or 'concat', got 'stack'"),
    ("nn.Parallel", lambda: nn.Parallel(nn.Flatten(), nn.Softmax(), merge="concat")(np.ones((2, 2, 2))), ValueError, "Parallel: cannot concatenate (2, 4) and (2, 2, 2) along axis 1"),
    # --- a layer of one's own ---
    ("nn.concat", lambda: nn.concat([]), TypeError, "concat takes a list of nodes, as concat([a, b]), got []"),
    ("nn.concat", lambda: nn.concat([np.ones(3)]), TypeError, "concat joins the nodes of compute, got ndarray"),
    ("nn.concat", lambda: run(lambda self, x: nn.concat([x, x], axis=2)), ValueError, "Own: cannot concatenate (2, 3) and (2, 3) along axis 2"),
    ("nn.concat", lambda: run(lambda self, x: nn.concat([x, x], axis=0.5)), TypeError, "axis must be an int, got 0.5"),
    ("nn.Node", lambda: run(lambda self, x: x + "a"), TypeError, "a node in compute + str: expected a number, or a node after +-*"),
    ("nn.Node", lambda: run(lambda self, x: x * "a"), TypeError, "a node in compute * str: expected a number, or a node after +-*"),
    ("nn.Node", lambda: run(lambda self, x: x.reshape(6)), AttributeError, "a node in compute has no 'reshape'"),
    ("nn.Node", lambda: run(lambda self, x: np.ones((2, 3))), TypeError, "Own: compute must return a node of its own, got ndarray"),
    ("nn.Node", lambda: run(lambda self, x: nn.ReLU()(x)), ValueError, "Own: compute calls a ReLU that is no part of it"),
    ("nn.Context", lambda: nn.Dropout().vjp(np.ones((2, 3)), nn.Context(True)), ValueError, "Dropout: training needs random numbers: Context(training=True, rng=Key(seed))"),
    ("nn.Context", lambda: nn.Context(True, rng=3), TypeError, "rng must be a Key, got 3"),
    ("nn.Context", lambda: nn.Context(True, first_sample=-1), ValueError, "first_sample must be at least 0, got -1"),
    ("nn.Layer", lambda: nn.Layer(3), TypeError, "Layer takes no arguments, got 3"),
    ("nn.Layer.vjp", lambda: nn.Layer()(np.ones(3)), NotImplementedError, "Layer defines neither vjp nor compute"),
    ("nn.Layer.compute", lambda: nn.Layer().compute(None), NotImplementedError, "Layer defines neither vjp nor compute"),
    ("nn.Layer.accept", lambda: pair().accept([1.0]), TypeError, "expected an array of one of"),
    ("nn.Layer.accept", lambda: pair().accept(np.ones(3, "i8")), TypeError, "Linear: expected floating-point x, got int64"),
    ("nn.Layer.check", lambda: nn.Embedding(3, 2).check(np.asarray([3])), ValueError, "Embedding: indices must be in 0 … 2, got 3"),
    ("nn.Layer.__call__", lambda: at()(np.ones((2, 4), "f4")), ValueError, "Linear 'body.fc': expected x of shape (…, 3), got (2, 4)"),
    ("nn.Layer.forward", lambda: pair().forward(np.ones((1, 2), "f4"), seed=1.5), TypeError, "a seed must be an integer, got 1.5"),
    ("nn.Layer.forward", lambda: pair().forward([[1.0, 2.0]]), TypeError, "expected an array of one of"),
    ("nn.Layer.backward", lambda: nn.Linear(2, 2).backward(np.ones((1, 2))), RuntimeError, "Linear: backward needs a forward of its own before it"),
    ("nn.Layer.add_parameter", lambda: pair().add_parameter("weight", (2,), nn.Zeros()), ValueError, "Linear: there is an array 'weight' already"),
    ("nn.Layer.add_parameter", lambda: nn.Layer().add_parameter("a.b", (2,), nn.Zeros()), ValueError, "an array's name must be a string without dots, got 'a.b'"),
    ("nn.Layer.add_parameter", lambda: nn.Layer().add_parameter("w", (2, -1), nn.Zeros()), ValueError, "shape must be at least 0, got -1"),
    ("nn.Layer.add_parameter", lambda: nn.Layer().add_parameter("w", 3, nn.Zeros()), TypeError, "shape must be a tuple of ints, got 3"),
    ("nn.Layer.add_parameter", lambda: nn.Layer().add_parameter("w", (3,), "he"), TypeError, "init must be a number or an initialization such as HeNormal(), got 'he'"),
    ("nn.Layer.add_buffer", lambda: nn.Layer().add_buffer("", (2,), 0.0), ValueError, "an array's name must be a string without dots, got ''"),
    ("nn.Layer.add_buffer", lambda: nn.Layer().add_buffer("b", (2,), "a"), TypeError, "fill must be a number, got 'a'"),
    ("nn.Layer.add_child", lambda: nn.Layer().add_child("a", 3), TypeError, "expected a layer for 'a', got int"),
    ("nn.Layer.add_child", lambda: nn.Layer().add_child("a.b", pair()), ValueError, "a layer's name must be a string without dots, got 'a.b'"),
    ("nn.Layer.freeze", lambda: pair().freeze("body"), TypeError, "frozen must be True or False, got 'body'"),
    ("nn.Layer.initialize", lambda: nn.Linear(2, 2).initialize(1.5), TypeError, "a seed must be an integer, got 1.5"),
    ("nn.Layer.initialize", lambda: nn.Linear(2, 2).initialize(weight="he"), TypeError, "weight must be a number or an initialization such as HeNormal(), got 'he'"),
    ("nn.Layer.initialize", lambda: nn.Linear(2, 2).initialize(bias=NAN), ValueError, "value must be in [-inf, inf], got nan"),
    ("nn.Layer.load_state_dict", lambda: pair().load_state_dict({"weight": np.ones((3, 3)), "b": 1}), ValueError, "Linear: the state does not fit: missing 'bias'; unexpected 'b'; 'weight': weight: expected shape (2, 2), got (3, 3)"),
    ("nn.Layer.load_state_dict", lambda: pair().load_state_dict([1, 2]), TypeError, "state must be a Mapping, got [1, 2]"),
    ("nn.Layer.load_state_dict", lambda: pair().load_state_dict({}, strict="no"), TypeError, "strict must be True or False, got 'no'"),
    ("nn.Layer.params", lambda: pair().params.update(weight=np.ones(3)), ValueError, "weight: expected shape (2, 2), got (3,)"),
    ("nn.Layer.params", lambda: pair().params.update(w=1.0), KeyError, "no array named 'w'; there are weight, bias"),
    ("nn.Layer.summary", lambda: pair().summary((3,)), ValueError, "Linear: expected x of shape (…, 2), got (2, 3)"),
    ("nn.Layer.summary", lambda: pair().summary(2), TypeError, "input_shape must be a tuple of ints, got 2"),
    ("nn.Layer.summary", lambda: pair().summary((-2,)), ValueError, "input_shape must be at least 1, got -2"),
    ("nn.Layer.summary", lambda: pair().summary((2,), dtype="text"), TypeError, "dtype must be one of real numbers, such as 'float32', got 'text'"),
    ("nn.Layer.to", lambda: pair().to("abacus"), pn.BackendError, "unknown backend 'abacus'"),
    ("nn.Layer.to", lambda: pair().to("cuda"), pn.BackendError, "CUDA devices are those of cupy, and of torch with device='cuda'"),
    ("nn.Layer.to", lambda: pair().to(3), TypeError, "backend must be a name or a Backend, got 3"),
    ("nn.Layer.to", lambda: pair().to(dtype="float16"), ValueError, "dtype must be 'float32' or 'float64', got 'float16'"),
    # --- initialisations ---
    ("nn.Constant", lambda: nn.Constant(NAN), ValueError, "value must be in [-inf, inf], got nan"),
    ("nn.Constant", lambda: nn.Constant("a"), TypeError, "value must be a number, got 'a'"),
    ("nn.Zeros", lambda: nn.Zeros(1.0), TypeError, "Zeros takes no arguments, got 1.0"),
    ("nn.Ones", lambda: nn.Ones(value=1), TypeError, "Ones has no option 'value'; it takes none"),
    ("nn.Uniform", lambda: nn.Uniform(-1.0), ValueError, "bound must be in [0, inf], got -1.0"),
    ("nn.Normal", lambda: nn.Normal(-0.1), ValueError, "std must be in [0, inf], got -0.1"),
    ("nn.Normal", lambda: nn.Normal(stddev=0.1), TypeError, "Normal has no option 'stddev'; did you mean 'std'"),
    ("nn.FanInUniform", lambda: nn.FanInUniform(2.0), TypeError, "FanInUniform takes no arguments, got 2.0"),
    ("nn.HeUniform", lambda: nn.HeUniform(NAN), ValueError, "gain must be in [0, inf], got nan"),
    ("nn.HeNormal", lambda: nn.HeNormal("relu"), TypeError, "gain must be a number, got 'relu'"),
    ("nn.GlorotUniform", lambda: nn.GlorotUniform(-1), ValueError, "gain must be in [0, inf], got -1"),
    ("nn.GlorotNormal", lambda: nn.GlorotNormal(INF), ValueError, "gain must be finite, got inf"),
]
