# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad arguments of backends, conversions, keys and checks of gradients and layers."""

import numpy as np

import portanet as pn
from portanet import nn

INF, NAN = float("inf"), float("nan")
KEY = pn.Key(0)
X = np.ones((2, 3))


def linear() -> nn.Linear:
    return nn.Linear(3, 2)


def used(*args, **options):
    with pn.use_backend(*args, **options):
        pass


# fmt: off
LINES = [
    # --- selection ---
    ("pn.set_backend", lambda: pn.set_backend("nmpy"), pn.BackendError, "unknown backend 'nmpy'; known are auto and: cupy, numpy, strict, torch"),
    ("pn.set_backend", lambda: pn.set_backend("gpu"), pn.BackendError, "strict, torch; CUDA devices are those of cupy, and of torch with device='cuda'"),
    ("pn.set_backend", lambda: pn.set_backend("cuda:1"), pn.BackendError, "CUDA devices are those of cupy"),
    ("pn.set_backend", lambda: pn.set_backend(3), TypeError, "a backend's name must be a str, got 3"),
    ("pn.set_backend", lambda: pn.set_backend(np), TypeError, "a backend's name must be a str, got <module"),
    ("pn.set_backend", lambda: pn.set_backend(pn.get_backend()), TypeError, "a backend's name must be a str, got <backend"),
    ("pn.set_backend", lambda: pn.set_backend("numpy", device="gpu"), pn.BackendError, "backend 'numpy' has no device 'gpu' for float32"),
    ("pn.set_backend", lambda: pn.set_backend("numpy", dtype="float16"), ValueError, "dtype must be 'float32' or 'float64', got 'float16'"),
    ("pn.set_backend", lambda: pn.set_backend("numpy", dtype=None), ValueError, "dtype must be 'float32' or 'float64', got None"),
    ("pn.set_backend", lambda: pn.set_backend("numpy", dtypes="float64"), TypeError, "backend 'numpy' has no option 'dtypes'"),
    ("pn.set_backend", lambda: pn.set_backend("numpy", threads=0), ValueError, "threads, or PORTANET_THREADS, must be 1 or more, got 0"),
    ("pn.use_backend", lambda: used("abacus"), pn.BackendError, "unknown backend 'abacus'"),
    ("pn.use_backend", lambda: used("numpy", device=0.5), pn.BackendError, "backend 'numpy' has no device 0.5 for float32"),
    ("pn.use_backend", lambda: used("numpy", dtype="int32"), ValueError, "dtype must be 'float32' or 'float64', got 'int32'"),
    ("pn.Backend", lambda: pn.Backend(), TypeError, "Backend is no library: a subclass names one"),
    ("pn.Backend.retyped", lambda: pn.get_backend().retyped("int8"), ValueError, "dtype must be 'float32' or 'float64', got 'int8'"),
    ("pn.register_backend", lambda: pn.register_backend("numpy"), TypeError, "expected a subclass of portanet.Backend, got 'numpy'"),
    ("pn.register_backend", lambda: pn.register_backend(pn.get_backend()), TypeError, "expected a subclass of portanet.Backend, got <backend numpy"),
    ("pn.register_backend", lambda: pn.register_backend(pn.Backend), TypeError, "Backend lacks `name`, a string; see portanet.Backend"),
    ("pn.backend_of", lambda: pn.backend_of([1.0]), TypeError, "expected an array of one of cupy, numpy, strict, torch, got list; portanet.asarray(…) makes one"),
    ("pn.backend_of", lambda: pn.backend_of(X, None), TypeError, "expected an array of one of"),
    # --- conversions ---
    ("pn.asarray", lambda: pn.asarray("digits"), TypeError, "expected real numbers, got str"),
    ("pn.asarray", lambda: pn.asarray(None), TypeError, "expected real numbers, got NoneType of dtype object"),
    ("pn.asarray", lambda: pn.asarray([1.0, None]), TypeError, "expected real numbers, got list of dtype object"),
    ("pn.asarray", lambda: pn.asarray({1: 2}), TypeError, "expected real numbers, got dict of dtype object"),
    ("pn.asarray", lambda: pn.asarray(1j), TypeError, "expected real numbers, got complex of dtype complex128"),
    ("pn.asarray", lambda: pn.asarray([[1.0], [1.0, 2.0]]), ValueError, "expected numbers in rows of equal length"),
    ("pn.asarray", lambda: pn.asarray([2**70]), TypeError, "expected real numbers, got list of dtype object"),
    ("pn.asarray", lambda: pn.asarray(np.ma.array([1.0, 2.0], mask=[True, False])), ValueError, "expected numbers, got masked ones"),
    ("pn.asarray", lambda: pn.asarray(np.array(["2020-01-01"], "M8[D]")), TypeError, "expected real numbers, got ndarray of dtype datetime64[D]"),
    ("pn.asarray", lambda: pn.asarray(np.zeros(3, [("a", "f4")])), TypeError, "expected real numbers, got ndarray of dtype"),
    ("pn.Backend.asarray", lambda: pn.get_backend().asarray("digits"), TypeError, "expected real numbers, got str"),
    ("pn.asarray", lambda: pn.asarray(X, "text"), TypeError, "dtype must be one of real numbers, such as 'float32', got 'text'"),
    ("pn.asarray", lambda: pn.asarray(X, "complex64"), TypeError, "dtype must be one of real numbers, such as 'float32', got 'complex64'"),
    ("pn.asarray", lambda: pn.asarray(X * NAN, "int64"), ValueError, "cannot become int64"),
    ("pn.asarray", lambda: pn.asarray([3.7, 1e30], "int32"), ValueError, "cannot become int32"),
    ("pn.asarray", lambda: pn.asarray([300, -1], "uint8"), ValueError, "cannot become uint8"),
    ("pn.asarray", lambda: pn.asarray([0.9, 2.0], "int64"), ValueError, "numbers, not all of them whole, from 0.9 to 2.0 cannot become int64"),
    # --- randomness ---
    ("pn.Key", lambda: pn.Key(1.5), TypeError, "a seed must be an integer, got 1.5"),
    ("pn.Key", lambda: pn.Key("0"), TypeError, "a seed must be an integer, got '0'"),
    ("pn.Key", lambda: pn.Key(None), TypeError, "a seed must be an integer, got None"),
    ("pn.Key.child", lambda: KEY.child(1.5), TypeError, "a key's path holds words and integers, got (1.5,)"),
    ("pn.Key.bits", lambda: KEY.bits(-1), ValueError, "n must be at least 0, got -1"),
    ("pn.Key.bits", lambda: KEY.bits(2.0), TypeError, "n must be an int, got 2.0"),
    ("pn.Key.bits", lambda: KEY.bits(2, skip=-1), ValueError, "skip must be at least 0, got -1"),
    ("pn.Key.uniform", lambda: KEY.uniform((2, -1)), ValueError, "shape must be at least 0, got -1"),
    ("pn.Key.uniform", lambda: KEY.uniform((-2, -1)), ValueError, "shape must be at least 0, got -2"),
    ("pn.Key.uniform", lambda: KEY.uniform(3), TypeError, "shape must be a tuple of ints, got 3"),
    ("pn.Key.uniform", lambda: KEY.uniform((3,), "int64"), ValueError, "dtype must be 'float32' or 'float64', got 'int64'"),
    ("pn.Key.normal", lambda: KEY.normal((1.5,)), TypeError, "shape must be an int, got 1.5"),
    ("pn.Key.samples", lambda: KEY.samples((2, 3, 4), "float32"), ValueError, "shape must be (N, F), got (2, 3, 4)"),
    ("pn.Key.samples", lambda: KEY.samples((2, 3), "float32", -1), ValueError, "first must be at least 0, got -1"),
    ("pn.Key.permutation", lambda: KEY.permutation(-3), ValueError, "n must be at least 0, got -3"),
    ("pn.Key.integers", lambda: KEY.integers(0, (3,)), ValueError, "high must be at least 1, got 0"),
    ("pn.Key.integers", lambda: KEY.integers(2**60, (3,)), ValueError, "high must be at most 2**53, got 1152921504606846976"),
    # --- checks of gradients and layers ---
    ("pn.check_gradients", lambda: pn.check_gradients(np.tanh, X), TypeError, "function must be a Layer or a Loss, got <ufunc 'tanh'>"),
    ("pn.check_gradients", lambda: pn.check_gradients(nn.Tanh, X), TypeError, "function must be a Layer or a Loss, got <class"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), [[1.0]]), TypeError, "expected an array of one of"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X * NAN), ValueError, "check_gradients: x contains numbers that are not finite"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, X), TypeError, "check_gradients: a layer takes neither target nor sample_weight"),
    ("pn.check_gradients", lambda: pn.check_gradients(nn.MSELoss(), X), TypeError, "check_gradients: a loss needs a target"),
    ("pn.check_gradients", lambda: pn.check_gradients(nn.MSELoss("none"), X, X), ValueError, "MSELoss: reduction='none' gives many values"),
    ("pn.check_gradients", lambda: pn.check_gradients(nn.MSELoss(), X, X[:1]), ValueError, "MSELoss: expected target of the scores' shape (2, 3), got (1, 3)"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, eps=0.0), ValueError, "eps must be above 0, got 0"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, eps=-1e-5), ValueError, "eps must be in [0, inf], got -1e-05"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, eps=NAN), ValueError, "eps must be in [0, inf], got nan"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, seed=0.5), TypeError, "a seed must be an integer, got 0.5"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, training="no"), TypeError, "training must be True or False, got 'no'"),
    ("pn.check_gradients", lambda: pn.check_gradients(linear(), X, elementwise=3), TypeError, "elementwise must be True or False, got 3"),
    ("pn.check_layer", lambda: pn.check_layer(np.tanh, X), TypeError, "layer must be a Layer, got <ufunc 'tanh'>"),
    ("pn.check_layer", lambda: pn.check_layer(nn.Tanh(), X[:0]), ValueError, "check_layer: x must hold numbers, all of them finite"),
    ("pn.check_layer", lambda: pn.check_layer(nn.Tanh(), X * INF), ValueError, "check_layer: x must hold numbers, all of them finite"),
    ("pn.check_layer", lambda: pn.check_layer(nn.Tanh(), "x"), TypeError, "expected real numbers, got str"),
    ("pn.check_layer", lambda: pn.check_layer(nn.Linear(4, 2), X), ValueError, "Linear cannot run on x of shape (2, 3): ValueError: Linear: expected x of shape (…, 4), got (2, 3)"),
]

# The arguments after `python -m portanet`, the exit code, and a fragment of what is printed.
COMMANDS = [
    (["nonsense"], 2, "invalid choice: 'nonsense'"),
    (["info", "--json"], 2, "unrecognized arguments: --json"),
    (["check"], 2, "the following arguments are required: MODULE:FACTORY, --input"),
    (["check", "own_layers:Squared"], 2, "the following arguments are required: --input"),
    (["check", "own_layers:Squared", "--input="], 2, "expected sizes such as 2,3,8,8, got ''"),
    (["check", "own_layers:Squared", "--input=2,x"], 2, "expected sizes such as 2,3,8,8, got '2,x'"),
    (["check", "own_layers:Squared", "--input=2,-3"], 2, "expected sizes such as 2,3,8,8, got '2,-3'"),
    (["check", "own_layers:Squared", "--input=2,0"], 2, "expected sizes such as 2,3,8,8, got '2,0'"),
    (["check", "own_layers:Lookup", "--input=6", "--int=x"], 2, "argument --int: invalid int value: 'x'"),
    (["check", "own_layers:Lookup", "--input=6", "--int=0"], 2, "--int must be at least 1, got 0"),
    (["check", "own_layers", "--input=2,3"], 2, "expected MODULE:FACTORY, such as layers.py:MyLayer, got 'own_layers'"),
    (["check", "no_such_module:X", "--input=2,3"], 2, "cannot import no_such_module: ModuleNotFoundError"),
    (["check", "no_such_file.py:X", "--input=2,3"], 2, "cannot import no_such_file.py: FileNotFoundError"),
    (["check", "own_layers:Missing", "--input=2,3"], 2, "own_layers has no 'Missing'"),
    (["check", "math:sin", "--input=2,3"], 2, "math:sin() failed: TypeError"),
    (["check", "math:pi", "--input=2,3"], 2, "math:pi: expected a portanet.nn.Layer, got float"),
]
