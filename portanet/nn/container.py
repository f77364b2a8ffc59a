"""Layers made of layers."""

from collections.abc import Iterator, Mapping

from portanet.backend import Array
from portanet.nn.context import Context, Gradients, Pullback, no_pullback
from portanet.nn.layer import Layer
from portanet.nn.tree import ParameterTree


class Sequential(Layer):
    """Layers one after another: y = fₖ(… f₂(f₁(x))).

    ``Sequential(a, b)`` numbers its children "0", "1"; ``Sequential({"c1": a, "f": b})`` names
    them. ``model["c1"]`` or ``model[0]`` gives one back. A layer may stand in several places: it
    has one set of parameters, and its gradients are summed.

    Shapes: those of the children. Nothing before the first parameters computes a gradient by its
    input unless the context asks for it.
    """

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        named: Mapping[str, Layer]
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = layers[0]
        else:
            named = {str(i): layer for i, layer in enumerate(layers)}  # type: ignore[misc]
        trained = False  # whether parameters stand before the layer
        self._plan: list[tuple[str, Layer, bool]] = []
        for name, layer in named.items():
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"a layer's name must be a string without dots, got {name!r}")
            self.add_child(name, layer)
            self._plan.append((name, layer, trained))
            trained = trained or bool(layer.owners())
        self._names = self.gradient_names()

    def add_child(self, name: str, layer: ParameterTree) -> None:
        """Raise TypeError: what runs is decided when the container is made."""
        if hasattr(self, "_names"):
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

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps the children's pullbacks."""
        y, pullbacks = x, []
        for name, layer, trained in self._plan:
            y, pullback = ctx.run(name, layer, y, ctx.needs_input_grad or trained)
            if ctx.needs_pullback:
                pullbacks.append((self._names[name], pullback))
        if not ctx.needs_pullback:
            return y, no_pullback
        needs_input_grad = ctx.needs_input_grad

        def backward(dy: Array) -> tuple[Array, Gradients]:
            d = dy
            sums: Gradients = {}
            for names, pullback in reversed(pullbacks):
                d, grads = pullback(d)
                for key, grad in grads.items():
                    name = names[key]
                    sums[name] = sums[name] + grad if name in sums else grad
                if d is None:  # before the first parameters, where nobody asks for more
                    break
            return (d if needs_input_grad else None), sums

        return y, backward

    def __getitem__(self, key: str | int) -> Layer:
        layers: dict[str, Layer] = self.children
        if isinstance(key, int):
            return list(layers.values())[key]
        if key not in layers:
            self.fail(f"no layer {key!r}; there are {', '.join(layers)}", KeyError)
        return layers[key]

    def __len__(self) -> int:
        return len(self.children)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.children.values())
