"""Parameters and buffers by name, in a tree of layers: declared, drawn, moved, saved."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Self

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.checks import Named
from portanet.nn.arrays import Arrays
from portanet.nn.initialization import Initialization
from portanet.nn.parameter import Buffer, Parameter
from portanet.random import Key, Shape, fresh_seed
from portanet.selection import get_backend, make_backend


class ParameterTree(metaclass=Named):
    """What every layer knows of its parameters, and of the layers within it.

    A layer *describes* its arrays; they are drawn by `initialize`, or, with seed 0, when first
    needed. Names are dotted: ``"fc1.weight"`` is the weight of the child ``"fc1"``.
    """

    name: str  # dotted, within the network; "" for the network itself
    children: dict[str, Any]
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Buffer]
    _own_params: Arrays
    _own_buffers: Arrays
    _own_grads: dict[str, Array]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the layer's bookkeeping, so that a subclass need not call ``super().__init__``."""
        layer = super().__new__(cls)
        layer.name = ""
        layer.children = {}
        layer._parameters, layer._buffers = {}, {}
        layer._own_params, layer._own_buffers, layer._own_grads = Arrays(), Arrays(), {}
        return layer

    def add_parameter(
        self, name: str, shape: Shape, init: Initialization, fan_in: int = 0, fan_out: int = 0
    ) -> None:
        """Declare a trained array; it is drawn by `initialize`, or when first needed."""
        self._parameters[name] = Parameter(shape, init, fan_in, fan_out)

    def add_buffer(self, name: str, shape: Shape, fill: float, dtype: str | None = None) -> None:
        """Declare an array that is kept with the parameters but not trained."""
        self._buffers[name] = Buffer(shape, fill, dtype)

    def add_child(self, name: str, layer: "ParameterTree") -> None:
        """Make `layer` a part of this one; assigning it as an attribute does the same."""
        if not isinstance(layer, ParameterTree):
            raise TypeError(f"expected a layer for {name!r}, got {type(layer).__name__}")
        self.children[name] = layer
        for dotted, part in self.named_layers():
            part.name = _join(self.name, dotted)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ParameterTree):
            self.add_child(name, value)
        elif isinstance(vars(self).get(name), ParameterTree):  # something else takes its place
            del self.children[name]
        super().__setattr__(name, value)

    @property
    def label(self) -> str:
        """The layer's class and its name in the network, for messages."""
        return f"{type(self).__name__} {self.name!r}" if self.name else type(self).__name__

    def fail(self, message: str, error: type[Exception] = ValueError) -> NoReturn:
        """Raise an error that names this layer."""
        raise error(f"{self.label}: {message}")

    # --- arrays by name ------------------------------------------------------------------------

    @property
    def own_params(self) -> Arrays:
        """The layer's trained arrays without its children's; drawn with seed 0 if need be."""
        if len(self._own_params) < len(self._parameters):
            self._draw(Key(0))
        return self._own_params

    @property
    def own_buffers(self) -> Arrays:
        """The layer's arrays that are kept but not trained, without its children's."""
        if len(self._own_buffers) < len(self._buffers):
            self._draw(Key(0))
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
            (_join(n, key), array)
            for n, layer in self.named_layers()
            for key, array in layer.own_buffers.items()
        )

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients that `backward` summed since `zero_grads`, by dotted name."""
        owners = self.owners().items()
        return {n: o._own_grads[key] for n, (o, key) in owners if key in o._own_grads}

    def zero_grads(self) -> None:
        """Forget the gradients."""
        for _, layer in self.named_layers():
            layer._own_grads.clear()

    def named_layers(self, shared: bool = False) -> Iterator[tuple[str, "ParameterTree"]]:
        """Yield this layer and all within it with their dotted names.

        A layer that is used in several places comes once, under its first name; with `shared`,
        under each of its names.
        """
        seen: set[ParameterTree] = set()

        def walk(name: str, layer: ParameterTree) -> Iterator[tuple[str, ParameterTree]]:
            if layer in seen and not shared:
                return
            seen.add(layer)
            yield name, layer
            for child_name, child in layer.children.items():
                yield from walk(_join(name, child_name), child)

        return walk("", self)

    def owners(self) -> dict[str, tuple["ParameterTree", str]]:
        """Map each parameter's dotted name to the layer that holds it and its name there."""
        return {
            _join(n, key): (layer, key)
            for n, layer in self.named_layers()
            for key in layer._parameters
        }

    def gradient_names(self) -> dict[str, dict[str, str]]:
        """Map each child's name and its gradients' names to this layer's names for them.

        A container adds up what its children's pullbacks return under these names: where a layer
        is used in two places, both lead to its first one.
        """
        first = {owner: n for n, owner in self.owners().items()}
        return {
            child_name: {key: first[owner] for key, owner in child.owners().items()}
            for child_name, child in self.children.items()
        }

    # --- drawing, moving, saving ---------------------------------------------------------------

    def initialize(
        self,
        seed: int | None = 0,
        *,
        weight: Initialization | None = None,
        bias: Initialization | None = None,
    ) -> Self:
        """Draw all parameters anew, on the selected backend, and reset the buffers.

        Each parameter is keyed by the seed and its dotted name, so the same network starts the same
        everywhere; ``seed=None`` takes fresh entropy. `weight` and `bias` replace the layers' own
        initialisations of weighted sums (linear, convolution); a normalisation's scale and shift
        keep theirs. Returns the layer.
        """
        key = Key(fresh_seed() if seed is None else seed)
        for _, layer in self.named_layers():
            layer._draw(key, weight, bias)
        return self

    def _draw(
        self, key: Key, weight: Initialization | None = None, bias: Initialization | None = None
    ) -> None:
        backend = get_backend()
        params = {}
        for n, p in self._parameters.items():
            params[n] = p.draw(backend, key.child("init", _join(self.name, n)), weight, bias)
        self._own_params.replace(params)
        self._own_buffers.replace({n: b.draw(backend) for n, b in self._buffers.items()})

    def to(
        self, backend: str | Backend | None = None, *, device: Any = None, dtype: str | None = None
    ) -> Self:
        """Move all arrays to a backend and floating dtype, in place; returns the layer.

        Without `backend` only the dtype changes. Make the optimizer after moving: its state stays
        where it is.
        """
        there = make_backend(backend, device=device) if isinstance(backend, str) else backend
        for _, layer in self.named_layers():
            for arrays in (layer.own_params, layer.own_buffers):
                for n, array in arrays.items():
                    here = backend_of(array)
                    floating = dtype is not None and array.dtype in here.floats
                    new = (there or here).asarray(array, dtype if floating else dtype_name(array))
                    arrays.replace({n: new})
        return self

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers under PyTorch's names for them.

        A shared array stands there under each of its names.
        """
        return {n: _copy(arrays[key]) for n, (arrays, key) in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy parameters and buffers into place, from arrays of any library.

        Raises ValueError that lists the missing, the unexpected and the misshapen names; nothing
        is written then.
        """
        slots = self._state()
        wrong = [f"missing {n!r}" for n in slots if n not in state]
        wrong += [f"unexpected {n!r}" for n in state if n not in slots]
        new = {}
        for n in slots.keys() & state.keys():
            arrays, key = slots[n]
            try:
                new[n] = arrays.fitting(key, state[n])
            except (TypeError, ValueError) as error:
                wrong.append(f"{n!r}: {error}")
        if wrong:
            self.fail("the state does not fit: " + "; ".join(wrong))
        for n, values in new.items():
            arrays, key = slots[n]
            arrays[key][...] = values

    def _state(self) -> dict[str, tuple[Arrays, str]]:
        return {
            _join(n, key): (arrays, key)
            for n, layer in self.named_layers(shared=True)
            for arrays in (layer.own_params, layer.own_buffers)
            for key in arrays
        }


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _copy(array: Array) -> Array:
    return backend_of(array).xp.asarray(array, copy=True)
