"""Parameters and buffers by name, in a tree of layers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from portanet.backend import Array
from portanet.checks import flag
from portanet.nn import hints
from portanet.nn.arrays import Arrays
from portanet.nn.declared import DeclaredArrays, check_name, join


class ParameterTree(DeclaredArrays):
    """What every layer knows of its parameters, and of the layers within it.

    Names are dotted: ``"fc1.weight"`` is the weight of the child ``"fc1"``. Two equal layers differ
    by their names; asked for their arrays before a container names them, they draw the same ones,
    and keep them until `initialize`.
    """

    # Whether an output depends on the other samples of its batch.
    couples_samples = False
    _frozen = False
    changes: ClassVar[int] = 0  # counts what was added, removed and frozen, in any tree
    children: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the layer's bookkeeping, that of its children too."""
        layer = super().__new__(cls)
        layer.children = {}
        return layer

    def add_child(self, name: str, layer: "ParameterTree") -> None:
        """Make `layer` a part of this one; assigning it as an attribute does the same."""
        self._add_children({name: layer})

    def _add_children(self, layers: Mapping[str, Any]) -> None:
        """Make layers parts of this one and name what is within.

        All together: what stands in several places has its first name, and which that is only a
        walk through the whole tree can tell.
        """
        for name, layer in layers.items():
            check_name("a layer's", name)
            if not isinstance(layer, ParameterTree):
                is_class = isinstance(layer, type)
                got = f"the class {layer.__name__}" if is_class else type(layer).__name__
                raise TypeError(f"expected a layer for {name!r}, got {got}")
        self.children.update(layers)
        ParameterTree.changes += 1
        for dotted, part in self.named_layers():
            full = join(self._name, dotted)
            if part._name != full:  # to set takes longer than to look
                part._name = full

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ParameterTree):
            self.add_child(name, value)
        elif instead := hints.of_assigning(self, name):
            self.fail(instead, TypeError)
        elif _holds_layers(value) and name != "children":
            self.fail(
                f"{name!r}: layers in a {type(value).__name__} would not be trained; "
                "use a Sequential, or add_child for each",
                TypeError,
            )
        elif isinstance(vars(self).get(name), ParameterTree):  # something else takes its place
            self._remove_child(name)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # where a name that is missing is an error already

        def __getattr__(self, name: str) -> Any:
            instead = None if hasattr(type(self), name) else hints.of_reading(self, name)
            if instead is None:  # Python's own error, or that of a property
                return object.__getattribute__(self, name)
            # Without the object Python adds no private name that looks like it.
            raise AttributeError(f"{self.label} has no {name!r}: {instead}", name=name, obj=None)

    def __delattr__(self, name: str) -> None:
        if isinstance(vars(self).get(name), ParameterTree):
            self._remove_child(name)
        super().__delattr__(name)

    def _remove_child(self, name: str) -> None:
        del self.children[name]
        ParameterTree.changes += 1

    # --- arrays by name ------------------------------------------------------------------------

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


def _holds_layers(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, list | tuple | dict) and any(
        isinstance(part, ParameterTree) for part in parts
    )
