"""The distributions that initial parameters are drawn from.

An initialization is called with a key, a shape and the parameter's fans, and returns a host array
(float64), or one number for all elements, so that a network starts the same on every backend. For a
weight (out, in/groups, kh, kw) fan_in = in/groups · kh · kw and fan_out = out · kh · kw, as in
PyTorch; a bias has its weight's.
"""

from math import inf, sqrt
from reprlib import repr as shortened
from typing import Any, Protocol

from portanet.checks import CheckedOptions, number
from portanet.random import Key, Shape


class Initialization(Protocol):
    """What draws a parameter: ``init(key, shape, fan_in, fan_out)`` gives a host array."""

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        """Return numbers of the given shape, or one for all of them."""


def initialization(what: str, given: Any) -> Initialization:
    """Return `given` as an initialization: a number stands for `Constant`."""
    if isinstance(given, int | float):
        return Constant(given)
    if not callable(given) or isinstance(given, type):
        raise TypeError(
            f"{what} must be a number or an initialization such as HeNormal(), "
            f"got {shortened(given)}"
        )
    return given  # type: ignore[no-any-return]


def _uniform(key: Key, shape: Shape, bound: float) -> Any:
    return (key.uniform(shape) * 2.0 - 1.0) * bound


class Constant(metaclass=CheckedOptions):
    """Every element is `value`."""

    def __init__(self, value: float) -> None:
        self.value = number("value", value, low=-inf)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return self.value


class Zeros(Constant):
    """Every element is 0."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Every element is 1."""

    def __init__(self) -> None:
        super().__init__(1.0)


class Uniform(metaclass=CheckedOptions):
    """Uniform in [−bound, bound]."""

    def __init__(self, bound: float) -> None:
        self.bound = number("bound", bound)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return _uniform(key, shape, self.bound)


class Normal(metaclass=CheckedOptions):
    """Normal with mean 0 and standard deviation `std`."""

    def __init__(self, std: float) -> None:
        self.std = number("std", std)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return key.normal(shape) * self.std


class FanInUniform(metaclass=CheckedOptions):
    """Uniform in ±1/√fan_in: PyTorch's default for weights and biases of Linear and Conv2d.

    PyTorch writes it for weights as ``kaiming_uniform_(a=√5)`` (LeCun et al., "Efficient
    BackProp", 1998, propose the same scaling).
    """

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return _uniform(key, shape, 1.0 / sqrt(fan_in))


class HeUniform(metaclass=CheckedOptions):
    """Uniform in ±gain·√(3/fan_in), gain √2 by default: variance 2/fan_in, for ReLU.

    Source: He et al., "Delving deep into rectifiers", 2015.
    """

    def __init__(self, gain: float = sqrt(2.0)) -> None:
        self.gain = number("gain", gain)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return _uniform(key, shape, self.gain * sqrt(3.0 / fan_in))


class HeNormal(metaclass=CheckedOptions):
    """Normal with standard deviation gain/√fan_in, gain √2 by default, for ReLU.

    Source: He et al., "Delving deep into rectifiers", 2015.
    """

    def __init__(self, gain: float = sqrt(2.0)) -> None:
        self.gain = number("gain", gain)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return key.normal(shape) * (self.gain / sqrt(fan_in))


class GlorotUniform(metaclass=CheckedOptions):
    """Uniform in ±gain·√(6/(fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return _uniform(key, shape, self.gain * sqrt(6.0 / (fan_in + fan_out)))


class GlorotNormal(metaclass=CheckedOptions):
    """Normal with standard deviation gain·√(2/(fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain)

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        return key.normal(shape) * (self.gain * sqrt(2.0 / (fan_in + fan_out)))
