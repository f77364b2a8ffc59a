"""Parameters and buffers by name, in a tree of layers."""

from collections.abc import Iterator
from math import inf
from typing import Any, ClassVar, NoReturn, Self

from portanet.backend import Array
from portanet.checks import Named, flag, lengths, number
from portanet.nn.arrays import Arrays
from portanet.nn.initialization import Initialization, initialization
from portanet.nn.parameter import Buffer, Parameter
from portanet.random import Key, Shape
from portanet.selection import get_backend


class ParameterTree(metaclass=Named):
    """What every layer knows of its parameters, and of the layers within it.

    A layer *describes* its arrays; they are drawn by `initialize`, or, with seed 0, when first
    needed. Names are dotted: ``"fc1.weight"`` is the weight of the child ``"fc1"``. Two equal
    layers differ by their names; asked for their arrays before a container names them, they draw
    the same ones, and keep them until `initialize`.
    """

    # Whether an output depends on the other samples of its batch.
    couples_samples = False
    _frozen = False
    changes: ClassVar[int] = 0  # counts what was added, removed and frozen, in any tree
    _name: str  # dotted, within the network; "" for the network itself
    children: dict[str, Any]
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Buffer]
    _own_params: Arrays
    _own_buffers: Arrays
    _own_grads: dict[str, Array]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the layer's bookkeeping, so that a subclass need not call ``super().__init__``."""
        layer = super().__new__(cls)
        layer._name = ""
        layer.children = {}
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
        _check_name("an array's", name)
        if name in (self._parameters | self._buffers):
            self.fail(f"there is an array {name!r} already")

    def add_child(self, name: str, layer: "ParameterTree") -> None:
        """Make `layer` a part of this one; assigning it as an attribute does the same."""
        _check_name("a layer's", name)
        if not isinstance(layer, ParameterTree):
            is_class = isinstance(layer, type)
            got = f"the class {layer.__name__}" if is_class else type(layer).__name__
            raise TypeError(f"expected a layer for {name!r}, got {got}")
        self.children[name] = layer
        ParameterTree.changes += 1
        for dotted, part in self.named_layers():
            part._name = join(self._name, dotted)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ParameterTree):
            self.add_child(name, value)
        elif name in vars(self).get("_parameters", ()) or name in vars(self).get("_buffers", ()):
            self.fail(f"{name!r} is an array of this layer: assign to params[{name!r}]", TypeError)
        elif name in ("trainable", "requires_grad"):
            self.fail(f"there is no {name}; freeze() and unfreeze() say what is trained", TypeError)
        elif _holds_layers(value) and name != "children":
            self.fail(
                f"{name!r}: layers in a {type(value).__name__} would not be trained; "
                "use a Sequential, or add_child for each",
                TypeError,
            )
        elif isinstance(vars(self).get(name), ParameterTree):  # something else takes its place
            self._remove_child(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if isinstance(vars(self).get(name), ParameterTree):
            self._remove_child(name)
        super().__delattr__(name)

    def _remove_child(self, name: str) -> None:
        del self.children[name]
        ParameterTree.changes += 1

    @property
    def label(self) -> str:
        """The layer's class and its name in the network, for messages."""
        return f"{type(self).__name__} {self._name!r}" if self._name else type(self).__name__

    def fail(self, message: str, error: type[Exception] = ValueError) -> NoReturn:
        """Raise an error that names this layer."""
        raise error(f"{self.label}: {message}")

    # --- arrays by name ------------------------------------------------------------------------

    @property
    def own_params(self) -> Arrays:
        """The layer's trained arrays without its children's; drawn with seed 0 if need be."""
        if len(self._own_params) < len(self._parameters):
            self._draw(Key(0).child("init"), self._name)
        return self._own_params

    @property
    def own_buffers(self) -> Arrays:
        """The layer's arrays that are kept but not trained, without its children's."""
        if len(self._own_buffers) < len(self._buffers):
            self._draw(Key(0).child("init"), self._name)
        return self._own_buffers

    @property
    def params(self) -> Arrays:
        """The trained arrays by dotted name; assigning copies into place. A shared one is once."""
        if not self.children:
            return self.own_params
        return Arrays((n, layer.own_params[key]) for n, (layer, key) in self.owners().items())

    @property
    def buffers(self) -> Arrays:
        """The arrays that are kept but not trained, by dotted name; assigning copies into place."""
        if not self.children:
            return self.own_buffers
        return Arrays(
            (join(n, key), array)
            for n, layer in self.named_layers()
            for key, array in layer.own_buffers.items()
        )

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients that `backward` summed since `zero_grads`, by dotted name."""
        owners = self.owners().items()
        return {n: o._own_grads[key] for n, (o, key) in owners if key in o._own_grads}

    @property
    def frozen(self) -> bool:
        """Whether training leaves the layer's own parameters as they are."""
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self.freeze(frozen)

    def freeze(self, frozen: bool = True) -> Self:
        """Leave all parameters within as they are in training; returns the layer.

        Optimizers pass them over, and where nothing before a frozen layer is trained, either, its
        pullback is not run; behind trained layers its gradients are computed and left out. Buffers,
        such as running statistics, still follow the data in training.
        """
        frozen = flag("frozen", frozen)
        for _, layer in self.named_layers():
            layer._frozen = frozen
        ParameterTree.changes += 1
        return self

    def unfreeze(self) -> Self:
        """Train all parameters within; returns the layer."""
        return self.freeze(False)

    def zero_grads(self) -> None:
        """Forget the gradients."""
        for _, layer in self.named_layers():
            layer._own_grads.clear()

    def named_layers(self, shared: bool = False) -> Iterator[tuple[str, "ParameterTree"]]:
        """Yield this layer and all within it with their dotted names.

        A layer that is used in several places comes once, under its first name; with `shared`,
        under each of its names.
        """
        return self._walk("", set(), shared)

    def _walk(
        self, name: str, seen: set["ParameterTree"], shared: bool
    ) -> Iterator[tuple[str, "ParameterTree"]]:
        if self in seen and not shared:
            return
        seen.add(self)
        yield name, self
        for child_name, child in self.children.items():
            yield from child._walk(join(name, child_name), seen, shared)

    def owners(self) -> dict[str, tuple["ParameterTree", str]]:
        """Map each parameter's dotted name to the layer that holds it and its name there."""
        return {
            join(n, key): (layer, key)
            for n, layer in self.named_layers()
            for key in layer._parameters
        }

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


def _check_name(whose: str, name: Any) -> None:
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"{whose} name must be a string without dots, got {name!r}")


def _holds_layers(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, list | tuple | dict) and any(
        isinstance(part, ParameterTree) for part in parts
    )
