"""How a layer that is made of layers runs them, and how its pullback follows from theirs.

A composite writes down only what is called in which order, in `Layer.compute`. It is given a `Node`
instead of an array: calling a layer with a node runs that layer and notes its pullback; the
composite's own pullback goes through the notes backwards.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn

from portanet.backend import Array, backend_of
from portanet.checks import integer
from portanet.nn.calls import Call, calls_of
from portanet.nn.context import Context, Gradients, Pullback, no_pullback
from portanet.nn.running import no_gradients
from portanet.sums import total

if TYPE_CHECKING:
    from portanet.nn.layer import Layer


class Node:
    """An array on its way through a composite.

    ``layer(node)`` runs a layer of the composite; ``a + b``, ``a - b`` and ``a * b`` join two nodes
    of equal shape element by element, `sum` adds several, `concat` joins them along an axis. A
    factor may have length 1 along an axis but the batch's, as a gate (N, C, 1, 1) has. With
    numbers there are ``1 + a``, ``1 - a``, ``0.1 * a``, ``a / 2``, and ``-a``.
    `value` is the array.
    """

    __slots__ = ("_graph", "_number", "value")

    def __init__(self, graph: "Graph", number: int | None, value: Array) -> None:
        self._graph, self._number, self.value = graph, number, value

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.value.shape)

    def __add__(self, other: "Node | float") -> "Node":
        if not isinstance(other, Node):
            return self._graph.join(self.value + _number("+", other), lambda dy: (dy,), self)
        a, b = _pair("+", self, other)
        return self._graph.join(a + b, lambda dy: (dy, dy), self, other)

    def __sub__(self, other: "Node | float") -> "Node":
        if not isinstance(other, Node):
            return self + -_number("-", other)
        a, b = _pair("-", self, other)
        return self._graph.join(a - b, lambda dy: (dy, -dy), self, other)

    def __rsub__(self, other: float) -> "Node":
        return -self + other

    def __neg__(self) -> "Node":
        return self._graph.join(-self.value, lambda dy: (-dy,), self)

    def __mul__(self, other: "Node | float") -> "Node":
        if not isinstance(other, Node):
            factor = _number("*", other)
            return self._graph.join(self.value * factor, lambda dy: (dy * factor,), self)
        if self.shape != other.shape:
            return _gated(self, other)
        a, b = self.value, other.value
        return self._graph.join(a * b, lambda dy: (dy * b, dy * a), self, other)

    def __truediv__(self, other: float) -> "Node":
        divisor = _number("/", other)
        return self._graph.join(self.value / divisor, lambda dy: (dy / divisor,), self)

    __radd__, __rmul__ = __add__, __mul__
    __array_ufunc__ = None  # NumPy's functions refuse a node by name

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"a node in compute has no {name!r}: it can be added, multiplied, concatenated and "
            "given to layers; for anything else write a layer with a vjp, which gets arrays"
        )


def concat(nodes: Sequence[Node], axis: int = 1) -> Node:
    """Join nodes along an axis, by default the channels; the other axes must be equally long."""
    if not isinstance(nodes, (list, tuple)) or not nodes:
        raise TypeError(f"concat takes a list of nodes, as concat([a, b]), got {nodes!r}")
    axis = integer("axis", axis, least=-inf)
    for node in nodes:
        if not isinstance(node, Node):
            raise TypeError(f"concat joins the nodes of compute, got {type(node).__name__}")
    graph: Graph = nodes[0]._graph
    shapes = [node.shape for node in nodes]
    ndim = len(shapes[0])
    others = {shape[:axis] + shape[axis:][1:] for shape in shapes if -ndim <= axis < ndim}
    if len(others) != 1:
        graph.fail(f"cannot concatenate {' and '.join(map(str, shapes))} along axis {axis}")
    axis %= ndim
    xp = backend_of(*(node.value for node in nodes)).xp
    # With the batch innermost in memory, which is the order of the layers' outputs.
    turned = [xp.permute_dims(node.value, (*range(1, ndim), 0)) for node in nodes]
    joined = xp.concat(turned, axis=(axis - 1) % ndim)
    ends = [0, *accumulate(shape[axis] for shape in shapes)]

    def back(dy: Array) -> tuple[Array, ...]:
        before = (slice(None),) * axis
        return tuple(dy[(*before, slice(start, stop), ...)] for start, stop in pairwise(ends))

    return graph.join(xp.permute_dims(joined, (ndim - 1, *range(ndim - 1))), back, *nodes)


def _number(sign: str, b: Any) -> float:
    if not isinstance(b, Real):  # which NumPy's are, too
        kind = type(b).__name__
        raise TypeError(f"a node in compute {sign} {kind}: expected a number, or a node after +-*")
    return float(b)


def _pair(sign: str, a: Node, b: Node) -> tuple[Array, Array]:
    if a.shape != b.shape:
        a._graph.fail(f"{a.shape} {sign} {b.shape}: both nodes must have the same shape")
    return a.value, b.value


def _gated(a: Node, b: Node) -> Node:
    """Multiply nodes of which one has length 1 where the other has not."""
    lengths = [{n, m} for n, m in zip(a.shape, b.shape, strict=False)]
    fits = len(a.shape) == len(b.shape) and all(len(both - {1}) < 2 for both in lengths)
    if not fits or a.shape[:1] != b.shape[:1]:
        a._graph.fail(f"{a.shape} * {b.shape}: axes must be equally long, or 1 but for the batch's")
    x, y, xp = a.value, b.value, backend_of(a.value, b.value).xp
    over = [[(i,) for i, n in enumerate(z.shape) if n < max(lengths[i])] for z in (a, b)]

    def back(dy: Array) -> tuple[Array, Array]:
        return total(xp, dy * y, *over[0]), total(xp, dy * x, *over[1])

    return a._graph.join(x * y, back, a, b)


# One thing done in `compute`: the numbers of the nodes that it was done to, its pullback, and the
# layer, or None where nodes were joined: then the pullback gives a gradient for each.
Step = tuple[tuple[int | None, ...], Callable[[Array], Any], Call | None]


class Graph:
    """The steps of one run of a composite.

    A node's number is that of the step which made it, from 1, and the input's is 0. What needs no
    gradient has neither a step nor a number.
    """

    def __init__(self, composite: "Layer", ctx: Context) -> None:
        self._composite, self._ctx = composite, ctx
        self._calls = calls_of(composite)
        self._uses: dict[Layer, int] = {}
        self._steps: list[Step] = []

    def fail(self, message: str) -> NoReturn:
        """Raise ValueError in the composite's name."""
        self._composite.fail(message)

    def call(self, layer: "Layer", x: Node) -> Node:
        """Run a layer of the composite; its second run in a pass has another name."""
        call = self._calls.get(layer)
        if call is None:
            self.fail(
                f"compute calls a {type(layer).__name__} that is no part of it: assign it to an "
                "attribute in __init__"
            )
        self._uses[layer] = use = self._uses.get(layer, 0) + 1
        # Two dropouts draw differently, and so does one that is called twice.
        name = call.name if use == 1 else f"{call.name}:{use}"
        source, ctx = x._number, self._ctx
        y, pullback = ctx.run(name, layer, x.value, source is not None)
        if (source is None and not call.trained) or not ctx.needs_pullback:
            return Node(self, None, y)
        self._steps.append(((source,), pullback, call))
        return Node(self, len(self._steps), y)

    def join(self, y: Array, back: Callable[[Array], Any], *nodes: Node) -> Node:
        """Note that y was made of nodes; ``back(dy)`` gives a gradient for each."""
        if any(source._graph is not self for source in nodes):
            self.fail("a node of another compute, or of another pass: return it from there instead")
        sources = tuple(source._number for source in nodes)
        if all(source is None for source in sources):
            return Node(self, None, y)
        self._steps.append((sources, back, None))
        return Node(self, len(self._steps), y)


def run(composite: "Layer", x: Array, ctx: Context) -> tuple[Array, Pullback]:
    """Return the output of a composite's `compute` and the pullback, which keeps the layers'."""
    backend_of(x)  # a composite of nothing would return whatever it is given
    graph = Graph(composite, ctx)
    needs_input_grad = ctx.needs_input_grad and ctx.needs_pullback
    y = composite.compute(Node(graph, 0 if needs_input_grad else None, x))
    if not isinstance(y, Node) or y._graph is not graph:
        composite.fail(f"compute must return a node of its own, got {type(y).__name__}", TypeError)
    if not ctx.needs_pullback:
        return y.value, no_pullback
    steps, last = graph._steps, y._number

    def pullback(dy: Array) -> tuple[Array, Gradients]:
        found: list[Array | None] = [None] * (1 + len(steps))  # dL/dnode, by the nodes' numbers
        if last is not None:
            found[last] = dy
        sums: Gradients = {}
        for sources, back, call in reversed(steps):
            d = found.pop()
            if d is None:  # nothing was made of it
                continue
            parts = back(d)
            if call is not None:
                if not (
                    isinstance(parts, tuple) and len(parts) == 2 and isinstance(parts[1], dict)
                ):
                    raise no_gradients(call, parts)
                *parts, grads = parts
                for key, name in call.gradients.items():
                    if key not in grads:
                        raise _lacking(call, grads)
                    grad = grads[key]
                    sums[name] = sums[name] + grad if name in sums else grad
            for source, part in zip(sources, parts, strict=True):
                if source is not None and part is not None:
                    other = found[source]
                    found[source] = part if other is None else other + part
        return found.pop(), sums

    return y.value, pullback


def _lacking(call: Call, grads: Gradients) -> ValueError:
    lacking = sorted(name for key, name in call.gradients.items() if key not in grads)
    return ValueError(f"{call.label}: the pullback lacks gradients for {lacking}")
