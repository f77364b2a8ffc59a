"""Layers made of layers."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, overload

from portanet.backend import Array
from portanet.checks import instance, word
from portanet.nn.declared import join
from portanet.nn.graph import Node, concat
from portanet.nn.layer import Layer
from portanet.nn.tree import ParameterTree


class Sequential(Layer):
    """Layers one after another: y = fₖ(… f₂(f₁(x))).

    ``Sequential(a, b)`` numbers its children "0", "1"; ``Sequential({"c1": a, "f": b})`` names
    them. ``model["c1"]`` or ``model[0]`` gives one back, ``model[:2]`` a Sequential of the same
    layers. A layer may stand in several places: it has one set of parameters, and its gradients are
    summed.

    Shapes: those of the children. Nothing before the first parameters computes dL/dx unless the
    context asks for it.
    """

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        _adopt(self, layers)
        self._complete = True

    def add_child(self, name: str, layer: ParameterTree) -> None:
        """Raise TypeError: what runs is decided when the container is made."""
        if hasattr(self, "_complete"):
            self.fail(
                "its layers are fixed; make a new one: "
                f"Sequential({{**model.children, {name!r}: …}})",
                TypeError,
            )
        super().add_child(name, layer)

    def check(self, x: Array) -> None:
        """Raise ValueError where a value in x is impossible for the first layer, which sees x."""
        for layer in list(self)[:1]:
            layer.check(x)

    def compute(self, x: Node) -> Node:
        """Run one layer after another."""
        for layer in self.children.values():
            x = layer(x)
        return x

    @overload
    def __getitem__(self, key: slice) -> "Sequential": ...
    @overload
    def __getitem__(self, key: str | int) -> Layer: ...
    def __getitem__(self, key: str | int | slice) -> Layer:
        layers: dict[str, Layer] = self.children
        if isinstance(key, slice):
            part = Sequential(dict(list(layers.items())[key]))
            for name, layer in self.named_layers():  # their names stay those of this network
                layer._name = join(self._name, name)
            return part
        if isinstance(key, int):
            if not -len(layers) <= key < len(layers):
                self.fail(f"no layer {key}; there are {len(layers)}", IndexError)
            return list(layers.values())[key]
        if key not in layers:
            self.fail(f"no layer {key!r}; there are {', '.join(layers)}", KeyError)
        return layers[key]

    def __len__(self) -> int:
        return len(self.children)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.children.values())


class Residual(Layer):
    """A detour added to its input: y = body(x) + shortcut(x), with shortcut(x) = x by default.

    Args:
        body: the layer, or `Sequential`, that is added.
        shortcut: what brings x to the body's output shape where that differs, such as a 1×1
            convolution with a stride; None adds x itself.

    Shapes: x as the body takes it, y as it gives it. Children ``body`` and ``shortcut``. Raises
    ValueError where the two sides differ in shape.

    Source: He et al., "Deep residual learning for image recognition", 2016.
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        self.body = instance("body", body, Layer)
        self.shortcut = None if shortcut is None else instance("shortcut", shortcut, Layer)

    def check(self, x: Array) -> None:
        """Raise ValueError where a value in x is impossible for a side; both see x."""
        for side in self.children.values():
            side.check(x)

    def compute(self, x: Node) -> Node:
        """Run both sides and add them."""
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))


class Parallel(Layer):
    """Branches side by side on the same input, joined: y = Σₖ fₖ(x), or their channels in a row.

    ``Parallel(a, b)`` numbers its branches "0", "1"; ``Parallel({"wide": a, "deep": b})`` names
    them.

    Args:
        branches: the layers.
        merge: ``"add"``, for outputs of equal shape, or ``"concat"``, along axis 1.

    Shapes: x as the branches take it, y (N, C, …) as they give it, with C the sum of theirs where
    they are concatenated. Raises ValueError where the outputs' shapes do not fit.

    Source of the idea: Szegedy et al., "Going deeper with convolutions", 2015.
    """

    def __init__(
        self,
        *branches: Layer | Mapping[str, Layer],
        merge: Literal["add", "concat"] = "add",
    ) -> None:
        word("merge", merge, "add", "concat")
        _adopt(self, branches)
        if not self.children:
            self.fail("needs at least one branch")
        self.merge = merge

    def check(self, x: Array) -> None:
        """Raise ValueError where a value in x is impossible for a branch, all of which see x."""
        for branch in self.children.values():
            branch.check(x)

    def compute(self, x: Node) -> Node:
        """Run every branch on x and join their outputs."""
        branches: dict[str, Layer] = self.children
        first, *others = (branch(x) for branch in branches.values())
        if self.merge == "concat":
            return concat([first, *others])
        for other in others:
            first = first + other
        return first

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"merge={self.merge!r}"


def _adopt(parent: Layer, layers: tuple[Layer | Mapping[str, Layer], ...]) -> None:
    """Make layers the children of a container, numbered or, where it is one mapping, named."""
    named: Mapping[str, Any] = {str(i): layer for i, layer in enumerate(layers)}
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        named = layers[0]
    elif len(layers) == 1 and isinstance(layers[0], list | tuple):
        container, got = type(parent).__name__, type(layers[0]).__name__
        parent.fail(f"expected layers, got a {got} of them: {container}(a, b)", TypeError)
    parent._add_children(named)
