"""The arrays that a layer declares for itself, and how they are drawn."""

from math import inf
from threading import RLock
from typing import Any, NoReturn, Self

from portanet.backend import Array
from portanet.checks import CheckedOptions, lengths, number
from portanet.nn.arrays import Arrays
from portanet.nn.initialization import Initialization, initialization
from portanet.nn.parameter import Buffer, Parameter
from portanet.random import Key, Shape
from portanet.selection import get_backend

_drawing = RLock()  # threads that need a layer's arrays first shall see the same ones


class DeclaredArrays(metaclass=CheckedOptions):
    """What every layer knows of its own parameters and buffers.

    A layer *describes* its arrays; they are drawn by `initialize`, or, with seed 0, when first
    needed.
    """

    _name: str  # dotted, within the network; "" for the network itself
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Buffer]
    _own_params: Arrays
    _own_buffers: Arrays
    _own_grads: dict[str, Array]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the layer's bookkeeping, so that a subclass need not call ``super().__init__``."""
        layer = super().__new__(cls)
        layer._name = ""
        layer._parameters, layer._buffers = {}, {}
        layer._own_params, layer._own_buffers, layer._own_grads = Arrays(), Arrays(), {}
        return layer

    def add_parameter(
        self, name: str, shape: Shape, init: Initialization, fan_in: int = 0, fan_out: int = 0
    ) -> None:
        """Declare a trained array; it is drawn by `initialize`, or when first needed.

        The fans are those of the weighted sums that it takes part in, such as a bias; without them
        ``initialize(weight=…, bias=…)`` passes it over.
        """
        self._check_new(name)
        init = initialization("init", init)
        self._parameters[name] = Parameter(lengths("shape", shape), init, fan_in, fan_out)

    def add_buffer(self, name: str, shape: Shape, fill: float, dtype: str | None = None) -> None:
        """Declare an array that is kept with the parameters but not trained."""
        self._check_new(name)
        if not isinstance(fill, bool):
            number("fill", fill, low=-inf, infinite=True)
        self._buffers[name] = Buffer(lengths("shape", shape), fill, dtype)

    def _check_new(self, name: str) -> None:
        check_name("an array's", name)
        if name in (self._parameters | self._buffers):
            self.fail(f"there is an array {name!r} already")

    @property
    def label(self) -> str:
        """The layer's class and its name in the network, for messages."""
        return f"{type(self).__name__} {self._name!r}" if self._name else type(self).__name__

    def fail(self, message: str, error: type[Exception] = ValueError) -> NoReturn:
        """Raise an error that names this layer."""
        raise error(f"{self.label}: {message}")

    @property
    def own_params(self) -> Arrays:
        """The layer's trained arrays without its children's; drawn with seed 0 if need be."""
        if len(self._own_params) < len(self._parameters):
            self._draw_once()
        return self._own_params

    @property
    def own_buffers(self) -> Arrays:
        """The layer's arrays that are kept but not trained, without its children's."""
        if len(self._own_buffers) < len(self._buffers):
            self._draw_once()
        return self._own_buffers

    def _draw_once(self) -> None:
        """Draw the arrays with seed 0, unless another thread has done so by now."""
        with _drawing:
            drawn = len(self._own_params) + len(self._own_buffers)
            if drawn < len(self._parameters) + len(self._buffers):
                self._draw(Key(0).child("init"), self._name)

    def _draw(
        self,
        key: Key,
        dotted: str,
        weight: Initialization | None = None,
        bias: Initialization | None = None,
    ) -> None:
        backend = get_backend()
        params = {}
        for n, p in self._parameters.items():
            try:
                params[n] = p.draw(backend, key.child(join(dotted, n)), weight, bias)
            except MemoryError as error:
                self.fail(f"no room for its {n} of shape {p.shape}: {error}", MemoryError)
        self._own_params.replace(params)
        self._own_buffers.replace({n: b.draw(backend) for n, b in self._buffers.items()})


def join(prefix: str, name: str) -> str:
    """Return a dotted name; either part may be empty."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def check_name(whose: str, name: Any) -> None:
    """Raise ValueError where `name` cannot be a part of a dotted one."""
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"{whose} name must be a string without dots, got {name!r}")
