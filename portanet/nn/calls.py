"""What a composite knows of the layers within, which it may call."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

from portanet.nn.tree import ParameterTree


class Call(NamedTuple):
    """What a composite knows of a layer that it may call."""

    name: str  # dotted, within the composite
    gradients: dict[str, str]  # the composite's names for its gradients
    trained: bool  # whether it has parameters that are not frozen

    @property
    def label(self) -> str:
        """What messages say, which must not keep the layer."""
        return f"layer {self.name!r}"


class Known(NamedTuple):
    """What a composite keeps of the layers within, and when that was found to be so."""

    changes: int  # the count of changes to any tree
    layers: list[tuple[str, ParameterTree, bool]]  # in all their places, and whether frozen
    calls: dict[ParameterTree, Call]


_known: WeakKeyDictionary[ParameterTree, Known] = WeakKeyDictionary()


def calls_of(composite: ParameterTree) -> dict[ParameterTree, Call]:
    """Return what a composite may call: every layer within.

    Where a layer is used in two places, it has the name of the first, and its gradients are summed.
    A frozen layer's are left out.
    """
    found = _known.get(composite)
    changes = ParameterTree.changes  # before the walk, during which another thread may add to it
    if found is None or found.changes != changes:
        _, *places = composite.named_layers(shared=True)  # without itself, the key to them
        layers = [(name, layer, layer.frozen) for name, layer in places]
        if found is None or found.layers != layers:  # most changes are to other trees
            found = Known(changes, layers, _calls(composite))
        found = _known[composite] = found._replace(changes=changes)
    return found.calls


def _calls(composite: ParameterTree) -> dict[ParameterTree, Call]:
    names, calls = {owner: n for n, owner in composite.owners().items()}, {}
    for name, layer in composite.named_layers():
        if layer is not composite:
            trained = {k: o for k, o in layer.owners().items() if not o[0].frozen}
            gradients = {key: names[owner] for key, owner in trained.items()}
            calls[layer] = Call(name, gradients, bool(gradients))
    return calls
